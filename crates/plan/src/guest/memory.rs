//! A guest's memory: on which nodes of the host it lies, and whether the host can spare it.

use alloc::{format, string::String, vec::Vec};
use serde::Serialize;

use super::{
    hugepages::{self, Hugepages, PageSize},
    pinning::Pinning,
};
use crate::{doctor::check::on_host, facts::Facts, plan::Refusal, text::size};

/// KiB of a GiB.
const GIB: u64 = 1024 * 1024;
/// What the host keeps at least: a guest with a card has all of its memory pinned, so nothing of it
/// can be swapped out when the host runs short.
const HOST_KEEPS: u64 = 2 * GIB;

/// Memory of a guest, planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestMemory {
    /// All of it, in KiB.
    pub kib: u64,
    /// Where it lies; one part without a number on a host that has one node.
    pub nodes: Vec<NodeShare>,
    /// What part of it each of the guest's own memory nodes has, in the order of
    /// [`Pinning::nodes`], in KiB. Empty if the guest has one node.
    pub cells: Vec<u64>,
    /// The nodes have that much free, as pages or as memory: it may be bound to them strictly. If
    /// not, a strict binding could end the guest while it starts. False where there is one node and
    /// nothing to bind.
    pub strict: bool,
    /// The pages that hold it.
    pub hugepages: Hugepages,
    /// Why, one sentence per decision.
    pub reasons: Vec<String>,
}

/// Memory on one node of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NodeShare {
    /// The node; `None` on a host that has one.
    pub node: Option<u32>,
    /// KiB.
    pub kib: u64,
}

/// Finds place for `kib` of memory, in pages of `size`, beside the CPUs of `pinning`.
///
/// # Errors
/// A refusal in words: the host has not that much to spare, or it is no whole number of pages.
pub fn plan(
    facts: &Facts,
    pinning: &Pinning,
    kib: u64,
    size: PageSize,
) -> Result<GuestMemory, Refusal> {
    spare(facts, kib)?;
    let page_kib = hugepages::page(facts, kib, size)?;
    let mut reasons = Vec::new();
    reasons.push(if size == PageSize::Mib2 {
        "Pages of 2 MiB, as asked for.".into()
    } else if page_kib == hugepages::PAGE_1G {
        format!(
            "Pages of 1 GiB: {} GiB is a multiple, and the CPU has them (pdpe1gb).",
            kib / GIB
        )
    } else if kib.is_multiple_of(GIB) {
        "Pages of 2 MiB: the CPU does not say that it has larger ones (pdpe1gb).".into()
    } else {
        format!(
            "Pages of 2 MiB: {} MiB is no multiple of 1 GiB.",
            kib / 1024
        )
    });
    let (nodes, cells) = share(facts, pinning, kib, page_kib, &mut reasons);
    let strict = strict(facts, &nodes, page_kib, &mut reasons);
    Ok(GuestMemory {
        kib,
        hugepages: hugepages::plan(facts, page_kib, &nodes),
        nodes,
        cells,
        strict,
        reasons,
    })
}

fn refuse(id: &str, why: String, way_out: impl Into<String>) -> Refusal {
    Refusal {
        id: format!("guest.memory.{id}"),
        why,
        way_out: way_out.into(),
    }
}

/// Whether the host can spare that much: no more than four fifths of it, and 2 GiB stay.
///
/// # Errors
/// If it cannot, or if no guest could run with so little.
pub(crate) fn spare(facts: &Facts, kib: u64) -> Result<(), Refusal> {
    if kib < GIB / 4 {
        return Err(refuse(
            "small",
            format!("{kib} KiB are less than any guest with firmware and a card needs."),
            "Ask for 256 MiB or more, such as 16G.",
        ));
    }
    let Some(total) = facts.machine.memory.total_kib else {
        return Err(refuse(
            "not-measured",
            "How much memory the host has is not known: /proc/meminfo was not there.".into(),
            on_host(facts),
        ));
    };
    let most = (total / 5 * 4).min(total.saturating_sub(HOST_KEEPS));
    if kib <= most {
        return Ok(());
    }
    let way_out = if most >= GIB {
        format!("Ask for {} GiB or less.", most / GIB)
    } else {
        "Add memory, or run something smaller than a guest.".into()
    };
    Err(refuse(
        "too-much",
        format!(
            "A guest with a card has its memory pinned, and the host has {}: {} would leave \
             it less than a fifth or less than 2 GiB.",
            size::kib_words(total),
            size::kib_words(kib)
        ),
        way_out,
    ))
}

