//! A host that followed guides: what they left behind is put right in the same plan that binds the
//! card, and undo brings the leftovers back to the byte.

use std::time::Duration;

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::pci;
use crate::session::{DONE, Lab, REBOOT, Session};

/// Longest time for menus and images.
const LONG: Duration = Duration::from_secs(300);

/// What the guides have their readers do: a blank in the ids, a module that is gone, a blacklist that
/// would take every keyboard, words that do nothing or hide a failed boot.
const FOLLOW_GUIDES: &str = "set -e
echo 'options vfio-pci ids=1002:5159 8086:293e' >/etc/modprobe.d/vfio.conf
echo 'blacklist xhci_pci' >/etc/modprobe.d/blacklist-usb.conf
echo vfio_virqfd >>/etc/initramfs-tools/modules
sed -i 's/^\\(GRUB_CMDLINE_LINUX_DEFAULT=\"[^\"]*\\)\"/\\1 video=efifb:off amd_iommu=on\"/' /etc/default/grub
grep -q efifb:off /etc/default/grub
update-initramfs -u -k all
update-grub
sync";

/// Every file that a boot depends on. GRUB clears its own environment at each boot.
const FILES: &str =
    "cd / && find etc boot -xdev -type f ! -name grubenv -exec sha256sum {} + | sort -k2";

const FINDINGS: [&str; 4] = [
    "cmdline.efifb-off",
    "cmdline.amd-iommu-on",
    "initramfs.vfio-virqfd",
    "ids.malformed",
];

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    let report = session.report();
    let agent = session.agent()?;
    report.phase("follow guides", || agent.succeed(FOLLOW_GUIDES, LONG))?;
    session.reboot()?;
    let left = findings(&mut session)?;
    for id in FINDINGS {
        ensure!(
            left.iter().any(|found| found == id),
            "doctor does not find {id}: {left:?}"
        );
    }
    let before = session.agent()?.succeed(FILES, LONG)?;
    // The blacklist keeps a driver away; undo brings that back, too.
    let drivers = pci::functions(session.agent()?)?;

    session.apply_and_keep(&["--repair", "--gpu", "01:00.0"])?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    session.reboot()?;
    session.must_own(&[1])?;
    let now = findings(&mut session)?;
    for id in FINDINGS {
        ensure!(!now.iter().any(|found| found == id), "{id} is still there");
    }
    let cmdline = session.agent()?.succeed("cat /proc/cmdline", LONG)?;
    ensure!(
        !cmdline.contains("efifb"),
        "the host was started with {cmdline}"
    );

    session
        .passthru(&["undo", "--yes", "--json"])?
        .must_end(&[DONE, REBOOT])?;
    session.reboot()?;
    for (address, function) in pci::functions(session.agent()?)? {
        let driver = drivers.get(&address).map(|then| &then.driver);
        ensure!(
            driver == Some(&function.driver),
            "{address} has {:?} and had {driver:?}",
            function.driver
        );
    }
    let after = session.agent()?.succeed(FILES, LONG)?;
    let different: Vec<&str> = before
        .lines()
        .filter(|line| !after.lines().any(|other| other == *line))
        .chain(
            after
                .lines()
                .filter(|line| !before.lines().any(|other| other == *line)),
        )
        .collect();
    ensure!(different.is_empty(), "not as before: {different:#?}");
    session.power_off().map(|_| ())
}

/// Identifiers of what doctor says no to.
fn findings(session: &mut Session<'_>) -> Result<Vec<String>> {
    let doctor = session.passthru(&["doctor", "--json"])?.json()?;
    let all = doctor["findings"]
        .as_array()
        .ok_or("doctor finds nothing")?;
    Ok(all
        .iter()
        .filter(|finding| finding["status"] == "no")
        .filter_map(|finding| finding["id"].as_str().map(str::to_owned))
        .collect())
}
