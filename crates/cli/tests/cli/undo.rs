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

/// One transaction, and another one on top of it.
const CARD: [&str; 4] = ["apply", "--gpu", "01:00.0", "--no-trial"];
const PAGES: [&str; 6] = [
    "apply",
    "--gpu",
    "01:00.0",
    "--hugepages",
    "1G",
    "--no-trial",
];

/// Two transactions, and the second one stopped by a crash: while it was applied, or while it was undone.
fn with_an_interrupted_one(undoing: bool) -> Sample {
    let sample = Sample::new();
    sample.act(&CARD).exits(3);
    if undoing {
        sample.act(&PAGES).exits(3);
        sample.act_until("undo.step.1", &["undo"]).exits(5);
    } else {
        sample.act_until("apply.step.1.after", &PAGES).exits(5);
    }
    sample
}

#[test]
fn an_undo_that_is_run_again_does_not_take_the_one_before_it() {
    for undoing in [false, true] {
        let sample = with_an_interrupted_one(undoing);
        let value = sample.act(&["undo", "--json"]).json(0);
        assert_eq!(value["transactions"], serde_json::json!([2]));
        let end = if undoing { "undone" } else { "rolled-back" };
        assert_eq!(value["recovered"]["state"], end);
        assert_eq!(sample.states(), ["applied", end]);

        let sample = with_an_interrupted_one(undoing);
        let value = sample.act(&["undo", "2", "--json"]).json(0);
        assert_eq!(value["transactions"], serde_json::json!([2]));
        assert_eq!(sample.states()[0], "applied");

        // Who names the other one, or all of them, means it.
        for wanted in ["1", "--all"] {
            let sample = with_an_interrupted_one(undoing);
            let value = sample.act(&["undo", wanted, "--json"]).json(0);
            assert_eq!(value["transactions"], serde_json::json!([1]));
            assert_eq!(sample.states(), ["undone", end]);
        }
    }
}

#[test]
fn what_was_undone_before_an_error_is_said() {
    let sample = Sample::new();
    sample.act(&CARD).exits(3);
    sample.act(&PAGES).exits(3);
    // What was saved of the first one cannot be read any more.
    sample.write("var/lib/passthru/transactions/1/saved/manifest.json", "{");
    let said = sample.act(&["undo", "--all"]).exits(5);
    assert!(said.contains("undone: transaction 2"), "{said}");
    assert!(!said.contains("nothing was changed"), "{said}");
    assert_eq!(sample.states(), ["applied", "undone"]);
}
