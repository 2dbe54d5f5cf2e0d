//! Whether a block device of the host can be a guest's disk: found by a name that lasts, and used by
//! nothing else.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use super::{
    disk_find, disk_notes,
    disk_use::{DiskUse, Layer},
    plan::Draft,
    spec::{Storage, Wish},
};
use crate::facts::{
    Facts,
    blocks::{BY_ID, Block},
};

/// The device that `storage` names, with every reason against it in `draft`; `None` if it is not
/// known.
pub(super) fn check<'a>(
    draft: &mut Draft,
    facts: &'a Facts,
    wish: &Wish,
    storage: &Storage,
) -> Option<&'a Block> {
    let path = storage.path.as_str();
    if let Some(why) = facts.blocks.devices.why_not() {
        draft.note(
            "guest.disk.unknown",
            format!("Whether {path} is free was not looked at: {why}."),
        );
        return None;
    }
    let Some(block) = facts.blocks.at(path) else {
        draft.refuse(
            "guest.disk.missing",
            format!("There is no disk {path} on this host."),
            "passthru vm disks shows those that are there. If it should be: is it plugged in and \
             powered?",
        );
        return None;
    };
    name(draft, block, path);
    if block.bytes == 0 {
        draft.refuse(
            "guest.disk.empty",
            format!(
                "{path} ({}) has no size: there is no medium in it.",
                block.name
            ),
            "Put one in, or name another disk.",
        );
    }
    if block.read_only {
        draft.refuse(
            "guest.disk.read-only",
            format!("{path} ({}) cannot be written.", block.name),
            "Look for a switch on it (SD cards), or blockdev --setrw; a failing disk makes itself \
             read-only as well.",
        );
    }
    used(draft, facts, block, storage);
    disk_notes::controller(draft, facts, wish, block, path);
    disk_notes::notes(draft, facts, wish, block, storage);
    Some(block)
}

/// The name leads to the same disk tomorrow.
fn name(draft: &mut Draft, block: &Block, path: &str) {
    // What is stacked has names of its own that last.
    let lasting = path.starts_with(BY_ID)
        || block.transport.is_none()
            && block.disk.is_none()
            && ["/dev/mapper/", "/dev/md/", "/dev/zvol/"]
                .iter()
                .any(|start| path.starts_with(start))
        || block.mapped.is_some() && !path.starts_with("/dev/dm-");
    if lasting {
        return;
    }
    let Block { name, .. } = block;
    match block.stable() {
        Some(stable) => draft.refuse(
            "guest.disk.name",
            format!("{path} is {name} today, and may be another disk after the next boot."),
            format!("Name it by what it is: {stable}."),
        ),
        // A virtual disk without a serial number has no name by what it is, only by its place.
        None if path.starts_with("/dev/disk/by-path/") => draft.note(
            "guest.disk.place",
            format!(
                "{name} has no serial number, so it is known by where it is plugged in only: \
                 another disk in its place would be the guest's."
            ),
        ),
        None => {
            let place = block
                .links
                .iter()
                .find(|link| link.starts_with("/dev/disk/by-path/"));
            draft.refuse(
                "guest.disk.name",
                format!("{path} may be another disk after the next boot, and udev has no name for {name} by what it is."),
                place.map_or_else(
                    || "Give the guest a disk with a serial number.".into(),
                    |place| format!("It is known by where it is plugged in only: {place}."),
                ),
            );
        }
    }
}

/// Nothing of the host uses it, and nothing of the host is on it.
fn used(draft: &mut Draft, facts: &Facts, block: &Block, storage: &Storage) {
    let path = &storage.path;
    let uses = disk_find::uses(facts, block);
    if uses.iter().any(DiskUse::is_vital) {
        draft.refuse(
            "guest.disk.host",
            format!("The host itself runs from {path}: {}.", sentences(&uses)),
            "Give the guest another disk: passthru vm disks shows the free ones.",
        );
        return;
    }
    let mut by_layer: BTreeMap<(Layer, bool), Vec<DiskUse>> = BTreeMap::new();
    for one in uses {
        by_layer
            .entry((one.layer, one.active))
            .or_default()
            .push(one);
    }
    for ((layer, active), uses) in by_layer {
        if !active && storage.transplant && can_move(layer) {
            continue;
        }
        draft.refuse(
            &format!("guest.disk.{}", layer.word()),
            if active {
                format!("The host uses {path}: {}.", sentences(&uses))
            } else {
                format!(
                    "Something is on {path} that may be the host's, though it is not in use now: {}.",
                    sentences(&uses)
                )
            },
            way_out(layer, active, &uses, path),
        );
    }
}

