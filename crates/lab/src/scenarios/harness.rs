//! What the other scenarios rely on, without passthru: if this fails, the lab is broken.

use std::time::Duration;

use crate::error::Result;
use crate::host;
use crate::session::{Lab, Session};

const LIMIT: Duration = Duration::from_secs(300);

/// Binds every function of the card now; nothing of it survives a reboot.
const BIND: &str = "modprobe vfio-pci
for function in 0000:01:00.0 0000:01:00.1 0000:01:00.2; do
    device=/sys/bus/pci/devices/$function
    echo vfio-pci >$device/driver_override
    echo $function >$device/driver/unbind
    echo $function >/sys/bus/pci/drivers_probe
done";

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    session
        .report()
        .phase("bind by hand", || session.agent()?.succeed(BIND, LIMIT))?;
    session.must_own(&[1])?;
    session.must_serve_a_guest(1)?;

    let recovery = session.entry("(recovery mode)")?;
    session.reboot_into(&recovery)?;
    session.must_be_untouched()?;

    session
        .agent()?
        .succeed("echo lost >/etc/unsynced", LIMIT)?;
    session.cut_and_boot()?;
    session.must_be_untouched()?;
    session.agent()?.succeed("rm -f /etc/unsynced", LIMIT)?;
    for (what, command) in [
        ("update-initramfs", "update-initramfs -u -k all"),
        ("update-grub", "update-grub"),
    ] {
        session
            .report()
            .phase(what, || session.agent()?.succeed(command, LIMIT))?;
    }
    session.reboot()?;
    let after = session.power_off()?;
    session.must_equal_except(&after, &["/boot/initrd.img-", "/var/lib/initramfs-tools/"])
}
