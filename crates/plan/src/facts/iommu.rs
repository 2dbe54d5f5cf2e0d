//! The IOMMU and its groups.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{measured::Measured, pci::Address};

/// The state of the host's IOMMU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Iommu {
    /// The firmware's table: `DMAR` (Intel) or `IVRS` (AMD); `None` if the firmware offers none.
    pub firmware_table: Measured<Option<String>>,
    /// Units in use, from /sys/class/iommu: `dmar0`, `ivhd0` …
    pub units: Vec<String>,
    /// Interrupts are remapped (`IR-` chips are in use).
    pub interrupt_remapping: Measured<bool>,
    /// Intel: width in bits of the addresses the units translate (MGAW of `intel-iommu/cap`), the
    /// smallest of all units.
    pub address_width: Option<u8>,
}

impl Iommu {
    /// Translating now: units exist (groups are checked beside this).
    pub fn has_units(&self) -> bool {
        !self.units.is_empty()
    }
}

/// An IOMMU group: the smallest set of functions that can be given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// Domain type: `DMA`, `DMA-FQ`, `identity`, `unmanaged` … (`type`, Linux 5.11).
    pub kind: Option<String>,
    /// Reserved regions, if readable.
    pub reserved: Vec<ReservedRegion>,
    /// Members in address order.
    pub functions: Vec<Address>,
}

/// One line of `reserved_regions` (Linux 4.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedRegion {
    /// First address.
    pub start: u64,
    /// Last address.
    pub end: u64,
    /// `direct`, `direct-relaxable`, `reserved`, `msi`. A `direct` region makes the group
    /// unassignable (`drivers/iommu/iommu.c`).
    pub kind: String,
}
