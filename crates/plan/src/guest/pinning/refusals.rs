//! What stands in the way of a pinning, in words, each with the figure behind it and the way out.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use super::{
    Ask,
    cores::Class,
    words::{boot, core_word, core_word_threads, plural, word},
};
use crate::{pci::Address, plan::Refusal};

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
    if let Some(kind) = ask.wanted.cores.kind {
        asked.push(format!("{} cores", word(kind)));
    }
    if let Some(threads) = ask.wanted.cores.threads {
        asked.push(format!(
            "{} on each core",
            plural(threads as usize, "thread")
        ));
    }
    if let Some(l3) = ask.wanted.cores.l3 {
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
        if other != class && ask.wanted.cores.l3.is_none() {
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
            && (cpus as usize).is_multiple_of(ask.threads(*other))
    });
    if let Some(kind) = other_kind.and_then(|class| class.kind) {
        way_out.push_str(&format!(
            "; on {0} cores alone {cpus} would fit (--kind {0})",
            word(kind)
        ));
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
            ", or for one thread of each core (--threads 1): {}, whose other threads stay idle",
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
