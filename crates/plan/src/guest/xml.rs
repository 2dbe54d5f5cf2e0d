//! The part of a libvirt domain that CPUs and memory are (<https://libvirt.org/formatdomain.html>).

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{
    GuestMemory, Pinning, element::Element, hugepages::PAGE_1G, pinning::CacheMode,
    pinning::GuestTopology,
};
use crate::{facts::CpuVendor, text::cpulist::CpuSet};

/// Elements to stand directly below `<domain>`, indented by two blanks. A domain that has any of
/// them already has to give them up.
///
/// `vendor` is the host's: an AMD guest is told of threads only with `topoext`.
pub fn fragment(pinning: &Pinning, memory: Option<&GuestMemory>, vendor: CpuVendor) -> String {
    let mut elements = Vec::new();
    if let Some(memory) = memory {
        elements.push(size(memory.kib));
        elements.push(backing(memory));
    }
    elements.extend(cpus(pinning));
    elements.extend(numatune(pinning, memory));
    elements.push(cpu(Cpu::pinned(pinning, memory, vendor)));
    let mut xml = String::new();
    for element in elements {
        // A String takes everything.
        let _ = element.write(&mut xml, 1);
    }
    xml
}

/// `<memory>`.
pub(super) fn size(kib: u64) -> Element {
    Element::new("memory").with("unit", "KiB").text(kib)
}

/// `<memoryBacking>` with huge pages.
pub(super) fn backing(memory: &GuestMemory) -> Element {
    Element::new("memoryBacking")
        .child(hugepages(memory.hugepages.page_kib))
        .child(Element::new("nosharepages"))
        .child(memfd())
}

/// `<hugepages>` of that many KiB.
pub(super) fn hugepages(page_kib: u64) -> Element {
    let (size, unit) = if page_kib == PAGE_1G {
        (1, "GiB")
    } else {
        (2, "MiB")
    };
    Element::new("hugepages").child(Element::new("page").with("size", size).with("unit", unit))
}

/// `<source>` that gets huge pages from the kernel (`memfd_create(2)`, `MFD_HUGETLB`). Without it libvirt
/// wants a mount of hugetlbfs with pages of that size, and systemd mounts the default size only: no
/// guest with pages of 1 GiB would start (libvirt 9.0 and 11.3: "Unable to find any usable hugetlbfs
/// mount").
pub(super) fn memfd() -> Element {
    Element::new("source").with("type", "memfd")
}

/// `<vcpu>`.
pub(super) fn vcpu(count: usize) -> Element {
    Element::new("vcpu").with("placement", "static").text(count)
}

/// `<vcpu>`, `<iothreads>` and `<cputune>`.
pub(super) fn cpus(pinning: &Pinning) -> [Element; 3] {
    let pin = |(vcpu, cpu): (usize, &u32)| {
        Element::new("vcpupin")
            .with("vcpu", vcpu)
            .with("cpuset", cpu)
    };
    let tune = Element::new("cputune")
        .children(pinning.vcpus.iter().enumerate().map(pin))
        .child(Element::new("emulatorpin").with("cpuset", &pinning.emulator))
        .child(
            Element::new("iothreadpin")
                .with("iothread", 1)
                .with("cpuset", &pinning.io),
        );
    [
        vcpu(pinning.vcpus.len()),
        Element::new("iothreads").text(1),
        tune,
    ]
}

/// Where the memory lies. `preferred` takes one node only, so memory on several that cannot be bound
/// is left to the kernel, which takes it near the CPU that first touches it.
pub(super) fn numatune(pinning: &Pinning, memory: Option<&GuestMemory>) -> Option<Element> {
    let nodes: CpuSet = match memory {
        Some(memory) => memory.nodes.iter().filter_map(|part| part.node).collect(),
        None => pinning.nodes.iter().map(|part| part.node).collect(),
    };
    let strict = memory.is_some_and(|memory| memory.strict);
    let mode = if strict { "strict" } else { "preferred" };
    let mut parts = Vec::new();
    if !nodes.is_empty() && (strict || nodes.len() == 1) {
        parts.push(
            Element::new("memory")
                .with("mode", mode)
                .with("nodeset", nodes),
        );
    }
    if memory.is_some_and(|memory| !memory.cells.is_empty()) {
        parts.extend(pinning.nodes.iter().enumerate().map(|(cell, part)| {
            Element::new("memnode")
                .with("cellid", cell)
                .with("mode", mode)
                .with("nodeset", part.node)
        }));
    }
    (!parts.is_empty()).then(|| Element::new("numatune").children(parts))
}

