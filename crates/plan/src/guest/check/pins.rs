//! Which CPUs of the host a domain's CPUs run on.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::View;
use crate::{
    doctor::check::{Check, check},
    facts::LogicalCpu,
    finding::{Finding, Severity},
    guest::existing::{self, child, number},
    text::cpulist::CpuSet,
};

/// Pins that were understood, and the host's CPUs.
struct Pins<'a> {
    /// By virtual CPU.
    vcpus: BTreeMap<u32, CpuSet>,
    /// Of QEMU's own threads.
    qemu: CpuSet,
    cpus: &'a [LogicalCpu],
    /// The way out of each of them.
    again: String,
}

pub(super) fn pins(view: &View<'_, '_>) -> Vec<Finding> {
    let written = existing::pins(view.domain);
    let again = format!(
        "sudo passthru vm edit {} --pin pins whole cores of one cache",
        view.name
    );
    let check = |id: &str, title: &str, severity, why: &str| check(id, title, severity, why);
    let pinned = check(
        "guest.pins",
        "The guest's CPUs are pinned to CPUs that the host has",
        if written.is_empty() {
            Severity::Info
        } else {
            Severity::Blocker
        },
        if written.is_empty() {
            "Its CPUs wander over the host's, and its games and sound stutter when they do."
        } else {
            "libvirt does not start a guest that is pinned to CPUs the host does not have."
        },
    );
    if written.is_empty() {
        return [pinned.no(["no <vcpupin>"], again)].into();
    }
    let Some(cpus) = view.facts.topology.cpus.value() else {
        let why = view.facts.topology.cpus.why_not().unwrap_or_default();
        return [pinned.unknown(why, view.on_host())].into();
    };
    let mut vcpus = BTreeMap::new();
    for (vcpu, set, text) in written {
        let Some(set) = set else {
            let why = format!("{text:?} of virtual CPU {vcpu} is no list of CPUs");
            return [pinned.unknown(why, again)].into();
        };
        vcpus.insert(vcpu, set);
    }
    let pins = Pins {
        vcpus,
        qemu: existing::threads_of_qemu(view.domain),
        cpus,
        again,
    };
    [
        there(pinned, &pins),
        alone(&pins),
        cores(view, &pins),
        shared(&pins),
        near(view, &pins),
    ]
    .into()
}

impl Pins<'_> {
    fn cpu(&self, number: u32) -> Option<&LogicalCpu> {
        self.cpus.iter().find(|cpu| cpu.number == number)
    }

    /// All CPUs of the guest.
    fn guest(&self) -> CpuSet {
        self.vcpus.values().flat_map(CpuSet::iter).collect()
    }
}

fn there(check: Check, pins: &Pins<'_>) -> Finding {
    let all: CpuSet = pins.guest().iter().chain(pins.qemu.iter()).collect();
    let missing: CpuSet = all.iter().filter(|&n| pins.cpu(n).is_none()).collect();
    if missing.is_empty() {
        check.yes([format!("the guest has CPUs {}", pins.guest())])
    } else {
        check.no(
            [format!(
                "the host has no CPUs {missing}, or they are switched off"
            )],
            &*pins.again,
        )
    }
}

/// Cores of which the guest has one thread and somebody else the other.
fn alone(pins: &Pins<'_>) -> Finding {
    let check = check(
        "guest.pins.cores",
        "No core is shared between guest and host",
        Severity::Warning,
        "Two threads of a core share its caches and units: each waits for what the other does.",
    );
    let guest = pins.guest();
    let mut seen = BTreeSet::new();
    let mut split = Vec::new();
    for cpu in guest.iter().filter_map(|n| pins.cpu(n)) {
        let others = cpu.siblings.without(&guest);
        if !others.is_empty() && seen.insert(cpu.siblings.first()) {
            split.push(format!(
                "CPU {} is the guest's, and CPU {others} of the same core is not",
                cpu.siblings.among(&guest)
            ));
        }
    }
    let qemu = pins.qemu.among(&guest);
    if !qemu.is_empty() {
        split.push(format!("QEMU's own threads run on the guest's CPUs {qemu}"));
    }
    if split.is_empty() {
        check.yes([format!("CPUs {guest} are whole cores")])
    } else {
        check.no(split, &*pins.again)
    }
}

