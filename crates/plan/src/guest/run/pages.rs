//! Memory for a guest that is about to start: enough of it, and huge pages where they have to be.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use serde::Serialize;

use crate::{
    facts::{Facts, HugepagePool, Node},
    guest::{
        hugepages::{self, HostPages, PAGE_1G},
        plan::refusal,
        read::{Binding, Domain},
    },
    plan::Refusal,
    text::{cpulist::CpuSet, quote::word, size},
};

/// KiB that QEMU itself needs beside the guest's memory, and the host meanwhile.
const BESIDE: u64 = 512 * 1024;

/// A pool that has to grow before the guest can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Raise {
    /// The pool's directory in sysfs, with `nr_hugepages` and `free_hugepages`.
    pub pool: String,
    /// KiB of a page.
    pub page_kib: u64,
    /// Pages that are missing.
    pub missing: u64,
}

/// What the guest's memory needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// What stands in the way, whoever agrees.
    pub refusals: Vec<Refusal>,
    /// Pools that lack pages; the guest starts once they have them.
    pub raise: Vec<Raise>,
}

/// Whether the memory is there.
pub fn check(facts: &Facts, domain: &Domain, pages: HostPages<'_>) -> Memory {
    let mut memory = Memory::default();
    let mut free = Free::new(facts);
    let needs = needs(domain, pages.default_kib);
    let source = domain.source.as_deref();
    let lacking = needs
        .iter()
        .find(|need| pages.lack_mount(source, need.page_kib));
    memory.refusals.extend(lacking.map(|need| {
        refusal(
            "guest.start.hugepages.mount",
            format!(
                "{} gets its huge {} from a mount of hugetlbfs, and there is none for them: libvirt would not start it.",
                domain.name,
                words(need.page_kib, 2)
            ),
            hugepages::without_mount(&word(&domain.name), source, need.page_kib),
        )
    }));
    for need in &needs {
        match free.take(facts, need) {
            Ok(raise) => memory.raise.extend(raise),
            Err(refusal) => memory.refusals.push(refusal),
        }
    }
    let pages: u64 = needs.iter().map(|need| need.pages * need.page_kib).sum();
    let raised: u64 = memory.raise.iter().map(|r| r.missing * r.page_kib).sum();
    let ordinary = domain.memory_kib.saturating_sub(pages) + raised;
    // Only a guest with a function of the host has all of its memory pinned at once.
    if domain.hostdevs.is_empty() && raised == 0 {
        return memory;
    }
    let Some(available) = facts.machine.memory.available_kib else {
        return memory;
    };
    if ordinary + BESIDE > available {
        memory.refusals.push(refusal(
            "guest.start.memory",
            format!(
                "{} needs {} at once, because the memory of a guest with a card is pinned, and the host has {} to spare (MemAvailable).",
                domain.name,
                size::kib_words(ordinary + BESIDE),
                size::kib_words(available)
            ),
            "End other programs or guests, or give it less memory (sudo virsh setmaxmem).",
        ));
    }
    memory
}

/// Huge pages that a part of the guest needs.
struct Need {
    page_kib: u64,
    pages: u64,
    /// Nodes they must be on; `None` is anywhere.
    nodes: Option<CpuSet>,
}

fn needs(domain: &Domain, default_page: Option<u64>) -> Vec<Need> {
    let Some(pages) = &domain.hugepages else {
        return Vec::new();
    };
    let size = |cell: Option<u32>| {
        let own = pages.iter().find(|page| {
            let cells = page.cells.as_ref();
            cells.is_some_and(|cells| cell.is_some_and(|cell| cells.contains(cell)))
        });
        let page = own.or_else(|| pages.iter().find(|page| page.cells.is_none()));
        page.and_then(|page| page.kib.or(default_page))
            .filter(|kib| *kib > 0)
    };
    let bound = |binding: Option<&Binding>| {
        let binding = binding.filter(|binding| binding.mode != "preferred");
        binding.map(|binding| binding.nodes.clone())
    };
    let need = |kib: u64, cell: Option<u32>| {
        let own = domain.memnodes.iter().find(|(id, _)| Some(*id) == cell);
        let page_kib = size(cell)?;
        Some(Need {
            page_kib,
            pages: kib.div_ceil(page_kib),
            nodes: bound(own.map(|(_, binding)| binding).or(domain.binding.as_ref())),
        })
    };
    if domain.cells.is_empty() {
        // A page for the guest's only node may name it, as 0.
        return need(domain.memory_kib, Some(0)).into_iter().collect();
    }
    let cells = (0_u32..).zip(&domain.cells);
    cells
        .filter_map(|(cell, &kib)| need(kib, Some(cell)))
        .collect()
}

/// Pages and memory that nobody has taken yet.
struct Free {
    pages: BTreeMap<(u32, u64), u64>,
    kib: BTreeMap<u32, u64>,
}

