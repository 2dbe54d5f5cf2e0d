//! `passthru undo`.

use crate::support::Sample;

#[test]
fn nothing_to_undo() {
    let sample = Sample::new();
    let said = sample.act(&["undo"]).exits(0);
    assert_eq!(said, "Nothing to undo: no transaction is in force.\n");
    sample.act(&["undo", "7"]).exits(2);
}

#[test]
fn before_the_reboot_everything_is_back_at_once() {
    let sample = Sample::new();
    let before = sample.read("boot/grub/grub.cfg");
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    insta::assert_snapshot!(sample.act(&["undo"]).exits(0));
    assert_eq!(sample.read("boot/grub/grub.cfg"), before);
    let value = sample.act(&["undo", "1", "--json"]).json(0);
    assert_eq!(value["state"], "nothing-to-do");
}

#[test]
fn after_the_reboot_another_one_is_needed() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    sample.reboot();
    let value = sample.act(&["undo", "--json"]).json(3);
    assert_eq!(value["transaction"], 1);
    assert_eq!(value["state"], "undone");
    assert_eq!(value["reboot"], true);
    sample.reboot();
    let link = std::fs::read_link(
        sample
            .root()
            .join("sys/bus/pci/devices/0000:01:00.0/driver"),
    )
    .unwrap();
    assert!(link.ends_with("nouveau"));
}

#[test]
fn what_others_changed_meanwhile_is_kept_and_said() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    let path = "etc/modprobe.d/passthru.conf";
    let text = sample.read(path);
    sample.write(path, &format!("{text}options kvm ignore_msrs=1\n"));
    insta::assert_snapshot!(sample.act(&["undo"]).exits(0));
}
