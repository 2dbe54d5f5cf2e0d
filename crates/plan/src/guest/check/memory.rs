//! A domain's memory, against what the host has.

use alloc::{format, string::String, vec::Vec};

use roxmltree::Node;

use super::View;
use crate::{
    doctor::check::{check, on_host},
    finding::{Finding, Severity},
    guest::{
        existing::{self, child, children, cpuset},
        hugepages::{self, PAGE_2M},
        memory::spare,
        node::page_kib,
    },
    text::size,
};

pub(super) fn memory(view: &View<'_, '_>) -> Finding {
    let check = check(
        "guest.memory",
        "The host can spare the guest's memory",
        if view.owned.is_empty() {
            Severity::Warning
        } else {
            Severity::Blocker
        },
        "A guest with a card has all of its memory pinned: the host runs short and stops programs.",
    );
    let Some(kib) = existing::memory(view.domain) else {
        return check.unknown(
            "the domain does not say how much it has",
            view.ask_libvirt(),
        );
    };
    let seen = format!("the guest has {}", size::kib_words(kib));
    let Some(total) = view.facts.machine.memory.total_kib else {
        return check.unknown(
            "how much memory the host has is not known: /proc/meminfo was not there",
            on_host(view.facts),
        );
    };
    let host = format!("the host has {}", size::kib_words(total));
    match spare(view.facts, kib) {
        Ok(()) => check.yes([seen, host]),
        // A small guest is nobody's fault but its own.
        Err(refusal) if refusal.id == "guest.memory.small" => check.yes([seen, host]),
        Err(refusal) => check.no(
            [seen, host],
            format!(
                "{} sudo virsh setmaxmem {} SIZE --config changes it.",
                refusal.way_out, view.name
            ),
        ),
    }
}

pub(super) fn hugepages(view: &View<'_, '_>) -> Option<Finding> {
    let backing = child(view.domain, "memoryBacking")?;
    let pages = child(backing, "hugepages")?;
    let check = check(
        "guest.hugepages",
        "The host has the huge pages that the guest asks for",
        Severity::Blocker,
        "The guest does not start, or is ended while it starts.",
    );
    let kib = existing::memory(view.domain);
    let page = page(pages, view.pages.default_kib);
    let (Some(kib), Some(page)) = (kib, page) else {
        return Some(check.unknown(
            "how many and which pages it asks for is not clear",
            view.ask_libvirt(),
        ));
    };
    let needed = kib.div_ceil(page);
    let bound = bound(view.domain);
    let nodes: Vec<_> = view
        .facts
        .topology
        .nodes
        .iter()
        .filter(|node| bound.as_ref().is_none_or(|bound| bound.contains(node.id)))
        .collect();
    if nodes.is_empty() {
        return Some(check.unknown("the pools of huge pages were not read", view.on_host()));
    }
    let pools = || {
        let all = nodes.iter().flat_map(|node| &node.hugepages);
        all.filter(|pool| pool.page_kib == page)
    };
    let free: u64 = pools().map(|pool| pool.free).sum();
    let total: u64 = pools().map(|pool| pool.total).sum();
    let on: String = match &bound {
        Some(bound) => format!(" on node {bound}"),
        None => String::new(),
    };
    let mut seen = Vec::from([
        format!("{needed} pages of {} are needed{on}", size::kib_words(page)),
        format!("{free} are free of {total}"),
    ]);
    let source = child(backing, "source").and_then(|source| source.attribute("type"));
    if view.pages.lack_mount(source, page) {
        seen.push("no mount of hugetlbfs has pages of that size".into());
        return Some(check.no(seen, hugepages::without_mount(&view.name, source, page)));
    }
    if free >= needed {
        return Some(check.yes(seen));
    }
    let card = view.owned.first().map(|owned| owned.host);
    Some(check.no(
        seen,
        format!(
            "Set them aside at boot: {}. Or do without them: sudo passthru vm edit {} --no-hugepages. \
             (A guest that runs has taken its pages already.)",
            hugepages::set_aside(card, kib, page),
            view.name
        ),
    ))
}

/// Size of the page in KiB; the host's default, which on x86 is 2 MiB unless its command line says
/// otherwise, if none is named.
fn page(pages: Node<'_, '_>, default: Option<u64>) -> Option<u64> {
    match children(pages, "page").next() {
        Some(page) => page_kib(page),
        None => default.or(Some(PAGE_2M)),
    }
}

/// Nodes of the host that its memory must come from.
fn bound(domain: Node<'_, '_>) -> Option<crate::text::cpulist::CpuSet> {
    let memory = child(child(domain, "numatune")?, "memory")?;
    let strict = memory.attribute("mode").is_none_or(|mode| mode == "strict");
    strict
        .then(|| memory.attribute("nodeset").and_then(cpuset))
        .flatten()
}
