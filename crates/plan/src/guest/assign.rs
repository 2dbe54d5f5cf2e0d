//! Which functions of the host a guest owns, and where it sees them.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use super::{
    plan::Draft,
    spec::{Assigned, Slot, Wish},
};
use crate::{
    Selector, card,
    facts::{Facts, Function},
    pci::Address,
    rules::groups,
};

/// Every function of every card, and the others that are named, by slot of the host.
pub(super) fn slots(draft: &mut Draft, facts: &Facts, wish: &Wish) -> Vec<Slot> {
    let mut chosen: Vec<Address> = Vec::new();
    for selector in &wish.gpu {
        let Some(function) = find(draft, facts, *selector) else {
            continue;
        };
        let card = card::functions_of(facts, selector.address);
        let shows = |&address: &Address| {
            facts
                .function(address)
                .is_some_and(|function| function.class.is_display())
        };
        if card.iter().any(shows) {
            chosen.extend(card);
        } else {
            draft.refuse(
                "guest.card.no-display",
                format!(
                    "{} is a {}, and no part of a card with a display function.",
                    function.address,
                    function.class.word()
                ),
                format!(
                    "passthru devices shows the cards. To give it away beside one: --with {}.",
                    function.address
                ),
            );
        }
    }
    for selector in &wish.with {
        if find(draft, facts, *selector).is_some() {
            chosen.push(selector.address);
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    let functions: Vec<&Function> = chosen
        .iter()
        .filter_map(|&address| facts.function(address))
        .collect();
    used(draft, facts, &functions);
    groups(draft, facts, &functions, &chosen);
    by_slot(&chosen)
}

/// The function that is named, if it is there and what it is said to be.
fn find<'a>(draft: &mut Draft, facts: &'a Facts, selector: Selector) -> Option<&'a Function> {
    let address = selector.address;
    let Some(function) = facts.function(address) else {
        draft.refuse(
            "guest.card.unknown",
            format!("There is no device at {address}."),
            "passthru devices --all shows every device with its address.",
        );
        return None;
    };
    let other_ids = selector.ids.is_some_and(|ids| ids != function.ids);
    let other_board = selector
        .subsystem
        .is_some_and(|board| function.subsystem != Some(board));
    if other_ids || other_board {
        draft.refuse(
            "guest.card.changed",
            format!("{address} is {}, not what {selector} names.", function.ids),
            "Devices move when cards are put in or out: passthru devices shows where it is now.",
        );
        return None;
    }
    if function.class.is_bridge() {
        draft.refuse(
            "guest.card.bridge",
            format!("{address} is a bridge, which no guest can own."),
            "Name the device behind it: passthru devices --tree.",
        );
        return None;
    }
    Some(function)
}

/// What the host itself needs stays with it.
fn used(draft: &mut Draft, facts: &Facts, functions: &[&Function]) {
    for function in functions {
        let uses: Vec<&str> = facts
            .uses_of(function.address)
            .map(|usage| usage.detail.as_str())
            .collect();
        if !uses.is_empty() {
            draft.refuse(
                "guest.card.in-use",
                format!("The host uses {}: {}.", function.address, uses.join(", ")),
                "Take what it is used for elsewhere first, or leave the device out.",
            );
        }
    }
}

/// The groups of what is chosen hold nothing that a driver of the host keeps: vfio would not open
/// them.
fn groups(draft: &mut Draft, facts: &Facts, functions: &[&Function], chosen: &[Address]) {
    if facts.groups.is_empty() {
        draft.note(
            "guest.groups.unknown",
            "There are no IOMMU groups yet, so the guest cannot start. passthru plan shows what is \
             missing.",
        );
        return;
    }
    let mut missing: Vec<Address> = Vec::new();
    for function in functions {
        let Some(group) = function.group.and_then(|id| facts.group(id)) else {
            draft.refuse(
                "guest.card.no-group",
                format!(
                    "{} is in no IOMMU group: its memory accesses are not translated.",
                    function.address
                ),
                "passthru doctor tells why.",
            );
            continue;
        };
        missing.extend(
            groups::blockers(facts, group, chosen)
                .iter()
                .map(|blocker| blocker.function.address),
        );
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return;
    }
    let names: Vec<String> = missing.iter().map(|address| format!("{address}")).collect();
    draft.refuse(
        "guest.card.group",
        format!(
            "A group is given away whole, and drivers of the host still have {} of it.",
            names.join(", ")
        ),
        format!(
            "passthru plan tells whether they can go too; then: --with {}.",
            names.join(" --with ")
        ),
    );
}

/// One slot of the guest for each of the host.
pub(super) fn by_slot(chosen: &[Address]) -> Vec<Slot> {
    let mut slots: BTreeMap<_, Vec<Assigned>> = BTreeMap::new();
    for &host in chosen {
        let function = host.function;
        slots
            .entry(host.slot())
            .or_default()
            .push(Assigned { host, function });
    }
    let mut slots: Vec<Slot> = slots
        .into_values()
        .map(|functions| Slot { functions })
        .collect();
    for slot in &mut slots {
        // Nobody looks at a slot further without a function 0; the first is the lowest.
        if let Some(first) = slot.functions.first_mut() {
            first.function = 0;
        }
    }
    slots
}
