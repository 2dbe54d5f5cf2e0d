//! PCI functions as sysfs shows them (`Documentation/ABI/testing/sysfs-bus-pci`).

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::pci::{Address, Class, Ids};

/// One PCI function. Nothing here is read from config space, so a suspended device stays suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Class code.
    pub class: Class,
    /// Vendor and device id.
    pub ids: Ids,
    /// Subsystem vendor and device; absent where both are zero. A bridge has them only if it has the
    /// capability that names them.
    pub subsystem: Option<Ids>,
    /// Revision, if the host shows it.
    pub revision: Option<u8>,
    /// Name of the bound driver.
    pub driver: Option<String>,
    /// Module that provides the bound driver (`driver/module`), if the host says.
    pub driver_module: Option<String>,
    /// `driver_override`, if one is set.
    pub driver_override: Option<String>,
    /// Modules that would bind it, over all installed kernels, in name order; `vfio_pci:` aliases
    /// are left out.
    pub candidates: Vec<Candidate>,
    /// IOMMU group number.
    pub group: Option<u32>,
    /// `boot_vga`; absent on everything but VGA controllers, and absence does not mean "not primary".
    pub boot_vga: Option<bool>,
    /// Non-empty base address registers.
    pub bars: Vec<Bar>,
    /// Reset methods in order; empty if the kernel knows none, `None` if the file does not exist
    /// *and* the kernel is older than 5.15 or the capture left it out.
    pub reset_methods: Option<Vec<String>>,
    /// A readable option ROM exists (`rom` is present).
    pub rom: bool,
    /// NUMA node; `None` if unknown (-1).
    pub numa_node: Option<u32>,
    /// SR-IOV, if the function can have virtual functions.
    pub sriov: Option<Sriov>,
    /// The physical function this virtual function belongs to.
    pub physfn: Option<Address>,
    /// `power_state`: D0, D1, D2, D3hot, D3cold, unknown.
    pub power_state: Option<String>,
    /// `power/runtime_status`: active, suspended …
    pub runtime_status: Option<String>,
    /// `removable` of the function or a parent says it can be unplugged (Thunderbolt, USB4).
    pub removable: bool,
    /// The bridge directly above, if the host shows the bus path.
    pub parent: Option<Address>,
    /// Name from the host's pci.ids: vendor and device; absent where the list is or knows nothing.
    pub name: Option<String>,
}

/// A module that would bind a function, from modules.alias or modules.builtin.modinfo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    /// Module name with underscores.
    pub module: String,
    /// Built into at least one installed kernel: modprobe rules do not reach it.
    pub builtin: bool,
}

/// A base address register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// 0 to 5; 6 is the ROM.
    pub index: u8,
    /// Start address as the bus sees it; zero with a size means the firmware assigned none. Without
    /// the right to see addresses the kernel prints zeros everywhere; then sizes are zero too.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// Resource flags (`include/linux/ioport.h`).
    pub flags: u64,
}

/// SR-IOV counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sriov {
    /// How many virtual functions the hardware can make.
    pub total: u32,
    /// How many exist now.
    pub enabled: u32,
}

impl Function {
    /// A function of which nothing but its place is known.
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            class: Class(0),
            ids: Ids::new(0, 0),
            subsystem: None,
            revision: None,
            driver: None,
            driver_module: None,
            driver_override: None,
            candidates: Vec::new(),
            group: None,
            boot_vga: None,
            bars: Vec::new(),
            reset_methods: None,
            rom: false,
            numa_node: None,
            sriov: None,
            physfn: None,
            power_state: None,
            runtime_status: None,
            removable: false,
            parent: None,
            name: None,
        }
    }

    /// Name, or the ids where there is none.
    pub fn label(&self) -> String {
        use alloc::string::ToString;
        self.name.clone().unwrap_or_else(|| self.ids.to_string())
    }

    /// Bound to vfio-pci itself.
    pub fn is_on_vfio(&self) -> bool {
        self.driver.as_deref() == Some("vfio-pci")
    }
}
