//! Processors: cores, caches, kinds, memory nodes.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::{Host, Pci};
use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::{
    Measured,
    facts::{CoreKind, Topology},
};

/// A hybrid processor: CPUs 0 to 3 are two fast cores, 4 and 5 small ones, 5 is off.
fn hybrid() -> Host {
    let host = Host::new();
    let top = "sys/devices/system/cpu";
    host.file(&format!("{top}/online"), "0-4\n");
    host.file(&format!("{top}/present"), "0-5\n");
    host.file("sys/devices/cpu_core/cpus", "0-3\n");
    host.file("sys/devices/cpu_atom/cpus", "4\n");
    // What is no CPU is passed over.
    host.file(&format!("{top}/cpufreq/boost"), "1\n");
    for cpu in 0..5 {
        let dir = format!("{top}/cpu{cpu}");
        let siblings = ["0-1", "0-1", "2-3", "2-3", "4-5"][cpu];
        host.file(&format!("{dir}/topology/core_cpus_list"), siblings);
        host.file(&format!("{dir}/topology/physical_package_id"), "0\n");
        host.file(&format!("{dir}/topology/die_id"), "0\n");
        host.file(&format!("{dir}/topology/core_id"), format!("{}\n", cpu / 2));
        // The third index is not the third level.
        host.file(&format!("{dir}/cache/index3/level"), "2\n");
        host.file(&format!("{dir}/cache/index3/shared_cpu_list"), siblings);
        host.file(&format!("{dir}/cache/index4/level"), "3\n");
        host.file(&format!("{dir}/cache/index4/size"), "24576K\n");
        host.file(&format!("{dir}/cache/index4/shared_cpu_list"), "0-5\n");
    }
    host
}

fn topology(host: &Host) -> Topology {
    observe(&Root::open(host.path()).unwrap(), Wanted::guest()).topology
}

#[test]
fn cores_caches_and_kinds() {
    let topology = topology(&hybrid());
    let cpus = topology.cpus.value().unwrap();
    let siblings: Vec<String> = cpus.iter().map(|cpu| cpu.siblings.to_string()).collect();
    // A sibling that is off is none.
    assert_eq!(siblings, ["0-1", "0-1", "2-3", "2-3", "4"]);
    assert_eq!(cpus[3].kind, Some(CoreKind::Performance));
    assert_eq!(cpus[4].kind, Some(CoreKind::Efficiency));
    assert_eq!((cpus[4].package, cpus[4].core), (Some(0), Some(2)));
    assert_eq!(topology.offline.to_string(), "5");
    assert_eq!(topology.l3.len(), 1);
    assert_eq!(topology.l3[0].cpus.to_string(), "0-4");
    assert_eq!(topology.l3[0].size_kib, Some(24576));
    assert!(
        cpus.iter()
            .all(|cpu| cpu.l3 == Some(0) && cpu.node.is_none())
    );
}

#[test]
fn masks_where_there_are_no_lists() {
    let host = Host::new();
    let top = "sys/devices/system/cpu";
    for (cpu, state) in [(0, None), (1, Some("1\n")), (2, Some("0\n")), (3, None)] {
        let dir = format!("{top}/cpu{cpu}");
        if let Some(state) = state {
            host.file(&format!("{dir}/online"), state);
        }
        host.file(&format!("{dir}/topology/thread_siblings"), "00000003\n");
        host.file(&format!("{dir}/cache/index2/level"), "3\n");
        host.file(&format!("{dir}/cache/index2/shared_cpu_map"), "0000000f\n");
    }
    // CPU 3 has its directory only: it is off, as old kernels show it.
    let off = host.path().join("sys/devices/system/cpu/cpu3/topology");
    std::fs::remove_dir_all(off).unwrap();
    host.file("sys/devices/system/node/node0/cpumap", "00000003\n");
    let topology = topology(&host);
    let cpus = topology.cpus.value().unwrap();
    let numbers: Vec<u32> = cpus.iter().map(|cpu| cpu.number).collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(cpus[0].siblings.to_string(), "0-1");
    assert_eq!(topology.l3[0].cpus.to_string(), "0-1");
    assert_eq!(cpus[1].node, Some(0));
    assert!(
        topology.nodes[0]
            .total_kib
            .why_not()
            .is_some_and(|why| why.contains("node0/meminfo"))
    );
}

#[test]
fn nodes_have_memory_and_pages() {
    let host = hybrid();
    let node = "sys/devices/system/node/node10";
    host.file(&format!("{node}/cpulist"), "4-5\n");
    host.file("sys/devices/system/node/node2/cpulist", "0-3\n");
    host.file("sys/devices/system/node/possible", "0-1\n");
    host.file(
        &format!("{node}/meminfo"),
        "Node 10 MemTotal:  1000 kB\nNode 10 MemFree:   400 kB\n",
    );
    for (size, total, free) in [(1_048_576, 4, 3), (2048, 10, 0)] {
        let pool = format!("{node}/hugepages/hugepages-{size}kB");
        host.file(&format!("{pool}/nr_hugepages"), format!("{total}\n"));
        host.file(&format!("{pool}/free_hugepages"), format!("{free}\n"));
    }
    let topology = topology(&host);
    let ids: Vec<u32> = topology.nodes.iter().map(|node| node.id).collect();
    assert_eq!(ids, [2, 10]);
    let node = topology.node(10).unwrap();
    assert_eq!(node.cpus.to_string(), "4");
    assert_eq!(node.total_kib, Measured::Value(1000));
    assert_eq!(node.free_kib, Measured::Value(400));
    let pools: Vec<_> = node
        .hugepages
        .iter()
        .map(|p| (p.page_kib, p.total, p.free))
        .collect();
    assert_eq!(pools, [(2048, 10, 0), (1_048_576, 4, 3)]);
    assert_eq!(topology.cpus.value().unwrap()[4].node, Some(10));
}

#[test]
fn what_is_near_a_card() {
    let host = hybrid();
    let place = host.function(&Pci::default());
    host.file(&format!("{place}/local_cpulist"), "4-5\n");
    let local = topology(&host).local;
    assert_eq!(local.len(), 1);
    assert_eq!(local[0].address.to_string(), "0000:01:00.0");
    assert_eq!(local[0].cpus.to_string(), "4");
}

#[test]
fn what_cannot_be_read_is_said() {
    let why = |host: &Host| {
        let cpus = topology(host).cpus;
        cpus.why_not().unwrap_or_default().to_owned()
    };
    assert!(why(&Host::new()).contains("/sys/devices/system/cpu is not part of"));
    let host = hybrid();
    let siblings = "sys/devices/system/cpu/cpu2/topology/core_cpus_list";
    std::fs::remove_file(host.path().join(siblings)).unwrap();
    assert!(
        why(&host).contains("cpu2/topology does not say"),
        "{}",
        why(&host)
    );
    host.file(siblings, "not a list\n");
    assert!(why(&host).contains("cpu2/topology does not say"));
}

#[test]
fn a_device_list_does_not_read_processors() {
    let host = hybrid();
    let facts = observe(&Root::open(host.path()).unwrap(), Wanted::devices());
    assert_eq!(facts.topology, Topology::default());
}
