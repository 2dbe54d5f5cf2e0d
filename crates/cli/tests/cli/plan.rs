//! `passthru plan`.

use crate::support::{Sample, outline};

const PLAN: [&str; 3] = ["plan", "--gpu", "01:00.0"];

#[test]
fn the_whole_plan() {
    insta::assert_snapshot!(Sample::new().run(&PLAN).exits(0));
}

#[test]
fn narrow() {
    insta::assert_snapshot!(outline(&Sample::new().run_in(40, &PLAN).exits(0)));
}

#[test]
fn the_only_monitor_is_refused_with_the_way_out() {
    insta::assert_snapshot!(Sample::new().run(&["plan", "--gpu", "06:00.0"]).exits(1));
    let value = Sample::new()
        .run(&["plan", "--gpu", "06:00.0", "--json"])
        .json(1);
    assert!(!value["refusals"].as_array().unwrap().is_empty());
    assert!(value["changes"].as_array().unwrap().is_empty());
}

#[test]
fn a_device_that_is_not_there() {
    insta::assert_snapshot!(Sample::new().run(&["plan", "--gpu", "0a:00.0"]).exits(1));
}

#[test]
fn another_device_than_named() {
    let said = Sample::new()
        .run(&["plan", "--gpu", "01:00.0=10de:2204"])
        .exits(1);
    assert!(
        said.contains("0000:01:00.0=10de:2204. Slots are renumbered"),
        "{said}"
    );
}

#[test]
fn no_card_was_named() {
    insta::assert_snapshot!(Sample::new().run(&["plan"]).exits(2));
}

#[test]
fn json_has_every_change() {
    let sample = Sample::new();
    let value = sample.run(&["plan", "--gpu", "01:00.0", "--json"]).json(0);
    assert_eq!(value["reboot"], true);
    let changes = value["changes"].as_array().unwrap();
    for change in changes {
        match change["kind"].as_str().unwrap() {
            "edit" => {
                assert!(change["path"].as_str().unwrap().starts_with('/'));
                assert!(change.get("before").is_some() && change.get("after").is_some());
            }
            "run" => assert!(change["argv"].is_array()),
            other => panic!("{other}"),
        }
        assert!(change["why"].is_string());
    }
    let again = sample.run(&["plan", "--gpu", "01:00.0", "--json"]).json(0);
    assert_eq!(value, again);
}

#[test]
fn an_intent_file_says_the_same() {
    let sample = Sample::new();
    let file = sample.dir().join("intent.toml");
    std::fs::write(&file, "gpu = [\"01:00.0\"]\nbinding = \"static\"\n").unwrap();
    let from_file = sample
        .run(&["plan", "--json", "--intent", file.to_str().unwrap()])
        .json(0);
    let from_flags = sample.run(&["plan", "--json", "--gpu", "01:00.0"]).json(0);
    assert_eq!(from_file, from_flags);
}

#[test]
fn intent_files_with_mistakes() {
    let sample = Sample::new();
    let file = sample.dir().join("intent.toml");
    let said = |text: &str| {
        std::fs::write(&file, text).unwrap();
        sample
            .run(&["plan", "--intent", file.to_str().unwrap()])
            .exits(2)
    };
    insta::assert_snapshot!("unknown_key", said("gpu = [\"01:00.0\"]\nheadles = true\n"));
    insta::assert_snapshot!("bad_address", said("gpu = [\"01:0g.0\"]\n"));
    insta::assert_snapshot!("no_card", said("headless = true\n"));
    insta::assert_snapshot!("not_toml", said("gpu [\n"));
    for (text, why) in [
        (
            "iommu-only = true\nhugepages = \"16G\"\n",
            "hugepages needs gpu",
        ),
        (
            "gpu = [\"01:00.0\"]\nhugepage-size = \"2M\"\n",
            "hugepage-size needs hugepages",
        ),
        (
            "gpu = [\"01:00.0\"]\nhugepages = \"16\"\n",
            "not a size such as 16G",
        ),
        (
            "gpu = [\"01:00.0\"]\nno-trial = true\ntrial = \"never\"\n",
            "keep one",
        ),
        (
            "gpu = [\"01:00.0\"]\nhugepages = \"1G\"\nhugepages-kib = 1048576\n",
            "keep one",
        ),
    ] {
        let said = said(text);
        assert!(said.contains(why), "{text}{said}");
    }
}

#[test]
fn an_intent_file_with_the_words_that_a_plan_stores() {
    let sample = Sample::new();
    let file = sample.dir().join("intent.toml");
    let text = "gpu = [\"01:00.0\"]\nhugepages-kib = 1048576\ntrial = \"never\"\n";
    std::fs::write(&file, text).unwrap();
    let from_file = sample
        .run(&["plan", "--json", "--intent", file.to_str().unwrap()])
        .json(0);
    let flags = [
        "plan",
        "--json",
        "--gpu",
        "01:00.0",
        "--hugepages",
        "1G",
        "--no-trial",
    ];
    assert_eq!(from_file, sample.run(&flags).json(0));
}

#[test]
fn an_intent_file_that_is_missing_or_beside_flags() {
    let sample = Sample::new();
    let said = sample.run(&["plan", "--intent", "nowhere.toml"]).exits(2);
    assert!(said.contains("nowhere.toml: No such file"), "{said}");
    sample
        .run(&["plan", "--intent", "x.toml", "--gpu", "01:00.0"])
        .exits(2);
}

#[test]
fn planning_changes_nothing() {
    let sample = Sample::new();
    let before = sample.read("boot/grub/grub.cfg");
    sample.run(&PLAN).exits(0);
    assert_eq!(sample.read("boot/grub/grub.cfg"), before);
    assert!(!sample.root().join("var/lib/passthru").exists());
}
