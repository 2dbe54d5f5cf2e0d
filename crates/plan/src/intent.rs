//! What the user wants.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    guest::hugepages::PageSize,
    pci::{Address, Ids},
    text::size,
};

/// What the user wants of a host. An intent file (TOML) holds this, under the words of the flags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Keys", rename_all = "kebab-case")]
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

/// The keys that are read: the words of the flags, and those that a stored plan has.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    gpu: Vec<Selector>,
    with: Vec<Selector>,
    binding: Binding,
    headless: bool,
    allow_unsafe_interrupts: bool,
    iommu_only: bool,
    repair: bool,
    hugepages: Option<Size>,
    hugepage_size: PageSize,
    no_hugepages: bool,
    no_trial: Option<bool>,
    // As a plan stores them.
    hugepages_kib: Option<u64>,
    trial: Option<TrialBoot>,
}

/// A size such as `16G`, in KiB.
struct Size(u64);

/// What no host can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadIntent {
    /// Nothing is wanted.
    #[error("names no card")]
    Nothing,
    /// Huge pages are set aside for a guest with a card.
    #[error("hugepages needs gpu")]
    HugepagesWithoutCard,
    /// A size of pages without pages.
    #[error("hugepage-size needs hugepages")]
    SizeWithoutHugepages,
    /// Huge pages, and none.
    #[error("hugepages and no-hugepages exclude each other")]
    PagesAndNone,
    /// The same thing, said in two ways.
    #[error("{0} and {1} say the same: keep one")]
    Twice(&'static str, &'static str),
}

impl TryFrom<Keys> for Intent {
    type Error = BadIntent;

    fn try_from(keys: Keys) -> Result<Self, BadIntent> {
        if keys.hugepages.is_some() && keys.hugepages_kib.is_some() {
            return Err(BadIntent::Twice("hugepages", "hugepages-kib"));
        }
        if keys.no_trial.is_some() && keys.trial.is_some() {
            return Err(BadIntent::Twice("no-trial", "trial"));
        }
        Ok(Self {
            gpu: keys.gpu,
            with: keys.with,
            binding: keys.binding,
            headless: keys.headless,
            allow_unsafe_interrupts: keys.allow_unsafe_interrupts,
            iommu_only: keys.iommu_only,
            repair: keys.repair,
            hugepages_kib: keys.hugepages.map(|size| size.0).or(keys.hugepages_kib),
            hugepage_size: keys.hugepage_size,
            no_hugepages: keys.no_hugepages,
            trial: match keys.no_trial {
                Some(true) => TrialBoot::Never,
                Some(false) => TrialBoot::IfPossible,
                None => keys.trial.unwrap_or_default(),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        size::parse_kib(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Intent {
    /// Whether it can be asked for at all, whichever way it came.
    ///
    /// # Errors
    /// If nothing is wanted, or something that is needed for it is not.
    pub fn check(&self) -> Result<(), BadIntent> {
        if self.gpu.is_empty() && !self.iommu_only && !self.repair {
            return Err(BadIntent::Nothing);
        }
        if self.hugepages_kib.is_some() && self.gpu.is_empty() {
            return Err(BadIntent::HugepagesWithoutCard);
        }
        if self.hugepages_kib.is_some() && self.no_hugepages {
            return Err(BadIntent::PagesAndNone);
        }
        if !self.hugepage_size.is_largest() && self.hugepages_kib.is_none() {
            return Err(BadIntent::SizeWithoutHugepages);
        }
        Ok(())
    }

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
