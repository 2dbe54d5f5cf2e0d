//! From what is asked of a guest to a guest that this host can run, or to every reason why not.

use alloc::{format, string::String, vec::Vec};

use super::{
    Pinning, Wanted, assign,
    capabilities::Capabilities,
    hyperv,
    memory::{self, GuestMemory},
    names, pinning,
    pinning::{CacheMode, GuestTopology},
    spec::{Guest, Network, Nic, Os, Screen, Wish},
    storage, xml,
};
use crate::{
    facts::{CpuVendor, Facts},
    plan::{Notice, Refusal},
};

/// Plans the guest that `wish` describes on the host that `facts` describe.
///
/// `offered` is what libvirt of that host says it can do. Without it nothing is refused for want of
/// firmware, TPM or SPICE, Windows gets no enlightenments, and a note says so.
///
/// # Errors
/// Every refusal, not only the first.
pub fn plan(
    facts: &Facts,
    wish: &Wish,
    offered: Option<&Capabilities>,
) -> Result<Guest, Vec<Refusal>> {
    let mut draft = Draft::default();
    draft.check(names::guest(&wish.name));
    if let Network::Bridge(bridge) = &wish.network {
        draft.check(names::bridge(bridge));
    }
    let slots = assign::slots(&mut draft, facts, wish);
    let disks = storage::disks(&mut draft, facts, wish);
    let cpus = draft.check(cpus(facts, wish));
    let memory = draft.check(memory(facts, wish, cpus.as_ref()));
    let secure_boot = wish.secure_boot.unwrap_or(wish.os == Os::Windows11);
    let tpm = wish.tpm.unwrap_or(wish.os == Os::Windows11);
    if wish.hide && !wish.os.is_windows() {
        draft.refuse(
            "guest.hide",
            "Only the NVIDIA driver for Windows ever looked whether it runs in a guest.",
            "Leave out --hide.",
        );
    }
    if let Some(offered) = offered {
        available(&mut draft, offered, wish, secure_boot, tpm);
    } else if wish.os.is_windows() {
        draft.note(
            "guest.hyperv.unknown",
            "What libvirt of this host offers Windows was not asked, so no Hyper-V enlightenments \
             are in it; without them Windows is slower.",
        );
    }
    let (Some(cpus), Some(memory), true) = (cpus, memory, draft.refusals.is_empty()) else {
        return Err(draft.refusals);
    };
    let mut address_bits = address_bits(facts);
    if offered.is_some_and(|offered| offered.no_address_limit)
        && let Some(bits) = address_bits.take()
    {
        draft.note(
            "guest.address-bits",
            format!(
                "The IOMMU has {bits} address bits, fewer than the processor, and libvirt of this host \
                 cannot tell the guest (9.3 can). If the guest does not start or its card does not \
                 work (\"VFIO_MAP_DMA failed\" in libvirt's log), that is why."
            ),
        );
    }
    let drivers = !wish.os.is_windows() || wish.virtio_win.is_some();
    Ok(Guest {
        name: wish.name.clone(),
        os: wish.os,
        memory_kib: wish.memory_kib,
        topology: cpus.topology,
        cache: cpus.cache,
        topoext: xml::topoext(cpus.topology, facts.machine.cpu.vendor),
        address_bits,
        without: if wish.nested {
            None
        } else {
            virtualization(facts.machine.cpu.vendor)
        },
        pinning: cpus.pinning,
        memory,
        secure_boot,
        tpm,
        slots,
        disks,
        mac: names::mac(&wish.name),
        nic: if drivers && wish.os != Os::Other {
            Nic::Virtio
        } else {
            Nic::E1000e
        },
        network: wish.network.clone(),
        screen: wish.screen,
        hyperv: offered
            .filter(|_| wish.os.is_windows())
            .map(hyperv::choose)
            .unwrap_or_default(),
        hide: wish.hide,
        autostart: wish.autostart,
        notes: draft.notes,
    })
}

/// What stands in the way so far, and what is to be said.
#[derive(Default)]
pub(super) struct Draft {
    refusals: Vec<Refusal>,
    notes: Vec<Notice>,
}

impl Draft {
    pub(super) fn refuse(&mut self, id: &str, why: impl Into<String>, way_out: impl Into<String>) {
        self.refusals.push(refusal(id, why, way_out));
    }

    pub(super) fn note(&mut self, id: &str, text: impl Into<String>) {
        self.notes.push(Notice {
            id: id.into(),
            text: text.into(),
        });
    }

    /// Something stands in the way.
    pub(super) const fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// What is to be said, taken out.
    pub(super) fn take_notes(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notes)
    }

    /// There is a refusal of this id already.
    pub(super) fn has(&self, id: &str) -> bool {
        self.refusals.iter().any(|refusal| refusal.id == id)
    }

    /// `value`, if nothing stands in the way.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Refusal>> {
        if self.refusals.is_empty() {
            Ok(value)
        } else {
            Err(self.refusals)
        }
    }

    pub(super) fn check<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.refusals.push(refusal)).ok()
    }
}

