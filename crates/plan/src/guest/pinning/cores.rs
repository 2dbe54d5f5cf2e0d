//! The host's physical cores, from its logical CPUs.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Wanted, refusals};
use crate::{
    facts::{CoreKind, Facts, LogicalCpu},
    plan::Refusal,
    text::cpulist::CpuSet,
};

/// A physical core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    /// Its online threads, ascending.
    pub(super) cpus: Vec<u32>,
    /// Its package, if known.
    pub(super) package: Option<u32>,
    /// Its memory node, if known.
    pub(super) node: Option<u32>,
    /// Its L3 cache, by its number in the facts.
    pub(super) l3: Option<usize>,
    /// Cores with the same number share an L3; where the host shows none, a package and node.
    pub(super) group: usize,
    /// Size of the L3 in KiB, if known.
    pub(super) size_kib: Option<u64>,
    /// Online CPUs that share the L3.
    pub(super) sharing: usize,
    /// Kind, on hybrid processors.
    pub(super) kind: Option<CoreKind>,
    /// It holds CPU 0, or the lowest CPU that is online: the kernel's own work ends up there.
    pub(super) boot: bool,
    /// Near the card: true everywhere if no card was named or nothing is known of its place.
    pub(super) near: bool,
    /// In a package with a core near the card.
    pub(super) near_package: bool,
}

/// Cores that may stand together in one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    /// Their kind.
    pub(super) kind: Option<CoreKind>,
    /// How many threads of each are online.
    pub(super) threads: usize,
}

impl Core {
    pub(super) fn class(&self) -> Class {
        Class {
            kind: self.kind,
            threads: self.cpus.len(),
        }
    }
}

/// All cores.
pub(super) struct Cores {
    /// In the order of their lowest CPU.
    pub(super) all: Vec<Core>,
    /// The CPUs near the card, where that is a choice: a card was named, its place is known, and
    /// some CPUs are not near it.
    pub(super) near: Option<CpuSet>,
    /// The host has several memory nodes, and every core's is known: there is something to say.
    pub(super) numa: bool,
}

impl Cores {
    pub(super) fn new(facts: &Facts, wanted: &Wanted) -> Result<Self, Refusal> {
        let topology = &facts.topology;
        let cpus = match (topology.cpus.value(), topology.cpus.why_not()) {
            (Some(cpus), _) if !cpus.is_empty() => cpus,
            (_, why) => return Err(refusals::not_measured(why)),
        };
        if let Some(l3) = wanted.cores.l3.filter(|&l3| l3 >= topology.l3.len()) {
            return Err(refusals::no_such_cache(l3, topology.l3.len()));
        }
        let mut by_first: BTreeMap<u32, Vec<&LogicalCpu>> = BTreeMap::new();
        for cpu in cpus {
            let first = cpu.siblings.first().unwrap_or(cpu.number);
            by_first.entry(first).or_default().push(cpu);
        }
        let near = near(facts, wanted, cpus)?;
        let is_near = |cpu: &LogicalCpu| near.as_ref().is_none_or(|set| set.contains(cpu.number));
        let near_packages: Vec<Option<u32>> = cpus
            .iter()
            .filter(|cpu| is_near(cpu))
            .map(|cpu| cpu.package)
            .collect::<alloc::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut groups = BTreeMap::new();
        let boot = cpus.iter().map(|cpu| cpu.number).min();
        let mut all = Vec::new();
        for threads in by_first.into_values() {
            let Some(first) = threads.first() else {
                continue;
            };
            let next = groups.len();
            let place = first.l3.map_or((None, first.package, first.node), |l3| {
                (Some(l3), None, None)
            });
            let group = *groups.entry(place).or_insert(next);
            let cache = first.l3.and_then(|l3| topology.l3.get(l3));
            let mut numbers: Vec<u32> = threads.iter().map(|cpu| cpu.number).collect();
            numbers.sort_unstable();
            all.push(Core {
                boot: numbers.first() == boot.as_ref(),
                cpus: numbers,
                package: first.package,
                node: first.node,
                l3: first.l3,
                group,
                size_kib: cache.and_then(|cache| cache.size_kib),
                sharing: cache.map_or(0, |cache| cache.cpus.len()),
                kind: first.kind,
                near: is_near(first),
                near_package: near_packages.contains(&first.package),
            });
        }
        all.sort_by(|a, b| a.cpus.cmp(&b.cpus));
        let numa = topology.nodes.len() > 1 && all.iter().all(|core| core.node.is_some());
        Ok(Self { all, near, numa })
    }

    /// The classes there are.
    pub(super) fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.all.iter().map(Core::class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

/// The online CPUs near the card that was named. A single-node host, and firmware that does not say
/// where the card is, leave no choice.
fn near(facts: &Facts, wanted: &Wanted, cpus: &[LogicalCpu]) -> Result<Option<CpuSet>, Refusal> {
    let Some(address) = wanted.near else {
        return Ok(None);
    };
    let Some(function) = facts.function(address) else {
        return Err(refusals::no_such_function(address));
    };
    let topology = &facts.topology;
    let node = function.numa_node.and_then(|id| topology.node(id));
    let local = topology.local.iter().find(|l| l.address == address);
    let online: CpuSet = cpus.iter().map(|cpu| cpu.number).collect();
    // A node of memory alone has no CPU: the kernel's local_cpulist is then all there is to know.
    let near = node
        .map(|node| &node.cpus)
        .filter(|cpus| !cpus.is_empty())
        .or(local.map(|local| &local.cpus))
        .map(|cpus| cpus.among(&online));
    Ok(near.filter(|near| !near.is_empty() && near.len() < online.len()))
}
