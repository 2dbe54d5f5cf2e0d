//! `passthru demo`: the README's first command.

use crate::support::Sample;

#[test]
fn the_whole_cycle() {
    let text = Sample::new().bare(&["demo"]).exits(0);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_is_left_behind() {
    let sample = Sample::new();
    let scratch = sample.dir().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let status = std::process::Command::new(crate::support::PASSTHRU)
        .env_clear()
        .env("TMPDIR", &scratch)
        .arg("demo")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn a_sample_is_written_to_an_empty_directory_only() {
    let sample = Sample::new();
    let root = sample.root();
    let said = sample
        .bare(&["demo", "--write-sample", root.to_str().unwrap()])
        .exits(2);
    assert!(said.contains("not empty"), "{said}");
}
