//! An earlier attempt left `intel_iommu=off`: one plan mends that and binds the card.

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::pci;
use crate::session::{DONE, Lab, Session};

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("iommu-off").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    let grouped = session
        .functions
        .values()
        .filter(|function| function.group.is_some())
        .count();
    ensure!(grouped == 0, "the IOMMU is on already");

    session.apply_and_keep(&["--gpu", "01:00.0"])?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    let now = pci::functions(session.agent()?)?;
    ensure!(
        now.values().all(|function| function.group.is_some()),
        "not everything has a group"
    );
    session.must_undo()
}
