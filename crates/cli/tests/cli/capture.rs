//! `passthru capture`.

use crate::support::Sample;

#[test]
fn a_capture_answers_as_the_host_does() {
    let sample = Sample::new();
    let file = sample.dir().join("sample.tar.gz");
    let file = file.to_str().unwrap();
    sample.run(&["capture", file]).exits(0);
    let there = sample.run(&["devices", "--json"]).json(0);
    let here = sample.bare(&["devices", "--json", "--host", file]).json(0);
    assert_eq!(there, here);
    let there = sample.run(&["plan", "--gpu", "01:00.0", "--json"]).json(0);
    let here = sample
        .bare(&["plan", "--gpu", "01:00.0", "--json", "--host", file])
        .json(0);
    // Names of disks are masked, and the trial entry carries the root's.
    assert_eq!(without_root(there), without_root(here));
}

/// Without the words that name the root file system.
fn without_root(plan: serde_json::Value) -> String {
    let text = plan.to_string();
    let named = |word: &&str| !word.contains("root=UUID=") && !word.starts_with("--set=root");
    text.split(' ')
        .filter(named)
        .collect::<Vec<_>>()
        .join(" ")
        .replace(
            "3f6a2c1e-7d44-4b0e-9a51-0c2f8e6b7d10",
            "00000000-0000-4000-8000-000000000001",
        )
}

#[test]
fn an_existing_file_is_left_alone() {
    let sample = Sample::new();
    let file = sample.dir().join("mine");
    std::fs::write(&file, "mine").unwrap();
    let said = sample.run(&["capture", file.to_str().unwrap()]).exits(2);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
}
