//! What works on the host: the baseline that a trial boot is held to.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::measured::Measured;

/// What works now. Names only, so that two boots can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// System services with processes, by unit name, sorted (directories of
    /// /sys/fs/cgroup/system.slice).
    pub services: Measured<Vec<String>>,
    /// Units in the state "failed", sorted (`systemctl list-units --failed`); asked for only where
    /// processes may be started.
    pub failed_units: Measured<Vec<String>>,
    /// Interfaces of default routes, sorted (/proc/net/route, /proc/net/ipv6_route).
    pub default_routes: Measured<Vec<String>>,
    /// A resolver is configured (/etc/resolv.conf has a `nameserver`).
    pub resolver: Measured<bool>,
    /// Keyboards by name, sorted (/proc/bus/input/devices, handlers with `kbd` and the letter keys).
    pub keyboards: Measured<Vec<String>>,
    /// Connected connectors and the PCI function they hang on: `0000:00:02.0 HDMI-A-1`, sorted.
    pub connectors: Measured<Vec<String>>,
    /// Mount points of /boot and of EFI system partitions that are mounted writable, sorted.
    pub boot_mounts: Measured<Vec<String>>,
    /// Lines of this boot's kernel log that tell of an oops, a bug or a fault of the IOMMU, without
    /// time stamps and numbers, sorted.
    pub kernel_faults: Measured<Vec<String>>,
}
