//! A guest's memory, its huge pages, and the XML for both.
#![allow(clippy::unwrap_used)]

#[path = "common/guests.rs"]
mod guests;
#[path = "common/topologies.rs"]
mod topologies;

use guests::{host, pin, size};
use passthru_plan::{
    Measured,
    facts::CpuVendor,
    guest::{hugepages::PageSize, memory, xml},
};
use topologies::NODE_KIB;

const GIB: u64 = 1024 * 1024;

#[test]
fn memory_and_its_pages() {
    let facts = host("2990WX").facts();
    let pinning = pin(&facts, &size(8));
    let sixteen = memory::plan(&facts, &pinning, 16 * GIB, PageSize::Largest).unwrap();
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
    let forty = memory::plan(&facts, &pinning, 40 * GIB, PageSize::Largest).unwrap();
    assert!(!forty.strict);
    // More than the node has lies on the next ones as well, all of it.
    let hundred = memory::plan(&facts, &pinning, 100 * GIB, PageSize::Largest).unwrap();
    let parts: Vec<_> = hundred.nodes.iter().map(|part| part.kib / GIB).collect();
    assert_eq!(parts, [63, 37]);
    let mut unknown = facts.clone();
    for other in unknown.topology.nodes.iter_mut().filter(|n| n.id != node) {
        other.total_kib = Measured::not("meminfo is not there");
    }
    let here = memory::plan(&unknown, &pinning, 100 * GIB, PageSize::Largest).unwrap();
    assert_eq!(here.nodes.len(), 1);
    assert_eq!(here.nodes[0].kib, 100 * GIB);
    let odd = memory::plan(&facts, &pinning, 16 * GIB + 2048, PageSize::Largest).unwrap();
    assert_eq!(odd.hugepages.page_kib, 2048);
    assert_eq!(odd.hugepages.count, 8193);
    assert_eq!(odd.hugepages.at_start[0].missing, Some(8193));
    let total = facts.machine.memory.total_kib.unwrap();
    assert_eq!(total, 4 * NODE_KIB);
    let id = |kib| {
        memory::plan(&facts, &pinning, kib, PageSize::Largest)
            .unwrap_err()
            .id
    };
    assert_eq!(id(total), "guest.memory.too-much");
    assert_eq!(id(total / 5 * 4 / GIB * GIB + GIB), "guest.memory.too-much");
    assert!(
        memory::plan(
            &facts,
            &pinning,
            total / 5 * 4 / GIB * GIB,
            PageSize::Largest
        )
        .is_ok()
    );
    assert_eq!(id(16 * GIB + 1), "guest.memory.odd");
    assert_eq!(id(1024), "guest.memory.small");
    let mut old = facts.clone();
    old.machine.cpu.gigabyte_pages = Measured::Value(false);
    let old = memory::plan(&old, &pinning, 16 * GIB, PageSize::Largest).unwrap();
    assert_eq!((old.hugepages.page_kib, old.hugepages.count), (2048, 8192));
}

#[test]
fn two_nodes_share_the_memory_as_the_cpus() {
    let facts = host("2990WX").facts();
    let pinning = pin(&facts, &size(24));
    assert_eq!(pinning.nodes.len(), 2);
    let memory = memory::plan(&facts, &pinning, 31 * GIB, PageSize::Largest).unwrap();
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
    let memory = memory::plan(&facts, &pinning, 8 * GIB, PageSize::Largest).unwrap();
    insta::assert_snapshot!(xml::fragment(&pinning, Some(&memory), CpuVendor::Amd));
}
