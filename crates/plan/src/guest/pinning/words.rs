//! The decisions and refusals of a pinning in words, each with the figure behind it.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Ask, CacheMode, Pinning, choose::distinct, cores::Class, cores::Core};
use crate::{facts::CoreKind, pci::Address, plan::Refusal, text::cpulist::CpuSet};

fn refusal(id: &str, why: impl Into<String>, way_out: impl Into<String>) -> Refusal {
    Refusal {
        id: format!("guest.cpus.{id}"),
        why: why.into(),
        way_out: way_out.into(),
    }
}

pub(super) fn not_measured(why: Option<&str>) -> Refusal {
    refusal(
        "not-measured",
        format!(
            "Which CPUs are threads of one core is not known: {}.",
            why.unwrap_or("the host names no CPU that is online")
        ),
        "Run it on the host itself, or on a capture made by this version of passthru.",
    )
}

pub(super) fn no_such_function(address: Address) -> Refusal {
    refusal(
        "near",
        format!("This host has no PCI function {address} to be near to."),
        "passthru devices lists the cards.",
    )
}

pub(super) fn no_such_cache(l3: usize, caches: usize) -> Refusal {
    let there = match caches {
        0 => "this host shows no L3 cache".to_owned(),
        1 => "this host has one, number 0".to_owned(),
        _ => format!("this host has 0 to {}", caches - 1),
    };
    refusal(
        "l3",
        format!("There is no L3 cache {l3}: {there}."),
        "Leave the cache out, or take a number of the map.",
    )
}

pub(super) fn nothing_left() -> Refusal {
    refusal(
        "host-share",
        "A host without a core of its own cannot run QEMU or serve interrupts.",
        "Leave it at least one core.",
    )
}

pub(super) fn no_cpu() -> Refusal {
    refusal(
        "none",
        "A guest needs at least one CPU.",
        "Ask for one or more.",
    )
}

pub(super) fn no_core(ask: &Ask<'_>) -> Refusal {
    let cores = ask.cores.all.len();
    let mut asked = Vec::new();
    if let Some(kind) = ask.wanted.kind {
        asked.push(format!("{} cores", word(kind)));
    }
    if let Some(threads) = ask.wanted.threads {
        asked.push(format!(
            "{} on each core",
            plural(threads as usize, "thread")
        ));
    }
    if let Some(l3) = ask.wanted.l3 {
        asked.push(format!("L3 cache {l3}"));
    }
    let of_these = if asked.is_empty() {
        String::new()
    } else {
        format!(" with {}", asked.join(" and "))
    };
    refusal(
        "no-core",
        format!(
            "No core is left for a guest{of_these}: this host has {}, of which {} stay{} with the \
             host, CPU {}'s among them.",
            plural(cores, "core"),
            ask.share,
            if ask.share == 1 { "s" } else { "" },
            boot(ask)
        ),
        "Ask for less, or run the guest without pinning.",
    )
}

pub(super) fn too_large(ask: &Ask<'_>, class: Class, cpus: u32) -> Refusal {
    let largest = ask.largest(class);
    let threads = ask.threads(class);
    let mut why = format!(
        "A guest of {} does not fit: {} with {} each can be given away",
        plural(cpus as usize, "CPU"),
        plural(ask.most(class), &core_word(class)),
        plural(threads, "thread"),
    );
    why.push_str(&format!(
        "; CPU {}'s core and at least {} in all stay with the host.",
        boot(ask),
        plural(ask.share, "core")
    ));
    for other in ask.cores.classes() {
        if other != class && ask.wanted.l3.is_none() {
            why.push_str(&format!(
                " The {} are not mixed in: they differ in speed or threads, and the guest would \
                 schedule as if they did not.",
                plural(ask.available(other).len(), &core_word_threads(other))
            ));
        }
    }
    let mut way_out = format!("The largest guest is {}", plural(largest as usize, "CPU"));
    let other_kind = ask.cores.classes().into_iter().find(|other| {
        other.kind.is_some()
            && other.kind != class.kind
            && ask.largest(*other) >= cpus
            && cpus as usize % ask.threads(*other) == 0
    });
    if let Some(kind) = other_kind.and_then(|class| class.kind) {
        way_out.push_str(&format!("; on {} cores alone {cpus} would fit", word(kind)));
    }
    refusal("too-many", why, format!("{way_out}."))
}

