//! The decisions of a pinning in words, each with the figure behind it.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use super::{
    Ask, CacheMode, Pinning,
    choose::distinct,
    cores::{Class, Core},
    words::{boot, core_word_threads, cpus, kib_text, plural},
};
use crate::text::cpulist::CpuSet;

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
            "{size} on {}, {used} of {all} threads each; the other threads ({}) stay idle, \
             because a core is never shared between host and guest.",
            plural(picked.len(), "core"),
            cpus(&pinning.idle)
        ),
    });
    if ask.wanted.cpus.is_none() {
        let one = match picked.first().and_then(|core| core.l3) {
            None => "one package has",
            Some(_) if ask.cores.numa => "one L3 cache has on one memory node",
            Some(_) => "one L3 cache has",
        };
        reasons.push(format!(
            "No size was given: this is as much as {one} and the host can spare; the largest guest \
             is {}.",
            plural(pinning.largest as usize, "CPU")
        ));
    }
    reasons.push(format!(
        "The host keeps {} ({}), CPU {}'s among them, where the kernel's own work and most \
         interrupts are.",
        plural(host.len(), "core"),
        cpus(&pinning.host),
        boot(ask)
    ));
    reasons.extend(kinds(ask, class));
    reasons.extend(place(ask, class, picked));
    reasons.extend(caches(ask, class, picked, pinning));
    reasons.push(format!(
        "QEMU's own threads run on {} and the I/O thread on {}: the host's nearest, never the \
         guest's.",
        cpus(&pinning.emulator),
        pinning.io
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
                "; {address} hangs near {}, where {} can be given away, so some of its \
                 memory traffic crosses nodes.",
                cpus(near),
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
        let why = match (all, ask.wanted.cores.l3) {
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
