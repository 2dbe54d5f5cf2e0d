//! Cores, threads, caches and memory nodes.

use std::collections::BTreeMap;

use passthru_plan::{
    Measured,
    facts::{Cache, CoreKind, Function, HugepagePool, LogicalCpu, Node, Topology, topology::Local},
    text::{cpulist::CpuSet, procfs},
};

use crate::root::{Directory, Root};

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

pub(super) fn observe(root: &Root, functions: &[Function]) -> Topology {
    let mut topology = Topology::default();
    let online = match online(root) {
        Ok(online) => online,
        Err(why) => {
            topology.cpus = Measured::NotMeasured(why);
            return topology;
        }
    };
    topology.offline = list(root, &format!("{CPUS}/present"))
        .unwrap_or_default()
        .without(&online);
    topology.nodes = nodes(root, &online);
    let kinds = [
        ("/sys/devices/cpu_core/cpus", CoreKind::Performance),
        ("/sys/devices/cpu_atom/cpus", CoreKind::Efficiency),
    ]
    .map(|(path, kind)| (list(root, path).unwrap_or_default(), kind));
    let mut caches = BTreeMap::new();
    let mut cpus = Vec::new();
    for number in online.iter() {
        let Some((mut cpu, cache)) = logical_cpu(root, number, &online) else {
            topology.cpus = Measured::not(format!(
                "{CPUS}/cpu{number}/topology does not say which CPUs are threads of one core"
            ));
            return topology;
        };
        cpu.node = topology
            .nodes
            .iter()
            .find(|node| node.cpus.contains(number))
            .map(|node| node.id);
        cpu.kind = kinds
            .iter()
            .find(|(cpus, _)| cpus.contains(number))
            .map(|(_, kind)| *kind);
        if let Some(cache) = cache {
            let next = caches.len();
            let index = *caches.entry(cache.cpus.clone()).or_insert(next);
            if index == topology.l3.len() {
                topology.l3.push(cache);
            }
            cpu.l3 = Some(index);
        }
        cpus.push(cpu);
    }
    topology.cpus = Measured::Value(cpus);
    topology.local = functions
        .iter()
        .filter(|function| function.class.is_display())
        .filter_map(|function| {
            let address = function.address;
            let path = format!("/sys/bus/pci/devices/{address}/local_cpulist");
            let cpus = list(root, &path)?.among(&online);
            Some(Local { address, cpus })
        })
        .collect();
    topology
}

/// A set of numbers in the list file at `path`.
/// Memory nodes alone, which are few.
pub(super) fn memory(root: &Root) -> Topology {
    Topology {
        nodes: online(root).map_or_else(|_| Vec::new(), |online| nodes(root, &online)),
        ..Topology::default()
    }
}

fn list(root: &Root, path: &str) -> Option<CpuSet> {
    CpuSet::from_list(&root.attribute(path)?)
}

/// CPUs that are online. Before Linux 2.6.26 and in some captures there is no list; then those that
/// have a topology and do not say that they are switched off.
fn online(root: &Root) -> Result<CpuSet, String> {
    if let Some(online) = list(root, &format!("{CPUS}/online")).filter(|set| !set.is_empty()) {
        return Ok(online);
    }
    let names = root
        .list(CPUS)
        .map_err(|error| match super::not::<()>(root, CPUS, &error) {
            Measured::NotMeasured(why) => why,
            Measured::Value(()) => String::new(),
        })?;
    let online: CpuSet = names
        .iter()
        .filter_map(|name| numbered(name, "cpu"))
        .filter(|number| root.exists(&format!("{CPUS}/cpu{number}/topology")))
        .filter(|number| {
            root.attribute(&format!("{CPUS}/cpu{number}/online"))
                .is_none_or(|state| state != "0")
        })
        .collect();
    if online.is_empty() {
        return Err(format!("{CPUS} names no CPU that is online"));
    }
    Ok(online)
}

