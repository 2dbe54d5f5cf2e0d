//! Isolation while a guest runs: the host's own processes stay off the guest's CPUs.
//!
//! systemd confines `system.slice`, `user.slice` and `init.scope` with `AllowedCPUs=`
//! (systemd.resource-control(5), systemd 244), which is the controller cpuset of cgroup v2. Guests of
//! libvirt run in `machine.slice`, which is left alone. Kernel threads and interrupts stay where they
//! are: that takes words of the kernel command line.

use alloc::{format, vec::Vec};

use super::held::{Allowed, Confined, Held};
use crate::{
    facts::Facts,
    guest::{plan::refusal, read::Domain},
    plan::Refusal,
    text::cpulist::CpuSet,
};

/// What is confined: all of the host but the guests.
pub const UNITS: [&str; 3] = ["system.slice", "user.slice", "init.scope"];

/// CPUs of the guest, and those that are left to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// The guest's, with the other threads of the same cores.
    pub guest: CpuSet,
    /// The host's.
    pub host: CpuSet,
}

/// Which CPUs a guest gets for itself, beside those of guests that are isolated already.
///
/// # Errors
/// A refusal if the guest is not pinned, if the host's CPUs are not known, or if none would be left
/// to the host.
pub fn plan(facts: &Facts, domain: &Domain, others: &[Held]) -> Result<Isolation, Refusal> {
    let name = &domain.name;
    let Some(cpus) = facts.topology.cpus.value() else {
        return Err(refusal(
            "guest.start.isolate.not-measured",
            "Which CPUs the host has was not measured.",
            "Start it without --isolate.",
        ));
    };
    let pinned = domain.pinned();
    if pinned.is_empty() {
        return Err(refusal(
            "guest.start.isolate.not-pinned",
            format!("{name} is not pinned, so no CPU is its own."),
            "passthru vm pin shows which CPUs to pin it to; or start it without --isolate.",
        ));
    }
    let guest: CpuSet = cpus
        .iter()
        .filter(|cpu| pinned.contains(cpu.number))
        .flat_map(|cpu| cpu.siblings.iter().chain([cpu.number]))
        .collect();
    let host = left(&online(facts), others, Some(&guest));
    if host.is_empty() {
        return Err(refusal(
            "guest.start.isolate.nothing-left",
            format!("{name} is pinned to every core that is left: the host would have none."),
            "Leave cores to the host (passthru vm pin --leave 2), or start it without --isolate.",
        ));
    }
    Ok(Isolation { guest, host })
}

/// The host's CPUs that are online.
pub fn online(facts: &Facts) -> CpuSet {
    let cpus = facts.topology.cpus.value();
    cpus.into_iter().flatten().map(|cpu| cpu.number).collect()
}

/// What is left to the host beside the isolated guests of `others`, and `more`.
pub fn left(online: &CpuSet, others: &[Held], more: Option<&CpuSet>) -> CpuSet {
    let held = others.iter().filter_map(|held| held.isolation.as_ref());
    let mut left = online.clone();
    for guest in held.map(|confined| &confined.guest).chain(more) {
        left = left.without(guest);
    }
    left
}

/// What the units were allowed before the first guest was isolated, as an isolated guest of `others`
/// knows it; `None` if there is none, so that what they are allowed now is what they were before.
pub fn before(others: &[Held]) -> Option<&[Allowed]> {
    let mut held = others.iter().filter_map(|held| held.isolation.as_ref());
    held.next().map(|confined| &confined.before[..])
}

/// What the units are to be allowed when the guest that holds `confined` ends and `others` go on.
pub fn after(confined: &Confined, others: &[Held], online: &CpuSet) -> Vec<Allowed> {
    if before(others).is_none() {
        return confined.before.clone();
    }
    confine(&confined.before, &left(online, others, None))
}

/// What units that were allowed `before` may use of `left`: no more than before.
pub fn confine(before: &[Allowed], left: &CpuSet) -> Vec<Allowed> {
    let cpus = |one: &Allowed| {
        let both = one.cpus.among(left);
        if both.is_empty() { left.clone() } else { both }
    };
    before
        .iter()
        .map(|one| Allowed {
            unit: one.unit.clone(),
            cpus: cpus(one),
        })
        .collect()
}
