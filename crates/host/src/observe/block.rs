//! Block devices: from a mount or swap area down to the PCI functions that carry it.
//!
//! A device's place in sysfs names its PCI function. Stacked devices (LVM, LUKS, RAID, multipath)
//! have no place of their own; their `slaves` do.

use std::collections::BTreeSet;

use passthru_plan::{
    Address, Measured,
    text::mountinfo::{self, Mount},
};

use crate::root::Root;

const MOUNTS: &str = "/proc/self/mountinfo";
pub(super) const BLOCK: &str = "/sys/class/block";

/// Mounts and swap areas of a host.
#[derive(Debug)]
pub(super) struct Storage {
    /// Mounts with a block device or a file system of several devices, or why they are unknown.
    pub(super) mounts: Measured<Vec<Mount>>,
    /// Names of block devices used for swap.
    pub(super) swaps: Vec<String>,
}

/// The functions that carry something, and through what.
#[derive(Debug, Default, Clone)]
pub(super) struct Carrier {
    pub(super) functions: BTreeSet<Address>,
    /// `nvme0n1p3`, the devices that stand at the bottom.
    pub(super) disks: BTreeSet<String>,
    /// `LUKS`, `LVM`, `RAID` … from top to bottom.
    pub(super) layers: Vec<&'static str>,
}

impl Storage {
    pub(super) fn observe(root: &Root) -> Self {
        let mounts = match super::text(root, MOUNTS) {
            Measured::Value(text) => Measured::Value(mountinfo::parse(&text)),
            Measured::NotMeasured(why) => Measured::NotMeasured(why),
        };
        let swaps = super::text(root, "/proc/swaps")
            .value()
            .map(|text| mountinfo::swaps(text))
            .unwrap_or_default();
        Self {
            mounts,
            swaps: swaps
                .into_iter()
                .filter(|(_, partition)| *partition)
                .filter_map(|(path, _)| name_of(root, &path))
                .collect(),
        }
    }

    /// The root file system's device chain has a dm-crypt layer.
    pub(super) fn encrypted_root(&self, root: &Root) -> Measured<bool> {
        let mounts = match &self.mounts {
            Measured::Value(mounts) => mounts,
            Measured::NotMeasured(why) => return Measured::NotMeasured(why.clone()),
        };
        // A later mount on the same place covers the earlier ones.
        let Some(mount) = mounts.iter().rfind(|mount| mount.target == "/") else {
            return Measured::not(format!("{MOUNTS} has no root file system"));
        };
        let mut carriers = devices(root, mount).into_iter();
        match carriers.next() {
            Some(first) => Measured::Value(
                std::iter::once(first)
                    .chain(carriers)
                    .any(|device| carrier(root, &device).layers.contains(&"LUKS")),
            ),
            None => Measured::not(format!(
                "the root file system ({} from {}) has no block device that sysfs shows",
                mount.kind, mount.source
            )),
        }
    }
}

/// Names of the block devices a file system lies on; more than one for btrfs and ZFS.
pub(super) fn devices(root: &Root, mount: &Mount) -> Vec<String> {
    match mount.kind.as_str() {
        "btrfs" => btrfs(root, mount),
        "zfs" => zfs(root, mount),
        // bcachefs names all its devices in the source, joined by colons.
        "bcachefs" => mount
            .source
            .split(':')
            .filter_map(|path| name_of(root, path))
            .collect(),
        _ if mount.device.starts_with("0:") => Vec::new(),
        _ => root
            .link_name(&format!("/sys/dev/block/{}", mount.device))
            .or_else(|| name_of(root, &mount.source))
            .into_iter()
            .collect(),
    }
}

/// All devices of the btrfs that holds the mount's source (`/sys/fs/btrfs/UUID/devices`).
fn btrfs(root: &Root, mount: &Mount) -> Vec<String> {
    const BTRFS: &str = "/sys/fs/btrfs";
    let Some(name) = name_of(root, &mount.source) else {
        return Vec::new();
    };
    for uuid in root.list(BTRFS).unwrap_or_default() {
        let members = root
            .list(&format!("{BTRFS}/{uuid}/devices"))
            .unwrap_or_default();
        if members.contains(&name) {
            return members;
        }
    }
    vec![name]
}

