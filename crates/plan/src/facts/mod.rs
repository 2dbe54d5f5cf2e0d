//! What a host is: everything the planner may know, as data.
//!
//! Facts hold both what is *configured* (files, boot entries, images) and what is *running* (bound
//! drivers, the booted command line), so that "reboot needed" and "drifted" are different answers.

pub mod blocks;
pub mod boot;
pub mod display;
pub mod health;
pub mod iommu;
pub mod kernel;
pub mod machine;
pub mod pci;
pub mod topology;
pub mod usage;
pub mod usb;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

pub use blocks::{Block, Blocks, Transport};
pub use boot::{Boot, BootEntry, BootLoader, BootPartition, Generator, Image};
pub use display::{Connector, Display, DrmCard};
pub use health::Health;
pub use iommu::{Group, Iommu, ReservedRegion};
pub use kernel::{InstalledKernel, Kernel, ModuleState};
pub use machine::{Cpu, CpuVendor, Distribution, Firmware, Machine, Memory};
pub use pci::{Bar, Candidate, Function, Sriov};
pub use topology::{Cache, CoreKind, HugepagePool, LogicalCpu, Node, Topology};
pub use usage::{Use, UseKind};
pub use usb::UsbDevice;

use crate::{measured::Measured, pci::Address};

/// Everything known about one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// PCI functions in address order.
    pub functions: Vec<Function>,
    /// IOMMU groups in numeric order; empty while no IOMMU is active.
    pub groups: Vec<Group>,
    /// The IOMMU: firmware, units, interrupt remapping.
    pub iommu: Iommu,
    /// Processor, memory, firmware, distribution.
    pub machine: Machine,
    /// Cores, threads, caches and memory nodes.
    #[serde(default)]
    pub topology: Topology,
    /// The running kernel and every installed one.
    pub kernel: Kernel,
    /// Who drives which display.
    pub display: Display,
    /// Boot loader and initramfs generator.
    pub boot: Boot,
    /// What the host itself needs, by function.
    pub uses: Vec<Use>,
    /// USB devices that are plugged in, in the order of their ports' names.
    #[serde(default)]
    pub usb: Measured<Vec<UsbDevice>>,
    /// Block devices and who uses them; read for guests only.
    #[serde(default)]
    pub blocks: Blocks,
    /// A keyboard hangs on no PCI function (PS/2, a laptop's own).
    #[serde(default)]
    pub keyboard_elsewhere: bool,
    /// Configuration files that plans edit or findings read, by absolute path.
    pub files: BTreeMap<String, ConfigFile>,
    /// Kernel log and libvirt log lines that match a known symptom.
    pub log: Measured<Vec<String>>,
    /// Absolute path of the running passthru, if nobody but root can replace it: what a service may
    /// start.
    #[serde(default)]
    pub program: Measured<String>,
    /// What works on this host now, to tell after a trial boot whether it still does.
    #[serde(default)]
    pub health: Health,
    /// How all of this was read.
    #[serde(default)]
    pub reading: Reading,
    /// Directories of configuration that only root may list, one sentence each.
    #[serde(default)]
    pub closed: Vec<String>,
    /// What is there but could not be understood, one sentence each: what, where and why. A function
    /// named here is missing from `functions`.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// How facts were read: what may be hidden, and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// From a capture or another root directory: what is not in it is not known.
    #[default]
    Copy,
    /// On the running host, by an ordinary user: some files are closed.
    User,
    /// On the running host, by root.
    Root,
}

/// A configuration file as it stands on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Its text; not measured if it is unreadable, too large or not UTF-8.
    pub text: Measured<String>,
    /// Permission bits, such as 0o644.
    pub mode: u32,
}

impl Facts {
    /// The function at `address`.
    pub fn function(&self, address: Address) -> Option<&Function> {
        self.functions
            .binary_search_by_key(&address, |f| f.address)
            .ok()
            .map(|i| &self.functions[i])
    }

    /// The group with this number.
    pub fn group(&self, id: u32) -> Option<&Group> {
        self.groups
            .binary_search_by_key(&id, |group| group.id)
            .ok()
            .map(|i| &self.groups[i])
    }

    /// What the host uses behind the function at `address`.
    pub fn uses_of(&self, address: Address) -> impl Iterator<Item = &Use> {
        self.uses
            .iter()
            .filter(move |usage| usage.address == address)
    }

    /// The text of the configuration file at `path`, if it exists and was readable.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.value().map(String::as_str)
    }
}
