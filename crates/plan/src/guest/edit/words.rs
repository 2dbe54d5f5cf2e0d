//! What an edit is, in words.

use alloc::{format, string::String, vec::Vec};

use super::{super::existing, Edit, Edited, RomWish, Usb};
use crate::{change::Change, plan::Plan};

impl Edit {
    /// What is asked for, as it follows "so that".
    pub fn words(&self) -> String {
        match self {
            Self::AddCard(card) => format!("it owns the card at {}", card.address),
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
            Self::NoScreen => "it has no screen but the card's".into(),
        }
    }
}

/// The plan that gives the domain that libvirt has as `before` its edited XML; without changes, if the
/// edits change nothing.
pub fn plan(before: &str, edits: &[Edit], edited: &Edited) -> Plan {
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
    let mut plan = Plan::of_guest(&name, changes, edited.notes.clone());
    if !plan.changes.is_empty() {
        plan.outcome
            .push("It is that way from its next start on.".into());
    }
    plan
}
