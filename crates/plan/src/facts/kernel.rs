//! The running kernel and the installed ones.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::measured::Measured;

/// Kernel facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// Release of the running kernel, such as `6.12.48+deb13-amd64`.
    pub release: Option<String>,
    /// The command line this boot was started with.
    pub cmdline: Measured<String>,
    /// Every kernel that has a module directory, oldest first by version.
    pub installed: Vec<InstalledKernel>,
    /// Loaded modules, with underscores, sorted; not measured where /proc/modules is missing.
    pub loaded: Measured<Vec<String>>,
    /// `/proc/sys/kernel/modules_disabled` is 1: no module can be loaded any more.
    pub modules_disabled: bool,
}

/// One installed kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledKernel {
    /// Release, the name of its directory under /lib/modules.
    pub release: String,
    /// A kernel image of this release is in /boot.
    pub bootable: bool,
    /// Its vfio-pci.
    pub vfio_pci: ModuleState,
    /// vfio_virqfd is a module of its own (before 6.2).
    pub has_vfio_virqfd: bool,
    /// Its initramfs.
    pub image: Option<super::Image>,
}

/// Where a module is in one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleState {
    /// A loadable module.
    Module,
    /// Built into the kernel: modprobe rules and images do not matter.
    BuiltIn,
    /// Not part of this kernel.
    Missing,
}
