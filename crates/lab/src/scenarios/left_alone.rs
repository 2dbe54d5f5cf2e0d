//! A whole disk is given to a guest: the host's desktops do not offer it any more, its boot menu does not
//! list what is on it, and both do again once that is undone.

use std::time::Duration;

use crate::agent::Agent;
use crate::ensure;
use crate::error::Result;
use crate::guest_system::SERIAL;
use crate::host;
use crate::session::{DONE, Lab, Session};

const SHORT: Duration = Duration::from_secs(300);

/// What the two that look at every disk make of the guest's.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// udisks hides it from desktops.
    hidden: bool,
    /// Entries of the boot menu that start what is on it.
    entries: usize,
}

impl Seen {
    /// After both have looked again. udisks hears of it a moment after udev: it is waited for, but not
    /// for long.
    fn once(agent: &mut Agent, hidden: bool) -> Result<Self> {
        let device = agent.succeed(
            &format!("basename $(readlink -f /dev/disk/by-id/virtio-{SERIAL})"),
            SHORT,
        )?;
        let device = device.trim();
        let said = agent.succeed(
            &format!(
                "set -e
udevadm trigger --settle --subsystem-match=block --action=change
for again in $(seq 50); do
    said=$(udisksctl info -b /dev/{device} | sed -n 's/^ *HintIgnore: */ignored /p')
    if [ \"$said\" = \"ignored {hidden}\" ]; then break; fi
    sleep 0.2
done
echo \"$said\"
update-grub 2>/dev/null
grep -c \"^menuentry.*(on /dev/{device}\" /boot/grub/grub.cfg || :"
            ),
            SHORT,
        )?;
        seen(&said)
    }
}

fn seen(said: &str) -> Result<Seen> {
    let mut lines = said.lines().filter(|line| !line.is_empty());
    let hidden = match lines.next() {
        Some("ignored true") => true,
        Some("ignored false") => false,
        other => crate::bail!("udisks does not know the disk: {other:?}"),
    };
    let entries = lines.next_back().unwrap_or_default().parse()?;
    Ok(Seen { hidden, entries })
}

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("probing").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    let sums = "find /etc -type f ! -path /etc/libvirt/qemu/\\* -exec sha256sum {} + | sort -k 2";
    let agent = session.agent()?;
    agent.succeed(
        "sed -i s/^GRUB_DISABLE_OS_PROBER=true/GRUB_DISABLE_OS_PROBER=false/ /etc/default/grub",
        SHORT,
    )?;
    let (before, files) = (Seen::once(agent, false)?, agent.succeed(sums, SHORT)?);
    ensure!(
        !before.hidden && before.entries > 0,
        "there is nothing to leave alone: {before:?}"
    );
    session.report().say(&format!("   {before:?}"));

    let disk = format!("/dev/disk/by-id/virtio-{SERIAL}");
    session
        .passthru(&[
            "vm", "new", "other", "--gpu", "01:00.0", "--os", "linux", "--disk", &disk, "--memory",
            "1G", "--cpus", "2", "--yes", "--json",
        ])?
        .must_end(&[DONE])?;
    let after = Seen::once(session.agent()?, true)?;
    let wanted = Seen {
        hidden: true,
        entries: 0,
    };
    ensure!(after == wanted, "the disk is not left alone: {after:?}");
    session.report().say(&format!("   {after:?}"));

    session
        .passthru(&["undo", "--yes", "--json"])?
        .must_end(&[DONE])?;
    let again = Seen::once(session.agent()?, false)?;
    ensure!(again == before, "undone, it is {again:?}");
    let now = session.agent()?.succeed(sums, SHORT)?;
    ensure!(now == files, "files of /etc are not as before");
    session
        .report()
        .say("   undone: it is seen again, and every file of /etc is as it was");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read() {
        let is = |hidden, entries| Seen { hidden, entries };
        assert_eq!(seen("ignored false\n2\n").unwrap(), is(false, 2));
        assert_eq!(seen("ignored true\n0\n").unwrap(), is(true, 0));
        assert!(seen("0\n").is_err());
        assert!(seen("ignored true\n").is_err());
    }
}
