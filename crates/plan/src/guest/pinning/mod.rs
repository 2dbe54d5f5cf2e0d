//! Which CPUs of the host a guest runs on. Pure: same facts, same answer.
//!
//! The rules, in the order in which they win: whole cores only; CPU 0's core and the host's share
//! stay with the host; one kind of core; the fewest NUMA nodes, of the fewest packages; the fewest L3
//! caches; near the card; the largest L3; away from CPU 0; whole caches before parts.

mod choose;
mod cores;
pub mod picture;
mod reasons;
mod refusals;
mod shape;
mod words;

use alloc::{string::String, vec::Vec};
use serde::Serialize;

use crate::{
    facts::{CoreKind, Facts},
    pci::Address,
    plan::Refusal,
    text::cpulist::CpuSet,
};
use cores::{Class, Core, Cores};

/// What is asked of the host's CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Virtual CPUs; if left out, as many as fit into one L3 cache.
    pub cpus: Option<u32>,
    /// The card whose memory node is preferred.
    pub near: Option<Address>,
    /// Which cores.
    pub cores: CoreWish,
}

/// Which cores a guest is to get. What is left out, the planner decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreWish {
    /// Threads of each core that the guest uses; all of them if left out. The others stay idle, for
    /// a core is never shared between host and guest.
    pub threads: Option<u32>,
    /// Physical cores that stay with the host; 2 if left out, 1 on a host of up to four cores.
    pub leave_to_host: Option<u32>,
    /// Which kind of core; performance cores if left out.
    pub kind: Option<CoreKind>,
    /// The L3 cache to stay in, by its number in [`crate::facts::Topology::l3`].
    pub l3: Option<usize>,
}

/// Which CPU does what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinning {
    /// The host CPU of each virtual CPU, in the order of the virtual CPUs: threads of one core stand
    /// side by side, as QEMU numbers them.
    pub vcpus: Vec<u32>,
    /// Host CPUs for QEMU's own threads.
    pub emulator: CpuSet,
    /// Host CPUs for one I/O thread; they are among `emulator`.
    pub io: CpuSet,
    /// CPUs that belong to neither: other threads of cores of which the guest uses one.
    pub idle: CpuSet,
    /// CPUs left to the host while the guest runs: `AllowedCPUs=` of its systemd slices
    /// (systemd.resource-control(5)).
    pub host: CpuSet,
    /// What the guest sees.
    pub topology: GuestTopology,
    /// Which caches the guest sees.
    pub cache: CacheMode,
    /// Memory nodes the guest runs on; empty on a host that has one, more than one only if no single
    /// node would do.
    pub nodes: Vec<GuestNode>,
    /// The largest guest with the same wishes, in virtual CPUs.
    pub largest: u32,
    /// Why, one sentence per decision.
    pub reasons: Vec<String>,
}

/// `<topology>` of a libvirt domain. The product is the number of virtual CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GuestTopology {
    /// Packages.
    pub sockets: u32,
    /// Dies of each package; one L3 cache each.
    pub dies: u32,
    /// Cores of each die.
    pub cores: u32,
    /// Threads of each core.
    pub threads: u32,
}

/// `<cache>` of a libvirt domain's CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// The host's own description: it is true for this guest.
    Passthrough,
    /// QEMU describes one L3 for each die of the guest. The host's description counts neighbours by
    /// APIC id (CPUID leaves 4 and 8000001DH), which would put the guest's CPUs into wrong groups.
    Emulate,
}

/// The part of a guest that runs on one memory node of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestNode {
    /// The host's node.
    pub node: u32,
    /// Virtual CPUs on it.
    pub vcpus: CpuSet,
}

impl Pinning {
    /// Host CPUs of the guest.
    pub fn guest(&self) -> CpuSet {
        self.vcpus.iter().copied().collect()
    }
}

/// Pins a guest on the host that `facts` describe.
///
/// # Errors
/// A refusal in words, with the way out: the topology was not measured, the size is no whole number
/// of cores or too large, the card or the cache does not exist.
pub fn plan(facts: &Facts, wanted: &Wanted) -> Result<Pinning, Refusal> {
    let ask = Ask::new(facts, wanted)?;
    let (class, k) = ask.size()?;
    let picked = choose::choose(&ask.cores, &ask.available(class), k);
    let plan = shape::Shape::new(&ask.cores, &picked, ask.threads(class));
    let host = ask.left(&picked);
    let (emulator, io) = choose::emulator(&picked, &host);
    let guest = plan.vcpus.iter().copied().collect();
    let whole: CpuSet = picked.iter().flat_map(|c| c.cpus.iter().copied()).collect();
    let mut pinning = Pinning {
        emulator,
        io,
        idle: whole.without(&guest),
        host: host.iter().flat_map(|c| c.cpus.iter().copied()).collect(),
        topology: plan.topology,
        cache: plan.cache,
        nodes: plan.nodes,
        vcpus: plan.vcpus,
        largest: ask.largest(class),
        reasons: Vec::new(),
    };
    pinning.reasons = reasons::reasons(&ask, class, &picked, &host, &pinning);
    Ok(pinning)
}

