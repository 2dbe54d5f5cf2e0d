//! Laws of pinning, on hosts put together by chance.
#![allow(clippy::unwrap_used)]

#[path = "common/guests.rs"]
mod guests;
#[path = "common/judge.rs"]
mod judge;
#[path = "common/topologies.rs"]
mod topologies;

use guests::{size, with_card};
use passthru_plan::guest::{
    hugepages::PageSize,
    memory,
    pinning::{self, CoreWish, Wanted, picture::picture},
};
use proptest::prelude::*;
use topologies::Host;

const GIB: u64 = 1024 * 1024;

prop_compose! {
    fn any_host()(
        packages in 1..4_u32,
        (nodes, caches) in prop_oneof![Just((1, 1)), Just((1, 3)), Just((2, 1)), Just((2, 4)), Just((4, 2)), Just((4, 4))],
        cores in 1..7_u32,
        threads in 1..3_u32,
        adjacent: bool,
        efficiency in prop_oneof![Just(0_u32), 1..9_u32],
        sizes in proptest::collection::vec(prop_oneof![Just(8192_u64), Just(32768), Just(98304)], 1..3),
        off in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) -> Host {
        let mut host = Host {
            adjacent,
            efficiency,
            l3_kib: sizes,
            ..Host::new(packages, nodes, caches, cores, threads)
        };
        let all = packages * nodes.max(caches) * cores * threads;
        host.offline = off.iter().map(|index| index.index(all as usize) as u32).collect();
        if host.offline.len() as u32 >= all { host.offline.clear(); }
        host
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn laws(
        spec in any_host(),
        cpus in 1..60_u32,
        threads in prop_oneof![Just(None), Just(Some(1)), Just(Some(2))],
        leave in prop_oneof![Just(None), (1..4_u32).prop_map(Some)],
        node in 0..12_u32,
    ) {
        let (facts, card) = with_card(&spec, node);
        let wanted = Wanted { cpus: Some(cpus), near: Some(card), cores: CoreWish { threads, leave_to_host: leave, ..CoreWish::default() } };
        let planned = pinning::plan(&facts, &wanted);
        prop_assert_eq!(&planned, &pinning::plan(&facts, &wanted));
        let largest = pinning::largest(&facts, &wanted);
        let pinning = match planned {
            Ok(pinning) => pinning,
            Err(refusal) => {
                prop_assert!(refusal.why.ends_with('.') && refusal.way_out.ends_with('.'));
                match &*refusal.id {
                    "guest.cpus.too-many" => prop_assert!(cpus > largest.unwrap()),
                    "guest.cpus.partial-core" => prop_assert!(cpus < largest.unwrap()),
                    "guest.cpus.no-core" => prop_assert!(largest.is_err()),
                    other => prop_assert!(false, "{other}"),
                }
                return Ok(());
            }
        };
        prop_assert!(cpus <= largest.unwrap());
        let guest = pinning.guest();
        prop_assert_eq!(pinning.vcpus.len(), cpus as usize);
        prop_assert_eq!(guest.len(), cpus as usize);
        let t = pinning.topology;
        prop_assert_eq!(t.sockets * t.dies * t.cores * t.threads, cpus);

        // Every online CPU has one owner, and no other CPU has any.
        let mut owned = guest.clone();
        for set in [&pinning.host, &pinning.idle] {
            prop_assert!(owned.is_disjoint(set));
            owned.extend(set.iter());
        }
        prop_assert_eq!(owned, judge::online(&facts));
        prop_assert_eq!(pinning.emulator.without(&pinning.host).len(), 0);
        prop_assert_eq!(pinning.io.without(&pinning.emulator).len(), 0);
        prop_assert!(!pinning.io.is_empty());

        // Whole cores, threads side by side, one kind; the host keeps CPU 0's core and its share.
        prop_assert_eq!(judge::split(&facts, &guest, &pinning.host), 0);
        for core in pinning.vcpus.chunks(t.threads as usize) {
            let siblings = &judge::cpu(&facts, core[0]).siblings;
            prop_assert!(core.is_sorted() && core.iter().all(|&cpu| siblings.contains(cpu)));
        }
        let like = judge::class(judge::cpu(&facts, pinning.vcpus[0]));
        prop_assert!(guest.iter().all(|cpu| judge::class(judge::cpu(&facts, cpu)) == like));
        prop_assert!(pinning.host.contains(judge::online(&facts).first().unwrap()));
        let all = judge::cores(&facts, &judge::online(&facts));
        let share = leave.map_or(if all <= 4 { 1 } else { 2 }, |cores| cores as usize);
        prop_assert!(judge::cores(&facts, &pinning.host) >= share);

        // As few nodes as there can be, and one cache if one would do.
        let k = (cpus / t.threads) as usize;
        let nodes = judge::room(&facts, like, |cpu| cpu.node);
        let mut rooms: Vec<usize> = nodes.values().copied().collect();
        rooms.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        let fewest = rooms.iter().take_while(|room| { let more = sum < k; sum += **room; more }).count();
        prop_assert_eq!(judge::nodes(&facts, &guest), fewest);
        if judge::most(&judge::room(&facts, like, |cpu| cpu.l3)) >= k {
            prop_assert_eq!(judge::caches(&facts, &guest), 1);
        }

        for line in picture(&facts, &pinning, 40) {
            prop_assert!(line.len() <= 40, "{line}");
        }
        prop_assert!(pinning.reasons.iter().all(|reason| reason.ends_with('.')));
    }

    #[test]
    fn memory_adds_up(spec in any_host(), cpus in 1..40_u32, mib in 128..400_000_u64, gigabytes: bool) {
        let facts = spec.facts();
        let Ok(pinning) = pinning::plan(&facts, &size(cpus)) else { return Ok(()) };
        let kib = if gigabytes { mib / 1024 * GIB } else { mib / 2 * 2048 };
        let Ok(memory) = memory::plan(&facts, &pinning, kib, PageSize::Largest) else {
            let total = facts.machine.memory.total_kib.unwrap();
            prop_assert!(kib < GIB / 4 || kib > total / 5 * 4 || kib + 2 * GIB > total);
            return Ok(());
        };
        prop_assert_eq!(memory.nodes.iter().map(|part| part.kib).sum::<u64>(), kib);
        prop_assert_eq!(memory.hugepages.count * memory.hugepages.page_kib, kib);
        prop_assert_eq!(memory.hugepages.per_node.iter().map(|part| part.count).sum::<u64>(), memory.hugepages.count);
        if !memory.cells.is_empty() {
            prop_assert_eq!(memory.cells.iter().sum::<u64>(), kib);
            prop_assert_eq!(memory.cells.len(), pinning.nodes.len());
        }
    }
}
