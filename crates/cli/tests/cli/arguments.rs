//! What is typed wrong, and what help there is.

use crate::support::Sample;

#[test]
fn help_shows_every_command() {
    insta::assert_snapshot!(Sample::new().bare(&["--help"]).exits(0));
}

#[test]
fn every_command_has_help() {
    let sample = Sample::new();
    for verb in [
        "doctor", "devices", "setup", "plan", "apply", "verify", "confirm", "undo", "recover",
        "history", "vm", "rom", "capture", "demo",
    ] {
        let text = sample.bare(&[verb, "--help"]).exits(0);
        assert!(text.contains("Usage: passthru"), "{text}");
    }
}

#[test]
fn help_of_apply() {
    insta::assert_snapshot!(Sample::new().bare(&["apply", "-h"]).exits(0));
}

#[test]
fn a_malformed_address_is_named_with_what_one_looks_like() {
    let sample = Sample::new();
    insta::assert_snapshot!(sample.bare(&["plan", "--gpu", "1:zz"]).exits(2));
    let error = sample.bare(&["plan", "--gpu", "1:zz", "--json"]).json(2);
    assert_eq!(error["error"]["kind"], "usage");
}

#[test]
fn an_unknown_command_is_misuse() {
    Sample::new().bare(&["frobnicate"]).exits(2);
}

#[test]
fn writing_needs_root_and_says_what_to_type() {
    let sample = Sample::new();
    for words in [&["apply", "--gpu", "01:00.0"][..], &["undo"], &["recover"]] {
        let said = sample.unprivileged(words).exits(2);
        assert!(said.contains("needs root"), "{said}");
        let hint = format!("hint: sudo passthru {}", words.join(" "));
        assert!(said.contains(&hint), "{said}");
    }
    let error = sample.unprivileged(&["undo", "--json"]).json(2);
    assert_eq!(error["error"]["kind"], "needs-root");
    assert_eq!(error["error"]["hints"][0], "sudo passthru undo --json");
}

#[test]
fn a_capture_cannot_be_written_to() {
    let said = Sample::new()
        .bare(&["apply", "--gpu", "01:00.0", "--host", "x.tar.gz"])
        .exits(2);
    insta::assert_snapshot!(said);
}

#[test]
fn stand_ins_work_on_a_sample_only() {
    let sample = Sample::new();
    sample.remove("etc/passthru-sample-host");
    let said = sample.act(&["apply", "--gpu", "01:00.0"]).exits(2);
    assert!(said.contains("not a sample host"), "{said}");
}

#[test]
fn a_root_that_is_not_there() {
    insta::assert_snapshot!(
        Sample::new()
            .bare(&["devices", "--root", "/nonexistent"])
            .exits(2)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let sample = Sample::new();
    let mut child = Command::new(crate::support::PASSTHRU)
        .env_clear()
        .args(["devices", "--all", "--root"])
        .arg(sample.root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}
