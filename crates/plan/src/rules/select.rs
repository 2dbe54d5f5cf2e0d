//! Which functions are meant, and are they still what they were?

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{Draft, identity};
use crate::{
    card,
    facts::{Facts, Function},
    intent::{Intent, Selector},
};

/// Resolves the intent's selectors into `draft.chosen`; gives the intent back with identities
/// filled in.
pub(super) fn select(draft: &mut Draft<'_>) -> Intent {
    let facts = draft.facts;
    let mut resolved = draft.intent.clone();
    let mut chosen = BTreeSet::new();
    if draft.intent.gpu.is_empty() && !draft.intent.iommu_only && !draft.intent.repair {
        draft.refuse("card.none", "No card was named.", choices(facts));
    }
    for selector in &mut resolved.gpu {
        if let Some(function) = resolve(draft, *selector) {
            *selector = identity(function);
            if function.class.is_bridge() {
                draft.refuse(
                    "card.bridge",
                    format!(
                        "{} is a {}, which vfio-pci cannot give away.",
                        function.address,
                        function.class.word()
                    ),
                    choices(facts),
                );
            } else {
                chosen.extend(card::functions_of(facts, function.address));
            }
        }
    }
    for selector in &mut resolved.with {
        if let Some(function) = resolve(draft, *selector) {
            *selector = identity(function);
            let of_a_card = chosen.contains(&function.address);
            if !of_a_card && (function.class.is_bridge() || function.class.sub() == 0x0c05) {
                draft.refuse(
                    "with.never",
                    format!(
                        "{} is a {}; the host cannot run without it.",
                        function.address,
                        function.class.word()
                    ),
                    format!("Leave out --with {}.", function.address),
                );
            } else {
                chosen.insert(function.address);
            }
        }
    }
    // VMD makes children's requests its own (drivers/pci/controller/vmd.c), so a child alone
    // cannot be given away.
    for &address in chosen.iter().filter(|address| address.domain > 0xffff) {
        draft.refuse(
            "card.vmd",
            format!("{address} lies behind Intel VMD, which does its transfers under its own address."),
            "Turn VMD off in the firmware for this port (\"VMD Controller\", \"Volume Management Device\"), then plan again.",
        );
    }
    draft.chosen = chosen.into_iter().collect();
    // The record names every function, so that verify asks about these and no others, whatever the
    // groups turn out to be.
    resolved.with = draft
        .chosen_functions()
        .map(identity)
        .filter(|selector| !resolved.gpu.contains(selector))
        .collect();
    let enabled: Vec<_> = draft
        .chosen_functions()
        .filter(|f| f.sriov.is_some_and(|s| s.enabled > 0))
        .collect();
    for function in enabled {
        draft.refuse(
            "card.sriov",
            format!("{} has virtual functions enabled; vfio-pci refuses such a function.", function.address),
            format!(
                "Disable them first: write 0 to /sys/bus/pci/devices/{}/sriov_numvfs, and find what enables them at boot.",
                function.address
            ),
        );
    }
    resolved
}

fn resolve<'a>(draft: &mut Draft<'a>, selector: Selector) -> Option<&'a Function> {
    let facts = draft.facts;
    let Some(function) = facts.function(selector.address) else {
        draft.refuse(
            "card.not-found",
            format!("There is no PCI function at {}.", selector.address),
            elsewhere(facts, selector).unwrap_or_else(|| choices(facts)),
        );
        return None;
    };
    let same_ids = selector.ids.is_none_or(|ids| ids == function.ids);
    let same_board = selector
        .subsystem
        .is_none_or(|board| Some(board) == function.subsystem);
    if !(same_ids && same_board) {
        draft.refuse(
            "card.moved",
            format!(
                "At {} there is {}, not {selector}. Slots are renumbered when cards are added or moved.",
                selector.address,
                identity(function)
            ),
            elsewhere(facts, selector).unwrap_or_else(|| choices(facts)),
        );
        return None;
    }
    Some(function)
}

/// Where a card with these ids is now.
fn elsewhere(facts: &Facts, selector: Selector) -> Option<String> {
    let ids = selector.ids?;
    let found: Vec<_> = facts
        .functions
        .iter()
        .filter(|f| {
            f.ids == ids
                && selector
                    .subsystem
                    .is_none_or(|board| Some(board) == f.subsystem)
        })
        .map(|f| format!("{}", f.address))
        .collect();
    (!found.is_empty()).then(|| {
        format!(
            "{ids} is now at {}. Undo, then plan again with that address.",
            found.join(", ")
        )
    })
}

/// The display functions of this host, as a sentence.
fn choices(facts: &Facts) -> String {
    let gpus: Vec<_> = card::gpus(facts)
        .map(|f| format!("{} ({})", f.address, f.label()))
        .collect();
    if gpus.is_empty() {
        String::from(
            "This host shows no display controller; passthru devices --all lists every function.",
        )
    } else {
        format!("Name one with --gpu: {}.", gpus.join(", "))
    }
}
