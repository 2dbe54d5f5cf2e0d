//! Ids or address, for each function.

use alloc::{format, string::String, vec::Vec};

use super::{Draft, identity, stack};
use crate::{
    facts::Function,
    intent::Selector,
    plan::{BoundFunction, Method},
    text::{ids::Entry, kargs},
};

/// How each chosen function comes to vfio-pci.
pub(super) fn methods(draft: &mut Draft<'_>) -> Vec<BoundFunction> {
    draft
        .chosen_functions()
        .map(|function| {
            let (method, why) = method(draft, function);
            BoundFunction {
                function: identity(function),
                method,
                why,
            }
        })
        .collect()
}

fn method(draft: &Draft<'_>, function: &Function) -> (Method, String) {
    if let Some(builtin) = builtin_driver(function) {
        return (
            Method::ByAddress,
            format!(
                "{builtin} is built into the kernel and binds it before any module can; it is taken from it in the initramfs"
            ),
        );
    }
    if (function.is_on_vfio() || function.driver.is_none()) && is_bound_by_address(draft, function)
    {
        // The driver that was there first is no longer to be seen.
        return (
            Method::ByAddress,
            String::from("it is bound by address already"),
        );
    }
    let others: Vec<_> = draft
        .facts
        .functions
        .iter()
        .filter(|f| f.ids == function.ids && !draft.is_chosen(f.address))
        .collect();
    if others.is_empty() {
        return (
            Method::Ids,
            format!("no other function of this host is {}", function.ids),
        );
    }
    let same_board: Vec<_> = others
        .iter()
        .filter(|f| f.subsystem == function.subsystem)
        .collect();
    match (same_board.first(), function.subsystem) {
        (None, Some(board)) => (
            Method::Ids,
            format!(
                "{} is also at {}, but on another board: the ids name this board, {board}",
                function.ids, others[0].address
            ),
        ),
        _ => (
            Method::ByAddress,
            format!(
                "{} is an identical twin: ids would take both",
                same_board.first().map_or(others[0].address, |f| f.address)
            ),
        ),
    }
}

/// An earlier plan of ours binds this function by its address.
fn is_bound_by_address(draft: &Draft<'_>, function: &Function) -> bool {
    kargs::values(&stack::own_words(draft.facts), stack::BIND)
        .iter()
        .flat_map(|value| value.split(','))
        .filter_map(|entry| entry.parse::<Selector>().ok())
        .any(|selector| selector == identity(function))
}

/// A driver for this function that modprobe rules do not reach.
fn builtin_driver(function: &Function) -> Option<&str> {
    function
        .candidates
        .iter()
        .find(|c| c.builtin)
        .map(|c| c.module.as_str())
}

/// The entry of the ids list that takes `function` and nothing else on this host.
pub(super) fn entry_for(draft: &Draft<'_>, function: &Function) -> Entry {
    let elsewhere = draft
        .facts
        .functions
        .iter()
        .any(|f| f.ids == function.ids && !draft.is_chosen(f.address));
    match function.subsystem {
        Some(board) if elsewhere => Entry::on_board(function.ids, board),
        _ => Entry::of(function.ids),
    }
}
