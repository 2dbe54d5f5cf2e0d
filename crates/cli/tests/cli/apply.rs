//! `passthru apply`.

use crate::support::{Sample, outline};

const APPLY: [&str; 3] = ["apply", "--gpu", "01:00.0"];

#[test]
fn applied_and_what_comes_next() {
    insta::assert_snapshot!(outline(&Sample::new().act(&APPLY).exits(3)));
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
    let before = sample.print();
    sample.tell("fail update-initramfs");
    let ran = sample.act(&["apply", "--gpu", "01:00.0", "--json"]);
    let error = ran.json(4);
    assert_eq!(error["error"]["kind"], "rolled-back");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("update-initramfs"), "{message}");
    sample.tell("");
    assert_eq!(sample.print(), before);
    let history = sample.run(&["history", "--json"]).json(0);
    assert_eq!(history["transactions"][0]["state"], "rolled-back");
}

#[test]
fn ctrl_c_takes_everything_back() {
    use std::{process::Stdio, time::Duration};
    let sample = Sample::new();
    let before = sample.print();
    sample.tell("slow 60");
    let mut child = sample
        .command(&["apply", "--gpu", "01:00.0", "--sample-tools", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = sample.root().join("etc/modprobe.d/passthru.conf");
    while !begun.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("taken back") || said.contains("Taking everything back"),
        "{said}"
    );
    sample.tell("");
    assert_eq!(sample.print(), before);
}

#[test]
fn an_interrupted_apply_is_recovered_first() {
    let sample = Sample::new();
    let before = sample.print();
    sample.tell("slow 60");
    let mut child = sample
        .command(&["apply", "--gpu", "01:00.0", "--sample-tools", "--yes"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !sample.root().join("etc/modprobe.d/passthru.conf").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sample.tell("");
    let state = sample.run(&["verify", "--json"]).json(1);
    assert_eq!(state["state"], "drifted");
    let said = sample.run(&["recover", "--sample-tools"]).exits(0);
    assert!(said.contains("had been interrupted"), "{said}");
    assert_eq!(sample.print(), before);
}

/// Whoever reads the plan may go: that is no reason not to carry it out, or to say the wrong status.
#[test]
fn it_is_carried_out_whoever_reads() {
    use std::process::Stdio;
    let sample = Sample::new();
    let mut command = sample.command(&["apply", "--gpu", "01:00.0", "-v"]);
    command.args(["--sample-tools", "--yes", "--wait", "0"]);
    // Its reader is gone before the first word.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("not everything could be printed"), "{said}");
    assert_eq!(
        sample.run(&["verify", "--json"]).json(3)["state"],
        "reboot-needed"
    );

    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = sample.command(&["undo", "--json"]);
    command.args(["--sample-tools", "--yes", "--wait", "0"]);
    let ended = command.stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(sample.states(), ["undone"]);
}

/// nohup(1) is there so that a terminal may close; without it, that is an end like any other.
#[test]
fn a_terminal_that_closes_takes_back_unless_under_nohup() {
    use std::{
        process::{Command, Stdio},
        time::Duration,
    };
    for nohup in [false, true] {
        let sample = Sample::new();
        sample.tell("slow 2\n");
        let plain = sample.command(&["apply", "--gpu", "01:00.0", "--json"]);
        let mut command = Command::new(if nohup { "nohup" } else { "env" });
        command.arg(plain.get_program()).args(plain.get_args());
        command.args(["--sample-tools", "--yes", "--wait", "0"]);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It is at work once it has begun its journal.
        let journal = sample
            .root()
            .join("var/lib/passthru/transactions/1/journal");
        while !journal.exists() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let status = child.wait().unwrap().code();
        assert_eq!(status, Some(if nohup { 3 } else { 4 }));
        assert_eq!(
            sample.states(),
            [if nohup { "applied" } else { "rolled-back" }]
        );
    }
}

#[test]
fn the_way_back_in_the_boot_menu_is_named_where_one_is_needed() {
    let entry = "or choose the entry \"… without passthru\" in the boot menu";
    let sample = Sample::new();
    let said = sample
        .act(&["apply", "--gpu", "01:00.0", "--no-trial"])
        .exits(3);
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(one_line.contains(entry), "{said}");
    // A trial leaves the default entry as it is.
    let sample = Sample::new();
    let said = sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    assert!(!said.contains("or choose the entry"), "{said}");
    assert!(said.contains("The way back"), "{said}");
}
