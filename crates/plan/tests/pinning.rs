//! Which CPUs a guest gets: on hosts that people have, and laws on hosts put together by chance.
#![allow(clippy::unwrap_used)]

#[path = "common/judge.rs"]
mod judge;
#[path = "common/topologies.rs"]
mod topologies;

use passthru_plan::{
    Address, Facts, Measured,
    facts::{CoreKind, CpuVendor, Function},
    guest::{
        memory,
        pinning::{self, CacheMode, GuestTopology, Pinning, Wanted, picture::picture},
        xml,
    },
};
use proptest::prelude::*;
use topologies::{Host, NODE_KIB, known};

fn host(name: &str) -> Host {
    let hosts = known();
    let found = hosts.into_iter().find(|(known, _)| known.contains(name));
    found.unwrap().1
}

fn size(cpus: u32) -> Wanted {
    Wanted {
        cpus: Some(cpus),
        ..Wanted::default()
    }
}

fn pin(facts: &Facts, wanted: &Wanted) -> Pinning {
    pinning::plan(facts, wanted).unwrap()
}

fn refused(facts: &Facts, wanted: &Wanted) -> (String, String) {
    let refusal = pinning::plan(facts, wanted).unwrap_err();
    (refusal.id, format!("{} {}", refusal.why, refusal.way_out))
}

const fn topology(sockets: u32, dies: u32, cores: u32, threads: u32) -> GuestTopology {
    GuestTopology {
        sockets,
        dies,
        cores,
        threads,
    }
}

/// Facts with a card on a memory node.
fn with_card(host: &Host, node: u32) -> (Facts, Address) {
    let mut facts = host.facts();
    let address = "0000:41:00.0".parse().unwrap();
    let mut card = Function::new(address);
    card.numa_node = Some(node);
    facts.functions.push(card);
    (facts, address)
}

#[test]
fn a_5950x_gives_the_cache_that_cpu_0_is_not_in() {
    let facts = host("5950X: 2").facts();
    let all = pin(&facts, &Wanted::default());
    assert_eq!(all.guest().to_string(), "8-15,24-31");
    assert_eq!(all.vcpus[..4], [8, 24, 9, 25]);
    assert_eq!(all.host.to_string(), "0-7,16-23");
    assert_eq!(all.topology, topology(1, 1, 8, 2));
    assert_eq!(all.cache, CacheMode::Passthrough);
    assert_eq!(all.largest, 28);
    assert!(all.emulator.among(&all.host) == all.emulator && !all.emulator.contains(0));
    let half = pin(&facts, &size(8));
    assert_eq!(half.guest().to_string(), "12-15,28-31");
    // The rest of the guest's cache is nearer than the other one.
    assert_eq!(half.emulator.to_string(), "8-9,24-25");
    assert_eq!(half.io.to_string(), "8,24");
}

#[test]
fn a_guest_over_both_caches_takes_a_whole_one_first() {
    let facts = host("5950X: 2").facts();
    let pinning = pin(&facts, &size(24));
    assert_eq!(pinning.guest().to_string(), "4-15,20-31");
    // 4 and 8 cores make no two equal dies.
    assert_eq!(pinning.topology, topology(1, 1, 12, 2));
    assert_eq!(pinning.cache, CacheMode::Emulate);
}

#[test]
fn whole_caches_are_dies_of_the_guest() {
    let facts = host("EPYC 7763").facts();
    let pinning = pin(&facts, &size(32));
    assert_eq!(pinning.topology, topology(1, 2, 8, 2));
    assert_eq!(pinning.cache, CacheMode::Passthrough);
    assert_eq!(pinning.nodes.len(), 1);
    assert_eq!(pinning.nodes[0].vcpus.to_string(), "0-31");
}

