//! Which cores: the guest's, and those of its emulator.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Reverse;

use super::cores::{Core, Cores};
use crate::text::cpulist::CpuSet;

/// Cores of one cache or one node, and what speaks for them.
struct Pile<'a> {
    cores: Vec<&'a Core>,
}

impl<'a> Pile<'a> {
    fn len(&self) -> usize {
        self.cores.len()
    }

    fn far(&self) -> usize {
        self.cores.iter().filter(|core| !core.near).count()
    }

    fn size(&self) -> u64 {
        smallest(&self.cores)
    }

    fn first(&self) -> u32 {
        self.cores
            .iter()
            .filter_map(|core| core.cpus.first().copied())
            .min()
            .unwrap_or(u32::MAX)
    }
}

fn piles<'a, K: Ord>(cores: &[&'a Core], key: impl Fn(&Core) -> K) -> Vec<Pile<'a>> {
    let mut piles: BTreeMap<K, Vec<&'a Core>> = BTreeMap::new();
    for &core in cores {
        piles.entry(key(core)).or_default().push(core);
    }
    piles.into_values().map(|cores| Pile { cores }).collect()
}

/// The smallest L3 among those of `cores`, in KiB; unknown is 0.
fn smallest(cores: &[&Core]) -> u64 {
    cores
        .iter()
        .map(|core| core.size_kib.unwrap_or(0))
        .min()
        .unwrap_or(0)
}

/// How many different answers `key` gives.
pub(super) fn distinct<K: Ord>(cores: &[&Core], key: impl Fn(&Core) -> K) -> usize {
    cores
        .iter()
        .map(|core| key(core))
        .collect::<BTreeSet<_>>()
        .len()
}

/// Cores of the cache (within one node) that a guest of no particular size would get.
pub(super) fn roomiest(available: &[&Core]) -> usize {
    piles(available, |core| (core.group, core.node))
        .iter()
        .max_by_key(|pile| (Reverse(pile.far()), pile.size(), pile.len()))
        .map_or(0, Pile::len)
}

/// The best `k` of `available`, in the order in which the guest numbers them. `k` is at most as many.
pub(super) fn choose<'a>(cores: &Cores, available: &[&'a Core], k: usize) -> Vec<&'a Core> {
    let boot: Vec<usize> = cores
        .all
        .iter()
        .filter(|core| core.boot)
        .map(|core| core.group)
        .collect();
    // Each cache, each node and each package is tried alone before all of them together: whatever
    // would do in one is then seen to do.
    let mut pools = piles(available, |core| core.group);
    pools.extend(piles(available, |core| core.node));
    pools.extend(piles(available, |core| core.package));
    pools.push(Pile {
        cores: available.to_vec(),
    });
    let best = pools
        .iter()
        .filter(|pool| pool.len() >= k)
        .map(|pool| fill(&pool.cores, k))
        .min_by_key(|picked| {
            let used: BTreeSet<usize> = picked.iter().map(|core| core.group).collect();
            let slack = available
                .iter()
                .filter(|core| used.contains(&core.group))
                .count()
                - k;
            let far = |near: fn(&Core) -> bool| picked.iter().filter(|core| !near(core)).count();
            (
                distinct(picked, |core| core.node),
                distinct(picked, |core| core.package),
                used.len(),
                far(|core| core.near),
                far(|core| core.near_package),
                Reverse(smallest(picked)),
                used.iter().any(|group| boot.contains(group)),
                slack,
                picked.iter().map(|core| core.cpus[0]).min(),
            )
        });
    let mut picked = best.unwrap_or_default();
    picked.sort_by_key(|core| (core.package, core.group, core.node, core.cpus.clone()));
    picked
}

/// `k` cores of a pool on the fewest nodes and, there, in the fewest caches, whole ones first.
fn fill<'a>(pool: &[&'a Core], k: usize) -> Vec<&'a Core> {
    let mut nodes = piles(pool, |core| core.node);
    nodes.sort_by_key(|pile| (Reverse(pile.len()), pile.far(), pile.first()));
    let mut taken = 0;
    let needed = nodes
        .iter()
        .take_while(|pile| {
            let more = taken < k;
            taken += pile.len();
            more
        })
        .count();
    let others = nodes.split_off(needed);
    // The smallest of the chosen nodes makes place for the card's own, if that is enough.
    let room: usize = nodes.iter().map(Pile::len).sum();
    if let Some(last) = nodes.last_mut().filter(|last| last.far() > 0) {
        let swap = others
            .into_iter()
            .find(|pile| pile.far() == 0 && room - last.len() + pile.len() >= k);
        if let Some(near) = swap {
            *last = near;
        }
    }
    let order: BTreeMap<Option<u32>, usize> = nodes
        .iter()
        .enumerate()
        .filter_map(|(i, pile)| Some((pile.cores.first()?.node, i)))
        .collect();
    let within: Vec<&Core> = nodes
        .iter()
        .flat_map(|pile| pile.cores.iter().copied())
        .collect();
    let mut caches = piles(&within, |core| core.group);
    caches.sort_by_key(|pile| {
        (
            Reverse(pile.len()),
            pile.far(),
            Reverse(pile.size()),
            pile.first(),
        )
    });
    let mut picked = Vec::new();
    while picked.len() < k && !caches.is_empty() {
        let missing = k - picked.len();
        // The tightest that is large enough for what is missing; before that, the largest.
        let next = (0..caches.len())
            .filter(|&i| caches[i].len() >= missing)
            .min_by_key(|&i| (caches[i].len(), caches[i].far(), Reverse(caches[i].size())))
            .unwrap_or(0);
        let mut cores = caches.remove(next).cores;
        // Of a cache that is shared with the host, the cores with the highest numbers: CPU 0 and
        // the kernel's own work are at the other end. In a cache over two nodes, one node first.
        cores.sort_by_key(|core| (order.get(&core.node), Reverse(core.cpus.clone())));
        picked.extend(cores.into_iter().take(missing));
    }
    picked
}

/// At most this many cores for the emulator: its threads wait more than they work.
const EMULATOR_CORES: usize = 2;

/// CPUs for QEMU's own threads and for one I/O thread: host cores as near to the guest as there are.
pub(super) fn emulator(guest: &[&Core], host: &[&Core]) -> (CpuSet, CpuSet) {
    let mut nearest: Vec<&Core> = host.to_vec();
    nearest.sort_by_key(|core| {
        (
            !guest.iter().any(|g| g.group == core.group),
            !guest.iter().any(|g| g.node == core.node),
            !guest.iter().any(|g| g.package == core.package),
            core.boot,
            core.cpus.clone(),
        )
    });
    nearest.truncate(EMULATOR_CORES);
    let cpus = |cores: &[&Core]| {
        cores
            .iter()
            .flat_map(|core| core.cpus.iter().copied())
            .collect()
    };
    // CPU 0 has the timers and most interrupts: the I/O thread shares it only if it must.
    let io = nearest
        .iter()
        .position(|core| !core.boot)
        .map_or(&nearest[..nearest.len().min(1)], |i| &nearest[i..=i]);
    (cpus(&nearest), cpus(io))
}
