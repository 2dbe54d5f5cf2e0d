//! May a guest start now? Everything that would make it fail half-way, or take from the host what it
//! cannot do without, is looked for before anything is touched.

use alloc::{format, string::String, vec::Vec};

use super::{
    devices,
    held::Held,
    isolation::{self, Isolation},
    pages::{self, Raise},
};
use crate::{
    Address,
    facts::Facts,
    guest::{
        hugepages::HostPages,
        plan::refusal,
        reach::Barred,
        read::{Domain, Link},
    },
    plan::Refusal,
    text::quote::word,
};

/// A process that has opened a device of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// The function.
    pub function: Address,
    /// The process.
    pub process: u32,
    /// Its name.
    pub name: String,
}

/// What is known about the host beside its facts.
#[derive(Debug, Clone, Default)]
pub struct Around<'a> {
    /// Other guests that run.
    pub running: &'a [Domain],
    /// libvirt's networks that are active.
    pub networks: &'a [String],
    /// Bridges and devices of the guest's network that the host does not have.
    pub no_device: &'a [String],
    /// Disks of the guest that are not there.
    pub no_disk: &'a [String],
    /// ROM files of the guest that are not there.
    pub no_rom: &'a [String],
    /// Files of the guest that QEMU cannot get to.
    pub barred: &'a [Barred],
    /// Processes that have opened a function of the guest.
    pub openers: &'a [Opener],
    /// Processes could be looked at.
    pub openers_known: bool,
    /// Its huge pages.
    pub pages: HostPages<'a>,
    /// What other guests hold.
    pub held: &'a [Held],
}

/// What the user agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consent {
    /// The host may lose its only picture while the guest runs.
    pub headless: bool,
    /// Huge pages may be asked of the kernel.
    pub allocate: bool,
    /// The host's own processes are to stay off the guest's CPUs.
    pub isolate: bool,
}

/// What has to be done before the guest starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ready {
    /// Pools of huge pages that have to grow.
    pub raise: Vec<Raise>,
    /// CPUs to keep the host off.
    pub isolation: Option<Isolation>,
}

/// Whether `domain`, which is shut off, may start on the host as it is now.
///
/// # Errors
/// Every reason why not.
pub fn preflight(
    facts: &Facts,
    domain: &Domain,
    around: &Around<'_>,
    consent: Consent,
) -> Result<Ready, Vec<Refusal>> {
    let mut refusals = devices::check(facts, domain, around, consent);
    let memory = pages::check(facts, domain, around.pages);
    refusals.extend(memory.refusals);
    if !consent.allocate {
        refusals.extend(pages::missing(domain, &memory.raise));
    }
    refusals.extend(network(domain, around));
    refusals.extend(files(domain, around));
    let mut ready = Ready {
        raise: memory.raise,
        isolation: None,
    };
    if consent.isolate {
        match isolation::plan(facts, domain, around.held) {
            Ok(isolation) => ready.isolation = Some(isolation),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() {
        Ok(ready)
    } else {
        Err(refusals)
    }
}

/// Files that are not there, and those that QEMU cannot get to.
fn files(domain: &Domain, around: &Around<'_>) -> Vec<Refusal> {
    let name = word(&domain.name);
    let mut refusals = Vec::new();
    for path in around.no_disk {
        let drive = domain
            .disks
            .iter()
            .any(|disk| disk.path == *path && matches!(disk.device.as_str(), "cdrom" | "floppy"));
        refusals.push(if drive {
            refusal(
                "guest.start.disk",
                format!(
                    "The medium {path} in a drive of {} is not there.",
                    domain.name
                ),
                format!(
                    "If it is needed no more: sudo passthru vm edit {name} --remove-disk {}. Else \
                     mount the file system it is on.",
                    word(path)
                ),
            )
        } else {
            refusal(
                "guest.start.disk",
                format!("The disk {path} of {} is not there.", domain.name),
                format!("Mount the file system it is on, or correct the path: virsh edit {name}"),
            )
        });
    }
    refusals.extend(around.no_rom.iter().map(|path| {
        refusal(
            "guest.start.rom",
            format!("The ROM file {path} of {} is not there.", domain.name),
            format!(
                "Put it back, name another one (sudo passthru vm edit {name} --rom ADDR=FILE), or do \
                 without: sudo passthru vm edit {name} --no-rom ADDR"
            ),
        )
    }));
    refusals.extend(around.barred.iter().map(Barred::refusal));
    refusals
}

fn network(domain: &Domain, around: &Around<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for interface in &domain.interfaces {
        let refused = match &interface.link {
            Link::Network(name) if !around.networks.contains(name) => refusal(
                "guest.start.network",
                format!("libvirt's network {name} is not active."),
                format!(
                    "sudo virsh -c qemu:///system net-start {0}; with the host from now on: sudo virsh -c qemu:///system net-autostart {0}",
                    word(name)
                ),
            ),
            Link::Bridge(name) | Link::Direct(name) if around.no_device.contains(name) => refusal(
                "guest.start.network.device",
                format!(
                    "The host has no network device {name}, which the guest is to be connected to."
                ),
                format!(
                    "ip link lists those it has; sudo virsh edit {} corrects it.",
                    word(&domain.name)
                ),
            ),
            _ => continue,
        };
        if !refusals.contains(&refused) {
            refusals.push(refused);
        }
    }
    refusals
}
