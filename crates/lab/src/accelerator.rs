//! Emulation in software, or KVM where it was asked for and works.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::machine::SOFTWARE;
use crate::report::Report;

/// QEMU's `-accel`. `/dev/kvm` may exist and still not run a guest, so firmware is tried first.
pub fn choose(kvm: bool, report: &Report) -> Result<&'static str> {
    if !kvm {
        return Ok(SOFTWARE);
    }
    if firmware_speaks()? {
        return Ok("kvm");
    }
    report.say("KVM does not run a machine here; emulating");
    Ok(SOFTWARE)
}

/// Starts a machine without a disk under KVM and waits for its firmware's first line.
fn firmware_speaks() -> Result<bool> {
    let mut child = Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "--",
            "qemu-system-x86_64",
            "-nodefaults",
        ])
        .args([
            "-accel", "kvm", "-cpu", "host", "-machine", "q35", "-display", "none",
        ])
        .args(["-chardev", "stdio,id=log,signal=off"])
        .args(["-device", "isa-debugcon,iobase=0x402,chardev=log"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take().ok_or("QEMU has no output")?;
    let (said, hear) = channel();
    let reader = thread::spawn(move || {
        let line = BufReader::new(output).lines().next();
        let _ = said.send(line.is_some_and(|line| line.is_ok()));
    });
    let spoke = hear.recv_timeout(Duration::from_secs(15)).unwrap_or(false);
    let _ = child.kill();
    child.wait()?;
    let _ = reader.join();
    Ok(spoke)
}