impl Free {
    fn new(facts: &Facts) -> Self {
        let nodes = &facts.topology.nodes;
        let pools = |node: &Node| {
            let id = node.id;
            let pool = move |pool: &HugepagePool| ((id, pool.page_kib), pool.free);
            node.hugepages.iter().map(pool).collect::<Vec<_>>()
        };
        let kib = |node: &Node| (node.id, node.free_kib.value().copied().unwrap_or(0));
        Self {
            pages: nodes.iter().flat_map(pools).collect(),
            kib: nodes.iter().map(kib).collect(),
        }
    }

    /// Takes what there is; gives what has to be added. What the nodes have no memory for is asked
    /// of the first, so that the kernel says no and not passthru.
    fn take(&mut self, facts: &Facts, need: &Need) -> Result<Vec<Raise>, Refusal> {
        let size = need.page_kib;
        let mut nodes: Vec<u32> = facts
            .topology
            .nodes
            .iter()
            .map(|node| node.id)
            .filter(|id| need.nodes.as_ref().is_none_or(|set| set.contains(*id)))
            .filter(|id| self.pages.contains_key(&(*id, size)))
            .collect();
        if nodes.is_empty() {
            return Err(nowhere(need));
        }
        let mut missing = need.pages;
        for node in &nodes {
            let free = self.pages.entry((*node, size)).or_default();
            let taken = missing.min(*free);
            *free -= taken;
            missing -= taken;
        }
        nodes.sort_by_key(|node| core::cmp::Reverse(self.kib.get(node).copied()));
        let mut raise = Vec::new();
        for node in &nodes {
            let room = self.kib.entry(*node).or_default();
            let added = missing.min(*room / size);
            *room -= added * size;
            missing -= added;
            raise.push((*node, added));
        }
        if let Some((_, added)) = raise.first_mut() {
            *added += missing;
        }
        raise.retain(|(_, added)| *added > 0);
        Ok(raise
            .into_iter()
            .map(|(node, missing)| Raise {
                pool: pool(node, size),
                page_kib: size,
                missing,
            })
            .collect())
    }
}

fn pool(node: u32, page_kib: u64) -> String {
    format!("/sys/devices/system/node/node{node}/hugepages/hugepages-{page_kib}kB")
}

fn nowhere(need: &Need) -> Refusal {
    let on = match &need.nodes {
        Some(nodes) => format!(" on the memory nodes {nodes}"),
        None => String::new(),
    };
    refusal(
        "guest.start.hugepages.none",
        format!(
            "The guest asks for huge pages of {} KiB{on}, and the host has no such pool.",
            need.page_kib
        ),
        "passthru vm pin --memory SIZE shows what the host has.",
    )
}

/// The refusal of a guest whose pages are missing, and how to get them.
pub fn missing(domain: &Domain, raise: &[Raise]) -> Option<Refusal> {
    let first = raise.first()?;
    let pages: u64 = raise.iter().map(|one| one.missing).sum();
    Some(refusal(
        "guest.start.hugepages",
        format!(
            "{} needs {pages} more huge {} than are free.",
            domain.name,
            words(first.page_kib, pages)
        ),
        format!(
            "Let passthru ask the kernel for them now, and give them back when the guest ends: sudo passthru vm start {} --allocate-hugepages. {}",
            word(&domain.name),
            at_boot(domain, first.page_kib)
        ),
    ))
}

/// The refusal after the kernel gave `got` of `wanted` pages: it reports success all the same
/// (Documentation/admin-guide/mm/hugetlbpage.rst).
pub fn fragmented(domain: &Domain, raise: &Raise, got: u64) -> Refusal {
    refusal(
        "guest.start.hugepages.fragmented",
        format!(
            "The kernel found {got} of {} huge {} for {}: the memory that is free lies in pieces that are too small. What it found was given back.",
            raise.missing,
            words(raise.page_kib, raise.missing),
            raise.pool
        ),
        format!(
            "Memory was compacted and asked again already. {}",
            at_boot(domain, raise.page_kib)
        ),
    )
}

fn words(page_kib: u64, count: u64) -> String {
    let pages = if count == 1 { "page" } else { "pages" };
    format!("{pages} of {}", size::kib_words(page_kib))
}

/// What is surest.
fn at_boot(domain: &Domain, page_kib: u64) -> String {
    let function = domain.hostdevs.first().map(|device| device.address);
    let command = hugepages::set_aside(function, domain.memory_kib, page_kib);
    if page_kib == PAGE_1G {
        format!(
            "Pages of 1 GiB are seldom to be had once a host has run for a while: set them aside at boot ({command}), or give the guest pages of 2 MiB (sudo passthru vm edit {} --hugepages=2M).",
            word(&domain.name)
        )
    } else {
        format!("Surest is to set them aside at boot: {command}.")
    }
}
