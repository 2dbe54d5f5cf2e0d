//! Changes of an existing domain, whoever wrote it: its XML stays byte for byte outside of what is
//! asked for.
//!
//! Edits are done one after the other, each on the text that the one before left. Asking again for
//! what is there changes nothing, and so does taking away what is not there.

mod card;
mod disk;
mod evdev;
mod hide;
mod hugepages;
mod keyboard;
mod pinning;
mod place;
pub mod port;
mod rom;
mod screen;
mod splice;
mod usb;
mod words;

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use roxmltree::Node;

use super::{CoreWish, existing, hugepages::PageSize, plan::Draft, spec::Bus};
use crate::{
    Selector,
    facts::Facts,
    pci::Address,
    plan::{Notice, Refusal},
};
pub(super) use hide::found as hidden;
pub use port::Port;
pub use rom::RomWish;
use splice::Splices;
pub use usb::Usb;
pub use words::plan;

/// One thing that is asked of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Give it a card: all of its functions, in one slot of the guest.
    AddCard {
        /// Any function of it.
        card: Selector,
        /// Other functions that go with it, such as those of its group.
        with: Vec<Selector>,
    },
    /// Take a card away from it, by any function of it. It need not be in the host any more.
    RemoveCard(Address),
    /// Give it a USB device.
    AddUsb(Usb),
    /// Take a USB device away from it.
    RemoveUsb(Usb),
    /// Give it a whole disk of the host.
    AddDisk {
        /// Its name in /dev/disk/by-id, which does not change.
        path: String,
        /// How the guest sees it.
        bus: Bus,
        /// It holds a system that the guest is to start: volumes on it are the guest's.
        transplant: bool,
    },
    /// Take the disk with this path on the host away from it, be it a device or an image. What is on
    /// it stays.
    RemoveDisk(String),
    /// How it sees the option ROM of a function that it owns.
    Rom(Address, RomWish),
    /// Let it see the function's own option ROM.
    NoRom(Address),
    /// Pin its CPUs to cores of the host, as [`super::pinning::plan`] chooses them.
    Pin {
        /// Virtual CPUs; as many as it has if left out.
        cpus: Option<u32>,
        /// Which cores.
        cores: CoreWish,
    },
    /// Pin nothing. How many CPUs it has, and what it sees of them, stays.
    NoPin,
    /// Memory in huge pages of the host. Where it is in some already, only a size that is named
    /// changes them.
    Hugepages(PageSize),
    /// Memory in ordinary pages.
    NoHugepages,
    /// Share this keyboard or mouse with the host, by its path in /dev/input/by-id or by-path: both
    /// control keys together switch it over (evdev; libvirt 7.4, the keys 7.6).
    AddEvdev(String),
    /// Share it no more.
    RemoveEvdev(String),
    /// Hide from it that it is a guest: only NVIDIA's drivers before version 465 ask.
    Hide,
    /// Hide it no more.
    NoHide,
    /// No screen but that of the card: takes away SPICE and what hangs on it.
    NoScreen,
}

/// A domain with its edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Its XML.
    pub xml: String,
    /// What to know before it is defined.
    pub notes: Vec<Notice>,
}

/// A domain while it is changed.
struct Job<'j, 't> {
    facts: &'j Facts,
    domain: Node<'j, 't>,
    /// Its name as a word of a command.
    name: String,
    splices: Splices<'t>,
    draft: &'j mut Draft,
}

/// Does `edits` to the domain that `xml` describes, on the host that `facts` describe.
///
/// # Errors
/// Every refusal of the edit that cannot be done, each with the way out; edits behind it are not tried,
/// for they would be held to a domain that will not be.
pub fn edit(facts: &Facts, xml: &str, edits: &[Edit]) -> Result<Edited, Vec<Refusal>> {
    let mut draft = Draft::default();
    let mut text = xml.to_owned();
    // What is no domain is refused even if nothing is asked of it.
    existing::parse(xml).map_err(|refusal| Vec::from([refusal]))?;
    for edit in edits {
        text = one(facts, &text, edit, &mut draft)?;
        if draft.is_refused() {
            break;
        }
    }
    if !draft.is_refused()
        && let Ok(document) = existing::parse(&text)
    {
        let name = existing::command_name(&text);
        keyboard::note(facts, document.root_element(), &name, &mut draft);
    }
    let notes = draft.take_notes();
    draft.finish(Edited { xml: text, notes })
}

fn one(facts: &Facts, xml: &str, edit: &Edit, draft: &mut Draft) -> Result<String, Vec<Refusal>> {
    let document = existing::parse(xml).map_err(|refusal| Vec::from([refusal]))?;
    let mut job = Job {
        facts,
        domain: document.root_element(),
        name: existing::command_name(xml),
        splices: Splices::new(xml),
        draft,
    };
    match edit {
        Edit::AddCard { card, with } => card::add(&mut job, *card, with),
        Edit::RemoveCard(address) => card::remove(&mut job, *address),
        Edit::AddUsb(usb) => usb::add(&mut job, usb),
        Edit::RemoveUsb(usb) => usb::remove(&mut job, usb),
        Edit::AddDisk {
            path,
            bus,
            transplant,
        } => disk::add(&mut job, path, *bus, *transplant),
        Edit::RemoveDisk(path) => disk::remove(&mut job, path),
        Edit::Rom(address, wish) => rom::set(&mut job, *address, wish),
        Edit::NoRom(address) => rom::remove(&mut job, *address),
        Edit::Pin { cpus, cores } => pinning::pin(&mut job, *cpus, *cores),
        Edit::NoPin => pinning::unpin(&mut job),
        Edit::Hugepages(size) => hugepages::add(&mut job, *size),
        Edit::NoHugepages => hugepages::remove(&mut job),
        Edit::AddEvdev(path) => evdev::add(&mut job, path),
        Edit::RemoveEvdev(path) => evdev::remove(&mut job, path),
        Edit::Hide => hide::add(&mut job),
        Edit::NoHide => hide::remove(&mut job),
        Edit::NoScreen => screen::remove(&mut job),
    }
    Ok(job.splices.finish())
}
