//! The whole cycle on an ordinary host.

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, REBOOT, Session};

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
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
    session.must_undo()
}