fn sentences(uses: &[DiskUse]) -> String {
    let all: Vec<String> = uses.iter().map(DiskUse::sentence).collect();
    all.join("; ")
}

/// A guest can take over what is on the disk, because the host does not put it together by itself.
/// Arrays and caches it does: udev starts mdadm, bcache and multipathd for each member it sees.
pub(super) const fn can_move(layer: Layer) -> bool {
    matches!(
        layer,
        Layer::Lvm | Layer::Luks | Layer::Zfs | Layer::Btrfs | Layer::Ceph
    )
}

fn way_out(layer: Layer, active: bool, uses: &[DiskUse], path: &str) -> String {
    let first = uses.first();
    let device = first.map_or("", |one| one.device.as_str());
    let name = first.and_then(|one| one.name.as_deref()).unwrap_or("NAME");
    let theirs = format!("--transplant {path} in place of --disk");
    if !active && can_move(layer) {
        return format!(
            "If it belongs to the system that the guest is to start: {theirs}. Otherwise give the \
             guest another disk."
        );
    }
    match layer {
        Layer::Mount => format!(
            "If the host can do without: umount {name}, and take its line out of /etc/fstab if it \
             has one."
        ),
        Layer::Swap => format!(
            "If the host can do without: swapoff /dev/{device}, and take its line out of /etc/fstab."
        ),
        Layer::Table => format!(
            "The host would mount or open it at the next boot, while the guest writes to it: take \
             the line out of {name} first."
        ),
        Layer::Lvm => format!(
            "If the group is the guest's: vgchange --activate n {name}, then {theirs}. Volumes that \
             are mounted or in use first have to be given up."
        ),
        Layer::Luks => {
            format!(
                "If it is the guest's: unmount what is in it, cryptsetup close {name}, then {theirs}."
            )
        }
        Layer::Zfs => format!("If the pool is the guest's: zpool export {name}, then {theirs}."),
        Layer::Raid => format!(
            "Give the guest another disk. If the array is not needed any more: mdadm --stop {}, and \
             wipefs --all /dev/{device} destroys what is on it.",
            if active {
                format!("/dev/{name}")
            } else {
                "ARRAY".into()
            }
        ),
        Layer::Multipath => format!(
            "Name the multipath device, which uses every way to the disk: /dev/mapper/{name}."
        ),
        _ => format!(
            "Give the guest another disk: passthru vm disks shows the free ones. lsblk /dev/{device} \
             shows what is stacked on this one."
        ),
    }
}

/// Disks that go with a controller which the guest is to own: nothing of the host may have them open.
/// What is mounted or swapped to is refused with the controller itself.
pub(super) fn with_controllers(draft: &mut Draft, facts: &Facts, wish: &Wish) {
    let given = wish.with.iter().map(|with| with.address);
    for address in given.filter(|&address| facts.uses_of(address).next().is_none()) {
        let disks = facts.blocks.all().iter().filter(|block| block.is_disk());
        for disk in disks.filter(|disk| disk.functions.contains(&address)) {
            let mut uses = disk_find::uses(facts, disk);
            uses.retain(|one| one.active);
            if let Some(first) = uses.first() {
                draft.refuse(
                    &format!("guest.disk.{}", first.layer.word()),
                    format!(
                        "The host uses a disk behind {address}: {}.",
                        sentences(&uses)
                    ),
                    format!(
                        "Take {} out of use first, or leave out --with {address}.",
                        disk.name
                    ),
                );
            }
        }
    }
}
