//! Guests on hosts put together by rule.
// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use passthru_plan::{
    Address, Facts,
    facts::Function,
    guest::pinning::{self, Pinning, Wanted},
};

use super::topologies::{Host, known};

pub(crate) fn host(name: &str) -> Host {
    let hosts = known();
    let found = hosts.into_iter().find(|(known, _)| known.contains(name));
    found.unwrap().1
}

pub(crate) fn size(cpus: u32) -> Wanted {
    Wanted {
        cpus: Some(cpus),
        ..Wanted::default()
    }
}

pub(crate) fn pin(facts: &Facts, wanted: &Wanted) -> Pinning {
    pinning::plan(facts, wanted).unwrap()
}

/// Facts with a card on a memory node.
pub(crate) fn with_card(host: &Host, node: u32) -> (Facts, Address) {
    let mut facts = host.facts();
    let address = "0000:41:00.0".parse().unwrap();
    let mut card = Function::new(address);
    card.numa_node = Some(node);
    facts.functions.push(card);
    (facts, address)
}
