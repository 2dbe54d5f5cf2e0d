//! A card: all functions of a slot and what must travel with it.

use alloc::vec::Vec;

use crate::{
    facts::{Facts, Function},
    pci::Address,
};

/// The endpoints that make up the card of which `address` is a function, in address order.
///
/// That is every endpoint of the slot that shares the function's vendor or its group; while groups
/// are unknown, the whole slot. AMD processors with graphics put unrelated functions of theirs, USB
/// controllers and the security processor, into the slot of the GPU, each in a group of its own and
/// with vendor 1022 instead of the GPU's 1002: those are never taken unseen.
/// Where the card carries a PCIe switch, every endpoint below that switch belongs to it too: AMD
/// cards since Navi have one in front of the GPU, Intel Arc has its audio function on a second branch
/// of it. A switch belongs to the card if its vendor is the card's and it is not a root port; a
/// switch on the mainboard is neither.
pub fn functions_of(facts: &Facts, address: Address) -> Vec<Address> {
    let Some(function) = facts.function(address) else {
        return Vec::new();
    };
    let top = own_switch(facts, function);
    let in_slot = |f: &Function| {
        f.address.slot() == address.slot()
            && (f.ids.vendor == function.ids.vendor
                || (f.group.is_some() && f.group == function.group)
                || (facts.groups.is_empty() && !of_amd_processor(function, f)))
    };
    facts
        .functions
        .iter()
        .filter(|f| !f.class.is_bridge())
        .filter(|f| in_slot(f) || top.is_some_and(|top| is_below(facts, f, top)))
        .map(|f| f.address)
        .collect()
}

/// `other` shares the slot of an AMD GPU, but is the processor's.
fn of_amd_processor(gpu: &Function, other: &Function) -> bool {
    gpu.ids.vendor == 0x1002 && other.ids.vendor == 0x1022
}

/// The display functions that a user would name: no virtual functions.
pub fn gpus(facts: &Facts) -> impl Iterator<Item = &Function> {
    facts
        .functions
        .iter()
        .filter(|f| f.class.is_display() && f.physfn.is_none())
}

/// Topmost bridge of the card's own switch.
fn own_switch(facts: &Facts, function: &Function) -> Option<Address> {
    let mut top = None;
    for bridge in ancestors(facts, function) {
        let is_root_port = bridge.parent.is_none();
        if is_root_port || bridge.ids.vendor != function.ids.vendor {
            break;
        }
        top = Some(bridge.address);
    }
    top
}

fn is_below(facts: &Facts, function: &Function, bridge: Address) -> bool {
    ancestors(facts, function).any(|above| above.address == bridge)
}

/// Bridges above a function, nearest first. A loop in damaged facts ends the walk.
pub(crate) fn ancestors<'a>(
    facts: &'a Facts,
    function: &'a Function,
) -> impl Iterator<Item = &'a Function> {
    let mut next = function.parent;
    core::iter::from_fn(move || {
        let bridge = facts.function(next?)?;
        next = bridge.parent;
        Some(bridge)
    })
    .take(64)
}
