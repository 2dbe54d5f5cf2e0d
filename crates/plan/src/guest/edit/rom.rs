//! What a guest sees of a function's option ROM.

use alloc::{format, string::String};

use super::{
    super::{
        element::Element,
        existing::{Hostdev, child, hostdevs},
        names,
    },
    Job,
};
use crate::pci::Address;

/// What it should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RomWish {
    /// The ROM in this file, by its absolute path on the host.
    File(String),
    /// None: for a card that a system's driver starts, or whose ROM cannot be read.
    Off,
}

pub(super) fn set(job: &mut Job<'_, '_>, function: Address, wish: &RomWish) {
    if let RomWish::File(path) = wish {
        job.draft.check(names::path(path, "the ROM"));
        if path.starts_with("/home/") || path.starts_with("/root/") || path.starts_with("/tmp/") {
            job.draft.note(
                "guest.edit.rom.place",
                format!(
                    "QEMU runs as a user of its own and may not be able to read {path}: sudo passthru \
                     rom dump ADDR --install puts a ROM where it can."
                ),
            );
        }
    }
    let Some(hostdev) = find(job, function) else {
        job.draft.refuse(
            "guest.edit.rom.no-card",
            format!("The guest does not have {function}."),
            format!("Give it the card first, in one go: --add-gpu {function} --rom …"),
        );
        return;
    };
    let Some(old) = child(hostdev.node, "rom") else {
        let rom = match wish {
            RomWish::File(path) => Element::new("rom").with("file", path),
            RomWish::Off => Element::new("rom").with("bar", "off"),
        };
        job.add_to_hostdev(hostdev.node, "rom", &rom);
        return;
    };
    match wish {
        RomWish::File(path) => {
            // Either would hide the file.
            if old.attribute("bar") == Some("off") {
                job.splices.remove_attribute(old, "bar");
            }
            if old.attribute("enabled") == Some("no") {
                job.splices.remove_attribute(old, "enabled");
            }
            job.splices.set_attribute(old, "file", path);
        }
        // libvirt takes no other attribute beside it.
        RomWish::Off if old.attribute("enabled") == Some("no") => {}
        RomWish::Off => {
            job.splices.remove_attribute(old, "file");
            job.splices.set_attribute(old, "bar", "off");
        }
    }
}

pub(super) fn remove(job: &mut Job<'_, '_>, function: Address) {
    let rom = find(job, function).and_then(|hostdev| child(hostdev.node, "rom"));
    match rom {
        Some(rom) => job.splices.remove(rom),
        None => job.draft.note(
            "guest.edit.rom.absent",
            format!("Nothing is said about the ROM of {function}: the guest sees the card's own."),
        ),
    }
}

fn find<'j, 't>(job: &Job<'j, 't>, function: Address) -> Option<Hostdev<'j, 't>> {
    let mut owned = hostdevs(job.domain).into_iter();
    owned.find(|one| one.host == function)
}
