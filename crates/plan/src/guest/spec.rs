//! A guest as data: what is asked for, and what it comes to on one host.

use alloc::{string::String, vec::Vec};
use serde::Serialize;

use super::{
    CoreWish, GuestMemory, Pinning, hugepages::PageSize, hyperv::Enlightenment, pinning::CacheMode,
    pinning::GuestTopology,
};
use crate::{Notice, Selector, pci::Address};

/// What runs in the guest: decides clock, firmware, enlightenments and which buses it can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Os {
    /// Any Linux of the last ten years: it has virtio drivers.
    Linux,
    /// Windows 11: its installer asks for Secure Boot and a TPM 2.0.
    Windows11,
    /// Windows 10.
    Windows10,
    /// Anything else that boots by UEFI.
    Other,
}

impl Os {
    /// Windows of any version.
    pub const fn is_windows(self) -> bool {
        matches!(self, Self::Windows11 | Self::Windows10)
    }
}

/// What is asked of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// What runs in it.
    pub os: Os,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Virtual CPUs; without a number as many as fit into one L3 cache, which only a pinned guest
    /// can leave out.
    pub cpus: Option<u32>,
    /// CPUs are pinned.
    pub pinned: bool,
    /// To which cores; only with `pinned`.
    pub cores: CoreWish,
    /// Memory in huge pages that the host sets aside; only with `pinned`, for they lie on its nodes.
    pub hugepages: Option<PageSize>,
    /// The cards, by any function of each.
    pub gpu: Vec<Selector>,
    /// Other functions to give away.
    pub with: Vec<Selector>,
    /// Disks, the one it starts from first.
    pub disks: Vec<Storage>,
    /// How it sees them; as its system needs it if left out.
    pub bus: Option<Bus>,
    /// The installation medium, an ISO image.
    pub installer: Option<String>,
    /// The image with the virtio drivers for Windows.
    pub virtio_win: Option<String>,
    /// The image with its first settings ([`super::seed`]).
    pub seed: Option<String>,
    /// Its network.
    pub network: Network,
    /// A picture beside the card's.
    pub screen: Screen,
    /// Secure Boot; as the system needs it if left out.
    pub secure_boot: Option<bool>,
    /// A TPM 2.0; as the system needs it if left out.
    pub tpm: Option<bool>,
    /// Hide from the guest that it is one. The NVIDIA driver for Windows refused to work in a guest
    /// until version 465 (March 2021); since then hiding only takes away the faster clock and
    /// interrupts of a guest that knows.
    pub hide: bool,
    /// It can run guests of its own: WSL 2, Hyper-V, Docker Desktop, another passthru.
    pub nested: bool,
    /// It starts with the host.
    pub autostart: bool,
}

impl Wish {
    /// A pinned guest with nothing but a card, on libvirt's own network.
    pub fn new(name: impl Into<String>, os: Os, memory_kib: u64, gpu: Selector) -> Self {
        Self {
            name: name.into(),
            os,
            memory_kib,
            cpus: None,
            pinned: true,
            cores: CoreWish::default(),
            hugepages: None,
            gpu: [gpu].into(),
            with: Vec::new(),
            disks: Vec::new(),
            bus: None,
            installer: None,
            virtio_win: None,
            seed: None,
            network: Network::Default,
            screen: Screen::None,
            secure_boot: None,
            tpm: None,
            hide: false,
            nested: false,
            autostart: false,
        }
    }
}

/// A disk image or block device that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Absolute path on the host.
    pub path: String,
    /// Its format; told by the name's ending if left out. It is never guessed from what is in it, for
    /// that the guest can write.
    pub format: Option<Format>,
    /// A disk with a system on it that the guest takes over: encrypted volumes, volume groups and
    /// pools on it that the host has not open are the guest's.
    pub transplant: bool,
    /// passthru makes it, and it is empty.
    pub empty: bool,
}

/// Formats of disk images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Bytes as they are; block devices too.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    /// As libvirt and QEMU call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// The network of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// libvirt's network `default`: addresses of its own behind the host's.
    Default,
    /// This bridge of the host: the guest is a machine of the host's network.
    Bridge(String),
    /// None.
    None,
}

/// Where a picture can be seen that is not the card's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Screen {
    /// SPICE on a socket of the host's file system, nothing on the network: for the installer, until
    /// the card's driver is there.
    Spice,
    /// Only what is plugged into the card.
    None,
}

/// A guest that this host can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// What runs in it.
    pub os: Os,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// What it sees of its CPUs.
    pub topology: GuestTopology,
    /// What it sees of their caches.
    pub cache: CacheMode,
    /// Threads of an AMD processor have to be told.
    pub topoext: bool,
    /// Physical address bits, where the IOMMU has fewer than the processor: firmware would put the
    /// card's memory where the IOMMU cannot map it.
    pub address_bits: Option<u8>,
    /// The feature of the processor that a guest needs for guests of its own, if it does not get it:
    /// Windows that has it runs itself under Hyper-V, which is slower.
    pub without: Option<&'static str>,
    /// Which CPU of the host each of its CPUs is.
    pub pinning: Option<Pinning>,
    /// Its huge pages.
    pub memory: Option<GuestMemory>,
    /// Its firmware checks signatures, with Microsoft's keys.
    pub secure_boot: bool,
    /// It has a TPM 2.0, by swtpm.
    pub tpm: bool,
    /// The functions of the host that it owns, by slot of the guest.
    pub slots: Vec<Slot>,
    /// Disks and media.
    pub disks: Vec<Disk>,
    /// Its network.
    pub network: Network,
    /// The address of its network device, made from its name: the same each time, a different one
    /// for every guest of a host.
    pub mac: String,
    /// The model of its network device.
    pub nic: Nic,
    /// A picture beside the card's.
    pub screen: Screen,
    /// What Windows is told of its hypervisor.
    pub hyperv: Vec<Enlightenment>,
    /// It is hidden that it is a guest.
    pub hide: bool,
    /// It starts with the host.
    pub autostart: bool,
    /// What to know before it is defined.
    pub notes: Vec<Notice>,
}

/// A PCI slot of the guest behind a root port of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its functions, by their number in the guest; there is always a function 0.
    pub functions: Vec<Assigned>,
}

/// A function of the host in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Assigned {
    /// Where it is on the host.
    pub host: Address,
    /// Its function number in the guest: the host's, so that drivers that look for their neighbours
    /// find them. The first of a slot without a function 0 becomes it.
    pub function: u8,
}

/// A network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    /// Fast; Windows needs a driver for it.
    Virtio,
    /// Intel 82574L: every system has a driver.
    E1000e,
}

impl Nic {
    /// As libvirt and QEMU call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::E1000e => "e1000e",
        }
    }
}

/// A disk or a medium of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Absolute path on the host.
    pub path: String,
    /// Its format.
    pub format: Format,
    /// How the guest sees it.
    pub bus: Bus,
    /// It is a read-only medium in a drive.
    pub cdrom: bool,
    /// Its place among what the firmware tries.
    pub boot: Option<u8>,
}

impl Disk {
    /// It is a block device of the host.
    pub fn is_device(&self) -> bool {
        self.path.starts_with("/dev/")
    }
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// Fast; Windows needs a driver for it.
    Virtio,
    /// Every system has a driver.
    Sata,
}
