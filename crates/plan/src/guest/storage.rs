//! Disks and media of a guest: format, bus, and what the firmware tries first.

use alloc::{collections::BTreeSet, format, vec::Vec};

use super::{
    disk, disk_notes, names,
    plan::Draft,
    spec::{Bus, Disk, Format, Os, Storage, Wish},
};
use crate::facts::{Block, Facts};

/// Ports of the SATA controller in q35 (ICH9).
const SATA: usize = 6;
/// Disks get one letter each, and a root port.
const MOST: usize = 20;

pub(super) fn disks(draft: &mut Draft, facts: &Facts, wish: &Wish) -> Vec<Disk> {
    // Windows has no virtio driver of its own, and of an unknown system it is not known.
    let bus = wish.bus.unwrap_or(match wish.os {
        Os::Linux => Bus::Virtio,
        Os::Windows10 | Os::Windows11 if wish.virtio_win.is_some() => Bus::Virtio,
        _ => Bus::Sata,
    });
    if wish.os.is_windows() && wish.virtio_win.is_none() {
        draft.note(
            "guest.virtio-win",
            "Without the virtio drivers for Windows its disks are SATA and its network device is an \
             Intel 82574L, which are slower: --virtio-win FILE.",
        );
    }
    let mut disks = Vec::new();
    let mut devices: Vec<&Block> = Vec::new();
    for storage in &wish.disks {
        draft.check(names::path(&storage.path, "a disk"));
        let Some(format) = format_of(draft, storage) else {
            continue;
        };
        let block = if storage.path.starts_with("/dev/") {
            disk::check(draft, facts, wish, storage)
        } else {
            transplanted_file(draft, storage);
            None
        };
        // A Windows that never saw virtio does not start from it, whatever drivers lie at hand.
        let installed = match block {
            Some(block) => disk_notes::holds_windows(&facts.blocks, block),
            None => !storage.empty && !storage.path.starts_with("/dev/"),
        };
        let windows = wish.os.is_windows() && wish.bus.is_none() && installed;
        if windows && bus == Bus::Virtio && block.is_none() {
            draft.note(
                "guest.disk.windows",
                format!(
                    "{} may hold a Windows, so it is SATA: one that never saw a virtio disk does not \
                     start from it (INACCESSIBLE_BOOT_DEVICE). If it is empty, or has the driver: \
                     --disk-bus virtio.",
                    storage.path
                ),
            );
        }
        if let Some(block) = block {
            twice(draft, &devices, block, &storage.path);
            devices.push(block);
        }
        disks.push(Disk {
            path: storage.path.clone(),
            format,
            bus: if windows { Bus::Sata } else { bus },
            cdrom: false,
            boot: disks.is_empty().then_some(1),
        });
    }
    disk::with_controllers(draft, facts, wish);
    if wish.disks.is_empty() {
        draft.note(
            "guest.no-disk",
            "It has no disk: whatever is written in it is lost.",
        );
    }
    let media = [&wish.installer, &wish.virtio_win, &wish.seed];
    for path in media.into_iter().flatten() {
        draft.check(names::path(path, "a medium"));
        disks.push(Disk {
            path: path.clone(),
            format: Format::Raw,
            bus: Bus::Sata,
            cdrom: true,
            // An empty disk has nothing to start, so the installer is next; an installed one is first.
            boot: (Some(path) == wish.installer.as_ref()).then_some(2),
        });
    }
    let sata = disks.iter().filter(|disk| disk.bus == Bus::Sata).count();
    if sata > SATA {
        draft.refuse(
            "guest.disk.too-many",
            format!("{sata} SATA disks and media are more than the {SATA} ports of the machine q35."),
            "Leave some out, or give Windows its drivers (--virtio-win) so that disks need no port.",
        );
    }
    if disks.len() > MOST {
        draft.refuse(
            "guest.disk.too-many",
            format!("{} disks and media are more than {MOST}.", disks.len()),
            "Leave some out.",
        );
    }
    if wish.seed.is_some() && wish.os.is_windows() {
        draft.refuse(
            "guest.seed",
            "Windows does not read first settings of this kind (NoCloud).",
            "Leave out --seed-user; Windows asks for its user itself.",
        );
    }
    let mut seen = BTreeSet::new();
    for disk in &disks {
        if !seen.insert(&disk.path) && !draft.has("guest.disk.twice") {
            draft.refuse(
                "guest.disk.twice",
                format!("{} is named twice.", disk.path),
                "Two disks on one file destroy what is in it: name each once.",
            );
        }
    }
    disks
}

/// Two names of one disk, or a disk and a partition of it. The same name twice is found anyway.
fn twice(draft: &mut Draft, devices: &[&Block], block: &Block, path: &str) {
    let same = |other: &&&Block| {
        other.name == block.name
            || other.disk.as_deref() == Some(&block.name)
            || block.disk.as_deref() == Some(&other.name)
    };
    if let Some(other) = devices.iter().find(same)
        && !draft.has("guest.disk.twice")
    {
        draft.refuse(
            "guest.disk.twice",
            format!(
                "{path} is {}, and so is or holds another disk of this guest ({}).",
                block.name, other.name
            ),
            "Two disks on one device destroy what is on it: name each once.",
        );
    }
}

fn transplanted_file(draft: &mut Draft, storage: &Storage) {
    if storage.transplant {
        draft.refuse(
            "guest.disk.transplant",
            format!("{} is no device of the host.", storage.path),
            "Name the disk in /dev/disk/by-id that holds the system, or say --disk for an image.",
        );
    }
}

fn format_of(draft: &mut Draft, storage: &Storage) -> Option<Format> {
    if let Some(format) = storage.format {
        return Some(format);
    }
    let path = &storage.path;
    if path.starts_with("/dev/") || path.ends_with(".raw") {
        return Some(Format::Raw);
    }
    if path.ends_with(".qcow2") {
        return Some(Format::Qcow2);
    }
    draft.refuse(
        "guest.disk.format",
        format!(
            "The name {path} does not tell its format, and guessing it wrong would destroy it."
        ),
        "qemu-img info FILE tells it; then say --disk-format raw or --disk-format qcow2.",
    );
    None
}
