//! The functions of a guest that ended: are they back with whoever drove them before?

use std::time::{Duration, Instant};

use passthru_host::Root;
use passthru_plan::{
    Address,
    guest::{Domain, read::HostDev, run::held::Before},
};
use serde::Serialize;

use crate::{
    error::Result,
    out::Out,
    show::text::{Line, Style},
};

/// How long the host's drivers have to take their functions back.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked.
const BEAT: Duration = Duration::from_millis(100);

/// A function after its guest ended.
#[derive(Debug, Serialize)]
pub(super) struct After {
    /// The function.
    pub(super) address: Address,
    /// Its driver now.
    pub(super) driver: Option<String>,
    /// Its driver before the guest started; `null` where nobody wrote it down, or it had none.
    pub(super) before: Option<String>,
    /// It is where it was, as far as is known.
    pub(super) ok: bool,
    /// What is the matter, and what to do.
    pub(super) problem: Option<String>,
}

/// The driver of a function now.
pub(super) fn driver(root: &Root, address: Address) -> Option<String> {
    root.link_name(&format!("/sys/bus/pci/devices/{address}/driver"))
}

/// Who drives the guest's functions now.
pub(super) fn before(root: &Root, domain: &Domain) -> Vec<Before> {
    let note = |address| Before {
        address,
        driver: driver(root, address),
    };
    domain.functions().map(note).collect()
}

/// Waits until the functions are back; what was written down at start counts, and without it only
/// what libvirt had to give back.
pub(super) fn back(root: &Root, domain: &Domain, known: Option<&[Before]>) -> Vec<After> {
    wait(&|| {
        let after = |device: &HostDev| {
            let mut known = known.into_iter().flatten();
            let before = known.find(|one| one.address == device.address);
            after(root, device.address, device.managed, before)
        };
        domain.hostdevs.iter().map(after).collect()
    })
}

/// The same for functions of which only this is known, for the guest itself may be gone.
pub(super) fn noted_back(root: &Root, known: &[Before]) -> Vec<After> {
    wait(&|| {
        let after = |before: &Before| after(root, before.address, true, Some(before));
        known.iter().map(after).collect()
    })
}

fn wait(look: &dyn Fn() -> Vec<After>) -> Vec<After> {
    let begun = Instant::now();
    loop {
        let all = look();
        if all.iter().all(|one| one.ok) || begun.elapsed() >= PATIENCE {
            return all;
        }
        std::thread::sleep(BEAT);
    }
}

/// For a person.
pub(super) fn show(functions: &[After], out: &mut Out) -> Result<()> {
    for one in functions {
        match (&one.problem, &one.driver) {
            (Some(problem), _) => {
                out.wrapped(Line::new().put(Style::Bad, "✗ "), Style::Plain, problem)?;
            }
            (None, Some(driver)) => out.text(&format!("  {} is with {driver}.", one.address))?,
            (None, None) => out.text(&format!("  {} has no driver.", one.address))?,
        }
    }
    Ok(())
}

fn after(root: &Root, address: Address, managed: bool, before: Option<&Before>) -> After {
    let there = root.exists(&format!("/sys/bus/pci/devices/{address}"));
    let driver = driver(root, address);
    let expected = before.and_then(|before| before.driver.clone());
    let problem = if !there {
        Some(format!(
            "{address} is gone from the bus: it did not survive its reset. Switch the host off and on; a reboot may not be enough."
        ))
    } else {
        match (before, &driver) {
            (Some(before), now) if before.driver == *now => None,
            // It had no driver, and one has taken it since.
            (Some(Before { driver: None, .. }), Some(_)) => None,
            (Some(_), now) => Some(format!(
                "{address} was with {} and is now {}: sudo sh -c 'echo {address} > /sys/bus/pci/drivers_probe', or reboot.",
                expected.as_deref().unwrap_or("no driver"),
                now.as_deref()
                    .map_or_else(|| "without a driver".into(), |now| format!("with {now}"))
            )),
            (None, None) if managed => Some(format!(
                "{address} has no driver: sudo sh -c 'echo {address} > /sys/bus/pci/drivers_probe', or reboot."
            )),
            (None, _) => None,
        }
    };
    After {
        address,
        driver,
        before: expected,
        ok: problem.is_none(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "tests make the files they are about"
    )]

    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_not_back_is_said_with_the_way_back() {
        let address: Address = "01:00.0".parse().unwrap();
        for (there, now, before, managed, problem) in [
            (true, Some("nouveau"), Some(Some("nouveau")), true, None),
            (true, Some("vfio-pci"), Some(Some("vfio-pci")), true, None),
            // Bound by something else meanwhile, from nothing.
            (true, Some("nouveau"), Some(None), true, None),
            (
                true,
                Some("vfio-pci"),
                Some(Some("nouveau")),
                true,
                Some("with vfio-pci"),
            ),
            (
                true,
                None,
                Some(Some("nouveau")),
                true,
                Some("without a driver"),
            ),
            (
                false,
                None,
                Some(Some("nouveau")),
                true,
                Some("gone from the bus"),
            ),
            // Nobody wrote it down.
            (true, None, None, true, Some("has no driver")),
            (true, None, None, false, None),
            (true, Some("vfio-pci"), None, true, None),
        ] {
            let host = tempfile::tempdir().unwrap();
            let device = host.path().join(format!("sys/bus/pci/devices/{address}"));
            if there {
                fs::create_dir_all(&device).unwrap();
            }
            if let Some(driver) = now {
                symlink(format!("../../drivers/{driver}"), device.join("driver")).unwrap();
            }
            let root = Root::open(host.path()).unwrap();
            let before = before.map(|driver: Option<&str>| Before {
                address,
                driver: driver.map(str::to_owned),
            });
            let found = after(&root, address, managed, before.as_ref());
            assert_eq!(found.ok, problem.is_none(), "{found:?}");
            if let Some(problem) = problem {
                assert!(found.problem.unwrap().contains(problem));
            }
        }
    }
}
