//! `passthru setup`, with somebody at the terminal: script(1) gives it one.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::{PASSTHRU, Sample};

#[test]
fn without_a_terminal_it_says_what_to_type() {
    let said = Sample::new().run(&["setup"]).exits(2);
    assert!(said.contains("passthru plan --gpu ADDR"), "{said}");
}

/// Runs setup on a terminal and types `answers`; `None` where script(1) is missing.
fn talk(sample: &Sample, answers: &str) -> Option<(i32, String)> {
    let command = format!(
        "stty cols 80; {PASSTHRU} setup --sample-tools --root {}",
        sample.root().display()
    );
    let mut child = Command::new("script")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .env("NO_COLOR", "1")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    // Typed ahead: the terminal keeps it until it is asked for.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    Some((output.status.code().unwrap(), text))
}

#[test]
fn choose_look_and_agree() {
    let sample = Sample::new();
    let Some((status, text)) = talk(&sample, "9\n1\ny\n") else {
        return;
    };
    assert_eq!(status, 3, "{text}");
    assert!(
        text.contains("\"9\" is not a number from 1 to 2."),
        "{text}"
    );
    assert!(text.contains("Apply? [y/N]"), "{text}");
    assert!(text.contains("Done: transaction 1."), "{text}");
}

#[test]
fn look_and_decline() {
    let sample = Sample::new();
    let Some((status, text)) = talk(&sample, "1\nn\n") else {
        return;
    };
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("Nothing was changed."), "{text}");
    assert!(!sample.root().join("etc/modprobe.d/passthru.conf").exists());
}

#[test]
fn the_display_in_use_is_refused() {
    let sample = Sample::new();
    let Some((status, text)) = talk(&sample, "2\n") else {
        return;
    };
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn setting_up_again_waits_for_the_reboot() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    let Some((status, text)) = talk(&sample, "1\n") else {
        return;
    };
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("Nothing to do"), "{text}");
    assert!(text.contains("takes effect at the next boot"), "{text}");
    sample.reboot();
    let (status, text) = talk(&sample, "1\n").unwrap();
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("next boot"), "{text}");
}

/// A kernel that leaves the IOMMU off unless it is told otherwise, as Debian's do for Intel's.
fn turned_off() -> Sample {
    let sample = Sample::new();
    sample.without_groups();
    let cpu = sample.read("proc/cpuinfo");
    sample.write("proc/cpuinfo", &cpu.replace("AuthenticAMD", "GenuineIntel"));
    sample.remove("sys/firmware/acpi/tables/IVRS");
    sample.write("sys/firmware/acpi/tables/DMAR", "");
    sample
}

/// Where the trial entry is.
const ENTRY: &str = "boot/grub/custom.cfg";

#[test]
fn without_groups_the_iommu_may_come_first() {
    let sample = turned_off();
    let Some((status, text)) = talk(&sample, "1\n3\n1\ny\n") else {
        return;
    };
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("1  turn the IOMMU on first"), "{text}");
    assert!(text.contains("\"3\" is neither 1 nor 2."), "{text}");
    assert!(text.contains("passthru setup"), "{text}");
    assert!(!text.contains("Binding: static"), "{text}");
    let entry = sample.read(ENTRY);
    assert!(entry.contains("intel_iommu=on"), "{entry}");
    assert!(!entry.contains("vfio-pci.ids="), "{entry}");
    // The reboot is still to come.
    let (status, text) = talk(&sample, "1\n1\n").unwrap();
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("Nothing to do"), "{text}");
}

#[test]
fn without_groups_both_in_one_step() {
    let sample = turned_off();
    let Some((status, text)) = talk(&sample, "1\n2\ny\n") else {
        return;
    };
    assert_eq!(status, 3, "{text}");
    let entry = sample.read(ENTRY);
    assert!(entry.contains("intel_iommu=on"), "{entry}");
    assert!(entry.contains("vfio-pci.ids="), "{entry}");
}

#[test]
fn without_groups_nothing_is_an_answer_too() {
    let sample = turned_off();
    let before = sample.print();
    let Some((status, text)) = talk(&sample, "1\n\n") else {
        return;
    };
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("Nothing was changed."), "{text}");
    assert_eq!(sample.print(), before);
}
