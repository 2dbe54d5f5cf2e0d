//! `passthru apply`.

use crate::support::Sample;

const APPLY: [&str; 3] = ["apply", "--gpu", "01:00.0"];

#[test]
fn applied_and_what_comes_next() {
    insta::assert_snapshot!(Sample::new().act(&APPLY).exits(3));
}

#[test]
fn json_names_the_transaction() {
    let sample = Sample::new();
    let value = sample.act(&["apply", "--gpu", "01:00.0", "--json"]).json(3);
    assert_eq!(value["transaction"], 1);
    assert_eq!(value["state"], "applied");
    assert_eq!(value["reboot"], true);
}

#[test]
fn applying_again_has_nothing_to_do_but_the_reboot() {
    let sample = Sample::new();
    sample.act(&APPLY).exits(3);
    let again = sample.act(&["apply", "--gpu", "01:00.0", "--json"]).json(3);
    assert_eq!(again["state"], "nothing-to-do");
    sample.reboot();
    let again = sample.act(&["apply", "--gpu", "01:00.0", "--json"]).json(0);
    assert_eq!(again["reboot"], false);
}

#[test]
fn nobody_to_ask_and_no_yes() {
    let sample = Sample::new();
    let said = sample
        .run(&["apply", "--gpu", "01:00.0", "--sample-tools"])
        .exits(2);
    assert!(said.contains("--yes was not given"), "{said}");
    assert!(!sample.root().join("etc/modprobe.d/passthru.conf").exists());
}

#[test]
fn refused() {
    let sample = Sample::new();
    let value = sample.act(&["apply", "--gpu", "06:00.0", "--json"]).json(1);
    assert_eq!(value["state"], "refused");
    assert_eq!(value["transaction"], serde_json::Value::Null);
}

#[test]
fn a_tool_that_fails_is_rolled_back() {
    let sample = Sample::new();
    let before = sample.read("boot/grub/grub.cfg");
    // The stand-in for update-initramfs fails without the modules it packs.
    let modules = sample.root().join("etc/initramfs-tools/scripts/init-top");
    std::fs::remove_dir_all(&modules).unwrap();
    std::fs::create_dir_all(modules.join("aa-passthru")).unwrap();
    let ran = sample.act(&["apply", "--gpu", "01:00.0", "--json"]);
    let error = ran.json(1);
    assert_eq!(error["error"]["kind"], "nothing-changed");
    assert_eq!(sample.read("boot/grub/grub.cfg"), before);
}
