//! Are huge pages set aside for guests at boot, while memory is still in one piece?

use alloc::{format, string::String, vec::Vec};

use super::{Draft, stack};
use crate::{
    facts::Facts,
    guest::{
        hugepages::{self, Hugepages},
        memory::{self, NodeShare},
    },
    intent::Intent,
    plan::Refusal,
    text::kargs,
};

/// Words of the kernel command line that are about huge pages
/// (`Documentation/admin-guide/mm/hugetlbpage.rst`).
const NAMES: [&str; 3] = ["hugepages", "hugepagesz", "default_hugepagesz"];

/// What `intent` asks to be set aside: on the node of the card, if the host has several.
fn wanted(facts: &Facts, intent: &Intent) -> Option<Result<Hugepages, Refusal>> {
    let kib = intent.hugepages_kib?;
    let pages = || {
        memory::spare(facts, kib)?;
        let page_kib = hugepages::page(facts, kib, intent.hugepage_size)?;
        let card = intent
            .gpu
            .first()
            .and_then(|gpu| facts.function(gpu.address));
        let near = card.and_then(|card| card.numa_node);
        let share = NodeShare {
            node: near.filter(|_| facts.topology.nodes.len() > 1),
            kib,
        };
        Ok(hugepages::plan(facts, page_kib, &[share]))
    };
    Some(pages())
}

/// The words, or refusals. The two belong together, so a line that has others of the kind already is
/// left to its owner.
pub(super) fn words(draft: &mut Draft<'_>) -> Vec<String> {
    let facts = draft.facts;
    let pages = match wanted(facts, draft.intent) {
        None => return Vec::new(),
        Some(Ok(pages)) => pages,
        Some(Err(refusal)) => {
            draft.refusals.push(refusal);
            return Vec::new();
        }
    };
    let ours = stack::own_words(facts);
    let running = facts.kernel.cmdline.value().map_or("", String::as_str);
    let other = [ours.as_str(), running]
        .into_iter()
        .flat_map(kargs::words)
        .find(|word| {
            NAMES.iter().any(|name| word.is(name)) && !pages.words.iter().any(|new| new == word.raw)
        });
    if let Some(other) = other {
        draft.refuse(
            "hugepages.other",
            format!(
                "The kernel command line sets huge pages aside already ({}).",
                other.raw
            ),
            format!(
                "Make one of both by hand ({}), or take the old words away first; if they are \
                 passthru's own: sudo passthru undo.",
                pages.words.join(" ")
            ),
        );
        return Vec::new();
    }
    draft.notice(
        "hugepages.taken",
        format!(
            "{} MiB of memory are set aside at every boot for guests; the host cannot use them for \
             anything else.",
            draft.intent.hugepages_kib.unwrap_or(0) / 1024
        ),
    );
    pages.words
}

/// What the kernel has set aside is less than was asked for: it takes what it finds and says nothing.
pub(super) fn drift(facts: &Facts, intent: &Intent) -> Option<String> {
    let pages = wanted(facts, intent)?.ok()?;
    let pools = facts
        .topology
        .nodes
        .iter()
        .filter(|node| {
            pages
                .per_node
                .iter()
                .any(|p| p.node.is_none_or(|id| id == node.id))
        })
        .flat_map(|node| &node.hugepages)
        .filter(|pool| pool.page_kib == pages.page_kib);
    let (count, found) = pools.fold((0_u64, 0_u64), |(n, sum), pool| (n + 1, sum + pool.total));
    (count > 0 && found < pages.count).then(|| {
        format!(
            "The kernel has set {found} huge pages of {} KiB aside instead of {}: memory for the rest was not there.",
            pages.page_kib,
            pages.count
        )
    })
}
