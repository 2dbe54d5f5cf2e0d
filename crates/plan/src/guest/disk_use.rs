//! A use of a disk, and how it is said.

use alloc::{format, string::String, vec::Vec};
use serde::Serialize;

use crate::facts::usage::is_vital;

/// One use of a disk, or of a partition of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DiskUse {
    /// The device that is used: the disk or one of its partitions.
    pub device: String,
    /// Through what.
    pub layer: Layer,
    /// What it is called: a mount point, a volume group, a mapping, an array, a pool.
    pub name: Option<String>,
    /// It is in use now, or will be at the next boot; otherwise it only belongs to something.
    pub active: bool,
    /// What is mounted or swapped to through it, `/home` or `swap`.
    pub carries: Vec<String>,
}

/// Ways to use a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A mounted file system.
    Mount,
    /// Swap space.
    Swap,
    /// A line of /etc/fstab or /etc/crypttab: mounted or opened at the next boot.
    Table,
    /// A physical volume of LVM.
    Lvm,
    /// An encrypted volume.
    Luks,
    /// A member of an array: md or firmware RAID.
    Raid,
    /// A path of a multipath device.
    Multipath,
    /// A member of a ZFS pool.
    Zfs,
    /// A member of a btrfs of several disks.
    Btrfs,
    /// Part of a bcache.
    Bcache,
    /// A Ceph OSD.
    Ceph,
    /// A replica of DRBD.
    Drbd,
    /// Anything else that is stacked on it.
    Stacked,
}

impl Layer {
    /// The word of a refusal's id.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mount => "mounted",
            Self::Swap => "swap",
            Self::Table => "fstab",
            Self::Lvm => "lvm",
            Self::Luks => "luks",
            Self::Raid => "raid",
            Self::Multipath => "multipath",
            Self::Zfs => "zfs",
            Self::Btrfs => "btrfs",
            Self::Bcache => "bcache",
            Self::Ceph => "ceph",
            Self::Drbd => "drbd",
            Self::Stacked => "held",
        }
    }
}

/// Mount points named in a sentence; a pool may have a thousand.
const MOST: usize = 4;

impl DiskUse {
    /// The host does not boot or run without it.
    pub fn is_vital(&self) -> bool {
        self.carries.iter().any(|target| is_vital(target))
    }

    /// In words: `sdb1 is mounted on /srv`.
    pub fn sentence(&self) -> String {
        let Self { device, .. } = self;
        let name = self.name.as_deref().unwrap_or_default();
        let with = match self.carries.as_slice() {
            [] => String::new(),
            [start @ .., _] if start.len() >= MOST => format!(
                " (for {} and {} more)",
                start[..MOST].join(", "),
                self.carries.len() - MOST
            ),
            all => format!(" (for {})", all.join(", ")),
        };
        let of = if name.is_empty() {
            String::new()
        } else {
            format!(" {name}")
        };
        match self.layer {
            Layer::Mount => format!("{device} is mounted on {name}"),
            Layer::Swap => format!("{device} is swap space in use"),
            Layer::Table => format!("{device} is in {name}{with}"),
            Layer::Lvm if self.active => {
                format!("{device} holds the active LVM volume group{of}{with}")
            }
            Layer::Lvm => format!("{device} is a physical volume of LVM"),
            Layer::Luks if self.active => {
                format!("{device} is an encrypted volume that is open as{of}{with}")
            }
            Layer::Luks => format!("{device} is an encrypted volume (LUKS)"),
            Layer::Raid if self.active => format!("{device} is part of the RAID array{of}{with}"),
            Layer::Raid => format!("{device} is a member of a RAID array"),
            Layer::Multipath => format!("{device} is a path of the multipath device{of}{with}"),
            Layer::Zfs if self.active => format!("{device} is in the imported ZFS pool{of}{with}"),
            Layer::Zfs => format!("{device} is a member of the ZFS pool{of}"),
            Layer::Btrfs => format!("{device} is in a btrfs with{of}{with}"),
            Layer::Bcache => format!("{device} is part of a bcache{of}{with}"),
            Layer::Ceph => format!("{device} is an OSD of Ceph"),
            Layer::Drbd => format!("{device} is a replica of DRBD"),
            Layer::Stacked => format!("{device} is held by{of}{with}"),
        }
    }
}
