//! `passthru history`.

use crate::support::Sample;

#[test]
fn nothing_yet() {
    let said = Sample::new().run(&["history"]).exits(0);
    assert_eq!(said, "passthru has changed nothing on this host.\n");
}

#[test]
fn what_was_done_when() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    sample.act(&["undo"]).exits(0);
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    insta::assert_snapshot!(sample.run(&["history"]).exits(0));
    let value = sample.run(&["history", "--json"]).json(0);
    let transactions = value["transactions"].as_array().unwrap();
    assert_eq!(transactions.len(), 2);
    assert_eq!(transactions[0]["transaction"], 1);
    assert_eq!(transactions[0]["state"], "undone");
    assert_eq!(transactions[1]["state"], "applied");
}

#[test]
fn a_closed_journal_says_that_root_is_needed() {
    use std::os::unix::fs::PermissionsExt;
    let sample = Sample::new();
    let state = sample.root().join("var/lib/passthru");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o000)).unwrap();
    let root = sample.root();
    let said = sample
        .unprivileged(&["history", "--root", root.to_str().unwrap()])
        .exits(2);
    assert!(said.contains("needs root"), "{said}");
}
