//! A libvirt domain read back: what passthru needs to know of one that anybody may have written
//! (<https://libvirt.org/formatdomain.html>).

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use roxmltree::{Document, Node};
use serde::Serialize;
use thiserror::Error;

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
    /// `<vcpupin>`: virtual CPU, and CPUs of the host.
    pub vcpupin: Vec<(u32, CpuSet)>,
    /// `<emulatorpin>`.
    pub emulatorpin: Option<CpuSet>,
    /// `<hugepages>`; `None` if its memory is in ordinary pages.
    pub hugepages: Option<Vec<Pages>>,
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
            .and_then(|node| kib(own_text(node)?, node.attribute("unit")))
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
            vcpupin: tune
                .into_iter()
                .flat_map(|node| children(node, "vcpupin"))
                .filter_map(|node| {
                    let vcpu = node.attribute("vcpu")?.parse().ok()?;
                    Some((vcpu, set(node.attribute("cpuset")?)?))
                })
                .collect(),
            emulatorpin: tune
                .and_then(|node| child(node, "emulatorpin"))
                .and_then(|node| set(node.attribute("cpuset")?)),
            hugepages: child(root, "memoryBacking")
                .and_then(|node| child(node, "hugepages"))
                .map(pages),
            binding: numa
                .and_then(|node| child(node, "memory"))
                .and_then(binding),
            memnodes: numa
                .into_iter()
                .flat_map(|node| children(node, "memnode"))
                .filter_map(|node| Some((node.attribute("cellid")?.parse().ok()?, binding(node)?)))
                .collect(),
            cells: child(root, "cpu")
                .and_then(|node| child(node, "numa"))
                .into_iter()
                .flat_map(|node| children(node, "cell"))
                .filter_map(|node| kib(node.attribute("memory")?, node.attribute("unit")))
                .collect(),
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

/// A PCI function that the element gives to the guest.
fn function(node: Node<'_, '_>) -> Result<Option<HostDev>, BadDomain> {
    let (holder, kind) = (node.tag_name().name(), node.attribute("type"));
    let source = match (holder, kind) {
        ("hostdev", Some("pci")) if node.attribute("mode") != Some("capabilities") => node,
        ("interface", Some("hostdev")) => node,
        // The source says itself whether it is managed.
        ("disk", Some("nvme")) => child(node, "source").unwrap_or(node),
        _ => return Ok(None),
    };
    let address = child(node, "source")
        .and_then(|node| child(node, "address"))
        .filter(|node| node.attribute("type").is_none_or(|kind| kind == "pci"));
    let Some(address) = address else {
        return Ok(None);
    };
    let part = |name| match address.attribute(name) {
        None if name == "domain" => Some(0),
        text => number(text?),
    };
    let read = || {
        let small = |name| u8::try_from(part(name)?).ok();
        let (device, function) = (small("slot")?, small("function")?);
        let whole = device < 32 && function < 8;
        whole.then_some(Address::new(
            part("domain")?,
            small("bus")?,
            device,
            function,
        ))
    };
    let address = read().ok_or_else(|| {
        BadDomain(format!(
            "the address of a PCI function in <{holder}> makes no sense"
        ))
    })?;
    Ok(Some(HostDev {
        address,
        managed: source.attribute("managed") == Some("yes"),
    }))
}

fn interface(node: Node<'_, '_>) -> Interface {
    let source = child(node, "source");
    let of = |name: &str| {
        let value = source.and_then(|node| node.attribute(name));
        value.unwrap_or_default().to_owned()
    };
    Interface {
        mac: child(node, "mac")
            .and_then(|node| node.attribute("address"))
            .map(str::to_ascii_lowercase),
        link: match node.attribute("type").unwrap_or_default() {
            "network" => Link::Network(of("network")),
            "bridge" => Link::Bridge(of("bridge")),
            "direct" => Link::Direct(of("dev")),
            "user" => Link::User,
            other => Link::Other(other.into()),
        },
        target: child(node, "target")
            .and_then(|node| node.attribute("dev"))
            .map(str::to_owned),
    }
}

fn disk(node: Node<'_, '_>) -> Option<Disk> {
    let source = child(node, "source")?;
    let name = match node.attribute("type")? {
        "file" => "file",
        "block" => "dev",
        "dir" => "dir",
        _ => return None,
    };
    Some(Disk {
        path: source.attribute(name)?.into(),
        device: node.attribute("device").unwrap_or("disk").into(),
        optional: source
            .attribute("startupPolicy")
            .is_some_and(|policy| policy != "mandatory"),
    })
}

fn pages(node: Node<'_, '_>) -> Vec<Pages> {
    let mut pages: Vec<Pages> = children(node, "page")
        .map(|page| Pages {
            kib: page
                .attribute("size")
                .and_then(|size| kib(size, page.attribute("unit"))),
            cells: page.attribute("nodeset").and_then(set),
        })
        .collect();
    if pages.is_empty() {
        pages.push(Pages {
            kib: None,
            cells: None,
        });
    }
    pages
}

fn binding(node: Node<'_, '_>) -> Option<Binding> {
    Some(Binding {
        mode: node.attribute("mode").unwrap_or("strict").into(),
        nodes: set(node.attribute("nodeset")?)?,
    })
}

fn os(root: Node<'_, '_>) -> OsHint {
    // <libosinfo:os id='http://microsoft.com/win/11'/>, below <metadata>.
    let id = child(root, "metadata")
        .into_iter()
        .flat_map(|node| node.descendants())
        .filter(|node| node.tag_name().name() == "os")
        .find_map(|node| node.attribute("id"));
    match id {
        Some(id) if id.contains("microsoft.com/") => return OsHint::Windows,
        Some(id) if !id.contains("bsd") && !id.contains("apple.com") => return OsHint::Linux,
        Some(_) => return OsHint::Unknown,
        None => {}
    }
    let enlightened = child(root, "features").and_then(|node| child(node, "hyperv"));
    let local = child(root, "clock").and_then(|node| node.attribute("offset"));
    if enlightened.is_some() || local == Some("localtime") {
        OsHint::Windows
    } else {
        OsHint::Unknown
    }
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|node| node.has_tag_name(name))
}

fn children<'a, 'b>(
    node: Node<'a, 'b>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'b>> + use<'a, 'b> {
    node.children().filter(move |node| node.has_tag_name(name))
}

fn own_text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.text().map(str::trim).filter(|text| !text.is_empty())
}

/// Decimal, or hexadecimal with `0x`, as libvirt takes both.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// KiB, by libvirt's units (`virScaleInteger`): KiB without one, and a B at the end alone counts in
/// thousands.
fn kib(text: &str, unit: Option<&str>) -> Option<u64> {
    let bytes: u64 = match unit.unwrap_or("KiB").to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => 1,
        "kb" => 1000,
        "k" | "kib" => 1 << 10,
        "mb" => 1_000_000,
        "m" | "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "g" | "gib" => 1 << 30,
        "tb" => 1_000_000_000_000,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    text.trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(bytes)
        .map(|bytes| bytes.div_ceil(1024))
}

/// A set as libvirt writes it: `0-3,^2` leaves one out (`virBitmapParse`).
fn set(text: &str) -> Option<CpuSet> {
    let (out, of): (Vec<&str>, Vec<&str>) = text
        .split(',')
        .map(str::trim)
        .partition(|part| part.starts_with('^'));
    let of = CpuSet::from_list(&of.join(","))?;
    let mut without = CpuSet::new();
    for part in out {
        without.insert(part.get(1..)?.trim().parse().ok()?);
    }
    Some(of.without(&without))
}
