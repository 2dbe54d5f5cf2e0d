//! `passthru vm pin`.

use crate::support::Sample;

#[test]
fn a_map_the_reasons_and_the_xml() {
    let sample = Sample::new();
    insta::assert_snapshot!(sample.run(&["vm", "pin"]).exits(0));
}

#[test]
fn with_a_card_a_size_and_memory() {
    let sample = Sample::new();
    let words = [
        "vm", "pin", "--gpu", "01:00.0", "--cpus", "8", "--memory", "16G",
    ];
    insta::assert_snapshot!(sample.run(&words).exits(0));
}

#[test]
fn json_says_the_same() {
    let sample = Sample::new();
    let words = ["vm", "pin", "--cpus", "8", "--memory", "16G", "--json"];
    let value = sample.run(&words).json(0);
    assert_eq!(value["schema"], 1);
    let pinning = &value["pinning"];
    let vcpus: Vec<_> = pinning["vcpus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap())
        .collect();
    assert_eq!(vcpus, [8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(pinning["host"], "0-7");
    assert_eq!(pinning["topology"]["cores"], 4);
    assert_eq!(pinning["largest"], 12);
    assert_eq!(pinning["cache"], "passthrough");
    assert_eq!(value["memory"]["hugepages"]["words"][1], "hugepages=16");
    let text = sample
        .run(&["vm", "pin", "--cpus", "8", "--memory", "16G"])
        .exits(0);
    let xml = value["xml"].as_str().unwrap();
    assert!(text.contains(xml), "{xml}\n{text}");
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let sample = Sample::new();
    insta::assert_snapshot!(sample.run(&["vm", "pin", "--cpus", "16"]).exits(1));
    let value = sample.run(&["vm", "pin", "--cpus", "7", "--json"]).json(1);
    assert_eq!(value["refusals"][0]["id"], "guest.cpus.partial-core");
    assert!(value["pinning"].is_null() && value["xml"].is_null());
    let value = sample
        .run(&["vm", "pin", "--memory", "64G", "--json"])
        .json(1);
    assert_eq!(value["refusals"][0]["id"], "guest.memory.too-much");
    let value = sample
        .run(&["vm", "pin", "--gpu", "09:00.0", "--json"])
        .json(1);
    assert_eq!(value["refusals"][0]["id"], "guest.cpus.near");
}

#[test]
fn what_makes_no_sense_is_misuse() {
    let sample = Sample::new();
    for words in [
        &["vm"][..],
        &["vm", "pin", "--memory", "16"],
        &["vm", "pin", "--threads", "0"],
        &["vm", "pin", "--gpu", "1:zz"],
    ] {
        sample.run(words).exits(2);
    }
}

#[test]
fn forty_columns_are_enough_for_the_map() {
    let text = Sample::new().run_in(40, &["vm", "pin"]).exits(0);
    // XML and commands stay whole, to be copied.
    let map = text.split("For the libvirt domain").next().unwrap();
    assert!(map.lines().all(|line| line.chars().count() <= 40), "{map}");
}

#[test]
fn a_capture_shows_the_same() {
    let sample = Sample::new();
    let file = sample.dir().join("host.tar.gz");
    let file = file.to_str().unwrap();
    sample.run(&["capture", file]).exits(0);
    let here = sample.run(&["vm", "pin", "--memory", "8G"]).exits(0);
    let there = sample
        .bare(&["vm", "pin", "--memory", "8G", "--host", file])
        .exits(0);
    assert_eq!(here, there);
}

#[test]
fn looking_changes_nothing() {
    let sample = Sample::new();
    let before = sample.print();
    sample.run(&["vm", "pin", "--memory", "8G"]).exits(0);
    assert_eq!(before, sample.print());
}