/// Members of a ZFS pool by udev's database: sysfs does not show them, a pool holds its disks without
/// a holder link.
fn zfs(root: &Root, mount: &Mount) -> Vec<String> {
    let pool = mount.source.split('/').next().unwrap_or_default();
    let is_member = |name: &String| {
        let Some(number) = root.attribute(&format!("{BLOCK}/{name}/dev")) else {
            return false;
        };
        let Some(data) = root.attribute(&format!("/run/udev/data/b{number}")) else {
            return false;
        };
        data.lines().any(|line| line == "E:ID_FS_TYPE=zfs_member")
            && data
                .lines()
                .any(|line| line.strip_prefix("E:ID_FS_LABEL=") == Some(pool))
    };
    let names = root.list(BLOCK).unwrap_or_default();
    names.into_iter().filter(is_member).collect()
}

/// The kernel's name of a device node: links of /dev/mapper and /dev/disk are followed.
fn name_of(root: &Root, path: &str) -> Option<String> {
    let under_dev = path.strip_prefix("/dev/")?;
    if root.exists(&format!("{BLOCK}/{under_dev}")) {
        return Some(under_dev.to_owned());
    }
    if let Some(name) = root.link_name(path) {
        return Some(name);
    }
    // Without the node, the name that device mapper gave tells which device it is.
    let mapped = under_dev.strip_prefix("mapper/")?;
    root.list(BLOCK).ok()?.into_iter().find(|name| {
        name.starts_with("dm-")
            && root
                .attribute(&format!("{BLOCK}/{name}/dm/name"))
                .is_some_and(|found| found == mapped)
    })
}

/// Follows `name` down to the PCI functions.
pub(super) fn carrier(root: &Root, name: &str) -> Carrier {
    let mut found = Carrier::default();
    let mut seen = BTreeSet::new();
    descend(root, name, &mut found, &mut seen);
    found
}

fn descend(root: &Root, name: &str, found: &mut Carrier, seen: &mut BTreeSet<String>) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let path = format!("{BLOCK}/{name}");
    let place = root.link(&path).unwrap_or_default();
    let functions = endpoints(&place);
    if !functions.is_empty() {
        found.functions.extend(functions);
        found.disks.insert(name.to_owned());
        return;
    }
    // NVMe multipath: the disk belongs to a subsystem, whose controllers have a place.
    if let Some(subsystem) = place
        .split('/')
        .skip_while(|part| *part != "nvme-subsystem")
        .nth(1)
    {
        let directory = format!("/sys/devices/virtual/nvme-subsystem/{subsystem}");
        for controller in root.list(&directory).unwrap_or_default() {
            if controller.starts_with("nvme") {
                let place = root
                    .link(&format!("{directory}/{controller}"))
                    .unwrap_or_default();
                found.functions.extend(endpoints(&place));
            }
        }
        found.disks.insert(name.to_owned());
        return;
    }
    if let Some(layer) = layer(root, &path, name)
        && !found.layers.contains(&layer)
    {
        found.layers.push(layer);
    }
    for slave in root.list(&format!("{path}/slaves")).unwrap_or_default() {
        descend(root, &slave, found, seen);
    }
    // A partition of a stacked device has no slaves of its own: they are its disk's.
    if let Some(disk) = place.rsplit('/').nth(1)
        && place.contains("/virtual/block/")
        && disk != "block"
    {
        descend(root, disk, found, seen);
    }
}

fn layer(root: &Root, path: &str, name: &str) -> Option<&'static str> {
    if name.starts_with("md") {
        return Some("RAID");
    }
    let uuid = root.attribute(&format!("{path}/dm/uuid"))?;
    // Prefixes by the tools that make the devices (libdevmapper, cryptsetup, multipath-tools).
    [
        ("CRYPT-", "LUKS"),
        ("LVM-", "LVM"),
        ("mpath-", "multipath"),
        ("DMRAID-", "RAID"),
        ("VDO-", "VDO"),
    ]
    .into_iter()
    .find_map(|(prefix, layer)| uuid.starts_with(prefix).then_some(layer))
}

/// The function a place in sysfs belongs to. A disk behind Intel VMD sits in a domain of its own
/// below the VMD function, which then carries it as well.
pub(super) fn endpoints(place: &str) -> Vec<Address> {
    let mut functions: Vec<Address> = super::functions_on(place).collect();
    let Some(last) = functions.pop() else {
        return Vec::new();
    };
    let mut found = vec![last];
    let mut below = last;
    while let Some(above) = functions.pop() {
        if above.domain != below.domain {
            found.push(above);
        }
        below = above;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_behind_vmd_is_carried_twice() {
        let place = "../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0/nvme/nvme0/nvme0n1";
        let found: Vec<_> = endpoints(place).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10000:e1:00.0", "0000:00:0e.0"]);
        let usb = "../../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sda";
        let found: Vec<_> = endpoints(usb).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["0000:00:14.0"]);
        assert!(endpoints("../../devices/virtual/block/dm-0").is_empty());
    }
}