#[test]
fn x3d_prefers_the_large_cache_until_told_otherwise() {
    let facts = host("7950X3D").facts();
    let guest = |wanted: &Wanted| pin(&facts, wanted).guest().to_string();
    assert_eq!(guest(&Wanted::default()), "1-7,17-23");
    assert_eq!(guest(&size(8)), "4-7,20-23");
    // Sixteen fit into one cache only beside CPU 0's.
    assert_eq!(guest(&size(16)), "8-15,24-31");
    let other = Wanted {
        l3: Some(1),
        ..size(8)
    };
    assert_eq!(guest(&other), "12-15,28-31");
    assert!(
        pin(&facts, &Wanted::default())
            .reasons
            .iter()
            .any(|reason| reason.contains("96 MiB"))
    );
}

#[test]
fn kinds_of_cores_are_never_mixed() {
    let facts = host("13900K").facts();
    let all = pin(&facts, &Wanted::default());
    assert_eq!(all.guest().to_string(), "2-15");
    assert_eq!(all.vcpus[..4], [2, 3, 4, 5]);
    assert_eq!(all.host.to_string(), "0-1,16-31");
    let (id, text) = refused(&facts, &size(16));
    assert_eq!(id, "guest.cpus.too-many");
    assert!(text.contains("16 efficiency cores"), "{text}");
    assert!(text.contains("The largest guest is 14 CPUs"), "{text}");
    assert!(
        text.contains("on efficiency cores alone 16 would fit"),
        "{text}"
    );
    let small = Wanted {
        kind: Some(CoreKind::Efficiency),
        ..size(16)
    };
    let small = pin(&facts, &small);
    assert_eq!(small.guest().to_string(), "16-31");
    assert_eq!(small.topology, topology(1, 1, 16, 1));
}

#[test]
fn small_hosts_keep_a_core_or_two() {
    let largest = |name| pinning::largest(&host(name).facts(), &Wanted::default()).unwrap();
    assert_eq!(largest("4 cores with SMT"), 6);
    assert_eq!(largest("4 cores without SMT"), 3);
    assert_eq!(largest("8 cores without SMT"), 6);
    let one = Host::new(1, 1, 1, 1, 2).facts();
    assert_eq!(refused(&one, &Wanted::default()).0, "guest.cpus.no-core");
    let facts = host("5950X: 2").facts();
    let leave = |cores| Wanted {
        leave_to_host: Some(cores),
        ..Wanted::default()
    };
    assert_eq!(pinning::largest(&facts, &leave(1)).unwrap(), 30);
    assert_eq!(pinning::largest(&facts, &leave(10)).unwrap(), 12);
    assert_eq!(refused(&facts, &leave(0)).0, "guest.cpus.host-share");
    assert_eq!(refused(&facts, &leave(16)).0, "guest.cpus.no-core");
}

#[test]
fn parts_of_cores_are_refused_with_what_would_do() {
    let facts = host("5950X: 2").facts();
    let (id, text) = refused(&facts, &size(5));
    assert_eq!(id, "guest.cpus.partial-core");
    assert!(text.contains("Ask for 4 or 6 CPUs"), "{text}");
    assert_eq!(refused(&facts, &size(0)).0, "guest.cpus.none");
    assert_eq!(refused(&facts, &size(29)).0, "guest.cpus.too-many");
    let single = Wanted {
        threads: Some(1),
        ..size(5)
    };
    let single = pin(&facts, &single);
    assert_eq!(single.vcpus, [11, 12, 13, 14, 15]);
    assert_eq!(single.idle.to_string(), "27-31");
    assert_eq!(single.topology, topology(1, 1, 5, 1));
    // The host's second-level cache has two threads, the guest's one.
    assert_eq!(single.cache, CacheMode::Emulate);
    assert!(single.host.is_disjoint(&single.idle));
}

