//! Without interrupt remapping a guest can forge host interrupts: nothing without consent.

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, NO, Session};

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("amd-no-remap").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;

    let refused = session.passthru(&["apply", "--gpu", "01:00.0", "--yes", "--json"])?;
    refused.must_end(&[NO])?;
    let said = refused.output.said().to_lowercase();
    ensure!(
        said.contains("interrupt") && said.contains("remap"),
        "the refusal does not name interrupt remapping: {said}"
    );

    session.apply_and_keep(&["--gpu", "01:00.0", "--allow-unsafe-interrupts"])?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    session.must_serve_a_guest(1)?;
    session.must_undo()
}
