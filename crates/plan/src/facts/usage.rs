//! What the host itself needs, and through which function.

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::pci::Address;

/// One thing the host uses behind a PCI function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// The function.
    pub address: Address,
    /// What kind of use.
    pub kind: UseKind,
    /// What exactly, in words for a person: `/home on nvme0n1p3 (LUKS, LVM)`.
    pub detail: String,
}

/// Kinds of use, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UseKind {
    /// The root file system or one the boot needs (/, /boot, /boot/efi, /usr, /var).
    RootDisk,
    /// Any other mounted file system.
    Mount,
    /// Active swap.
    Swap,
    /// The network device of the default route.
    DefaultRoute,
    /// Another network device that is up with a carrier.
    Network,
    /// A keyboard.
    Keyboard,
    /// A mouse or touchpad.
    Mouse,
}

/// A mount point without which the host does not boot.
pub fn is_vital(target: &str) -> bool {
    matches!(target, "/" | "/usr" | "/var" | "/boot" | "/efi") || target.starts_with("/boot/")
}