/// What `<cpu>` says.
pub(super) struct Cpu {
    /// What the guest sees.
    pub(super) topology: GuestTopology,
    /// Which caches it sees.
    pub(super) cache: CacheMode,
    /// `topoext` is needed.
    pub(super) topoext: bool,
    /// Physical address bits, where the IOMMU has fewer than the processor.
    pub(super) address_bits: Option<u8>,
    /// A feature of the processor that the guest does not get.
    pub(super) without: Option<&'static str>,
    /// The guest's memory nodes: virtual CPUs and KiB.
    pub(super) cells: Vec<(String, u64)>,
}

impl Cpu {
    /// Of a pinned guest.
    pub(super) fn pinned(
        pinning: &Pinning,
        memory: Option<&GuestMemory>,
        vendor: CpuVendor,
    ) -> Self {
        Self {
            topology: pinning.topology,
            cache: pinning.cache,
            topoext: topoext(pinning.topology, vendor),
            address_bits: None,
            without: None,
            cells: memory.map_or_else(Vec::new, |memory| cells(pinning, memory)),
        }
    }
}

/// The guest's own memory nodes: virtual CPUs and KiB.
pub(super) fn cells(pinning: &Pinning, memory: &GuestMemory) -> Vec<(String, u64)> {
    let cpus = pinning.nodes.iter().map(|part| part.vcpus.to_string());
    cpus.zip(memory.cells.iter().copied()).collect()
}

/// An AMD guest is told of threads only with `topoext` (QEMU's target/i386/cpu.c).
pub(super) fn topoext(topology: GuestTopology, vendor: CpuVendor) -> bool {
    vendor == CpuVendor::Amd && topology.threads > 1
}

impl CacheMode {
    /// `mode` of `<cache>`.
    pub(super) const fn mode(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Emulate => "emulate",
        }
    }

    /// `<cache>`.
    pub(super) fn element(self) -> Element {
        let cache = Element::new("cache");
        let cache = match self {
            Self::Passthrough => cache,
            Self::Emulate => cache.with("level", 3),
        };
        cache.with("mode", self.mode())
    }
}

/// `<cpu>`.
pub(super) fn cpu(cpu: Cpu) -> Element {
    let t = cpu.topology;
    let mut element = Element::new("cpu")
        .with("mode", "host-passthrough")
        .with("check", "none")
        .with("migratable", "off")
        .child(
            Element::new("topology")
                .with("sockets", t.sockets)
                .with("dies", t.dies)
                .with("cores", t.cores)
                .with("threads", t.threads),
        );
    element = element.child(cpu.cache.element());
    if let Some(bits) = cpu.address_bits {
        element = element.child(
            Element::new("maxphysaddr")
                .with("mode", "passthrough")
                .with("limit", bits),
        );
    }
    if cpu.topoext {
        element = element.child(
            Element::new("feature")
                .with("policy", "require")
                .with("name", "topoext"),
        );
    }
    if let Some(name) = cpu.without {
        element = element.child(
            Element::new("feature")
                .with("policy", "disable")
                .with("name", name),
        );
    }
    if cpu.cells.is_empty() {
        return element;
    }
    let cells = cpu.cells.iter().enumerate().map(|(id, (cpus, kib))| {
        Element::new("cell")
            .with("id", id)
            .with("cpus", cpus)
            .with("memory", kib)
            .with("unit", "KiB")
    });
    element.child(Element::new("numa").children(cells))
}