pub(super) fn no_whole_cores(ask: &Ask<'_>, class: Class, cpus: u32) -> Refusal {
    let threads = ask.threads(class);
    let below = cpus as usize / threads * threads;
    let above = below + threads;
    let below = if below == 0 {
        String::new()
    } else {
        format!("{below} or ")
    };
    let mut way_out = format!("Ask for {below}{above} CPUs");
    if cpus as usize <= ask.most(class) {
        way_out.push_str(&format!(
            ", or for one thread of each core: {}, whose other threads stay idle",
            plural(cpus as usize, "core")
        ));
    }
    refusal(
        "partial-core",
        format!(
            "{} are no whole number of cores, which have {} each here; the rest of a core would be \
             the host's, and both would fight for it.",
            plural(cpus as usize, "CPU"),
            plural(threads, "thread")
        ),
        format!("{way_out}."),
    )
}

/// One sentence per decision.
pub(super) fn reasons(
    ask: &Ask<'_>,
    class: Class,
    picked: &[&Core],
    host: &[&Core],
    pinning: &Pinning,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let threads = ask.threads(class);
    let size = plural(pinning.vcpus.len(), "CPU");
    reasons.push(match (class.threads, threads) {
        (1, _) => format!(
            "{size} on {}: these cores have one thread each.",
            plural(picked.len(), "core")
        ),
        (all, used) if all == used => format!(
            "{size} on {}: the {all} threads of a core stand side by side, so the guest schedules \
             them as what they are.",
            plural(picked.len(), "whole core")
        ),
        (all, used) => format!(
            "{size} on {}, {used} of {all} threads each; the other threads (CPUs {}) stay idle, \
             because a core is never shared between host and guest.",
            plural(picked.len(), "core"),
            pinning.idle
        ),
    });
    if ask.wanted.cpus.is_none() {
        reasons.push(format!(
            "No size was given: this is as much as fits into one L3 cache; the largest guest is {}.",
            plural(pinning.largest as usize, "CPU")
        ));
    }
    reasons.push(format!(
        "The host keeps {} (CPUs {}), CPU {}'s among them, where the kernel's own work and most \
         interrupts are.",
        plural(host.len(), "core"),
        pinning.host,
        boot(ask)
    ));
    reasons.extend(kinds(ask, class));
    reasons.extend(place(ask, class, picked));
    reasons.extend(caches(ask, class, picked, pinning));
    reasons.push(format!(
        "QEMU's own threads run on CPUs {} and the I/O thread on {}: the host's nearest, never the \
         guest's.",
        pinning.emulator, pinning.io
    ));
    if pinning.topology.sockets > 1 {
        reasons.push(format!(
            "The guest has {} sockets, as the host has under it; Windows Home uses one socket, Pro two.",
            pinning.topology.sockets
        ));
    }
    reasons
}

fn kinds(ask: &Ask<'_>, class: Class) -> Option<String> {
    let others: Vec<String> = ask
        .cores
        .classes()
        .iter()
        .filter(|other| **other != class)
        .map(|other| {
            let all = ask.cores.all.iter().filter(|core| core.class() == *other);
            plural(all.count(), &core_word_threads(*other))
        })
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "Only {}s are used: the {} are not mixed in.",
            core_word_threads(class),
            others.join(" and the ")
        )
    })
}

/// The memory nodes, and why not the card's if it is not.
fn place(ask: &Ask<'_>, class: Class, picked: &[&Core]) -> Option<String> {
    let nodes: CpuSet = picked.iter().filter_map(|core| core.node).collect();
    let all = distinct(&ask.cores.all.iter().collect::<Vec<_>>(), |core| core.node);
    if all < 2 {
        return None;
    }
    let where_ = match nodes.len() {
        0 => "a package whose memory node is unknown".to_owned(),
        1 => format!("memory node {nodes}"),
        n => format!("{n} memory nodes ({nodes})"),
    };
    let available = ask.available(class);
    let most = nodes.iter().map(|node| {
        available
            .iter()
            .filter(|core| core.node == Some(node))
            .count()
    });
    let mut text = format!("The guest runs on {where_}");
    if nodes.len() > 1 {
        text.push_str(&format!(
            ", because no node has {} to give away (the largest here: {})",
            plural(picked.len(), "core"),
            most.max().unwrap_or(0)
        ));
    }
    let Some(address) = ask.wanted.near else {
        text.push_str("; no card was named whose node would be preferred.");
        return Some(text);
    };
    match &ask.cores.near {
        None => text.push_str(&format!(
            "; the host does not say which node {address} hangs on."
        )),
        Some(_) if picked.iter().all(|core| core.near) => {
            text.push_str(&format!(", where {address} hangs."));
        }
        Some(near) => {
            let free = available.iter().filter(|core| core.near).count();
            text.push_str(&format!(
                "; {address} hangs near CPUs {near}, where {} can be given away, so some of its \
                 memory traffic crosses nodes.",
                plural(free, "core")
            ));
        }
    }
    Some(text)
}

