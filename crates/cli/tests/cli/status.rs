//! `passthru` without a command.

use crate::support::Sample;

#[test]
fn one_screen_and_one_next_command() {
    let sample = Sample::new();
    insta::assert_snapshot!("fresh", sample.run(&[]).exits(0));
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    insta::assert_snapshot!("applied", sample.run(&[]).exits(0));
    sample.reboot();
    let value = sample.run(&["--json"]).json(0);
    assert_eq!(value["state"], "done");
    assert_eq!(value["transactions"][0], 1);
}

#[test]
fn what_was_applied_is_root_s_to_read() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    let state = sample.root().join("var/lib/passthru");
    let mode = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let root = sample.root();
    let root = root.to_str().unwrap();
    let said = sample.unprivileged(&["--root", root]).exits(0);
    let value = sample.unprivileged(&["--root", root, "--json"]).json(0);
    mode(0o700);
    assert!(said.contains("only readable by root"), "{said}");
    assert!(
        said.ends_with("  sudo passthru verify --root [ROOT]\n"),
        "{said}"
    );
    assert_eq!(value["next"], "sudo passthru verify --root [ROOT]");
    assert_eq!(value["state"], serde_json::Value::Null);
}

#[test]
fn by_its_name_as_well() {
    let sample = Sample::new();
    let bare = sample.run(&[]).exits(0);
    assert_eq!(sample.run(&["status"]).exits(0), bare);
}
