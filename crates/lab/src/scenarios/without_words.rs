//! What acts at boot hangs on words of one menu entry: without them the host is as before, although
//! the initramfs is the same.

use std::time::Duration;

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, Session};

/// The kernel's own command line, and what it was loaded from.
const BOOTED: &str = "cat /proc/cmdline; sha256sum /initrd.img";

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    session.apply_and_keep(&["--gpu", "01:00.0"])?;

    let recovery = session.entry("(recovery mode)")?;
    session.reboot_into(&recovery)?;
    let recovered = session.agent()?.succeed(BOOTED, Duration::from_secs(60))?;
    ensure!(
        recovered.contains(" single"),
        "this is not the recovery entry: {recovered}"
    );
    session.must_be_untouched()?;

    let without = session.entry("without passthru")?;
    session.reboot_into(&without)?;
    session.must_be_untouched()?;

    session.reboot()?;
    session.must_own(&[1])?;
    session.must_verify("done", DONE)?;
    let bound = session.agent()?.succeed(BOOTED, Duration::from_secs(60))?;
    let initramfs = |text: &str| text.lines().last().map(str::to_owned);
    ensure!(
        initramfs(&recovered) == initramfs(&bound),
        "the initramfs changed meanwhile"
    );
    Ok(())
}