#[test]
fn the_guest_runs_where_the_card_is() {
    let threadripper = host("2990WX");
    for node in 0..4 {
        let (facts, card) = with_card(&threadripper, node);
        let near = |cpus| Wanted {
            near: Some(card),
            ..size(cpus)
        };
        let pinning = pin(&facts, &near(8));
        assert_eq!(pinning.nodes.len(), 1);
        assert_eq!(pinning.nodes[0].node, node);
        assert_eq!(pinning.topology, topology(1, 1, 4, 2));
        // Node 0 keeps CPU 0's core and cannot hold sixteen: then one other node, not two.
        let sixteen = pin(&facts, &near(16));
        assert_eq!(sixteen.nodes.len(), 1);
        assert_eq!(sixteen.nodes[0].node == node, node != 0);
        // More than a node: the card's is among them.
        let wide = pin(&facts, &near(28));
        let nodes: Vec<u32> = wide.nodes.iter().map(|part| part.node).collect();
        assert_eq!(nodes.len(), 2);
        assert!(nodes.contains(&node), "{node} {nodes:?}");
    }
}

#[test]
fn a_card_that_says_nothing_of_its_place_is_said_so() {
    let (mut facts, card) = with_card(&host("2990WX"), 2);
    facts.functions[0].numa_node = None;
    let near = Wanted {
        near: Some(card),
        ..size(8)
    };
    let says = |facts: &Facts| pin(facts, &near).reasons.join("\n");
    assert!(says(&facts).contains("does not say which node 0000:41:00.0"));
    // local_cpulist knows it all the same.
    let local = facts.topology.nodes[3].cpus.clone();
    facts
        .topology
        .local
        .push(passthru_plan::facts::topology::Local {
            address: card,
            cpus: local,
        });
    assert_eq!(pin(&facts, &near).nodes[0].node, 3);
    facts.functions.clear();
    assert_eq!(refused(&facts, &near).0, "guest.cpus.near");
}

#[test]
fn a_cache_over_two_nodes_is_used_within_one_while_it_can_be() {
    let facts = host("SNC2").facts();
    let one = pin(&facts, &size(32));
    assert_eq!((one.nodes.len(), one.topology), (1, topology(1, 1, 16, 2)));
    let two = pin(&facts, &size(48));
    assert_eq!(two.nodes.len(), 2);
    assert_eq!(judge::caches(&facts, &two.guest()), 1);
    let three = pin(&facts, &size(96));
    assert_eq!(three.nodes.len(), 3);
}

#[test]
fn of_several_nodes_that_would_do_the_tightest() {
    // Four nodes of two caches of four cores; on node 2 two cores are off.
    let host = Host {
        offline: vec![22, 23, 54, 55],
        ..Host::new(1, 4, 8, 4, 2)
    };
    let facts = host.facts();
    let pinning = pin(&facts, &size(12));
    assert_eq!(pinning.nodes[0].node, 2);
    assert_eq!(pinning.guest().to_string(), "16-21,48-53");
}

#[test]
fn of_several_caches_for_the_rest_the_tightest() {
    // One cache has seven cores to give away, one eight, one four.
    let host = Host {
        offline: (20..24).chain(44..48).collect(),
        ..Host::new(1, 1, 3, 8, 2)
    };
    let pinning = pin(&host.facts(), &size(22));
    assert_eq!(pinning.guest().to_string(), "8-15,17-19,32-39,41-43");
}

#[test]
fn two_nodes_are_of_one_package() {
    let mut host = Host::new(2, 2, 4, 8, 2);
    let pinning = pin(&host.facts(), &size(64));
    let nodes: Vec<u32> = pinning.nodes.iter().map(|part| part.node).collect();
    assert_eq!(nodes, [2, 3]);
    assert_eq!(pinning.topology, topology(1, 4, 8, 2));
    // Neither the card's node nor that of CPU 0 has sixteen whole cores; the card's neighbour has.
    host.offline = vec![63, 127];
    let (facts, card) = with_card(&host, 3);
    let near = Wanted {
        near: Some(card),
        ..size(32)
    };
    assert_eq!(pin(&facts, &near).nodes[0].node, 2);
}

#[test]
fn dies_that_are_smaller_than_the_hosts_caches_are_described_by_qemu() {
    // In each cache four cores with both threads online, and four with one: the guest gets dies of
    // four cores, eight APIC ids apart, and the host's own description says sixteen share an L3.
    let host = Host {
        offline: (28..32).chain(36..40).chain(44..48).collect(),
        ..Host::new(1, 1, 3, 8, 2)
    };
    let facts = host.facts();
    let pinning = pin(&facts, &size(16));
    assert_eq!(pinning.guest().to_string(), "8-11,16-19,32-35,40-43");
    assert_eq!(pinning.topology, topology(1, 2, 4, 2));
    assert_eq!(pinning.cache, CacheMode::Emulate);
}

