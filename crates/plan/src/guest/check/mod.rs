//! An existing domain held to the host: what keeps it from starting, and what makes it slow.
//!
//! Each check answers yes, no or not measured, as doctor's do. Checks about something that the domain
//! does not have say nothing.

mod cards;
mod cpus;
mod disks;
mod hidden;
mod memory;
mod pins;
mod roms;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use roxmltree::Node;

use super::{
    existing::{self, Hostdev},
    hugepages::HostPages,
};
use crate::{
    doctor::check::NOTHING,
    facts::{Facts, Reading},
    finding::Finding,
    measured::Measured,
    plan::Refusal,
};

/// Bytes of ROM files by path, or why they could not be read.
pub type RomFiles = BTreeMap<String, Measured<Vec<u8>>>;

/// What all checks look at.
struct View<'v, 'i> {
    facts: &'v Facts,
    domain: Node<'v, 'i>,
    /// Its name as a word of a command.
    name: String,
    /// PCI functions of the host that the domain owns.
    owned: Vec<Hostdev<'v, 'i>>,
    pages: HostPages<'v>,
}

impl View<'_, '_> {
    /// The way out where the text does not say enough.
    fn ask_libvirt(&self) -> String {
        format!(
            "Ask libvirt for the definition that it has: sudo virsh dumpxml --inactive {}",
            self.name
        )
    }

    /// The way out where the facts do not say enough.
    fn on_host(&self) -> String {
        match self.facts.reading {
            Reading::Copy => format!("Run it on the host itself: passthru vm check {}", self.name),
            Reading::User | Reading::Root => NOTHING.into(),
        }
    }
}

/// Checks the domain that `xml` describes; `roms` are the files that [`rom_files`] names.
///
/// # Errors
/// If the text is no domain.
pub fn check(
    facts: &Facts,
    xml: &str,
    roms: &RomFiles,
    pages: HostPages<'_>,
) -> Result<Vec<Finding>, Refusal> {
    let document = existing::parse(xml)?;
    let domain = document.root_element();
    let view = View {
        facts,
        domain,
        name: existing::command_name(xml),
        owned: existing::hostdevs(domain),
        pages,
    };
    let mut found = Vec::new();
    found.extend(cards::machine(&view));
    found.extend(cards::functions(&view));
    found.extend(cards::uses(&view));
    found.extend(cards::managed(&view));
    found.extend(cards::groups(&view));
    found.extend(cards::whole(&view));
    found.extend(cards::together(&view));
    found.extend(roms::roms(&view, roms));
    found.extend(disks::disks(&view));
    found.push(memory::memory(&view));
    found.extend(memory::hugepages(&view));
    found.push(cpus::number(&view));
    found.extend(pins::pins(&view));
    found.extend(hidden::hides(&view));
    Ok(found)
}

/// ROM files that the domain names, in the order of its text.
///
/// # Errors
/// If the text is no domain.
pub fn rom_files(xml: &str) -> Result<Vec<String>, Refusal> {
    let document = existing::parse(xml)?;
    let owned = existing::hostdevs(document.root_element());
    let files = owned.iter().filter_map(roms::file);
    Ok(files.map(ToString::to_string).collect())
}
