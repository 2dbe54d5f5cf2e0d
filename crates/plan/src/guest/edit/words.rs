//! What an edit is, in words.

use alloc::{format, string::String, vec::Vec};

use super::{
    super::{existing, leave, read::Domain},
    Edit, Edited, RomWish, Usb,
};
use crate::{change::Change, facts::Facts, plan::Plan};

impl Edit {
    /// What is asked for, as it follows "so that".
    pub fn words(&self) -> String {
        match self {
            Self::AddCard { card, with } => {
                let mut words = format!("it owns the card at {}", card.address);
                for other in with {
                    words.push_str(&format!(" with {}", other.address));
                }
                words
            }
            Self::RemoveCard(card) => format!("the card at {card} is the host's"),
            Self::AddUsb(Usb::Ids(ids)) => format!("it owns the USB device {ids}"),
            Self::AddUsb(Usb::Port { port, .. }) => {
                format!("it owns the USB device in port {port}")
            }
            Self::RemoveUsb(Usb::Ids(ids)) => format!("the USB device {ids} is the host's"),
            Self::RemoveUsb(Usb::Port { port, .. }) => {
                format!("the USB device in port {port} is the host's")
            }
            Self::AddDisk { path, .. } => format!("it owns the disk {path}"),
            Self::RemoveDisk(path) => format!("it has no disk {path}"),
            Self::Rom(function, RomWish::File(file)) => {
                format!("it sees the ROM in {file} on {function}")
            }
            Self::Rom(function, RomWish::Off) => format!("it sees no ROM on {function}"),
            Self::NoRom(function) => format!("it sees the own ROM of {function}"),
            Self::Pin { .. } => "its CPUs are cores of the host".into(),
            Self::NoPin => "its CPUs run where there is room".into(),
            Self::Hugepages(_) => "its memory is in huge pages".into(),
            Self::NoHugepages => "its memory is in ordinary pages".into(),
            Self::AddEvdev(path) => format!("it shares {path} with the host"),
            Self::RemoveEvdev(path) => format!("it does not share {path}"),
            Self::Hide => "it does not see that it is a guest".into(),
            Self::NoHide => "it sees that it is a guest".into(),
            Self::NoScreen => "it has no screen but the card's".into(),
        }
    }
}

/// The plan that gives the domain that libvirt has as `before` its edited XML; without changes, if the
/// edits change nothing. The host leaves disks alone that are the guest's now, and no longer those that
/// are not.
pub fn plan(facts: &Facts, before: &str, edits: &[Edit], edited: &Edited) -> Plan {
    let name = existing::name(before).unwrap_or_default();
    let mut words: Vec<String> = edits.iter().map(Edit::words).collect();
    let last = words.pop();
    let why = match (words.is_empty(), last) {
        (_, None) => String::new(),
        (true, Some(last)) => format!("so that {last}"),
        (false, Some(last)) => format!("so that {}, and {last}", words.join(", ")),
    };
    let mut changes = Vec::new();
    if edited.xml != before {
        changes.push(Change::Domain {
            name: name.clone(),
            before: Some(before.into()),
            after: Some(edited.xml.clone()),
            why,
        });
    }
    let mut notes = edited.notes.clone();
    let about_disks = |edit: &Edit| matches!(edit, Edit::AddDisk { .. } | Edit::RemoveDisk(_));
    if edits.iter().any(about_disks) {
        let domain = Domain::parse(&edited.xml).ok();
        let disks = domain.iter().flat_map(|domain| &domain.disks);
        let paths: Vec<&str> = disks
            .filter(|disk| disk.device == "disk" && disk.path.starts_with("/dev/"))
            .map(|disk| disk.path.as_str())
            .collect();
        let leave = leave::leave(facts, &name, &paths);
        changes.splice(0..0, leave.changes);
        notes.extend(leave.notes);
    }
    let mut plan = Plan::of_guest(&name, changes, notes);
    if !plan.changes.is_empty() {
        plan.outcome
            .push("It is that way from its next start on.".into());
    }
    plan
}
