//! Does the host itself need what is to be given away?

use alloc::{format, string::String, vec::Vec};

use super::{Draft, describe};
use crate::facts::{Use, UseKind};

pub(super) fn check(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    let chosen: Vec<_> = draft.chosen_functions().collect();
    for function in chosen {
        let uses: Vec<&Use> = facts.uses_of(function.address).collect();
        let of = |kinds: &[UseKind]| -> Vec<&str> {
            uses.iter()
                .filter(|u| kinds.contains(&u.kind))
                .map(|u| u.detail.as_str())
                .collect()
        };
        let storage = of(&[UseKind::RootDisk, UseKind::Mount, UseKind::Swap]);
        if !storage.is_empty() {
            draft.refuse(
                "host.storage",
                format!("The host would lose {} with {}.", storage.join(", "), describe(function)),
                "Move these to another disk or unmount them for good (/etc/fstab), or move the card to another slot.",
            );
        }
        let route = of(&[UseKind::DefaultRoute]);
        if !route.is_empty() {
            draft.refuse(
                "host.network",
                format!(
                    "The host would lose its network: {} is {}.",
                    describe(function),
                    route.join(", ")
                ),
                "Give the host another network device first.",
            );
        }
        let network = of(&[UseKind::Network]);
        let other_network = facts.uses.iter().any(|u| {
            matches!(u.kind, UseKind::Network | UseKind::DefaultRoute)
                && !draft.is_chosen(u.address)
        });
        if !network.is_empty() && route.is_empty() && !other_network {
            draft.refuse(
                "host.network",
                format!(
                    "The host would lose its only network device that is up: {} ({}).",
                    describe(function),
                    network.join(", ")
                ),
                "Give the host another network device first.",
            );
        }
        let keyboards = of(&[UseKind::Keyboard]);
        let other_keyboard = facts.keyboard_elsewhere
            || facts
                .uses
                .iter()
                .any(|u| u.kind == UseKind::Keyboard && !draft.is_chosen(u.address));
        if !keyboards.is_empty() && !other_keyboard && !draft.intent.headless {
            draft.refuse(
                "host.keyboard",
                format!("The host would lose its only keyboard ({}) with {}.", keyboards.join(", "), describe(function)),
                "Plug the keyboard into a port of another controller, or say --headless if you reach this host over the network.",
            );
        }
        let lost: Vec<_> = of(&[UseKind::Keyboard, UseKind::Mouse, UseKind::Network]);
        if !lost.is_empty() && (other_keyboard || keyboards.is_empty()) {
            draft.notice(
                "host.devices",
                format!(
                    "The guest takes what is plugged into {}: {}.",
                    function.address,
                    lost.join(", ")
                ),
            );
        }
    }
}

/// What the host would lose with a function, as words; empty if nothing is known to be used.
pub(super) fn loses(draft: &Draft<'_>, address: crate::pci::Address) -> String {
    let details: Vec<_> = draft
        .facts
        .uses_of(address)
        .map(|u| u.detail.as_str())
        .collect();
    details.join(", ")
}
