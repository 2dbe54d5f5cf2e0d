//! Judges which CPUs a guest got, from the facts alone and without the planner's own reckoning.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use passthru_plan::{
    Facts,
    facts::{CoreKind, LogicalCpu},
    text::cpulist::CpuSet,
};

pub(crate) fn cpus(facts: &Facts) -> &[LogicalCpu] {
    facts.topology.cpus.value().map_or(&[], Vec::as_slice)
}

pub(crate) fn online(facts: &Facts) -> CpuSet {
    cpus(facts).iter().map(|cpu| cpu.number).collect()
}

pub(crate) fn cpu(facts: &Facts, number: u32) -> &LogicalCpu {
    cpus(facts)
        .iter()
        .find(|cpu| cpu.number == number)
        .unwrap_or_else(|| panic!("CPU {number} is not online"))
}

/// Cores with a thread in both sets.
pub(crate) fn split(facts: &Facts, guest: &CpuSet, host: &CpuSet) -> usize {
    let cores: BTreeSet<&CpuSet> = cpus(facts).iter().map(|cpu| &cpu.siblings).collect();
    cores
        .into_iter()
        .filter(|core| !core.is_disjoint(guest) && !core.is_disjoint(host))
        .count()
}

/// Caches the guest is in.
pub(crate) fn caches(facts: &Facts, guest: &CpuSet) -> usize {
    let of = guest.iter().map(|number| cpu(facts, number).l3);
    of.collect::<BTreeSet<_>>().len()
}

/// Memory nodes the guest is in.
pub(crate) fn nodes(facts: &Facts, guest: &CpuSet) -> usize {
    let of = guest.iter().map(|number| cpu(facts, number).node);
    of.collect::<BTreeSet<_>>().len()
}

/// What makes cores alike: kind, and threads that are online.
pub(crate) type Class = (Option<CoreKind>, usize);

pub(crate) fn class(cpu: &LogicalCpu) -> Class {
    (cpu.kind, cpu.siblings.len())
}

/// How many cores of a class each place has to give away: all but the core of the lowest CPU.
pub(crate) fn room<K: Ord>(
    facts: &Facts,
    like: Class,
    place: impl Fn(&LogicalCpu) -> K,
) -> BTreeMap<K, usize> {
    let boot = online(facts).first();
    let mut room = BTreeMap::new();
    for cpu in cpus(facts) {
        let first = cpu.siblings.first() == Some(cpu.number);
        let kept = boot.is_some_and(|boot| cpu.siblings.contains(boot));
        if first && !kept && class(cpu) == like {
            *room.entry(place(cpu)).or_insert(0) += 1;
        }
    }
    room
}

/// The largest of the rooms.
pub(crate) fn most<K>(room: &BTreeMap<K, usize>) -> usize {
    room.values().copied().max().unwrap_or(0)
}

/// Physical cores with a thread in `set`.
pub(crate) fn cores(facts: &Facts, set: &CpuSet) -> usize {
    let of = set.iter().map(|number| &cpu(facts, number).siblings);
    of.collect::<BTreeSet<_>>().len()
}
