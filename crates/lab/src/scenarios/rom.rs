//! A card's ROM is read through sysfs while its driver has the card: the same bytes as by hand, and
//! everything that was switched is as before.

use std::time::Duration;

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, Session};

const SHORT: Duration = Duration::from_secs(60);
const FILE: &str = "/root/card.rom";
const TRIMMED: &str = "/root/trimmed.rom";
const BY_HAND: &str =
    "cd /sys/bus/pci/devices/0000:01:00.0 && echo 1 >rom && sha256sum <rom; echo 0 >rom";
const STATE: &str =
    "cd /sys/bus/pci/devices/0000:01:00.0 && cat power/control && cat rom 2>&1; readlink driver";

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    // QEMU does not save the registers of this card, so a resumed host does not do.
    session.reboot()?;
    let agent = session.agent()?;
    // Off, the kernel gives an error instead of bytes, which cat says.
    let before = agent.run(STATE, SHORT)?.text();
    let by_hand = agent.succeed(BY_HAND, SHORT)?;

    let dump = session
        .passthru(&["rom", "dump", "01:00.0", FILE, "--json"])?
        .json()?;
    ensure!(
        dump["source"] == "function",
        "not read from the card: {dump}"
    );
    ensure!(
        dump["sha256"]
            .as_str()
            .is_some_and(|sum| by_hand.starts_with(sum)),
        "by hand it is {by_hand}: {dump}"
    );
    let after = session.agent()?.run(STATE, SHORT)?.text();
    ensure!(after == before, "{after:?} was {before:?}");

    let check = session
        .passthru(&["rom", "check", FILE, "--gpu", "01:00.0", "--json"])?
        .json()?;
    ensure!(
        check["rom"]["images"][0]["ids"] == "1002:5159"
            && check["rom"]["chain"]["state"] == "complete",
        "the card is 1002:5159: {check}"
    );
    // Its audio function has another ROM, or none.
    let other = session.passthru(&["rom", "check", FILE, "--gpu", "01:00.1", "--json"])?;
    ensure!(
        other.json()?["verdict"] == "blocked",
        "{}",
        other.output.said()
    );

    session
        .passthru(&["rom", "trim", FILE, TRIMMED])?
        .must_end(&[DONE])?;
    let sizes = session.agent()?.succeed(
        &format!("stat -c %s {TRIMMED} && cmp -n $(stat -c %s {TRIMMED}) {FILE} {TRIMMED} && rm {FILE} {TRIMMED}"),
        SHORT,
    )?;
    let kept = check["rom"]["length"].as_u64().unwrap_or_default();
    ensure!(
        sizes.trim() == kept.to_string(),
        "{sizes} bytes are left of {check}"
    );
    let after = session.power_off()?;
    session.must_equal(&after)
}
