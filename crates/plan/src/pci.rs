//! PCI addresses, ids and class codes.

use alloc::{format, string::String};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A PCI function's address, `domain:bus:device.function`.
///
/// The domain is 32 bits wide: Intel VMD numbers its domains from 0x10000
/// (`drivers/pci/controller/vmd.c`), which prints as five hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// PCI domain (segment).
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device number, 0 to 31.
    pub device: u8,
    /// Function number, 0 to 7.
    pub function: u8,
}

/// A text that is not a PCI address, and what an address looks like.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{0}\" is not a PCI address (expected [DDDD:]BB:DD.F in hexadecimal, such as 01:00.0 or 0000:01:00.0)"
)]
pub struct BadAddress(pub String);

impl Address {
    /// The address with its parts given.
    pub const fn new(domain: u32, bus: u8, device: u8, function: u8) -> Self {
        Self {
            domain,
            bus,
            device,
            function,
        }
    }

    /// Domain, bus and device: what all functions of one slot share.
    pub const fn slot(self) -> (u32, u8, u8) {
        (self.domain, self.bus, self.device)
    }

    /// The slot as text, `0000:01:00`.
    pub fn slot_text(self) -> String {
        format!("{:04x}:{:02x}:{:02x}", self.domain, self.bus, self.device)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{:x}",
            self.domain, self.bus, self.device, self.function
        )
    }
}

/// Hexadecimal digits only (`from_str_radix` alone would accept a sign), `min..=max` of them.
fn hex(text: &str, digits: core::ops::RangeInclusive<usize>) -> Option<u32> {
    (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let parse = || {
            let (rest, function) = text.rsplit_once('.')?;
            let (rest, device) = rest.rsplit_once(':')?;
            let (domain, bus) = match rest.rsplit_once(':') {
                Some((domain, bus)) => (hex(domain, 1..=8)?, bus),
                None => (0, rest),
            };
            let address = Self {
                domain,
                bus: u8::try_from(hex(bus, 1..=2)?).ok()?,
                device: u8::try_from(hex(device, 1..=2)?).ok()?,
                function: u8::try_from(hex(function, 1..=1)?).ok()?,
            };
            (address.device < 32 && address.function < 8).then_some(address)
        };
        parse().ok_or_else(|| BadAddress(text.into()))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A pair of 16-bit PCI ids, `vendor:device` or a subsystem's `vendor:device`; text is `10de:1f08`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ids {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
}

impl Ids {
    /// The pair.
    pub const fn new(vendor: u16, device: u16) -> Self {
        Self { vendor, device }
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// A text that is not a pair of ids.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{0}\" is not a vendor:device pair (expected four hexadecimal digits each, such as 10de:1f08)"
)]
pub struct BadIds(pub String);

impl FromStr for Ids {
    type Err = BadIds;

    fn from_str(text: &str) -> Result<Self, BadIds> {
        let parse = || {
            let (vendor, device) = text.split_once(':')?;
            let half = |part| hex(part, 4..=4).and_then(|n| u16::try_from(n).ok());
            Some(Self {
                vendor: half(vendor)?,
                device: half(device)?,
            })
        };
        parse().ok_or_else(|| BadIds(text.into()))
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A 24-bit PCI class code: base class, sub-class, programming interface (`include/linux/pci_ids.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(pub u32);

impl Class {
    /// Base class, the highest byte: 0x03 is a display controller.
    pub const fn base(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Base class and sub-class: 0x0300 is a VGA controller, 0x0604 a PCI-to-PCI bridge.
    pub const fn sub(self) -> u16 {
        (self.0 >> 8) as u16
    }

    /// Any display controller: VGA (0300), XGA (0301), 3D (0302) or other (0380).
    pub const fn is_display(self) -> bool {
        self.base() == 0x03
    }

    /// Any bridge: host, ISA, PCI-to-PCI …
    pub const fn is_bridge(self) -> bool {
        self.base() == 0x06
    }

    /// A PCI-to-PCI bridge (header type 1): 0604, or 0609 semi-transparent.
    pub const fn is_pci_bridge(self) -> bool {
        matches!(self.sub(), 0x0604 | 0x0609)
    }

    /// A word a person knows for this class.
    pub const fn word(self) -> &'static str {
        match self.sub() {
            0x0101 => "IDE controller",
            0x0104 => "RAID controller",
            0x0106 => "SATA controller",
            0x0108 => "NVMe controller",
            0x0200 => "Ethernet controller",
            0x0280 => "network controller",
            0x0300 => "VGA controller",
            0x0302 => "3D controller",
            0x0380 => "display controller",
            0x0403 => "audio device",
            0x0600 => "host bridge",
            0x0601 => "ISA bridge",
            0x0604 | 0x0609 => "PCI bridge",
            0x0806 => "IOMMU",
            0x0c03 => "USB controller",
            0x0c05 => "SMBus",
            0x0c80 => "serial bus controller",
            _ => match self.base() {
                0x01 => "storage controller",
                0x02 => "network controller",
                0x03 => "display controller",
                0x04 => "multimedia controller",
                0x05 => "memory controller",
                0x06 => "bridge",
                0x07 => "communication controller",
                0x08 => "system peripheral",
                0x0c => "serial bus controller",
                0x0d => "wireless controller",
                0x10 => "encryption controller",
                0x11 => "signal processing controller",
                0x12 => "processing accelerator",
                _ => "device",
            },
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0 & 0x00ff_ffff)
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex(&text, 6..=6)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a six-digit class code")))
    }
}
