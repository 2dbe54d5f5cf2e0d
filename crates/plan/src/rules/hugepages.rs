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
    text::{kargs, size},
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

/// The words, or refusals. Where nothing is asked for, those of an earlier change stay; other words of
/// the kind are left to their owner, for the words of one pool belong together.
pub(super) fn words(draft: &mut Draft<'_>) -> Vec<String> {
    let facts = draft.facts;
    let pages = match wanted(facts, draft.intent) {
        None => return without(draft),
        Some(Ok(pages)) => pages,
        Some(Err(refusal)) => {
            draft.refusals.push(refusal);
            return Vec::new();
        }
    };
    if draft.intent.no_hugepages {
        draft.refuse(
            "hugepages.both",
            "Huge pages are asked for and asked to go.",
            "Leave out --hugepages or --no-hugepages.",
        );
        return Vec::new();
    }
    if let Some(other) = foreign(facts, &pages.words) {
        draft.refuse(
            "hugepages.other",
            format!("The kernel command line sets huge pages aside already ({other})."),
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
            "{} of memory are set aside at every boot for guests; the host cannot use them for \
             anything else.",
            size::kib_words(draft.intent.hugepages_kib.unwrap_or(0))
        ),
    );
    pages.words
}

/// What stays where no huge pages are asked for.
fn without(draft: &mut Draft<'_>) -> Vec<String> {
    let facts = draft.facts;
    if draft.intent.no_hugepages {
        if let Some(other) = foreign(facts, &[]) {
            draft.notice(
                "hugepages.left",
                format!(
                    "The kernel command line sets huge pages aside ({other}) in words that are not \
                     known to be passthru's. They stay: take them out where they stand."
                ),
            );
        }
        return Vec::new();
    }
    let own = own(facts);
    if !own.is_empty() {
        let amount = memory_of(&own).map_or_else(
            || format!("Huge pages ({})", own.join(" ")),
            |mib| format!("{} of huge pages", size::words(mib << 20)),
        );
        draft.notice(
            "hugepages.kept",
            format!("{amount} from an earlier change stay; --no-hugepages takes them away."),
        );
    }
    own
}

fn is_about(word: &kargs::Word<'_>) -> bool {
    NAMES.iter().any(|name| word.is(name))
}

/// passthru's own words: those of a trial, if there is one, for it decided last.
fn own(facts: &Facts) -> Vec<String> {
    let line = match stack::trial::words_of(facts) {
        Some(words) => words.join(" "),
        None => stack::own_words(facts),
    };
    kargs::words(&line)
        .filter(is_about)
        .map(|word| word.raw.into())
        .collect()
}

/// MiB that these words set aside, on one node or on several (`1:8,2:8`).
fn memory_of(words: &[String]) -> Option<u64> {
    let line = words.join(" ");
    let mib = match kargs::last_value(&line, "hugepagesz")?.as_str() {
        "1G" => 1024,
        "2M" => 2,
        _ => return None,
    };
    let pages = kargs::last_value(&line, "hugepages")?;
    let counts = pages
        .split(',')
        .map(|part| part.rsplit(':').next()?.parse::<u64>().ok());
    counts.sum::<Option<u64>>()?.checked_mul(mib)
}

/// A word of somebody else's that is not among `wanted`: configured anywhere, or of the running boot.
fn foreign(facts: &Facts, wanted: &[String]) -> Option<String> {
    let ours = stack::own_words(facts);
    let is_other = |word: &kargs::Word<'_>| {
        is_about(word)
            && !wanted.iter().any(|new| new == word.raw)
            && !kargs::has_word(&ours, word.raw)
    };
    let configured = stack::loader::configured(facts);
    let mut lines = configured.iter().flat_map(|line| kargs::words(line));
    if let Some(other) = lines.find(is_other) {
        return Some(other.raw.into());
    }
    let running = facts.kernel.cmdline.value()?;
    let earlier = earlier(running);
    kargs::words(running)
        .find(|word| is_other(word) && !earlier.contains(&word.raw))
        .map(|word| word.raw.into())
}

/// Words of the running boot that passthru put there and may have taken back since: they stand right
/// before those that bind the card.
fn earlier(running: &str) -> Vec<&str> {
    let words: Vec<kargs::Word<'_>> = kargs::words(running).collect();
    let binding = words.iter().position(|word| word.is(stack::LOAD));
    words[..binding.unwrap_or(0)]
        .iter()
        .rev()
        .skip_while(|word| word.is("vfio-pci.ids"))
        .take_while(|word| is_about(word))
        .map(|word| word.raw)
        .collect()
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