#[test]
fn sockets_are_as_on_the_host_where_that_is_even() {
    let facts = host("9654").facts();
    // 8 nodes of 24 cores less one: both packages, 12 caches and 11.
    let most = pinning::largest(&facts, &Wanted::default()).unwrap();
    assert_eq!(most, (192 - 2) * 2);
    let even = Host::new(2, 1, 4, 8, 2).facts();
    let wanted = size(14 * 8);
    let pinning = pin(&even, &wanted);
    assert_eq!(pinning.nodes.len(), 2);
    assert_eq!(pinning.topology.sockets * pinning.topology.dies, 1);
}

#[test]
fn what_is_not_measured_is_refused() {
    let mut facts = host("5950X: 2").facts();
    facts.topology.cpus = Measured::not("/sys/devices/system/cpu is not part of this host's tree");
    let (id, text) = refused(&facts, &Wanted::default());
    assert_eq!(id, "guest.cpus.not-measured");
    assert!(text.contains("not part of this host's tree"));
    facts.topology.cpus = Measured::Value(Vec::new());
    assert_eq!(
        refused(&facts, &Wanted::default()).0,
        "guest.cpus.not-measured"
    );
    let facts = host("5950X: 2").facts();
    let cache = Wanted {
        l3: Some(2),
        ..Wanted::default()
    };
    assert_eq!(refused(&facts, &cache).0, "guest.cpus.l3");
}

const GIB: u64 = 1024 * 1024;

#[test]
fn memory_and_its_pages() {
    let facts = host("2990WX").facts();
    let pinning = pin(&facts, &size(8));
    let sixteen = memory::plan(&facts, &pinning, 16 * GIB).unwrap();
    assert_eq!(
        (sixteen.hugepages.page_kib, sixteen.hugepages.count),
        (GIB, 16)
    );
    let node = pinning.nodes[0].node;
    assert_eq!(
        sixteen.hugepages.words,
        ["hugepagesz=1G", &format!("hugepages={node}:16")]
    );
    assert_eq!(
        sixteen.hugepages.at_start[0].pool,
        format!("/sys/devices/system/node/node{node}/hugepages/hugepages-1048576kB")
    );
    assert!(sixteen.strict);
    // Half of the node is free: more is preferred there, not bound.
    let forty = memory::plan(&facts, &pinning, 40 * GIB).unwrap();
    assert!(!forty.strict);
    // More than the node has lies on the next ones as well, all of it.
    let hundred = memory::plan(&facts, &pinning, 100 * GIB).unwrap();
    let parts: Vec<_> = hundred.nodes.iter().map(|part| part.kib / GIB).collect();
    assert_eq!(parts, [63, 37]);
    let mut unknown = facts.clone();
    for other in unknown.topology.nodes.iter_mut().filter(|n| n.id != node) {
        other.total_kib = Measured::not("meminfo is not there");
    }
    let here = memory::plan(&unknown, &pinning, 100 * GIB).unwrap();
    assert_eq!(here.nodes.len(), 1);
    assert_eq!(here.nodes[0].kib, 100 * GIB);
    let odd = memory::plan(&facts, &pinning, 16 * GIB + 2048).unwrap();
    assert_eq!(odd.hugepages.page_kib, 2048);
    assert_eq!(odd.hugepages.count, 8193);
    assert_eq!(odd.hugepages.at_start[0].missing, Some(8193));
    let total = facts.machine.memory.total_kib.unwrap();
    assert_eq!(total, 4 * NODE_KIB);
    let id = |kib| memory::plan(&facts, &pinning, kib).unwrap_err().id;
    assert_eq!(id(total), "guest.memory.too-much");
    assert_eq!(id(total / 5 * 4 / GIB * GIB + GIB), "guest.memory.too-much");
    assert!(memory::plan(&facts, &pinning, total / 5 * 4 / GIB * GIB).is_ok());
    assert_eq!(id(16 * GIB + 1), "guest.memory.odd");
    assert_eq!(id(1024), "guest.memory.small");
    let mut old = facts.clone();
    old.machine.cpu.gigabyte_pages = Measured::Value(false);
    let old = memory::plan(&old, &pinning, 16 * GIB).unwrap();
    assert_eq!((old.hugepages.page_kib, old.hugepages.count), (2048, 8192));
}