/// The largest guest that [`plan`] does not refuse, in virtual CPUs, whatever `wanted.cpus` says.
///
/// # Errors
/// As [`plan`], if no guest at all fits.
pub fn largest(facts: &Facts, wanted: &Wanted) -> Result<u32, Refusal> {
    let ask = Ask::new(facts, wanted)?;
    Ok(ask.largest(ask.class()?))
}

/// A question, with the host's cores in the form that answers it.
struct Ask<'a> {
    wanted: &'a Wanted,
    cores: Cores,
    /// Cores that stay with the host at least, CPU 0's among them.
    share: usize,
}

impl<'a> Ask<'a> {
    fn new(facts: &Facts, wanted: &'a Wanted) -> Result<Self, Refusal> {
        let cores = Cores::new(facts, wanted)?;
        let share = match wanted.cores.leave_to_host {
            Some(0) => return Err(refusals::nothing_left()),
            Some(cores) => usize::try_from(cores).unwrap_or(usize::MAX),
            None if cores.all.len() <= 4 => 1,
            None => 2,
        };
        Ok(Self {
            wanted,
            cores,
            share,
        })
    }

    /// Cores a guest may have: of its class, in the cache asked for, not CPU 0's.
    fn available(&self, class: Class) -> Vec<&Core> {
        self.cores
            .all
            .iter()
            .filter(|core| core.class() == class && !core.boot)
            .filter(|core| self.wanted.cores.l3.is_none_or(|l3| core.l3 == Some(l3)))
            .collect()
    }

    /// How many of them at once, so that the host keeps its share.
    fn most(&self, class: Class) -> usize {
        let rest = self.cores.all.len().saturating_sub(self.share);
        self.available(class).len().min(rest)
    }

    /// Threads of each core that the guest gets.
    fn threads(&self, class: Class) -> usize {
        let all = class.threads;
        self.wanted
            .cores
            .threads
            .map_or(all, |threads| usize::try_from(threads).unwrap_or(all))
            .clamp(1, all)
    }

    fn largest(&self, class: Class) -> u32 {
        count(self.most(class) * self.threads(class))
    }

    /// The kind of core for this guest. Kinds are never mixed, nor cores with different numbers of
    /// threads: a guest's topology is the same for all of its cores.
    fn class(&self) -> Result<Class, Refusal> {
        let threads = self.wanted.cores.threads.unwrap_or(1);
        self.cores
            .classes()
            .into_iter()
            .filter(|class| {
                self.wanted
                    .cores
                    .kind
                    .is_none_or(|kind| class.kind == Some(kind))
            })
            .filter(|class| threads >= 1 && class.threads >= threads as usize)
            .filter(|&class| self.most(class) > 0)
            .max_by_key(|&class| {
                let fast = class.kind != Some(CoreKind::Efficiency);
                // Where the kinds are not known, cores with more threads are the fast ones; a single
                // one of them, with its neighbours' threads switched off, is no reason.
                let most = self.most(class);
                (fast, most.min(2), class.threads, most)
            })
            .ok_or_else(|| refusals::no_core(self))
    }

    /// The kind and number of cores.
    fn size(&self) -> Result<(Class, usize), Refusal> {
        let class = self.class()?;
        let threads = self.threads(class);
        let Some(cpus) = self.wanted.cpus else {
            let available = self.available(class);
            let best = choose::roomiest(&available);
            return Ok((class, best.min(self.most(class))));
        };
        let wanted = cpus as usize;
        if wanted == 0 {
            return Err(refusals::no_cpu());
        }
        let (k, rest) = (wanted / threads, wanted % threads);
        if k + usize::from(rest > 0) > self.most(class) {
            return Err(refusals::too_large(self, class, cpus));
        }
        if rest > 0 {
            return Err(refusals::no_whole_cores(self, class, cpus));
        }
        Ok((class, k))
    }

    /// The cores that are not the guest's.
    fn left(&self, picked: &[&Core]) -> Vec<&Core> {
        self.cores
            .all
            .iter()
            .filter(|core| !picked.iter().any(|p| p.cpus == core.cpus))
            .collect()
    }
}

/// A number of things as a number of the JSON and XML.
fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
