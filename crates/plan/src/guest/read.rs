//! A libvirt domain read back: what passthru needs to know of one that anybody may have written
//! (<https://libvirt.org/formatdomain.html>).

mod elements;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use roxmltree::Document;
use serde::Serialize;
use thiserror::Error;

use self::elements::{binding, disk, function, interface, os, own_text, pages};
use super::node::{cells, child, children, cpuset, scaled};
use crate::{pci::Address, text::cpulist::CpuSet};

/// A text that is no domain, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("what should be the XML of a domain cannot be read: {0}")]
pub struct BadDomain(pub String);

/// A domain, defined or running.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Domain {
    /// `<name>`.
    pub name: String,
    /// `<uuid>`; empty in a text that libvirt has not seen yet.
    pub uuid: String,
    /// `<memory>` in KiB.
    pub memory_kib: u64,
    /// `<vcpu>`.
    pub vcpus: u32,
    /// PCI functions of the host that it gets, in the order of the XML: hostdevs, network devices
    /// of type hostdev, and disks of type nvme.
    pub hostdevs: Vec<HostDev>,
    /// Its network devices.
    pub interfaces: Vec<Interface>,
    /// Its disks and drives that have a path on the host.
    pub disks: Vec<Disk>,
    /// Files with option ROMs that functions of the host get.
    pub roms: Vec<String>,
    /// `<seclabel model='dac'>`: it says as whom its QEMU runs, or that libvirt leaves files as they are.
    pub own_user: bool,
    /// `<vcpupin>`: virtual CPU, and CPUs of the host.
    pub vcpupin: Vec<(u32, CpuSet)>,
    /// `<emulatorpin>`.
    pub emulatorpin: Option<CpuSet>,
    /// `<hugepages>`; `None` if its memory is in ordinary pages.
    pub hugepages: Option<Vec<Pages>>,
    /// Where its memory comes from: `<memoryBacking><source type>`.
    pub source: Option<String>,
    /// `<numatune><memory>`.
    pub binding: Option<Binding>,
    /// `<numatune><memnode>`: the guest's node, and where its memory lies.
    pub memnodes: Vec<(u32, Binding)>,
    /// KiB of each of the guest's own memory nodes, in the order of the XML; empty if it has none.
    pub cells: Vec<u64>,
    /// The channel of qemu-guest-agent; `None` if there is none. Whether somebody answers there is
    /// only in the XML of a running domain.
    pub agent: Option<Agent>,
    /// It has a serial console.
    pub console: bool,
    /// What runs in it, as far as the XML hints.
    pub os: OsHint,
}

/// A PCI function of the host in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HostDev {
    /// The function.
    pub address: Address,
    /// libvirt binds it to vfio-pci at start and gives it back at the end (`managed='yes'`).
    pub managed: bool,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its address, in lower case; libvirt gives one to a device that has none.
    pub mac: Option<String>,
    /// What it is connected to.
    pub link: Link,
    /// The device on the host, such as vnet0: of a running domain, or chosen by hand.
    pub target: Option<String>,
}

/// What a network device of a guest is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum Link {
    /// One of libvirt's networks.
    Network(String),
    /// A bridge of the host.
    Bridge(String),
    /// A device of the host, through macvtap: guest and host do not see each other there.
    Direct(String),
    /// QEMU's or passt's own network, which nothing outside reaches.
    User,
    /// Something else, by libvirt's word.
    Other(String),
}

/// A disk or drive of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The file, directory or device on the host.
    pub path: String,
    /// `disk`, `cdrom`, `floppy` or `lun`.
    pub device: String,
    /// The domain starts without it (`startupPolicy` other than mandatory).
    pub optional: bool,
}

/// Huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// KiB of a page; `None` is the host's default size (`Hugepagesize` in /proc/meminfo).
    pub kib: Option<u64>,
    /// The guest's nodes that have them; `None` is all.
    pub cells: Option<CpuSet>,
}

/// Memory bound to nodes of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// `strict`, `preferred`, `interleave` or `restrictive`.
    pub mode: String,
    /// Numbers of nodes.
    pub nodes: CpuSet,
}