#[test]
fn two_nodes_share_the_memory_as_the_cpus() {
    let facts = host("2990WX").facts();
    let pinning = pin(&facts, &size(24));
    assert_eq!(pinning.nodes.len(), 2);
    let memory = memory::plan(&facts, &pinning, 31 * GIB).unwrap();
    let cells: Vec<u64> = memory.cells.iter().map(|kib| kib / GIB).collect();
    assert_eq!(cells.iter().sum::<u64>(), 31);
    assert_eq!(cells.len(), 2);
    let text = xml::fragment(&pinning, Some(&memory), CpuVendor::Amd);
    for wanted in [
        "<cell id='0' cpus='0-15'",
        "<memnode cellid='1' mode='strict'",
        "<page size='1' unit='GiB'/>",
        "policy='require' name='topoext'",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
}

#[test]
fn a_fragment_for_libvirt() {
    let facts = host("5950X: 2").facts();
    let pinning = pin(&facts, &size(4));
    let memory = memory::plan(&facts, &pinning, 8 * GIB).unwrap();
    insta::assert_snapshot!(xml::fragment(&pinning, Some(&memory), CpuVendor::Amd));
}

#[test]
fn maps() {
    let map = |name: &str, cpus| {
        let facts = host(name).facts();
        let pinning = pin(&facts, &cpus);
        let reasons = pinning.reasons.join("\n");
        format!("{}\n\n{reasons}", picture(&facts, &pinning, 80).join("\n"))
    };
    let shown = [
        map("5950X: 2", size(8)),
        map("7950X3D", Wanted::default()),
        map("13900K", Wanted::default()),
        map("9654", size(64)),
        map("SNC2", size(48)),
    ];
    insta::assert_snapshot!(shown.join("\n\n--\n\n"));
}

#[test]
fn a_host_of_thousands_of_cpus_is_a_page() {
    let facts = Host::new(16, 4, 16, 8, 2).facts();
    let pinning = pin(&facts, &size(1000));
    for width in [24, 40, 80, 200] {
        let lines = picture(&facts, &pinning, width);
        assert!(lines.iter().all(|line| line.len() <= width), "{lines:#?}");
        assert!(lines.len() <= 60, "{}", lines.len());
        assert!(lines.iter().all(|line| line.is_ascii()));
    }
}

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
        let wanted = Wanted { cpus: Some(cpus), threads, leave_to_host: leave, near: Some(card), ..Wanted::default() };
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
        let Ok(memory) = memory::plan(&facts, &pinning, kib) else {
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

#[test]
fn where_kinds_are_unknown_threads_tell_them_apart() {
    // A Core i7-1260P as an old kernel shows it: 4 P and 8 E cores without names.
    let mut facts = Host {
        adjacent: true,
        efficiency: 8,
        ..Host::new(1, 1, 1, 4, 2)
    }
    .facts();
    let mut cpus = facts.topology.cpus.value().unwrap().clone();
    for cpu in &mut cpus {
        cpu.kind = None;
    }
    facts.topology.cpus = Measured::Value(cpus);
    assert_eq!(pin(&facts, &Wanted::default()).guest().to_string(), "2-7");
    // Seven of eight cores with one thread online: the eighth alone is no guest.
    let host = Host {
        offline: (8..15).collect(),
        ..Host::new(1, 1, 1, 8, 2)
    };
    assert_eq!(
        pinning::largest(&host.facts(), &Wanted::default()).unwrap(),
        6
    );
}
