//! Processors put together by rule, for the tests of pinning.
// Each test file uses a part of it.
#![allow(dead_code)]

use passthru_plan::{
    Facts, Measured,
    facts::{Cache, CoreKind, HugepagePool, LogicalCpu, Node, Topology},
    text::cpulist::CpuSet,
};

/// A processor with cores that are all alike, unless a field says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) packages: u32,
    pub(crate) nodes_per_package: u32,
    /// In each package; with more nodes than caches a cache spans nodes (SNC), with more caches than
    /// nodes a node has several (NPS).
    pub(crate) l3_per_package: u32,
    /// In each of the larger number of nodes and caches.
    pub(crate) cores: u32,
    pub(crate) threads: u32,
    /// CPU n and n+1 are threads of one core, as on hybrid Intel; else the second threads of all
    /// cores come after the first ones.
    pub(crate) adjacent: bool,
    /// KiB of each L3, repeated.
    pub(crate) l3_kib: Vec<u64>,
    /// Further cores with one thread, in the first package's first cache.
    pub(crate) efficiency: u32,
    /// CPUs that are switched off.
    pub(crate) offline: Vec<u32>,
}

impl Host {
    pub(crate) fn new(packages: u32, nodes: u32, l3: u32, cores: u32, threads: u32) -> Self {
        Self {
            packages,
            nodes_per_package: nodes,
            l3_per_package: l3,
            cores,
            threads,
            adjacent: false,
            l3_kib: vec![32 * 1024],
            efficiency: 0,
            offline: Vec::new(),
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        let units = self.nodes_per_package.max(self.l3_per_package);
        let cores = self.packages * units * self.cores;
        let mut cpus = Vec::new();
        for core in 0..cores {
            let unit = core / self.cores;
            let (package, within) = (unit / units, unit % units);
            let node = package * self.nodes_per_package + within * self.nodes_per_package / units;
            let l3 = package * self.l3_per_package + within * self.l3_per_package / units;
            let number = |thread| match self.adjacent {
                true => core * self.threads + thread,
                false => core + thread * cores,
            };
            let siblings: CpuSet = (0..self.threads)
                .map(number)
                .filter(|n| !self.offline.contains(n))
                .collect();
            cpus.extend(siblings.iter().map(|number| LogicalCpu {
                number,
                package: Some(package),
                die: Some(0),
                core: Some(core),
                siblings: siblings.clone(),
                l3: Some(l3 as usize),
                node: Some(node),
                kind: (self.efficiency > 0).then_some(CoreKind::Performance),
            }));
        }
        for extra in 0..self.efficiency {
            let number = cores * self.threads + extra;
            cpus.push(LogicalCpu {
                number,
                package: Some(0),
                die: Some(0),
                core: Some(cores + extra),
                siblings: [number].into_iter().collect(),
                l3: Some(0),
                node: Some(0),
                kind: Some(CoreKind::Efficiency),
            });
        }
        cpus.sort_by_key(|cpu| cpu.number);
        let mut facts = Facts {
            topology: Topology {
                offline: self.offline.iter().copied().collect(),
                l3: self.caches(&cpus),
                nodes: self.nodes(&cpus),
                cpus: Measured::Value(cpus),
                local: Vec::new(),
            },
            ..Facts::default()
        };
        facts.machine.memory.total_kib = Some(u64::from(self.all_nodes()) * NODE_KIB);
        facts.machine.cpu.gigabyte_pages = Measured::Value(true);
        facts
    }

    fn all_nodes(&self) -> u32 {
        self.packages * self.nodes_per_package
    }

    fn caches(&self, cpus: &[LogicalCpu]) -> Vec<Cache> {
        let number = self.packages * self.l3_per_package;
        let caches = 0..number as usize;
        caches
            .map(|index| Cache {
                cpus: of(cpus, |cpu| cpu.l3 == Some(index)),
                size_kib: Some(self.l3_kib[index % self.l3_kib.len()]),
            })
            .collect()
    }

    fn nodes(&self, cpus: &[LogicalCpu]) -> Vec<Node> {
        (0..self.all_nodes())
            .map(|id| Node {
                id,
                cpus: of(cpus, |cpu| cpu.node == Some(id)),
                total_kib: Measured::Value(NODE_KIB),
                free_kib: Measured::Value(NODE_KIB / 2),
                hugepages: vec![HugepagePool {
                    page_kib: 2048,
                    total: 0,
                    free: 0,
                }],
            })
            .collect()
    }
}

/// Memory of each node.
pub(crate) const NODE_KIB: u64 = 64 * 1024 * 1024;

fn of(cpus: &[LogicalCpu], which: impl Fn(&LogicalCpu) -> bool) -> CpuSet {
    cpus.iter()
        .filter(|cpu| which(cpu))
        .map(|cpu| cpu.number)
        .collect()
}

/// Hosts that people have, by name.
pub(crate) fn known() -> Vec<(&'static str, Host)> {
    let base = Host::new;
    vec![
        ("Ryzen 9 5950X: 2 L3 of 8 cores", base(1, 1, 2, 8, 2)),
        (
            "Ryzen 9 7950X3D: L3 of 96 and 32 MiB",
            Host {
                l3_kib: vec![96 * 1024, 32 * 1024],
                ..base(1, 1, 2, 8, 2)
            },
        ),
        (
            "Core i9-13900K: 8 P and 16 E cores",
            Host {
                adjacent: true,
                efficiency: 16,
                l3_kib: vec![36 * 1024],
                ..base(1, 1, 1, 8, 2)
            },
        ),
        (
            "Threadripper 2990WX: 4 nodes of 2 L3 of 4 cores",
            Host {
                l3_kib: vec![8 * 1024],
                ..base(1, 4, 8, 4, 2)
            },
        ),
        (
            "EPYC 7763, NPS4: 4 nodes of 2 L3 of 8 cores",
            base(1, 4, 8, 8, 2),
        ),
        (
            "2 EPYC 9654, NPS4: 8 nodes of 3 L3 of 8 cores",
            base(2, 4, 12, 8, 2),
        ),
        (
            "2 Xeon, SNC2: 4 nodes of 16 cores, 2 L3",
            Host {
                l3_kib: vec![60 * 1024],
                ..base(2, 2, 1, 16, 2)
            },
        ),
        ("8 cores without SMT", base(1, 1, 1, 8, 1)),
        ("4 cores with SMT", base(1, 1, 1, 4, 2)),
        ("4 cores without SMT", base(1, 1, 1, 4, 1)),
        (
            "5950X with CPUs 0, 5 and 24 offline",
            Host {
                offline: vec![0, 5, 24],
                ..base(1, 1, 2, 8, 2)
            },
        ),
    ]
}