/// The channel of qemu-guest-agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// It answers.
    Connected,
    /// It does not, or the domain does not run.
    Silent,
}

/// What runs in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OsHint {
    /// Windows: libosinfo says so, or it has Hyper-V's enlightenments or a clock in local time.
    Windows,
    /// Linux: libosinfo says so.
    Linux,
    /// The XML does not hint at anything.
    #[default]
    Unknown,
}

impl Domain {
    /// Reads `virsh dumpxml`, of a running or a defined domain. What it does not know it skips.
    ///
    /// # Errors
    /// If it is no XML, no domain, has no name, or its memory or a PCI function makes no sense.
    pub fn parse(text: &str) -> Result<Self, BadDomain> {
        let document = Document::parse(text).map_err(|error| BadDomain(error.to_string()))?;
        let root = document.root_element();
        if !root.has_tag_name("domain") {
            let name = root.tag_name().name();
            return Err(BadDomain(format!("it begins with <{name}>")));
        }
        let text = |name| child(root, name).and_then(own_text);
        let name = text("name").ok_or_else(|| BadDomain("it has no name".into()))?;
        let memory_kib = child(root, "memory")
            .and_then(|node| scaled(own_text(node)?, node.attribute("unit")))
            .ok_or_else(|| BadDomain(format!("the memory of {name} is no amount")))?;
        let devices = child(root, "devices");
        let each = |tag| {
            devices
                .into_iter()
                .flat_map(move |node| children(node, tag))
        };
        let mut hostdevs = Vec::new();
        for node in devices.into_iter().flat_map(|node| node.children()) {
            hostdevs.extend(function(node)?);
        }
        let tune = child(root, "cputune");
        let numa = child(root, "numatune");
        Ok(Self {
            name: name.into(),
            uuid: text("uuid").unwrap_or_default().into(),
            memory_kib,
            vcpus: text("vcpu").and_then(|n| n.parse().ok()).unwrap_or(1),
            hostdevs,
            interfaces: each("interface").map(interface).collect(),
            disks: each("disk").filter_map(disk).collect(),
            own_user: children(root, "seclabel").any(|one| one.attribute("model") == Some("dac")),
            roms: each("hostdev")
                .filter_map(|node| child(node, "rom")?.attribute("file"))
                .map(ToString::to_string)
                .collect(),
            vcpupin: tune
                .into_iter()
                .flat_map(|node| children(node, "vcpupin"))
                .filter_map(|node| {
                    let vcpu = node.attribute("vcpu")?.parse().ok()?;
                    Some((vcpu, cpuset(node.attribute("cpuset")?)?))
                })
                .collect(),
            emulatorpin: tune
                .and_then(|node| child(node, "emulatorpin"))
                .and_then(|node| cpuset(node.attribute("cpuset")?)),
            hugepages: child(root, "memoryBacking")
                .and_then(|node| child(node, "hugepages"))
                .map(pages),
            source: child(root, "memoryBacking")
                .and_then(|node| child(node, "source")?.attribute("type"))
                .map(ToString::to_string),
            binding: numa
                .and_then(|node| child(node, "memory"))
                .and_then(binding),
            memnodes: numa
                .into_iter()
                .flat_map(|node| children(node, "memnode"))
                .filter_map(|node| Some((node.attribute("cellid")?.parse().ok()?, binding(node)?)))
                .collect(),
            cells: cells(root),
            agent: each("channel")
                .filter_map(|node| child(node, "target"))
                .find(|node| node.attribute("name") == Some("org.qemu.guest_agent.0"))
                .map(|node| match node.attribute("state") {
                    Some("connected") => Agent::Connected,
                    _ => Agent::Silent,
                }),
            console: each("console").chain(each("serial")).next().is_some(),
            os: os(root),
        })
    }

    /// The functions it gets.
    pub fn functions(&self) -> impl Iterator<Item = Address> + '_ {
        self.hostdevs.iter().map(|device| device.address)
    }

    /// The CPUs of the host that its virtual CPUs are pinned to.
    pub fn pinned(&self) -> CpuSet {
        self.vcpupin
            .iter()
            .flat_map(|(_, set)| set.iter())
            .collect()
    }
}
