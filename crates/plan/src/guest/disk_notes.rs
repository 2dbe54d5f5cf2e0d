//! What to know about a disk before a guest has it: its controller, and what is on it.

use alloc::format;

use super::{
    disk_list,
    plan::Draft,
    spec::{Bus, Storage, Wish},
};
use crate::{
    facts::{
        Facts,
        blocks::{Block, Blocks, Transport},
    },
    pci::Address,
    rules::groups,
};

/// A disk whose controller the guest owns is gone from the host.
pub(super) fn controller(draft: &mut Draft, facts: &Facts, wish: &Wish, block: &Block, path: &str) {
    let given = |address: &Address| wish.with.iter().any(|with| with.address == *address);
    if let Some(address) = block.functions.iter().find(|address| given(address)) {
        draft.refuse(
            "guest.disk.twice",
            format!(
                "{path} hangs on {address}, which the guest is to own as well: then the host has no \
                 such disk any more."
            ),
            format!("Say one of the two: --with {address}, or --disk."),
        );
        return;
    }
    if block.transport != Some(Transport::Nvme) || block.disk.is_some() {
        return;
    }
    let [address] = block.functions.as_slice() else {
        return;
    };
    // It goes alone, nothing else of the host hangs on it, and its group is free.
    let group = facts
        .function(*address)
        .and_then(|function| facts.group(function.group?));
    let free = group.is_some_and(|group| groups::blockers(facts, group, &[*address]).is_empty());
    let alone = facts
        .blocks
        .all()
        .iter()
        .all(|other| !other.functions.contains(address) || same_disk(other, block));
    if free && alone && facts.uses_of(*address).next().is_none() {
        draft.note(
            "guest.disk.nvme",
            format!(
                "Its controller can be the guest's own: --with {address} in place of --disk {path}. \
                 That is faster, and the guest sees the disk as it is (temperature, firmware); it \
                 needs the disk's driver, which Windows 10 and every Linux have."
            ),
        );
    }
}

fn same_disk(one: &Block, disk: &Block) -> bool {
    one.name == disk.name || one.disk.as_deref() == Some(disk.name.as_str())
}

pub(super) fn notes(
    draft: &mut Draft,
    facts: &Facts,
    wish: &Wish,
    block: &Block,
    storage: &Storage,
) {
    let path = &storage.path;
    let blocks = &facts.blocks;
    if let Some(why) = block.content.why_not() {
        draft.note(
            "guest.disk.unread",
            format!(
                "What is on {path} is not known ({why}). That nothing has it open is known; whether \
                 it is part of an array or an encrypted volume is not: blkid --probe /dev/{} tells.",
                block.name
            ),
        );
    }
    if block.disk.is_some() {
        draft.note(
            "guest.disk.partition",
            format!(
                "{path} is a partition. The guest sees it as a whole disk and puts a partition table \
                 into it, so what it installs there starts in a guest only; the other partitions \
                 stay with the host."
            ),
        );
    }
    let holds = disk_list::holds(facts, block);
    if !storage.transplant && !holds.is_empty() {
        draft.note(
            "guest.disk.data",
            format!(
                "{path} is not empty ({}): what the guest's installer writes there is final.",
                holds.join(", ")
            ),
        );
    }
    if block.transport == Some(Transport::Usb) || block.removable {
        draft.note(
            "guest.disk.removable",
            format!("{path} can be pulled out; a guest that runs from it then stops dead."),
        );
    }
    if holds_bitlocker(blocks, block) {
        draft.note(
            "guest.disk.bitlocker",
            format!(
                "{path} is encrypted with BitLocker, and the guest's TPM is not the one that has its \
                 key: have the recovery key at hand, or suspend BitLocker in that Windows first."
            ),
        );
    }
    if wish.os.is_windows() && wish.bus != Some(Bus::Virtio) && holds_windows(blocks, block) {
        draft.note(
            "guest.disk.windows",
            format!(
                "{path} holds a Windows, so it is SATA: without a virtio driver it would not start. \
                 Shut that Windows down for good before (shutdown /s /t 0), or what it keeps for a \
                 fast start is lost. For virtio later: start it once with a second, small virtio disk \
                 and install the driver from virtio-win, then change the bus of this one."
            ),
        );
    }
}

/// The type of the partition that Windows makes beside its own (GPT).
const MSR: &str = "e3c9e316-0b5c-4db8-817d-f92df00215ae";

/// The disk holds a Windows, by its partitions: its reserved one, or a file system only Windows
/// starts from.
pub(super) fn holds_windows(blocks: &Blocks, block: &Block) -> bool {
    let parts = blocks.partitions(&block.name);
    core::iter::once(block)
        .chain(parts)
        .filter_map(|one| one.content.value())
        .any(|content| {
            let kind = content.kind.as_deref().unwrap_or_default();
            let msr = content.part_type.as_deref() == Some(MSR);
            msr || kind.eq_ignore_ascii_case("ntfs") || kind.eq_ignore_ascii_case("bitlocker")
        })
}

/// A partition of the disk is encrypted by Windows (`ID_FS_TYPE=BitLocker`, libblkid 2.33).
pub(super) fn holds_bitlocker(blocks: &Blocks, block: &Block) -> bool {
    let parts = blocks.partitions(&block.name);
    let mut all = core::iter::once(block).chain(parts);
    all.any(|one| {
        let content = one.content.value();
        content.is_some_and(|content| {
            content
                .kind
                .as_deref()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("bitlocker"))
        })
    })
}
