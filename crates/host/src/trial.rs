//! Around a trial boot: waiting for the host to come to rest, and the one reboot that leads back.

use std::time::Duration;

use crate::{
    exec::{Exec, Watch},
    failpoint::Points,
    journal::{self, Event, Journal, directory},
    root::{PathError, Root},
    write::WriteError,
};

/// Waits until systemd has no job left, or for `deadline`.
pub fn wait_for_rest(exec: &dyn Exec, deadline: Duration) {
    let watch = Watch {
        deadline,
        grace: Duration::from_secs(5),
        cancel: None,
    };
    let argv = ["systemctl", "is-system-running", "--wait"];
    // Its status tells about failed units, which are looked at elsewhere.
    let _ = exec.watch(&argv, &watch, &mut |_| {});
}

/// Reboots, if passthru has not done so for this transaction before: whatever happens, a host that it
/// reboots again and again is worse. False if it had.
///
/// # Errors
/// If the journal, which has to remember it, cannot be written, or the reboot cannot be asked for.
pub fn reboot_once(root: &Root, exec: &dyn Exec, number: u32) -> Result<bool, String> {
    let directory = directory(number);
    let lines = journal::read(root, &directory).map_err(|e| e.to_string())?;
    let mut lines = lines.unwrap_or_default().into_iter();
    if lines.any(|line| line.event == Event::Reboot) {
        return Ok(false);
    }
    note(root, &directory).map_err(|e| e.to_string())?;
    match exec.run(&["systemctl", "--no-block", "reboot"]) {
        Ok(output) if output.success() => Ok(true),
        Ok(output) => Err(format!("systemctl reboot failed: {}", output.text.trim())),
        Err(error) => Err(error.to_string()),
    }
}

fn note(root: &Root, directory: &str) -> Result<(), PathError> {
    let points = Points::default();
    let append = || Journal::open(root, &points, directory)?.append(Event::Reboot);
    match append() {
        Ok(()) => Ok(()),
        Err(WriteError::Failed(error)) => Err(error),
        // No failpoint is set.
        Err(WriteError::Stopped) => Ok(()),
    }
}