/// `cpu12` without `cpu`; other names, such as `cpufreq`, are none.
fn numbered(name: &str, word: &str) -> Option<u32> {
    let digits = name.strip_prefix(word)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

/// The set in `name_list`, or in the mask `name`, which old kernels have alone.
fn set(directory: &Directory<'_>, list: &str, mask: &str) -> Option<CpuSet> {
    directory
        .attribute(list)
        .and_then(|text| CpuSet::from_list(&text))
        .or_else(|| CpuSet::from_mask(&directory.attribute(mask)?))
}

fn logical_cpu(root: &Root, number: u32, online: &CpuSet) -> Option<(LogicalCpu, Option<Cache>)> {
    let path = format!("{CPUS}/cpu{number}");
    let cpu = root.directory(&path).ok()?;
    let siblings = [
        ("topology/core_cpus_list", "topology/core_cpus"),
        ("topology/thread_siblings_list", "topology/thread_siblings"),
    ]
    .iter()
    .find_map(|(list, mask)| set(&cpu, list, mask))
    .map(|siblings| siblings.among(online))
    .filter(|siblings| siblings.contains(number))?;
    let id = |name| {
        let text = cpu.attribute(name)?;
        text.parse::<u32>().ok()
    };
    let cache = (0..16)
        .map(|index| format!("cache/index{index}"))
        .find(|index| {
            cpu.attribute(&format!("{index}/level"))
                .is_some_and(|level| level == "3")
        })
        .and_then(|index| {
            let cpus = set(
                &cpu,
                &format!("{index}/shared_cpu_list"),
                &format!("{index}/shared_cpu_map"),
            )
            .map(|cpus| cpus.among(online))
            .filter(|cpus| cpus.contains(number))?;
            let size_kib = cpu
                .attribute(&format!("{index}/size"))
                .and_then(|size| size.strip_suffix('K')?.parse().ok());
            Some(Cache { cpus, size_kib })
        });
    let cpu = LogicalCpu {
        number,
        package: id("topology/physical_package_id"),
        die: id("topology/die_id"),
        core: id("topology/core_id"),
        siblings,
        l3: None,
        node: None,
        kind: None,
    };
    Some((cpu, cache))
}

fn nodes(root: &Root, online: &CpuSet) -> Vec<Node> {
    let mut ids: Vec<u32> = root
        .list(NODES)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| numbered(name, "node"))
        .collect();
    ids.sort_unstable();
    ids.into_iter()
        .map(|id| {
            let path = format!("{NODES}/node{id}");
            let cpus = root
                .directory(&path)
                .ok()
                .and_then(|node| set(&node, "cpulist", "cpumap"))
                .unwrap_or_default();
            let meminfo = super::text(root, &format!("{path}/meminfo"));
            let value = |key: &str| match &meminfo {
                Measured::Value(text) => match procfs::node_meminfo(text, key) {
                    Some(kib) => Measured::Value(kib),
                    None => Measured::not(format!("{path}/meminfo has no {key}")),
                },
                Measured::NotMeasured(why) => Measured::NotMeasured(why.clone()),
            };
            Node {
                id,
                cpus: cpus.among(online),
                total_kib: value("MemTotal"),
                free_kib: value("MemFree"),
                hugepages: pools(root, &format!("{path}/hugepages")),
            }
        })
        .collect()
}

fn pools(root: &Root, path: &str) -> Vec<HugepagePool> {
    let mut pools: Vec<HugepagePool> = root
        .list(path)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| {
            let page_kib = name
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let count = |file| {
                root.attribute(&format!("{path}/{name}/{file}"))?
                    .parse()
                    .ok()
            };
            Some(HugepagePool {
                page_kib,
                total: count("nr_hugepages")?,
                free: count("free_hugepages")?,
            })
        })
        .collect();
    pools.sort_unstable_by_key(|pool| pool.page_kib);
    pools
}
