//! Which CPUs a guest gets, on hosts that people have.
#![allow(clippy::unwrap_used)]

#[path = "common/guests.rs"]
mod guests;
#[path = "common/judge.rs"]
mod judge;
#[path = "common/topologies.rs"]
mod topologies;

use guests::{host, pin, size, with_card};
use passthru_plan::{
    Facts, Measured,
    facts::CoreKind,
    guest::pinning::{self, CacheMode, CoreWish, GuestTopology, Wanted, picture::picture},
};
use topologies::Host;

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
        cores: CoreWish {
            l3: Some(1),
            ..CoreWish::default()
        },
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
        cores: CoreWish {
            kind: Some(CoreKind::Efficiency),
            ..CoreWish::default()
        },
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
        cores: CoreWish {
            leave_to_host: Some(cores),
            ..CoreWish::default()
        },
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
        cores: CoreWish {
            threads: Some(1),
            ..CoreWish::default()
        },
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
        cores: CoreWish {
            l3: Some(2),
            ..CoreWish::default()
        },
        ..Wanted::default()
    };
    assert_eq!(refused(&facts, &cache).0, "guest.cpus.l3");
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