fn caches(ask: &Ask<'_>, class: Class, picked: &[&Core], pinning: &Pinning) -> Vec<String> {
    let mut reasons = Vec::new();
    let Some(l3) = picked.first().and_then(|core| core.l3) else {
        reasons.push("The host shows no L3 cache; cores of one package stay together.".to_owned());
        return reasons;
    };
    let available = ask.available(class);
    let used = distinct(picked, |core| core.group);
    let room = |group: usize| available.iter().filter(|core| core.group == group).count();
    if used > 1 {
        let most = ask.cores.all.iter().map(|core| room(core.group)).max();
        reasons.push(format!(
            "The guest spans {used} L3 caches, the fewest that do: none has more than {} to give \
             away.",
            plural(most.unwrap_or(0), "core")
        ));
    } else {
        let all = distinct(&ask.cores.all.iter().collect::<Vec<_>>(), |core| core.group);
        let sizes = distinct(&available, |core| core.size_kib);
        let mine = picked[0].size_kib;
        let largest = available.iter().filter_map(|core| core.size_kib).max();
        let size = mine.map_or(String::new(), |kib| format!(" of {}", kib_text(kib)));
        let why = match (all, ask.wanted.l3) {
            (_, Some(_)) => ", as asked".to_owned(),
            (1, None) => ", the only one".to_owned(),
            (_, None) if sizes > 1 && mine == largest => ", the largest kind there is".to_owned(),
            (_, None) if sizes > 1 => format!(
                ", not one of {}, where {} are too few or further away",
                kib_text(largest.unwrap_or(0)),
                plural(
                    available
                        .iter()
                        .filter(|core| core.size_kib == largest)
                        .count(),
                    "free core"
                )
            ),
            _ => String::new(),
        };
        reasons.push(format!(
            "All of it shares L3 cache {l3}{size}{why}: no traffic between caches."
        ));
    }
    if pinning.cache == CacheMode::Emulate {
        reasons.push(
            "QEMU describes one L3 per die to the guest: the host's own description would put the \
             guest's CPUs under the wrong caches."
                .to_owned(),
        );
    }
    reasons
}

/// The lowest online CPU, whose core is always the host's.
fn boot(ask: &Ask<'_>) -> u32 {
    let core = ask.cores.all.iter().find(|core| core.boot);
    core.and_then(|core| core.cpus.first().copied())
        .unwrap_or(0)
}

/// A size such as `96 MiB` or `1280 KiB`.
pub(super) fn kib_text(kib: u64) -> String {
    match kib {
        0 => "unknown size".to_owned(),
        kib if kib % 1024 == 0 => format!("{} MiB", kib / 1024),
        kib => format!("{kib} KiB"),
    }
}

const fn word(kind: CoreKind) -> &'static str {
    match kind {
        CoreKind::Performance => "performance",
        CoreKind::Efficiency => "efficiency",
    }
}

fn core_word(class: Class) -> String {
    class
        .kind
        .map_or("core".to_owned(), |kind| format!("{} core", word(kind)))
}

fn core_word_threads(class: Class) -> String {
    match class.kind {
        Some(kind) => format!("{} core", word(kind)),
        None => format!("{}-thread core", class.threads),
    }
}

/// `1 core`, `2 cores`.
pub(super) fn plural(n: usize, word: &str) -> String {
    let n_text = n.to_string();
    format!("{n_text} {word}{}", if n == 1 { "" } else { "s" })
}
