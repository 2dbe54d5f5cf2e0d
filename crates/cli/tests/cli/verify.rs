//! `passthru verify`.

use crate::support::{CARD, Sample};

#[test]
fn nothing_applied() {
    let sample = Sample::new();
    insta::assert_snapshot!(sample.run(&["verify"]).exits(0));
    let value = sample.run(&["verify", "--json"]).json(0);
    assert_eq!(value["state"], "nothing-applied");
}

#[test]
fn before_and_after_the_reboot() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    insta::assert_snapshot!("reboot_needed", sample.run(&["verify"]).exits(3));
    sample.reboot();
    insta::assert_snapshot!("done", sample.run(&["verify"]).exits(0));
    let value = sample.run(&["verify", "--json"]).json(0);
    assert_eq!(value["state"], "done");
    let devices = value["devices"].as_array().unwrap();
    let addresses: Vec<_> = devices
        .iter()
        .map(|d| d["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, CARD);
    assert!(devices.iter().all(|device| device["driver"] == "vfio-pci"));
}

#[test]
fn a_file_that_was_taken_away_is_drift() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    sample.reboot();
    sample.remove("etc/modprobe.d/passthru.conf");
    insta::assert_snapshot!(sample.run(&["verify"]).exits(1));
    let value = sample.run(&["verify", "--json"]).json(1);
    assert_eq!(value["state"], "drifted");
}

/// Huge pages are one setting: the latest transaction that says something of them decides.
#[test]
fn an_earlier_amount_of_huge_pages_is_no_drift() {
    let sample = Sample::new();
    let apply = |more: &[&str]| {
        let words = [&["apply", "--gpu", "01:00.0", "--no-trial"], more].concat();
        sample.act(&words).exits(3);
    };
    apply(&["--hugepages", "1G"]);
    apply(&["--hugepages", "2G"]);
    assert_eq!(
        sample.run(&["verify", "--json"]).json(3)["state"],
        "reboot-needed"
    );
    apply(&["--no-hugepages"]);
    assert_eq!(
        sample.run(&["verify", "--json"]).json(3)["state"],
        "reboot-needed"
    );
}