/// What the guest takes for threads of a core are threads of a core, and what it does not are not.
fn cores(view: &View<'_, '_>, pins: &Pins<'_>) -> Finding {
    let check = check(
        "guest.pins.threads",
        "The guest's cores are cores of the host",
        Severity::Warning,
        "Its scheduler puts work on CPUs that are one core in truth, or keeps it from idle ones.",
    );
    let wide: Vec<u32> = pins
        .vcpus
        .iter()
        .filter(|(_, set)| set.len() != 1)
        .map(|(&vcpu, _)| vcpu)
        .collect();
    if !wide.is_empty() {
        let wide: CpuSet = wide.into_iter().collect();
        return check.unknown(
            format!("the virtual CPUs {wide} may run on several CPUs"),
            &*pins.again,
        );
    }
    let topology = child(view.domain, "cpu").and_then(|cpu| child(cpu, "topology"));
    let threads = topology
        .and_then(|topology| topology.attribute("threads"))
        .and_then(number)
        .unwrap_or(1)
        .max(1);
    // Threads of a core are numbered side by side (QEMU's x86_topo_ids_from_idx).
    let core_of = |n: u32| pins.cpu(n).map(|cpu| &cpu.siblings);
    let placed: Vec<(u32, &CpuSet)> = pins
        .vcpus
        .iter()
        .filter_map(|(&vcpu, set)| Some((vcpu, core_of(set.first()?)?)))
        .collect();
    let mut wrong: Vec<String> = Vec::new();
    for (i, &(one, core)) in placed.iter().enumerate() {
        for &(two, other) in placed.iter().skip(i + 1) {
            let guest = one / threads == two / threads;
            if guest != (core == other) {
                wrong.push(if guest {
                    format!("virtual CPUs {one} and {two} are one core in the guest, and two in the host")
                } else {
                    format!("virtual CPUs {one} and {two} are two cores in the guest, and one in the host")
                });
            }
        }
    }
    // A large guest would fill the screen.
    let more = wrong.len().saturating_sub(4);
    wrong.truncate(4);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    if wrong.is_empty() {
        check.yes([format!(
            "{} virtual CPUs, {threads} to a core",
            placed.len()
        )])
    } else {
        check.no(wrong, &*pins.again)
    }
}

/// No CPU of the host carries two of the guest.
fn shared(pins: &Pins<'_>) -> Finding {
    let check = check(
        "guest.pins.apart",
        "Each of the guest's CPUs has a CPU of the host for itself",
        Severity::Warning,
        "They take turns, and the guest's clock and locks do not expect it.",
    );
    let mut by_cpu: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let single = pins.vcpus.iter().filter(|(_, set)| set.len() == 1);
    for (&vcpu, set) in single {
        by_cpu
            .entry(set.first().unwrap_or(0))
            .or_default()
            .push(vcpu);
    }
    let crowded: Vec<String> = by_cpu
        .iter()
        .filter(|(_, vcpus)| vcpus.len() > 1)
        .map(|(cpu, vcpus)| {
            let vcpus: CpuSet = vcpus.iter().copied().collect();
            format!("the virtual CPUs {vcpus} are all on CPU {cpu}")
        })
        .collect();
    if !crowded.is_empty() {
        return check.no(crowded, &*pins.again);
    }
    let room = pins.guest().len();
    if room < pins.vcpus.len() {
        return check.no(
            [format!(
                "{} virtual CPUs share {room} CPUs",
                pins.vcpus.len()
            )],
            &*pins.again,
        );
    }
    check.yes([format!("{} virtual CPUs on {room} CPUs", pins.vcpus.len())])
}

/// No more caches and memory nodes than it needs.
fn near(view: &View<'_, '_>, pins: &Pins<'_>) -> Finding {
    let check = check(
        "guest.pins.caches",
        "The guest's CPUs are on no more L3 caches and memory nodes than they need",
        Severity::Warning,
        "What one CPU has written, another far away waits for.",
    );
    let guest = pins.guest();
    let used: Vec<&LogicalCpu> = guest.iter().filter_map(|n| pins.cpu(n)).collect();
    // The core of the lowest CPU is the host's.
    let boot = pins.cpus.iter().map(|cpu| cpu.number).min().unwrap_or(0);
    let free = || {
        let all = pins.cpus.iter();
        all.filter(move |cpu| !cpu.siblings.contains(boot))
    };
    let caches = (
        used.iter()
            .filter_map(|cpu| cpu.l3)
            .collect::<BTreeSet<_>>(),
        rooms(free().filter_map(|cpu| cpu.l3.map(|l3| l3 as u64))),
    );
    let nodes = (
        used.iter()
            .filter_map(|cpu| cpu.node)
            .collect::<BTreeSet<_>>(),
        rooms(free().filter_map(|cpu| cpu.node.map(u64::from))),
    );
    if caches.1.is_empty() && nodes.1.is_empty() {
        return check.unknown(
            "the host shows neither L3 caches nor memory nodes",
            view.on_host(),
        );
    }
    let seen = format!(
        "{} CPUs on {} L3 caches and {} memory nodes",
        guest.len(),
        caches.0.len(),
        nodes.0.len()
    );
    let enough =
        |used: usize, rooms: &[usize]| rooms.is_empty() || used <= fewest(guest.len(), rooms);
    if enough(caches.0.len(), &caches.1) && enough(nodes.0.len(), &nodes.1) {
        return check.yes([seen]);
    }
    let needed = format!(
        "{} L3 caches and {} memory nodes have room for that many",
        fewest(guest.len(), &caches.1),
        fewest(guest.len(), &nodes.1)
    );
    check.no([seen, needed], &*pins.again)
}

/// CPUs of each place, the largest first.
fn rooms(places: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut count: BTreeMap<u64, usize> = BTreeMap::new();
    for place in places {
        *count.entry(place).or_default() += 1;
    }
    let mut rooms: Vec<usize> = count.into_values().collect();
    rooms.sort_unstable();
    rooms.reverse();
    rooms
}

/// Places that hold so many CPUs, at least.
fn fewest(cpus: usize, rooms: &[usize]) -> usize {
    let mut left = cpus;
    let taken = rooms.iter().take_while(|&&room| {
        let needed = left > 0;
        left = left.saturating_sub(room);
        needed
    });
    taken.count()
}