pub(super) fn refusal(id: &str, why: impl Into<String>, way_out: impl Into<String>) -> Refusal {
    Refusal {
        id: id.into(),
        why: why.into(),
        way_out: way_out.into(),
    }
}

struct Cpus {
    topology: GuestTopology,
    cache: CacheMode,
    pinning: Option<Pinning>,
}

fn cpus(facts: &Facts, wish: &Wish) -> Result<Cpus, Refusal> {
    if wish.pinned {
        let wanted = Wanted {
            cpus: wish.cpus,
            near: wish
                .gpu
                .first()
                .map(|gpu| gpu.address)
                .filter(|&address| facts.function(address).is_some()),
            cores: wish.cores,
        };
        let pinning = pinning::plan(facts, &wanted)?;
        return Ok(Cpus {
            topology: pinning.topology,
            cache: pinning.cache,
            pinning: Some(pinning),
        });
    }
    let online = facts.topology.cpus.value().map(Vec::len);
    let host = online.map_or(facts.machine.cpu.threads, |n| {
        u32::try_from(n).unwrap_or(u32::MAX)
    });
    let way_out = "Say how many: --cpus N.";
    match wish.cpus {
        None => Err(refusal(
            "guest.cpus.number",
            "Without pinning nothing tells how many CPUs the guest should have.",
            way_out,
        )),
        Some(0) => Err(refusal("guest.cpus.none", "A guest needs a CPU.", way_out)),
        Some(cpus) if host > 0 && cpus > host => Err(refusal(
            "guest.cpus.too-many",
            format!("{cpus} CPUs are asked for, and the host has {host}."),
            format!(
                "Ask for {} or fewer: the host needs some itself.",
                host.max(2) - 1
            ),
        )),
        Some(cores) => Ok(Cpus {
            topology: GuestTopology {
                sockets: 1,
                dies: 1,
                cores,
                threads: 1,
            },
            cache: CacheMode::Emulate,
            pinning: None,
        }),
    }
}

/// The huge pages, if any; the size is checked in any case.
fn memory(facts: &Facts, wish: &Wish, cpus: Option<&Cpus>) -> Result<Option<GuestMemory>, Refusal> {
    memory::spare(facts, wish.memory_kib)?;
    if !wish.memory_kib.is_multiple_of(1024) {
        return Err(refusal(
            "guest.memory.odd",
            format!("{} KiB are no whole number of MiB.", wish.memory_kib),
            format!("Ask for {}M.", wish.memory_kib.div_ceil(1024)),
        ));
    }
    let Some(size) = wish.hugepages else {
        return Ok(None);
    };
    if !wish.pinned {
        return Err(refusal(
            "guest.memory.hugepages",
            "Huge pages lie on memory nodes, and without pinning it is not known which nodes the \
             guest runs on.",
            "Leave out --no-pin or --hugepages.",
        ));
    }
    cpus.and_then(|cpus| cpus.pinning.as_ref())
        .map(|pinning| memory::plan(facts, pinning, wish.memory_kib, size))
        .transpose()
}

/// The processor's extension for virtual machines, by QEMU's and libvirt's name. A guest of an unknown
/// processor is told nothing: a name it has not would keep QEMU from starting.
const fn virtualization(vendor: CpuVendor) -> Option<&'static str> {
    match vendor {
        CpuVendor::Intel | CpuVendor::Zhaoxin => Some("vmx"),
        CpuVendor::Amd => Some("svm"),
        CpuVendor::Other | CpuVendor::Unknown => None,
    }
}

/// The IOMMU's address bits, where it has fewer than the processor.
fn address_bits(facts: &Facts) -> Option<u8> {
    let iommu = facts.iommu.address_width?;
    facts
        .machine
        .cpu
        .physical_bits
        .and_then(|cpu| (iommu < cpu).then_some(iommu))
}

fn available(draft: &mut Draft, offered: &Capabilities, wish: &Wish, secure_boot: bool, tpm: bool) {
    if !offered.efi {
        draft.refuse(
            "guest.host.no-efi",
            "libvirt finds no UEFI firmware for guests on this host.",
            "Install it: the package ovmf on Debian and Ubuntu.",
        );
    } else if secure_boot && !offered.secure_boot {
        draft.refuse(
            "guest.host.no-secure-boot",
            "libvirt finds no UEFI firmware with Secure Boot on this host.",
            "Install a newer one (the package ovmf on Debian and Ubuntu), or say --secure-boot no.",
        );
    }
    if tpm && !offered.tpm {
        draft.refuse(
            "guest.host.no-tpm",
            "libvirt cannot give the guest a TPM: swtpm is not installed.",
            "Install it (the packages swtpm and swtpm-tools on Debian and Ubuntu), or say --tpm no.",
        );
    }
    if wish.screen == Screen::Spice && !offered.spice {
        draft.refuse(
            "guest.host.no-spice",
            "QEMU of this host has no SPICE.",
            "Install it (the package qemu-system-modules-spice on Debian and Ubuntu), or leave out \
             --screen, use a monitor on the card, and share keyboard and mouse: --evdev \
             /dev/input/by-id/….",
        );
    }
}
