//! How the processors hang together: cores, threads, caches, memory nodes. Source, unless a field
//! says otherwise: `Documentation/admin-guide/cputopology.rst`.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{measured::Measured, pci::Address, text::cpulist::CpuSet};

/// CPUs, caches and memory nodes of the running host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// Logical CPUs that are online, in numeric order.
    pub cpus: Measured<Vec<LogicalCpu>>,
    /// CPUs that are there but switched off; nothing can be pinned to them.
    pub offline: CpuSet,
    /// Third-level caches, in the order of their lowest CPU. Empty where the host shows none.
    pub l3: Vec<Cache>,
    /// NUMA nodes in numeric order; empty where the kernel was built without NUMA.
    pub nodes: Vec<Node>,
    /// CPUs near a display function, in address order.
    pub local: Vec<Local>,
}

/// One logical CPU, that is one thread of a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalCpu {
    /// Its number: the N of /sys/devices/system/cpu/cpuN.
    pub number: u32,
    /// `topology/physical_package_id`; -1 (unknown) is `None`.
    pub package: Option<u32>,
    /// `topology/die_id`.
    pub die: Option<u32>,
    /// `topology/core_id`: unique only within die and package.
    pub core: Option<u32>,
    /// Threads of the same core that are online, this one included (`topology/core_cpus_list`,
    /// before Linux 5.3 `thread_siblings_list`).
    pub siblings: CpuSet,
    /// Index into [`Topology::l3`] of the cache it uses.
    pub l3: Option<usize>,
    /// The NUMA node it belongs to.
    pub node: Option<u32>,
    /// Which kind of core, on processors that have two.
    pub kind: Option<CoreKind>,
}

/// Kinds of cores in one processor: `/sys/devices/cpu_core/cpus` and `cpu_atom/cpus`, which the
/// kernel makes on hybrid Intel processors since 5.13 (`arch/x86/events/intel/core.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreKind {
    /// Fast, with or without threads.
    Performance,
    /// Small and slow.
    Efficiency,
}

/// A cache of level 3 (`cache/indexN` whose `level` is 3; N itself says nothing).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Online CPUs that share it.
    pub cpus: CpuSet,
    /// `size` in KiB. Within one processor the sizes differ where one die carries more cache.
    pub size_kib: Option<u64>,
}

/// A NUMA node (`Documentation/ABI/stable/sysfs-devices-node`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number: the N of /sys/devices/system/node/nodeN.
    pub id: u32,
    /// Online CPUs; empty for a node of memory alone.
    pub cpus: CpuSet,
    /// `MemTotal` of its meminfo, in KiB.
    pub total_kib: Measured<u64>,
    /// `MemFree` of its meminfo, in KiB; what the page cache could give up is not in it.
    pub free_kib: Measured<u64>,
    /// Its pools of huge pages, smallest page first.
    pub hugepages: Vec<HugepagePool>,
}

/// Huge pages of one size, on one node (`hugepages/hugepages-<KiB>kB`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugepagePool {
    /// Size of a page in KiB: 2048 or 1048576 on x86.
    pub page_kib: u64,
    /// `nr_hugepages`: pages in the pool, used or not.
    pub total: u64,
    /// `free_hugepages`: pages nobody uses.
    pub free: u64,
}

/// The CPUs near a display function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The function.
    pub address: Address,
    /// Its `local_cpulist`, as far as online.
    pub cpus: CpuSet,
}

impl Topology {
    /// The node with this number.
    pub fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}
