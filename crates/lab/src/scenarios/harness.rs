//! What the other scenarios rely on, without passthru: if this fails, the lab is broken.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::Result;
use crate::host::{self, Host};
use crate::recipe::Loader;
use crate::session::{Lab, Session};

const LIMIT: Duration = Duration::from_secs(900);

pub(super) fn on(lab: &Lab<'_>, name: &str) -> Result<()> {
    let host = host::find(name).ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;

    // What changes at every boot is not passthru's doing.
    session.reboot()?;
    let idle = session.power_off()?;
    session.must_equal(&idle)?;
    session.boot()?;

    let card = bind(host);
    session
        .report()
        .phase("bind by hand", || session.agent()?.succeed(&card, LIMIT))?;
    session.must_own(&[1])?;
    session.must_serve_a_guest(1)?;

    let other = match host.recipe.loader {
        Loader::Grub => session.entry("(recovery mode)")?,
        Loader::SystemdBoot => session.menu()?.pop().ok_or("the boot menu is empty")?,
    };
    session.reboot_into(&other)?;
    session.must_be_untouched()?;

    // The choice of an entry survives the power cut, what was not synced need not.
    session
        .agent()?
        .succeed("echo lost >/etc/unsynced", LIMIT)?;
    session.cut_and_boot_into(&other)?;
    session.must_be_untouched()?;
    session.agent()?.succeed("rm -f /etc/unsynced", LIMIT)?;

    for command in host.recipe.regenerate {
        // A loop over kernels has more than one line.
        let what = format!("regenerate: {}", command.lines().next().unwrap_or_default());
        session
            .report()
            .phase(&what, || session.agent()?.succeed(command, LIMIT))?;
    }
    session.reboot()?;
    session.must_be_untouched()?;
    session.must_choose_nothing()?;
    let after = session.power_off()?;
    session.must_equal_except(&after, host.recipe.regenerated)
}

/// Binds every function of the card now; nothing of it survives a reboot.
fn bind(host: &Host) -> String {
    let mut script = "set -e; modprobe vfio-pci\n".to_owned();
    for function in host.card(1) {
        let address = function.address;
        let _ = writeln!(
            script,
            "device=/sys/bus/pci/devices/{address}
echo vfio-pci >$device/driver_override
echo {address} >$device/driver/unbind
echo {address} >/sys/bus/pci/drivers_probe"
        );
    }
    script
}
