//! Who drives which display.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::pci::Address;

/// Display facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Display {
    /// DRM cards in number order.
    pub cards: Vec<DrmCard>,
    /// Function that owns a firmware frame buffer (parent of `*-framebuffer.0`, Linux 6.9).
    pub firmware_framebuffer: Option<Address>,
    /// Names of fbdev devices, from /proc/fb: number and driver name.
    pub fbdevs: Vec<String>,
    /// Nested resources of /proc/iomem that show a firmware console on a BAR: `BOOTFB`, `efifb`,
    /// `simplefb`, `vesafb`.
    pub firmware_consoles: Vec<String>,
    /// /proc/iomem was readable.
    pub iomem_read: bool,
}

/// A DRM device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrmCard {
    /// `card0` …
    pub name: String,
    /// The PCI function it belongs to.
    pub function: Option<Address>,
    /// `boot_display` (Linux 7.0); absent on older kernels, where absence says nothing.
    pub boot_display: Option<bool>,
    /// Its connectors.
    pub connectors: Vec<Connector>,
}

/// A connector of a DRM device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// `card0-HDMI-A-1`.
    pub name: String,
    /// `status` is `connected`.
    pub connected: bool,
    /// `status` is `unknown`: the hardware or its driver cannot tell.
    #[serde(default)]
    pub unknown: bool,
    /// `enabled` is `enabled`.
    pub enabled: bool,
}

impl DrmCard {
    /// Nothing speaks against a monitor being there.
    pub fn may_have_monitor(&self) -> bool {
        self.connectors.is_empty() || self.connectors.iter().any(|c| c.connected || c.unknown)
    }

    /// A monitor (or a remote console's virtual one) is plugged in.
    pub fn has_monitor(&self) -> bool {
        self.connectors.iter().any(|connector| connector.connected)
    }
}
