//! GRUB's environment: what it will start once, and whether it can clear that again.

use passthru_plan::{Measured, text::grubenv, text::mountinfo};

use crate::{
    observe::block::{self, Storage},
    root::Root,
};

/// Directories of GRUB, Debian's and Fedora's.
const DIRECTORIES: [&str; 2] = ["/boot/grub", "/boot/grub2"];

/// File systems that GRUB reads and cannot write its environment to, as 00_header lists them
/// (`check_writable` in Debian's; the same in upstream's `grub-mkconfig`).
const READ_ONLY: [&str; 10] = [
    "btrfs", "bcachefs", "zfs", "squashfs", "cpiofs", "newc", "odc", "romfs", "tarfs", "f2fs",
];

fn directory(root: &Root) -> Option<&'static str> {
    DIRECTORIES
        .into_iter()
        .find(|directory| root.exists(&format!("{directory}/grub.cfg")))
}

/// `next_entry`.
pub(super) fn one_shot(root: &Root) -> Measured<Option<String>> {
    let Some(directory) = directory(root) else {
        return Measured::not("there is no grub.cfg");
    };
    let path = format!("{directory}/grubenv");
    match root.text(&path) {
        Ok(text) => {
            Measured::Value(grubenv::get(&text, "next_entry").filter(|entry| !entry.is_empty()))
        }
        Err(error) if error.is_missing() => Measured::Value(None),
        Err(error) => crate::observe::not(root, &path, &error),
    }
}

/// Why GRUB cannot write its environment, or that it can.
pub(super) fn read_only(root: &Root, storage: &Storage) -> Measured<Option<String>> {
    let Some(directory) = directory(root) else {
        return Measured::not("there is no grub.cfg");
    };
    if !root.exists(&format!("{directory}/grubenv")) {
        return Measured::Value(Some(format!("{directory}/grubenv does not exist")));
    }
    let mounts = match &storage.mounts {
        Measured::Value(mounts) => mounts,
        Measured::NotMeasured(why) => return Measured::NotMeasured(why.clone()),
    };
    let Some(mount) = mountinfo::holding(mounts, directory) else {
        return Measured::not(format!("no mount holds {directory}"));
    };
    if READ_ONLY.contains(&mount.kind.as_str()) {
        return Measured::Value(Some(format!("{directory} is on {}", mount.kind)));
    }
    let devices = block::devices(root, mount);
    if devices.is_empty() {
        return Measured::not(format!(
            "the disk below {directory} ({}) is not known",
            mount.source
        ));
    }
    let layers = devices
        .iter()
        .flat_map(|name| block::carrier(root, name).layers);
    Measured::Value(
        layers
            .into_iter()
            .find(|layer| ["LVM", "RAID"].contains(layer))
            .map(|layer| format!("{directory} is on {layer}")),
    )
}
