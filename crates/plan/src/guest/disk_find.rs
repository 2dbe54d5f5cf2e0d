//! Finds what a disk is used for on the host, or belongs to though nothing is active.

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};

use super::disk_use::{DiskUse, Layer};
use crate::facts::{
    Facts,
    blocks::{Block, Blocks, Content},
};

/// What `block` and, if it is a disk, its partitions are used for. Of a partition's disk only counts
/// what uses the disk as a whole.
pub fn uses(facts: &Facts, block: &Block) -> Vec<DiskUse> {
    let blocks = &facts.blocks;
    let mut found = Vec::new();
    let whole = block.disk.as_deref().and_then(|disk| blocks.named(disk));
    let parts = blocks.partitions(&block.name);
    for one in whole.into_iter().chain([block]).chain(parts) {
        of(facts, one, &mut found);
    }
    found.sort();
    // Each volume of a group is a holder of its own.
    found.dedup_by(|next, one| {
        let same = (&next.device, next.layer, &next.name, next.active)
            == (&one.device, one.layer, &one.name, one.active);
        if same {
            one.carries.append(&mut next.carries);
            one.carries.sort();
            one.carries.dedup();
        }
        same
    });
    found
}

fn of(facts: &Facts, block: &Block, found: &mut Vec<DiskUse>) {
    let device = &block.name;
    let mut push = |layer, name: Option<String>, active, carries| {
        found.push(DiskUse {
            device: device.clone(),
            layer,
            name,
            active,
            carries,
        });
    };
    for target in &block.mounts {
        let carries = [target.clone()].into();
        push(Layer::Mount, Some(target.clone()), true, carries);
    }
    if block.swap {
        push(Layer::Swap, None, true, Vec::new());
    }
    for (file, place) in tables(facts, block) {
        // A line for what is mounted anyway says nothing new.
        if !block.mounts.contains(&place) && !block.swap {
            push(Layer::Table, Some(file.into()), true, [place].into());
        }
    }
    for holder in &block.holders {
        let (layer, name) = held(&facts.blocks, holder);
        let carries = carried(&facts.blocks, holder);
        push(layer, name, true, carries);
    }
    if let Some(content) = block.content.value()
        && let Some((layer, name, active)) = member(&facts.blocks, block, content)
        && (block.holders.is_empty() || layer == Layer::Zfs)
    {
        let mut pools = facts.blocks.pools.iter();
        let pool = pools.find(|pool| layer == Layer::Zfs && Some(&pool.name) == name.as_ref());
        let carries = pool.map(|pool| pool.mounts.clone()).unwrap_or_default();
        push(layer, name, active, carries);
    }
}

/// What stacks `holder` on others, and what that is called.
fn held(blocks: &Blocks, holder: &str) -> (Layer, Option<String>) {
    let name = Some(holder.to_string());
    if holder.starts_with("md") {
        return (Layer::Raid, name);
    }
    if holder.starts_with("bcache") {
        return (Layer::Bcache, name);
    }
    if holder.starts_with("drbd") {
        return (Layer::Drbd, name);
    }
    let Some(mapped) = blocks.named(holder).and_then(|block| block.mapped.as_ref()) else {
        return (Layer::Stacked, name);
    };
    let name = Some(mapped.name.clone());
    match mapped.uuid.split('-').next().unwrap_or_default() {
        "LVM" => (Layer::Lvm, Some(group(&mapped.name))),
        "CRYPT" => (Layer::Luks, name),
        "DMRAID" => (Layer::Raid, name),
        "mpath" => (Layer::Multipath, name),
        _ => (Layer::Stacked, name),
    }
}

/// The volume group in the name of a volume: `vg--a-root` is root in vg-a (a dash in either is
/// written twice).
fn group(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'-' {
            if bytes.get(at + 1) == Some(&b'-') {
                at += 1;
            } else {
                break;
            }
        }
        at += 1;
    }
    name.get(..at).unwrap_or(name).replace("--", "-")
}

