//! `passthru confirm`.

use crate::support::Sample;

const APPLY: [&str; 3] = ["apply", "--gpu", "01:00.0"];
const CUSTOM: &str = "boot/grub/custom.cfg";

#[test]
fn no_trial_is_pending() {
    let sample = Sample::new();
    let said = sample.act(&["confirm"]).exits(0);
    assert!(said.starts_with("Nothing to confirm"), "{said}");
    let value = sample.act(&["confirm", "--json"]).json(0);
    assert!(value["trial"].is_null());
    assert_eq!(value["state"], "none");
}

#[test]
fn before_the_reboot_there_is_nothing_to_keep() {
    let sample = Sample::new();
    sample.act(&APPLY).exits(3);
    let said = sample.act(&["confirm"]).exits(3);
    assert!(said.contains("reboot"), "{said}");
    let value = sample.act(&["confirm", "--json"]).json(3);
    assert_eq!(value["state"], "not-booted");
    assert_eq!(value["trial"], 1);
}

#[test]
fn what_proved_itself_is_kept_and_goes_as_one() {
    let sample = Sample::new();
    let before = sample.print();
    sample.act(&APPLY).exits(3);
    sample.reboot();
    let value = sample.act(&["confirm", "--json"]).json(0);
    assert_eq!(value["state"], "kept");
    assert_eq!(value["transaction"], 2);
    assert!(!sample.root().join(CUSTOM).exists());
    assert!(
        sample
            .read("boot/grub/grub.cfg")
            .contains("passthru.load=1")
    );
    sample.reboot();
    assert_eq!(sample.run(&["verify", "--json"]).json(0)["state"], "done");
    sample.act(&["undo"]).exits(3);
    sample.reboot();
    let history = sample.run(&["history", "--json"]).json(0);
    for record in history["transactions"].as_array().unwrap() {
        assert_eq!(record["state"], "undone", "{record}");
    }
    assert_eq!(without_boot(sample.print()), without_boot(before));
}

#[test]
fn another_entry_was_booted() {
    let sample = Sample::new();
    let before = sample.print();
    sample.act(&APPLY).exits(3);
    sample.reboot();
    // The trial came and went without an answer.
    sample.reboot();
    let value = sample.act(&["confirm", "--json"]).json(1);
    assert_eq!(value["state"], "booted-otherwise");
    let value = sample.act(&["confirm", "--at-boot", "--json"]).json(0);
    assert_eq!(value["state"], "taken-back");
    assert_eq!(value["reboot"], false);
    let history = sample.run(&["history", "--json"]).json(0);
    let record = &history["transactions"][0];
    assert_eq!(record["state"], "undone");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("did not come up"), "{reason}");
    assert_eq!(without_boot(sample.print()), without_boot(before));
}

#[test]
fn what_has_not_proved_itself_is_not_kept() {
    let sample = Sample::new();
    sample.act(&APPLY).exits(3);
    sample.reboot();
    // The driver got there first.
    std::fs::remove_file(
        sample
            .root()
            .join("sys/bus/pci/devices/0000:01:00.1/driver"),
    )
    .unwrap();
    let value = sample.act(&["confirm", "--json"]).json(1);
    assert_eq!(value["state"], "not-proved");
    assert!(sample.root().join(CUSTOM).exists());
    let value = sample.act(&["confirm", "--anyway", "--json"]).json(0);
    assert_eq!(value["state"], "kept");
}

#[test]
fn a_second_trial_has_to_wait() {
    let sample = Sample::new();
    sample.act(&APPLY).exits(3);
    sample.reboot();
    let ran = sample.act(&["apply", "--gpu", "01:00.0", "--no-trial", "--json"]);
    let error = ran.json(1);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("transaction 1 is on trial"), "{message}");
}

/// Everything but what each boot changes.
fn without_boot(
    mut print: Vec<(std::path::PathBuf, u32, Vec<u8>)>,
) -> Vec<(std::path::PathBuf, u32, Vec<u8>)> {
    print.retain(|(path, _, _)| !path.ends_with("boot_id"));
    print
}
