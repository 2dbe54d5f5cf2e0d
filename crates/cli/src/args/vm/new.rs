//! `passthru vm new`.

use clap::{Args, ValueEnum};
use passthru_plan::{Selector, guest::spec};

use super::{Bus, Input, Kib, Pages, cores, memory};

/// `passthru vm new`.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The guest's name.
    pub(crate) name: String,
    /// What runs in it.
    #[arg(long, value_name = "OS")]
    pub(crate) os: Os,
    /// Its card, by any of its functions: `01:00.0`, or with what it must be,
    /// `01:00.0=10de:1f08`. May be repeated.
    #[arg(long, value_name = "ADDR[=IDS]", required = true)]
    pub(crate) gpu: Vec<Selector>,
    /// Another function to give away with it. May be repeated.
    #[arg(long, value_name = "ADDR[=IDS]")]
    pub(crate) with: Vec<Selector>,
    /// Memory, such as 16G or 8192M.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory: Kib,
    /// CPUs; as many as fit into one L3 cache if left out.
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u32>,
    /// Do not pin its CPUs to cores of the host.
    #[arg(long, requires = "cpus", conflicts_with = "hugepages", conflicts_with_all = cores::ALL)]
    pub(crate) no_pin: bool,
    #[command(flatten)]
    pub(crate) pages: Pages,
    /// Be a machine of the network behind this bridge of the host, instead of libvirt's network
    /// `default`.
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: Option<String>,
    /// No network.
    #[arg(long, conflicts_with = "bridge")]
    pub(crate) no_network: bool,
    /// Show a picture beside the card's, by SPICE on a local socket: for the installer.
    #[arg(long)]
    pub(crate) screen: bool,
    /// Secure Boot; on for Windows 11 if left out.
    #[arg(long, value_name = "YES|NO")]
    pub(crate) secure_boot: Option<Choice>,
    /// A TPM 2.0; there is one for Windows 11 if left out.
    #[arg(long, value_name = "YES|NO")]
    pub(crate) tpm: Option<Choice>,
    /// Hide from Windows that it is a guest. Only NVIDIA drivers older than 465 (March 2021) need it
    /// (Code 43); to any other guest it only takes away speed.
    #[arg(long)]
    pub(crate) hide: bool,
    /// Let it run guests of its own (WSL 2, Hyper-V, Docker Desktop).
    #[arg(long)]
    pub(crate) nested: bool,
    /// Start it with the host.
    #[arg(long)]
    pub(crate) autostart: bool,
    /// How to show it.
    #[arg(long, value_name = "FORMAT", default_value = "libvirt")]
    pub(crate) format: Format,
    /// libvirt's answer to `virsh domcapabilities --virttype kvm --arch x86_64 --machine q35`, from
    /// a file; this host is asked if left out.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) capabilities: Option<std::path::PathBuf>,
    /// Show it and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) cores: cores::Cores,
    #[command(flatten)]
    pub(crate) storage: Storage,
    #[command(flatten)]
    pub(crate) devices: Devices,
    #[command(flatten)]
    pub(crate) seed: Seed,
}

/// Disks and media.
#[derive(Debug, Args)]
#[command(next_help_heading = "Disks and media")]
pub(crate) struct Storage {
    /// A cloud image: the guest gets a copy of it as its disk.
    #[arg(long, value_name = "FILE", conflicts_with = "new_disk")]
    pub(crate) image: Option<String>,
    /// How large that copy becomes, such as 40G; as large as the image if left out.
    #[arg(long, value_name = "SIZE", value_parser = memory, requires = "image")]
    pub(crate) disk_size: Option<Kib>,
    /// A new, empty disk to install to, such as 64G.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) new_disk: Option<Kib>,
    /// A disk that is there already: an image, or a device of /dev/disk/by-id (see `passthru vm
    /// disks`). May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) disk: Vec<String>,
    /// A disk with a system on it that the guest takes over, by its name in /dev/disk/by-id. Encrypted
    /// volumes, volume groups and pools on it that the host has not open are the guest's. May be
    /// repeated.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) transplant: Vec<String>,
    /// The format of disks whose names do not end in .raw or .qcow2.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) disk_format: Option<DiskFormat>,
    /// How it sees its disks. Every system has a driver for sata; virtio is faster, and is what
    /// Linux gets, and an empty disk of a Windows with --virtio-win.
    #[arg(long, value_name = "BUS")]
    pub(crate) disk_bus: Option<Bus>,
    /// The installation medium.
    #[arg(long, value_name = "FILE")]
    pub(crate) iso: Option<String>,
    /// The virtio drivers for Windows.
    #[arg(long, value_name = "FILE")]
    pub(crate) virtio_win: Option<String>,
}

/// USB devices, keyboard and mouse.
#[derive(Debug, Args)]
#[command(next_help_heading = "USB devices, keyboard and mouse")]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) input: Input,
}

/// First settings of a cloud image.
#[derive(Debug, Args)]
#[command(next_help_heading = "First settings of a cloud image")]
pub(crate) struct Seed {
    /// The user to make, who may become root.
    #[arg(long, value_name = "USER")]
    pub(crate) seed_user: Option<String>,
    /// A public key the user logs in with, or the file that holds it. May be repeated.
    #[arg(long, value_name = "KEY|FILE", requires = "seed_user")]
    pub(crate) ssh_key: Vec<String>,
    /// The hash of the user's password, from `openssl passwd -6`.
    #[arg(long, value_name = "HASH", requires = "seed_user")]
    pub(crate) password_hash: Option<String>,
}

/// What runs in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Os {
    /// Linux.
    Linux,
    /// Windows 11: with Secure Boot and a TPM.
    Windows11,
    /// Windows 10.
    Windows10,
    /// Anything else that boots by UEFI.
    Other,
}

impl From<Os> for spec::Os {
    fn from(os: Os) -> Self {
        match os {
            Os::Linux => Self::Linux,
            Os::Windows11 => Self::Windows11,
            Os::Windows10 => Self::Windows10,
            Os::Other => Self::Other,
        }
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// How a guest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The XML of a libvirt domain.
    Libvirt,
    /// A script that starts QEMU.
    Qemu,
}

/// Formats of disk images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiskFormat {
    /// Bytes as they are.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl From<DiskFormat> for spec::Format {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Raw => Self::Raw,
            DiskFormat::Qcow2 => Self::Qcow2,
        }
    }
}