/// Mount points and swap of what is stacked on `name`, however high.
fn carried(blocks: &Blocks, name: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = Vec::from([name]);
    while let Some(name) = open.pop() {
        let Some(block) = blocks.named(name).filter(|_| seen.insert(name)) else {
            continue;
        };
        for one in core::iter::once(block).chain(blocks.partitions(name)) {
            found.extend(one.mounts.iter().cloned());
            if one.swap {
                found.insert("swap".to_string());
            }
            open.extend(one.holders.iter().map(String::as_str));
        }
    }
    found.into_iter().collect()
}

/// What `content` says the device belongs to, and whether that is in use though sysfs shows no
/// holder.
fn member(
    blocks: &Blocks,
    block: &Block,
    content: &Content,
) -> Option<(Layer, Option<String>, bool)> {
    let kind = content.kind.as_deref()?;
    Some(match kind {
        "LVM2_member" | "LVM1_member" => (Layer::Lvm, None, false),
        "crypto_LUKS" => (Layer::Luks, None, false),
        "zfs_member" => {
            let pool = content.label.clone();
            // Without its name it may be of any pool that is imported.
            let imported = match &pool {
                Some(name) => blocks.pools.iter().any(|pool| pool.name == *name),
                None => !blocks.pools.is_empty(),
            };
            (Layer::Zfs, pool, imported)
        }
        "btrfs" => {
            let same = |other: &&Block| {
                let found = other.content.value();
                other.name != block.name
                    && found.is_some_and(|found| {
                        found.kind == content.kind
                            && found.uuid.is_some()
                            && found.uuid == content.uuid
                    })
            };
            let others: Vec<&str> = blocks
                .all()
                .iter()
                .filter(same)
                .map(|other| other.name.as_str())
                .collect();
            if others.is_empty() {
                return None;
            }
            (Layer::Btrfs, Some(others.join(", ")), false)
        }
        "bcache" => (Layer::Bcache, None, false),
        "ceph_bluestore" => (Layer::Ceph, None, false),
        "drbd" => (Layer::Drbd, None, false),
        "mpath_member" => (Layer::Multipath, None, false),
        raid if raid.ends_with("_raid_member") => (Layer::Raid, None, false),
        _ => return None,
    })
}

/// Lines of /etc/fstab and /etc/crypttab that name `block`: the file, and what for.
fn tables(facts: &Facts, block: &Block) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (file, key, value) in [("/etc/fstab", 0, 1), ("/etc/crypttab", 1, 0)] {
        for line in facts.text(file).unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if line.trim_start().starts_with('#') {
                continue;
            }
            if let (Some(key), Some(value)) = (fields.get(key), fields.get(value))
                && is_named(&facts.blocks, block, key)
            {
                let swap = fields.get(2).is_some_and(|kind| *kind == "swap");
                let place = if swap { "swap" } else { value };
                // The kernel's way to write a blank (fstab(5)).
                found.push((file, place.replace("\\040", " ")));
            }
        }
    }
    found
}

/// `spec` is a name of `block`, as fstab(5) and crypttab(5) write it.
fn is_named(blocks: &Blocks, block: &Block, spec: &str) -> bool {
    if spec.starts_with('/') {
        return blocks
            .at(spec)
            .is_some_and(|found| found.name == block.name);
    }
    let Some(((key, value), content)) = spec.split_once('=').zip(block.content.value()) else {
        return false;
    };
    let value = value.trim_matches('"');
    let known = match key {
        "UUID" => &content.uuid,
        "LABEL" => &content.label,
        "PARTUUID" => &content.part_uuid,
        "PARTLABEL" => &content.part_label,
        _ => return false,
    };
    known
        .as_deref()
        .is_some_and(|known| known.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_of_volumes() {
        for (name, expected) in [
            ("vg-root", "vg"),
            ("vg--a-root", "vg-a"),
            ("vg--a--b-x--y", "vg-a-b"),
            ("vg", "vg"),
            ("", ""),
        ] {
            assert_eq!(group(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_group_is_found_again(
            group_name in "[a-zä][a-z-]{0,8}[a-z]",
            volume in "[a-z][a-z-]{0,8}[a-z]",
        ) {
            let twice = |name: &str| name.replace('-', "--");
            let mapped = format!("{}-{}", twice(&group_name), twice(&volume));
            prop_assert_eq!(group(&mapped), group_name);
        }
    }
}
