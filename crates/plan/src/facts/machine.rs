//! Processor, memory, firmware and distribution.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::measured::Measured;

/// The machine below the kernel, and the distribution on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Processor.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// How the host was started by its firmware.
    pub firmware: Measured<Firmware>,
    /// UEFI Secure Boot is on; not measured on BIOS hosts or where the variable is unreadable.
    pub secure_boot: Measured<bool>,
    /// Kernel lockdown: `none`, `integrity`, `confidentiality`.
    pub lockdown: Measured<String>,
    /// Name of the hypervisor or cloud this host itself runs on; `None` on bare metal.
    pub hypervisor: Measured<Option<String>>,
    /// From os-release.
    pub distribution: Option<Distribution>,
    /// The device /dev/kvm exists.
    pub kvm_device: bool,
    /// The root file system lies on an encrypted volume.
    pub encrypted_root: Measured<bool>,
    /// ASUS laptops: `gpu_mux_mode` is 0, the discrete GPU drives the panel.
    pub gpu_mux_discrete: Option<bool>,
}

/// Processor facts from /proc/cpuinfo.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// Who made it.
    pub vendor: CpuVendor,
    /// `model name`.
    pub model: Option<String>,
    /// `vmx` or `svm` is among the flags.
    pub virtualization: Measured<bool>,
    /// Logical processors.
    pub threads: u32,
    /// Physical address bits.
    pub physical_bits: Option<u8>,
    /// `pdpe1gb` is among the flags: pages of 1 GiB.
    #[serde(default)]
    pub gigabyte_pages: Measured<bool>,
}

/// Processor vendor; decides which IOMMU words exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CpuVendor {
    /// GenuineIntel.
    Intel,
    /// AuthenticAMD or HygonGenuine, which share AMD-Vi.
    Amd,
    /// CentaurHauls or Shanghai: an Intel-style IOMMU.
    Zhaoxin,
    /// An x86 maker that is none of these, or another architecture.
    Other,
    /// /proc/cpuinfo was not there.
    #[default]
    Unknown,
}

/// Memory facts from /proc/meminfo, in KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// MemTotal.
    pub total_kib: Option<u64>,
    /// MemAvailable.
    pub available_kib: Option<u64>,
    /// HugePages_Total times Hugepagesize.
    pub hugepages_kib: Option<u64>,
}

/// Firmware interface the running kernel was started through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// /sys/firmware/efi exists.
    Efi,
    /// Legacy BIOS, or EFI with a compatibility module.
    Bios,
}

/// os-release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`.
    pub id: String,
    /// `ID_LIKE`, split.
    pub like: Vec<String>,
    /// `VERSION_ID`.
    pub version: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty: Option<String>,
    /// `VARIANT_ID`, which tells apart atomic and classic editions.
    pub variant: Option<String>,
}

impl Distribution {
    /// This distribution or one it says it is like.
    pub fn is_like(&self, id: &str) -> bool {
        self.id == id || self.like.iter().any(|like| like == id)
    }
}
