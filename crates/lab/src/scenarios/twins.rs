//! Two cards that nothing but their slot tells apart: one is given away, the other stays.

use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, Session};

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("twins").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    session.apply_and_keep(&["--gpu", "01:00.0"])?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    session.must_undo()
}
