//! The last look at the disks of a guest before it is defined.

use passthru_host::{Root, blocks};
use passthru_plan::{Refusal, guest::Guest};

/// Nobody has the guest's devices open, and all of them are still there.
///
/// # Errors
/// A refusal for each that is in use or gone.
pub(super) fn check(root: &Root, guest: &Guest) -> Result<(), Vec<Refusal>> {
    let disks = guest.disks.iter();
    let devices = disks.filter(|disk| disk.is_device() && !disk.cdrom);
    let refusals: Vec<Refusal> = devices.filter_map(|disk| one(root, &disk.path)).collect();
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

fn one(root: &Root, path: &str) -> Option<Refusal> {
    let refusal = |id: &str, why: String, way_out: &str| {
        Some(Refusal {
            id: id.into(),
            why,
            way_out: way_out.into(),
        })
    };
    match blocks::is_free(root, path) {
        Ok(free) if free.is_free() => None,
        Ok(free) if free.openers.is_empty() => refusal(
            "guest.disk.busy",
            format!("The kernel says that {path} is in use, and not by whom."),
            "lsblk, cat /proc/swaps and zpool status show what may hold it; a mount in a container \
             shows in its own mountinfo only.",
        ),
        Ok(free) => {
            let openers: Vec<String> = free
                .openers
                .iter()
                .map(|opener| format!("{} (process {})", opener.name, opener.pid))
                .collect();
            refusal(
                "guest.disk.busy",
                format!("{path} is open: {}.", openers.join(", ")),
                "If it is another guest, shut that one down; two systems on one disk destroy what \
                 is on it.",
            )
        }
        Err(error) if error.is_missing() => refusal(
            "guest.disk.missing",
            format!("{path} was there a moment ago and is gone: {error}."),
            "Look at its cable and its power; passthru vm disks shows what is there.",
        ),
        Err(error) => refusal(
            "guest.disk.unreadable",
            format!("Whether {path} is free cannot be found out: {error}."),
            "dmesg says more, if the disk has failed.",
        ),
    }
}
