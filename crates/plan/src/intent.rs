//! What the user wants.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    guest::hugepages::PageSize,
    pci::{Address, Ids},
};

/// What the user wants of a host. An intent file (TOML) holds exactly this.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Intent {
    /// The cards to give away, by any function of theirs.
    pub gpu: Vec<Selector>,
    /// Other functions of the groups that may be given away with them.
    pub with: Vec<Selector>,
    /// How the card is bound.
    pub binding: Binding,
    /// The host may lose its only display.
    pub headless: bool,
    /// Consent to run without interrupt remapping.
    pub allow_unsafe_interrupts: bool,
    /// Only turn the IOMMU on; bind nothing yet.
    pub iommu_only: bool,
    /// Put right what guides and other tools left behind. By itself it is all that is done.
    pub repair: bool,
    /// Memory for guests, in KiB, that is set aside in huge pages at every boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hugepages_kib: Option<u64>,
    /// In pages of this size.
    #[serde(skip_serializing_if = "PageSize::is_largest")]
    pub hugepage_size: PageSize,
    /// Huge pages that an earlier change set aside go. Without it they stay, if none are asked for.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub no_hugepages: bool,
    /// Whether a trial boot comes first.
    pub trial: TrialBoot,
}

/// Whether a trial boot comes before the words are on every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialBoot {
    /// Where the boot loader can start an entry once.
    #[default]
    IfPossible,
    /// No: the next boot has the words, and so has every later one.
    Never,
}

/// When the card is bound to vfio-pci.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// At boot, before any other driver.
    #[default]
    Static,
}

/// A function named by what it is: its address, and once known its ids, so that a card that moved
/// to another slot is noticed instead of another device being taken for it.
///
/// Text: `01:00.0`, or `01:00.0=10de:1f08`, or `01:00.0=10de:1f08/1043:86f0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Where it is.
    pub address: Address,
    /// What it must be.
    pub ids: Option<Ids>,
    /// Which board it must be.
    pub subsystem: Option<Ids>,
}

/// A text that names no function.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{text}\" names no PCI function: {why}")]
pub struct BadSelector {
    text: String,
    why: String,
}

impl Intent {
    /// Nothing is asked for but repairs.
    pub fn is_repair_only(&self) -> bool {
        self.repair && self.gpu.is_empty() && !self.iommu_only
    }
}

impl Selector {
    /// By address alone.
    pub const fn at(address: Address) -> Self {
        Self {
            address,
            ids: None,
            subsystem: None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(ids) = self.ids {
            write!(f, "={ids}")?;
            if let Some(subsystem) = self.subsystem {
                write!(f, "/{subsystem}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        use alloc::string::ToString;
        let bad = |why: &dyn fmt::Display| BadSelector {
            text: text.into(),
            why: why.to_string(),
        };
        let (address, identity) = match text.split_once('=') {
            Some((address, identity)) => (address, Some(identity)),
            None => (text, None),
        };
        // `01:00` is the whole slot, which any of its functions names.
        let address = if address.contains('.') || !address.contains(':') {
            address.parse()
        } else {
            alloc::format!("{address}.0").parse()
        }
        .map_err(|e: crate::pci::BadAddress| bad(&e))?;
        let mut selector = Self::at(address);
        if let Some(identity) = identity {
            let (ids, subsystem) = match identity.split_once('/') {
                Some((ids, subsystem)) => (ids, Some(subsystem)),
                None => (identity, None),
            };
            selector.ids = Some(ids.parse().map_err(|e: crate::pci::BadIds| bad(&e))?);
            selector.subsystem = subsystem
                .map(str::parse)
                .transpose()
                .map_err(|e: crate::pci::BadIds| bad(&e))?;
        }
        Ok(selector)
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