/// The memory by node of the host, and by node of the guest.
fn share(
    facts: &Facts,
    pinning: &Pinning,
    kib: u64,
    page_kib: u64,
    reasons: &mut Vec<String>,
) -> (Vec<NodeShare>, Vec<u64>) {
    let single = |node| (Vec::from([NodeShare { node, kib }]), Vec::new());
    if pinning.nodes.is_empty() {
        return single(None);
    }
    let pages = kib / page_kib;
    let room = |node: u32| {
        let total = facts.topology.node(node)?.total_kib.value()?;
        Some(total.saturating_sub(GIB) / page_kib)
    };
    if let [only] = &pinning.nodes[..] {
        let here = room(only.node).unwrap_or(pages).min(pages);
        if here == pages {
            return single(Some(only.node));
        }
        let mut nodes = Vec::from([NodeShare {
            node: Some(only.node),
            kib: here * page_kib,
        }]);
        let mut missing = pages - here;
        for node in facts.topology.nodes.iter().filter(|n| n.id != only.node) {
            let more = room(node.id).unwrap_or(0).min(missing);
            missing -= more;
            if more > 0 {
                nodes.push(NodeShare {
                    node: Some(node.id),
                    kib: more * page_kib,
                });
            }
        }
        reasons.push(format!(
            "Node {} has {} for it, so the rest lies on other nodes and is reached more slowly.",
            only.node,
            size::kib_words(here * page_kib)
        ));
        // What no node says it has room for is looked for where the guest is.
        nodes[0].kib += missing * page_kib;
        nodes.retain(|part| part.kib > 0);
        return (nodes, Vec::new());
    }
    // By virtual CPUs, in whole pages; what is left over goes to the first nodes, a page each.
    let all = pinning.vcpus.len() as u64;
    let parts = pinning.nodes.iter().map(|node| node.vcpus.len() as u64);
    let mut cells: Vec<u64> = parts.map(|part| pages * part / all).collect();
    let left = pages.saturating_sub(cells.iter().sum());
    for cell in cells.iter_mut().take(usize::try_from(left).unwrap_or(0)) {
        *cell += 1;
    }
    let cells: Vec<u64> = cells.iter().map(|pages| pages * page_kib).collect();
    let nodes = pinning
        .nodes
        .iter()
        .zip(&cells)
        .map(|(node, &kib)| NodeShare {
            node: Some(node.node),
            kib,
        })
        .collect();
    reasons.push(format!(
        "The guest gets {} memory nodes of its own, each with the memory of the host's node below it.",
        cells.len()
    ));
    (nodes, cells)
}

/// Every node has its part free: as pages of the pool, or as memory.
fn strict(facts: &Facts, nodes: &[NodeShare], page_kib: u64, reasons: &mut Vec<String>) -> bool {
    let mut strict = true;
    for part in nodes {
        let Some(node) = part.node.and_then(|id| facts.topology.node(id)) else {
            return false;
        };
        let pool = node.hugepages.iter().find(|pool| pool.page_kib == page_kib);
        let pages = pool.map_or(0, |pool| pool.free * page_kib);
        let free = node.free_kib.value().copied();
        if pages >= part.kib || free.is_some_and(|free| free >= part.kib) {
            continue;
        }
        strict = false;
        reasons.push(match free {
            Some(free) => format!(
                "Node {} has {} free of the {}: the memory is preferred there, not bound, \
                 so that the guest starts all the same.",
                node.id,
                size::kib_words(free),
                size::kib_words(part.kib)
            ),
            None => format!(
                "How much of node {} is free was not measured: the memory is preferred there, not \
                 bound.",
                node.id
            ),
        });
    }
    strict
}
