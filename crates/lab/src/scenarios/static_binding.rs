//! The whole cycle on an ordinary host.

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, REBOOT, Session};

/// On the host whose other entries are a scenario of their own.
pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    bound(lab, "intel")?.must_undo()
}

/// On any host, with a boot of its way back in between.
pub(super) fn on(lab: &Lab<'_>, name: &str) -> Result<()> {
    let mut session = bound(lab, name)?;
    for other in session.other_kernels()? {
        session.reboot_into(&other)?;
        session.must_verify("done", DONE)?;
        session.must_own(&[1])?;
    }
    let without = session.entry("without passthru")?;
    session.reboot_into(&without)?;
    session.must_be_untouched()?;
    session.must_undo()
}

/// A host whose card is bound, after a reboot.
fn bound<'a>(lab: &'a Lab<'a>, name: &str) -> Result<Session<'a>> {
    let host = host::find(name).ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;

    let doctor = session.passthru(&["doctor", "--json"])?;
    doctor.must_end(&[DONE])?;
    let verdict = doctor.json()?["verdict"].clone();
    ensure!(
        verdict == "ready",
        "doctor says {verdict}: {}",
        doctor.output.said()
    );

    session.apply(&["--gpu", "01:00.0"])?;
    session.must_verify("reboot-needed", REBOOT)?;
    session.reboot()?;
    session.must_keep()?;
    session.must_verify("done", DONE)?;
    // The default entry has it now.
    session.reboot()?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    session.must_serve_a_guest(1)?;
    Ok(session)
}
