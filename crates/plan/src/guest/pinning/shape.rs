//! What the guest sees of the cores it got: sockets, dies, cores, threads, caches, memory nodes.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    CacheMode, GuestNode, GuestTopology,
    choose::distinct,
    cores::{Core, Cores},
    count,
};
use crate::text::cpulist::CpuSet;

/// CPUID 8000001EH counts the nodes of a package in three bits, so QEMU cannot tell an AMD guest of
/// more dies than this.
const MOST_DIES: usize = 8;

/// The guest's side of a pinning.
pub(super) struct Shape {
    /// Host CPUs in the order of the virtual CPUs.
    pub(super) vcpus: Vec<u32>,
    /// Sockets, dies, cores, threads.
    pub(super) topology: GuestTopology,
    /// Which caches the guest is told of.
    pub(super) cache: CacheMode,
    /// Memory nodes and the virtual CPUs on each; empty where there is one node, or a core's is unknown.
    pub(super) nodes: Vec<GuestNode>,
}

impl Shape {
    /// `picked` in the guest's order, `threads` of each core.
    pub(super) fn new(cores: &Cores, picked: &[&Core], threads: usize) -> Self {
        let vcpus: Vec<u32> = picked
            .iter()
            .flat_map(|core| core.cpus.iter().copied().take(threads))
            .collect();
        let (sockets, dies) = split(picked);
        let die = picked.len() / (sockets * dies);
        let truthful = {
            let groups = distinct(picked, |core| core.group);
            let whole = picked.iter().all(|core| core.cpus.len() == threads);
            // CPUs whose APIC ids are the same above the bits of a die share the guest's L3 if the
            // host's L3 has room for exactly as many; one L3 that is larger than the guest is cut
            // to its size by QEMU.
            let stride = die.next_power_of_two() * threads.next_power_of_two();
            let same = |core: &&Core| core.sharing.next_power_of_two() == stride;
            whole && (groups == 1 || (groups == sockets * dies && picked.iter().all(same)))
        };
        Self {
            nodes: nodes(cores, picked, threads),
            topology: GuestTopology {
                sockets: count(sockets),
                dies: count(dies),
                cores: count(die),
                threads: count(threads),
            },
            cache: if truthful {
                CacheMode::Passthrough
            } else {
                CacheMode::Emulate
            },
            vcpus,
        }
    }
}

/// Sockets, and dies of each: as the host has them where all have the same number of cores, else one.
fn split(picked: &[&Core]) -> (usize, usize) {
    let mut packages: BTreeMap<Option<u32>, BTreeMap<usize, usize>> = BTreeMap::new();
    for core in picked {
        let groups = packages.entry(core.package).or_default();
        *groups.entry(core.group).or_default() += 1;
    }
    let sockets = same(packages.values().map(|g| g.values().sum::<usize>()))
        .map_or(1, |_| packages.len().max(1));
    let even = same(packages.values().flat_map(|g| g.values().copied())).is_some();
    let dies = same(packages.values().map(BTreeMap::len))
        .and_then(|()| packages.values().next().map(BTreeMap::len))
        .filter(|&dies| even && dies <= MOST_DIES && sockets == packages.len());
    (sockets, dies.unwrap_or(1))
}

/// All numbers are the same.
fn same(mut numbers: impl Iterator<Item = usize>) -> Option<()> {
    let first = numbers.next()?;
    numbers.all(|n| n == first).then_some(())
}

fn nodes(cores: &Cores, picked: &[&Core], threads: usize) -> Vec<GuestNode> {
    if !cores.numa {
        return Vec::new();
    }
    let mut nodes: BTreeMap<u32, CpuSet> = BTreeMap::new();
    for (i, core) in picked.iter().enumerate() {
        if let Some(node) = core.node {
            let first = count(i * threads);
            nodes
                .entry(node)
                .or_default()
                .extend(first..first + count(threads));
        }
    }
    nodes
        .into_iter()
        .map(|(node, vcpus)| GuestNode { node, vcpus })
        .collect()
}
