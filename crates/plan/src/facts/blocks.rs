//! Block devices of the host: disks, partitions and what is stacked on them, and who uses each.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{measured::Measured, pci::Address};

/// The block devices of a host, and what on it looks at disks by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blocks {
    /// Disks, partitions and stacked devices (/sys/class/block), by name. Loop devices, RAM disks and
    /// drives for media are left out.
    pub devices: Measured<Vec<Block>>,
    /// ZFS pools that are imported (directories of /proc/spl/kstat/zfs). Which disks hold a pool no
    /// file tells; the labels in [`Content`] do.
    pub pools: Vec<Pool>,
    /// os-prober is installed: grub-mkconfig looks for systems on every disk.
    pub os_prober: bool,
    /// udisks is installed: desktops offer to mount what it shows.
    pub udisks: bool,
    /// LVM is installed: it activates what it finds on any disk.
    pub lvm: bool,
    /// /etc/lvm/devices/system.devices exists: LVM looks at the devices it names and no others
    /// (lvmdevices(8), since 2.03.12).
    pub lvm_devices: bool,
}

/// An imported ZFS pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where its file systems are mounted.
    pub mounts: Vec<String>,
}

/// One block device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Block {
    /// The kernel's name, `nvme0n1p2`: another one after a reboot, perhaps.
    pub name: String,
    /// `major:minor`.
    pub number: String,
    /// The disk it is a partition of.
    pub disk: Option<String>,
    /// Bytes; the kernel counts sectors of 512 bytes whatever the disk's own are.
    pub bytes: u64,
    /// What its maker calls it.
    pub model: Option<String>,
    /// Its serial number, by udev.
    pub serial: Option<String>,
    /// It may be pulled out while the host runs.
    pub removable: bool,
    /// It cannot be written.
    pub read_only: bool,
    /// How it is attached; `None` if it is stacked on others or of another kind.
    pub transport: Option<Transport>,
    /// The PCI functions it hangs on.
    pub functions: Vec<Address>,
    /// Names of the devices stacked on it (`holders`).
    pub holders: Vec<String>,
    /// What device mapper calls it.
    pub mapped: Option<Mapped>,
    /// Links below /dev that lead to it, as absolute paths, sorted: /dev/disk/by-id/… and the like.
    pub links: Vec<String>,
    /// Where its file system is mounted.
    pub mounts: Vec<String>,
    /// It is active swap space.
    pub swap: bool,
    /// What udev saw on it when it came; no device is opened to find out.
    pub content: Measured<Content>,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// NVMe: its controller is a PCI function.
    Nvme,
    /// ATA behind an AHCI controller.
    Sata,
    /// A USB storage device.
    Usb,
    /// virtio: this host is a guest itself.
    Virtio,
    /// An SD card or soldered flash memory.
    Mmc,
    /// Any other SCSI disk, such as SAS.
    Scsi,
}

impl Transport {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvme => "NVMe",
            Self::Sata => "SATA",
            Self::Usb => "USB",
            Self::Virtio => "virtio",
            Self::Mmc => "MMC",
            Self::Scsi => "SCSI",
        }
    }
}

/// A device of device mapper (/sys/block/dm-N/dm).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mapped {
    /// Its name in /dev/mapper.
    pub name: String,
    /// Begins with who made it: `LVM-`, `CRYPT-`, `mpath-`, `DMRAID-`.
    pub uuid: String,
}

/// What is on a device, by the properties in udev's database (/run/udev/data).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Content {
    /// `ID_FS_TYPE`: a file system, or `LVM2_member`, `crypto_LUKS`, `zfs_member` and the like.
    pub kind: Option<String>,
    /// `ID_FS_LABEL`.
    pub label: Option<String>,
    /// `ID_FS_UUID`.
    pub uuid: Option<String>,
    /// `ID_PART_TABLE_TYPE` of a disk: `gpt` or `dos`.
    pub table: Option<String>,
    /// `ID_PART_ENTRY_TYPE` of a partition: a GUID, or `0x7` of a DOS table.
    pub part_type: Option<String>,
    /// `ID_PART_ENTRY_UUID` of a partition.
    pub part_uuid: Option<String>,
    /// `ID_PART_ENTRY_NAME` of a partition.
    pub part_label: Option<String>,
}

impl Blocks {
    /// The device of this name.
    pub fn named(&self, name: &str) -> Option<&Block> {
        self.all().iter().find(|block| block.name == name)
    }

    /// Every device that is known.
    pub fn all(&self) -> &[Block] {
        self.devices.value().map_or(&[], Vec::as_slice)
    }

    /// The partitions of the disk of this name.
    pub fn partitions<'a>(&'a self, disk: &'a str) -> impl Iterator<Item = &'a Block> {
        self.all()
            .iter()
            .filter(move |block| block.disk.as_deref() == Some(disk))
    }

    /// The device that `path` leads to: a name of the kernel, a link, or a name of device mapper.
    pub fn at(&self, path: &str) -> Option<&Block> {
        let below = path.strip_prefix("/dev/")?;
        let mapped = |name: &str| {
            let is = |block: &&Block| block.mapped.as_ref().is_some_and(|m| m.name == name);
            self.all().iter().find(is)
        };
        let linked = |block: &&Block| block.links.iter().any(|link| link == path);
        self.named(below)
            .or_else(|| self.all().iter().find(linked))
            .or_else(|| mapped(below.strip_prefix("mapper/")?))
            .or_else(|| {
                // /dev/GROUP/VOLUME: a dash in either name is written twice (lvm(8)).
                let (group, volume) = below.split_once('/')?;
                let twice = |name: &str| name.replace('-', "--");
                mapped(&alloc::format!("{}-{}", twice(group), twice(volume)))
            })
    }
}

impl Block {
    /// A disk of its own: neither a partition nor stacked on others.
    pub const fn is_disk(&self) -> bool {
        self.disk.is_none() && self.transport.is_some()
    }

    /// The name by which it is found again wherever it is plugged in; one that a person can read
    /// comes before a number.
    pub fn stable(&self) -> Option<&str> {
        const NUMBERS: [&str; 8] = [
            "dm-uuid-",
            "lvm-pv-uuid-",
            "md-uuid-",
            "nvme-eui.",
            "nvme-nvme.",
            "nvme-uuid.",
            "scsi-3",
            "wwn-",
        ];
        self.ids().min_by_key(|link| {
            let id = &link[BY_ID.len()..];
            let number = NUMBERS.iter().any(|start| id.starts_with(start));
            // systemd 254 adds `nvme-MODEL_SERIAL_1`, with the namespace; the name without it is
            // known to older versions, too.
            let disk = id.rsplit_once("-part").map_or(id, |(disk, _)| disk);
            let namespace = id.starts_with("nvme-") && disk.ends_with("_1");
            (number, namespace, *link)
        })
    }

    /// Its links below /dev/disk/by-id.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let links = self.links.iter().map(String::as_str);
        links.filter(|link| link.starts_with(BY_ID))
    }
}

/// Where udev names disks by what they are.
pub const BY_ID: &str = "/dev/disk/by-id/";
