//! Reads a host into [`Facts`], through the one door to files. Reading changes nothing: no attribute
//! is written, and neither `config` nor `rom` is opened, so a suspended device stays suspended.
//!
//! One file per subject, named as in `passthru_plan::facts`. Nothing here fails: what cannot be read
//! is [`Measured::NotMeasured`] with the path and the reason, and what makes no sense is named in
//! [`Facts::unreadable`].

mod block;
mod blocks;
mod boot;
mod candidates;
mod display;
mod files;
mod health;
mod image;
mod iommu;
mod kernel;
mod loaded;
mod log;
mod machine;
mod names;
mod net;
mod pci;
mod program;
mod topology;
mod usage;
mod usb;

pub(crate) use boot::image_cmdline;
pub use health::failed_units;
pub use image::{ImageContent, ImageError, Problem as ImageProblem, read_image};

use passthru_plan::{Address, Facts, Measured, facts::Reading};

use crate::root::{PathError, Root};

/// Files that a capture brings along for what a directory tree cannot hold.
pub(crate) mod captured {
    /// The kernel log as text.
    pub(crate) const DMESG: &str = "/run/passthru-capture/dmesg";
    /// `PATH BYTES` lines: sizes of images whose content was left out.
    pub(crate) const SIZES: &str = "/run/passthru-capture/sizes";
    /// Free bytes on the file system of /boot.
    pub(crate) const BOOT_FREE: &str = "/run/passthru-capture/boot-free";
    /// Free bytes of the partition that the loader reads.
    pub(crate) const PARTITION_FREE: &str = "/run/passthru-capture/partition-free";
    /// What is in the unified kernel images, one JSON object per line.
    pub(crate) const UNIFIED: &str = "/run/passthru-capture/unified";
    /// Paths that exist and could not be read, one per line.
    pub(crate) const DENIED: &str = "/run/passthru-capture/denied";
}

/// What to read. Functions and groups always are; everything else costs time that not every command
/// needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Modules that would bind each function, over all installed kernels.
    pub candidates: bool,
    /// Names from pci.ids.
    pub names: bool,
    /// What the host itself uses behind each function: disks, network, input.
    pub usage: bool,
    /// DRM cards and their connectors.
    pub monitors: bool,
    /// IOMMU, kernels, machine, display, boot stack and configuration files.
    pub host: bool,
    /// Cores, threads and caches; memory nodes come with `host`.
    pub cpus: bool,
    /// Block devices and who uses them.
    pub blocks: bool,
    /// Open the initramfs of every installed kernel.
    pub images: bool,
    /// Lines of the kernel's and libvirt's logs that match a known symptom.
    pub log: bool,
}

impl Wanted {
    /// Functions and groups alone.
    pub const fn functions() -> Self {
        Self {
            candidates: false,
            names: false,
            usage: false,
            monitors: false,
            host: false,
            cpus: false,
            blocks: false,
            images: false,
            log: false,
        }
    }

    /// What a device list shows.
    pub const fn devices() -> Self {
        Self {
            candidates: true,
            names: true,
            usage: true,
            monitors: true,
            host: false,
            cpus: false,
            blocks: false,
            images: false,
            log: false,
        }
    }

    /// Everything about a host but its processors and the content of initramfs images.
    pub const fn all() -> Self {
        Self {
            host: true,
            log: true,
            ..Self::devices()
        }
    }

    /// Disks, and the configuration that names them.
    pub const fn disks() -> Self {
        Self {
            usage: true,
            host: true,
            blocks: true,
            ..Self::functions()
        }
    }

    /// What planning a guest needs.
    pub const fn guest() -> Self {
        Self {
            cpus: true,
            blocks: true,
            log: false,
            ..Self::all()
        }
    }

    /// What a capture brings along: all that any command reads, but for images.
    pub const fn capture() -> Self {
        Self {
            cpus: true,
            blocks: true,
            ..Self::all()
        }
    }

    /// Everything, images included: for verifying what the next boot will find.
    pub const fn everything_with_images() -> Self {
        Self {
            images: true,
            ..Self::all()
        }
    }
}

/// The facts of the host under `root`, as far as `wanted`.
pub fn observe(root: &Root, wanted: Wanted) -> Facts {
    let mut facts = Facts {
        reading: reading(root),
        ..Facts::default()
    };
    if wanted.host {
        facts.kernel = kernel::observe(root, wanted.images);
    } else if wanted.candidates {
        facts.kernel.installed = kernel::releases(root);
    }
    pci::observe(root, &mut facts);
    if wanted.candidates {
        candidates::fill(root, &mut facts);
    }
    if wanted.names {
        names::fill(root, &mut facts.functions);
    }
    let storage =
        (wanted.usage || wanted.host || wanted.blocks).then(|| block::Storage::observe(root));
    if let (Some(storage), true) = (&storage, wanted.usage) {
        (facts.uses, facts.keyboard_elsewhere) = usage::observe(root, storage, &facts.functions);
        facts.usb = usb::observe(root);
    }
    if let (Some(storage), true) = (&storage, wanted.blocks) {
        facts.blocks = blocks::observe(root, storage);
    }
    if let (Some(storage), true) = (&storage, wanted.host) {
        facts.iommu = iommu::observe(root);
        facts.machine = machine::observe(root, storage);
        facts.display = display::observe(root);
        files::observe(root, &mut facts);
        facts.boot = boot::observe(root, &facts, storage);
        loaded::complete(root, &mut facts, wanted.images);
        facts.health = health::observe(root, &facts);
        facts.program = program::observe(root);
    }
    if wanted.monitors && !wanted.host {
        facts.display.cards = display::cards(root);
    }
    if wanted.cpus {
        facts.topology = topology::observe(root, &facts.functions);
    } else if wanted.host {
        facts.topology = topology::memory(root);
    }
    if wanted.log {
        facts.log = log::observe(root);
    }
    facts
}

/// Not measured because of `error`, in words: what, where, and what would help.
pub(crate) fn not<T>(root: &Root, path: &str, error: &PathError) -> Measured<T> {
    use std::io::ErrorKind;
    let reason = match error.source.kind() {
        ErrorKind::PermissionDenied => "needs root to be read".to_owned(),
        _ if error.is_missing() && root.is_live() => "is not there".to_owned(),
        _ if error.is_missing() => "is not part of this host's tree".to_owned(),
        _ => format!("cannot be read: {}", error.source),
    };
    Measured::NotMeasured(format!("{path} {reason}"))
}

/// The text of `path`, bytes that are not UTF-8 replaced, or why not.
pub(crate) fn text(root: &Root, path: &str) -> Measured<String> {
    match root.read(path) {
        Ok(bytes) => Measured::Value(lossy(bytes)),
        Err(error) => not(root, path, &error),
    }
}

/// Bytes as text; NULs at the end, which some captures pad attribute files with, are dropped.
fn lossy(mut bytes: Vec<u8>) -> String {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The PCI functions on a sysfs path, outermost first.
pub(crate) fn functions_on(path: &str) -> impl DoubleEndedIterator<Item = Address> {
    path.split('/').filter_map(|part| {
        // `1-2.1:1.0` of USB has no domain; an address in a sysfs path always has one.
        (part.bytes().filter(|&b| b == b':').count() == 2)
            .then(|| part.parse().ok())
            .flatten()
    })
}

fn reading(root: &Root) -> Reading {
    if !root.is_live() {
        Reading::Copy
    } else if rustix::process::geteuid().is_root() {
        Reading::Root
    } else {
        Reading::User
    }
}
