//! A libvirt domain read back as a guest: what [`super::domain`] writes, and what libvirt makes of it.
//! What a guest has no place for is named, so that nothing goes missing without a word.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use roxmltree::{Document, Node};

use super::{
    GuestMemory, Pinning,
    hugepages::{Hugepages, PAGE_1G, PAGE_2M},
    hyperv,
    memory::NodeShare,
    node::{address, amount, child, page_kib, scaled},
    pinning::{CacheMode, GuestNode, GuestTopology},
    plan::refusal,
    spec::{Assigned, Bus, Disk, Format, Guest, Network, Nic, Os, Screen, Slot},
};
use crate::{plan::Refusal, text::cpulist::CpuSet};

/// The guest that `xml` describes, and what of it a guest has no place for, in libvirt's words.
///
/// # Errors
/// If the text is no domain, or one that starts by BIOS, or is of another machine than q35.
pub fn read(xml: &str) -> Result<(Guest, Vec<String>), Refusal> {
    let document = Document::parse(xml)
        .map_err(|error| bad(format!("The domain's XML cannot be read: {error}.")))?;
    let domain = document.root_element();
    if !domain.has_tag_name("domain") {
        return Err(bad("The XML describes no domain.".into()));
    }
    let os = child(domain, "os");
    let machine = os
        .and_then(|os| child(os, "type"))
        .and_then(|kind| kind.attribute("machine"))
        .unwrap_or_default();
    if !machine.contains("q35") {
        return Err(bad(format!(
            "Its machine is {machine:?}; a card wants PCI Express, which q35 has."
        )));
    }
    let loader = os.and_then(|os| child(os, "loader"));
    let pflash = loader.is_some_and(|loader| loader.attribute("type") == Some("pflash"));
    if os.and_then(|os| os.attribute("firmware")) != Some("efi") && !pflash {
        return Err(bad("It starts by BIOS, and not by UEFI.".into()));
    }
    let devices = child(domain, "devices");
    let mut left = Vec::new();
    let topology = topology(domain);
    let features = child(domain, "features");
    let enlightenments = features.map(hyperv_of).unwrap_or_default();
    let local_time =
        child(domain, "clock").and_then(|clock| clock.attribute("offset")) == Some("localtime");
    let secure_boot = loader.and_then(|loader| loader.attribute("secure")) == Some("yes")
        || firmware_feature(os, "secure-boot");
    let tpm = devices.is_some_and(|devices| child(devices, "tpm").is_some());
    let system = match (local_time || !enlightenments.is_empty(), secure_boot && tpm) {
        (true, true) => Os::Windows11,
        (true, false) => Os::Windows10,
        (false, _) => Os::Linux,
    };
    let cpu = child(domain, "cpu");
    let memory_kib = child(domain, "memory").and_then(amount).unwrap_or_default();
    let mut guest = Guest {
        name: text(child(domain, "name")).into(),
        os: system,
        memory_kib,
        topology,
        cache: match cpu
            .and_then(|cpu| child(cpu, "cache"))
            .and_then(|cache| cache.attribute("mode"))
        {
            Some("passthrough") => CacheMode::Passthrough,
            _ => CacheMode::Emulate,
        },
        topoext: cpu_feature(cpu, "require", "topoext"),
        address_bits: cpu
            .and_then(|cpu| child(cpu, "maxphysaddr"))
            .and_then(|bits| bits.attribute("limit"))
            .and_then(|bits| bits.parse().ok()),
        without: ["vmx", "svm"]
            .into_iter()
            .find(|name| cpu_feature(cpu, "disable", name)),
        pinning: pinning(domain, topology),
        memory: memory(domain, memory_kib),
        secure_boot,
        tpm,
        slots: Vec::new(),
        disks: Vec::new(),
        network: Network::None,
        mac: String::new(),
        nic: Nic::Virtio,
        screen: Screen::None,
        hyperv: enlightenments,
        hide: features
            .and_then(|features| child(features, "kvm"))
            .and_then(|kvm| child(kvm, "hidden"))
            .is_some_and(is_on),
        autostart: false,
        notes: Vec::new(),
    };
    for device in devices.into_iter().flat_map(|devices| devices.children()) {
        if device.is_element() && !take(&mut guest, device) {
            left.push(named(device));
        }
    }
    for node in domain.children().filter(Node::is_element) {
        if node.tag_name().namespace().is_some() {
            left.push(named(node));
        }
    }
    Ok((guest, left))
}

fn bad(why: String) -> Refusal {
    refusal(
        "guest.domain",
        why,
        "passthru vm new makes one that has both forms.",
    )
}

/// Takes a device into `guest`. False if there is no place for it.
fn take(guest: &mut Guest, device: Node<'_, '_>) -> bool {
    match device.tag_name().name() {
        "disk" => disk(device).map(|disk| guest.disks.push(disk)).is_some(),
        "hostdev" => hostdev(guest, device).is_some(),
        "interface" => guest.network == Network::None && interface(guest, device).is_some(),
        "graphics" => {
            // On a socket, and nowhere else.
            let listen = child(device, "listen").and_then(|listen| listen.attribute("type"));
            let socket = device.attribute("type") == Some("spice") && listen == Some("socket");
            if socket {
                guest.screen = Screen::Spice;
            }
            socket
        }
        "channel" => {
            let target = child(device, "target").and_then(|target| target.attribute("name"));
            target == Some("org.qemu.guest_agent.0")
        }
        "video" => {
            let model = child(device, "model").and_then(|model| model.attribute("type"));
            matches!(model, Some("none" | "vga"))
        }
        // What libvirt adds to every PC, and a tablet, which comes with the picture.
        "input" => {
            device.attribute("bus") == Some("ps2") || device.attribute("type") == Some("tablet")
        }
        "audio" => device.attribute("type") == Some("none"),
        "watchdog" => device.attribute("model") == Some("itco"),
        "memballoon" => device.attribute("model") == Some("none"),
        "emulator" | "controller" | "serial" | "console" | "tpm" | "rng" => true,
        _ => false,
    }
}

fn disk(device: Node<'_, '_>) -> Option<Disk> {
    let source = child(device, "source")?;
    let path = source
        .attribute("file")
        .or_else(|| source.attribute("dev"))?;
    let format = match child(device, "driver")?.attribute("type")? {
        "raw" => Format::Raw,
        "qcow2" => Format::Qcow2,
        _ => return None,
    };
    let bus = match child(device, "target")?.attribute("bus")? {
        "virtio" => Bus::Virtio,
        "sata" => Bus::Sata,
        _ => return None,
    };
    Some(Disk {
        path: path.into(),
        format,
        bus,
        cdrom: device.attribute("device") == Some("cdrom"),
        boot: child(device, "boot")
            .and_then(|boot| boot.attribute("order"))
            .and_then(|order| order.parse().ok()),
    })
}

/// A function of the host; functions in one slot of the guest stay in one.
fn hostdev(guest: &mut Guest, device: Node<'_, '_>) -> Option<()> {
    // A ROM of its own, or none, has no place either.
    if device.attribute("type") != Some("pci") || child(device, "rom").is_some() {
        return None;
    }
    let host = address(child(child(device, "source")?, "address")?)?;
    let inside = child(device, "address").and_then(address);
    let function = inside.map_or(0, |inside| inside.function);
    let assigned = Assigned { host, function };
    // Those of one slot follow one another.
    let before = device
        .prev_siblings()
        .skip(1)
        .find(|node| node.has_tag_name("hostdev"))
        .and_then(|node| child(node, "address"))
        .and_then(address);
    let same = before
        .zip(inside)
        .is_some_and(|(a, b)| (a.domain, a.bus, a.device) == (b.domain, b.bus, b.device));
    match guest.slots.last_mut() {
        Some(slot) if same => slot.functions.push(assigned),
        _ => guest.slots.push(Slot {
            functions: [assigned].into(),
        }),
    }
    Some(())
}

fn interface(guest: &mut Guest, device: Node<'_, '_>) -> Option<()> {
    let source = child(device, "source")?;
    let network = match device.attribute("type")? {
        "network" if source.attribute("network") == Some("default") => Network::Default,
        "bridge" => Network::Bridge(source.attribute("bridge")?.into()),
        _ => return None,
    };
    let nic = match child(device, "model")?.attribute("type")? {
        "virtio" => Nic::Virtio,
        "e1000e" => Nic::E1000e,
        _ => return None,
    };
    guest.mac = child(device, "mac")?.attribute("address")?.into();
    (guest.network, guest.nic) = (network, nic);
    Some(())
}

fn hyperv_of(features: Node<'_, '_>) -> Vec<hyperv::Enlightenment> {
    let Some(node) = child(features, "hyperv") else {
        return Vec::new();
    };
    let on = |one: Node<'_, '_>, name: &str| child(one, name).is_some_and(is_on);
    node.children()
        .filter(|one| one.is_element() && is_on(*one))
        .filter_map(|one| {
            hyperv::known(one.tag_name().name()).map(|name| hyperv::Enlightenment {
                name,
                direct: on(one, "direct"),
                extended: on(one, "extended"),
            })
        })
        .collect()
}

fn topology(domain: Node<'_, '_>) -> GuestTopology {
    let described = child(domain, "cpu").and_then(|cpu| child(cpu, "topology"));
    let part = |name| {
        described
            .and_then(|node| node.attribute(name))
            .and_then(|n| n.parse().ok())
            .unwrap_or(1)
    };
    match described {
        Some(_) => GuestTopology {
            sockets: part("sockets"),
            dies: part("dies"),
            cores: part("cores"),
            threads: part("threads"),
        },
        // As QEMU has it since 6.2: cores of one socket.
        None => GuestTopology {
            sockets: 1,
            dies: 1,
            cores: text(child(domain, "vcpu")).parse().unwrap_or(1),
            threads: 1,
        },
    }
}

/// The CPUs of the host that a pinned guest runs on; none if it is pinned only in part.
fn pinning(domain: Node<'_, '_>, topology: GuestTopology) -> Option<Pinning> {
    let tune = child(domain, "cputune")?;
    let set = |node: Option<Node<'_, '_>>| {
        node.and_then(|node| CpuSet::from_list(node.attribute("cpuset")?))
            .unwrap_or_default()
    };
    let mut pins: Vec<(u32, u32)> = tune
        .children()
        .filter(|node| node.has_tag_name("vcpupin"))
        .filter_map(|node| {
            let cpus = set(Some(node));
            let only = cpus.first().filter(|_| cpus.len() == 1)?;
            Some((node.attribute("vcpu")?.parse().ok()?, only))
        })
        .collect();
    pins.sort_unstable();
    let count: usize = text(child(domain, "vcpu")).parse().ok()?;
    let whole = pins.len() == count && pins.iter().enumerate().all(|(i, pin)| pin.0 as usize == i);
    if !whole {
        return None;
    }
    let mut nodes: Vec<GuestNode> = cells(domain)
        .into_iter()
        .map(|(cell, cpus, _)| GuestNode {
            node: memnode(domain, cell).unwrap_or(cell),
            vcpus: cpus,
        })
        .collect();
    if nodes.is_empty() {
        nodes.extend(bound_nodes(domain).iter().map(|node| GuestNode {
            node,
            vcpus: CpuSet::default(),
        }));
    }
    Some(Pinning {
        vcpus: pins.into_iter().map(|(_, cpu)| cpu).collect(),
        emulator: set(child(tune, "emulatorpin")),
        io: set(child(tune, "iothreadpin")),
        idle: CpuSet::default(),
        host: CpuSet::default(),
        topology,
        cache: CacheMode::Emulate,
        nodes,
        largest: 0,
        reasons: Vec::new(),
    })
}

/// The host's nodes that all of its memory comes from.
fn bound_nodes(domain: Node<'_, '_>) -> CpuSet {
    child(domain, "numatune")
        .and_then(|tune| child(tune, "memory"))
        .and_then(|tune| CpuSet::from_list(tune.attribute("nodeset")?))
        .unwrap_or_default()
}

/// The guest's own memory nodes: number, virtual CPUs, KiB.
fn cells(domain: Node<'_, '_>) -> Vec<(u32, CpuSet, u64)> {
    let numa = child(domain, "cpu").and_then(|cpu| child(cpu, "numa"));
    numa.into_iter()
        .flat_map(|numa| numa.children())
        .filter(|node| node.has_tag_name("cell"))
        .filter_map(|cell| {
            Some((
                cell.attribute("id")?.parse().ok()?,
                CpuSet::from_list(cell.attribute("cpus")?)?,
                scaled(cell.attribute("memory")?, cell.attribute("unit"))?,
            ))
        })
        .collect()
}

/// The host's node that holds the memory of this cell.
fn memnode(domain: Node<'_, '_>, cell: u32) -> Option<u32> {
    let cell = cell.to_string();
    child(domain, "numatune")?
        .children()
        .find(|node| node.has_tag_name("memnode") && node.attribute("cellid") == Some(&*cell))?
        .attribute("nodeset")?
        .parse()
        .ok()
}

/// Memory in huge pages.
fn memory(domain: Node<'_, '_>, kib: u64) -> Option<GuestMemory> {
    let pages = child(child(domain, "memoryBacking")?, "hugepages")?;
    let page = child(pages, "page");
    let page_kib = page
        .and_then(page_kib)
        .filter(|size| [PAGE_1G, PAGE_2M].contains(size))
        .unwrap_or(PAGE_2M);
    let tune = child(domain, "numatune").and_then(|tune| child(tune, "memory"));
    let mut shares: Vec<NodeShare> = bound_nodes(domain)
        .iter()
        .map(|node| NodeShare {
            node: Some(node),
            kib: 0,
        })
        .collect();
    if shares.is_empty() {
        shares.push(NodeShare { node: None, kib });
    }
    let strict =
        |node: Option<Node<'_, '_>>| node.and_then(|node| node.attribute("mode")) == Some("strict");
    Some(GuestMemory {
        kib,
        nodes: shares,
        cells: cells(domain).into_iter().map(|(_, _, kib)| kib).collect(),
        strict: strict(tune),
        hugepages: Hugepages {
            page_kib,
            count: kib.div_ceil(page_kib),
            per_node: Vec::new(),
            words: Vec::new(),
            at_start: Vec::new(),
        },
        reasons: Vec::new(),
    })
}

fn firmware_feature(os: Option<Node<'_, '_>>, name: &str) -> bool {
    os.and_then(|os| child(os, "firmware"))
        .into_iter()
        .flat_map(|firmware| firmware.children())
        .any(|one| one.attribute("name") == Some(name) && one.attribute("enabled") == Some("yes"))
}

fn cpu_feature(cpu: Option<Node<'_, '_>>, policy: &str, name: &str) -> bool {
    cpu.into_iter()
        .flat_map(|cpu| cpu.children())
        .any(|one| one.attribute("name") == Some(name) && one.attribute("policy") == Some(policy))
}

fn text<'a>(node: Option<Node<'a, '_>>) -> &'a str {
    node.and_then(|node| node.text()).unwrap_or_default().trim()
}

fn is_on(node: Node<'_, '_>) -> bool {
    node.attribute("state") == Some("on")
}

/// `<sound model='ich9'>`: an element as libvirt's documentation names it.
fn named(node: Node<'_, '_>) -> String {
    let mut name = node.tag_name().name().to_owned();
    for attribute in ["type", "model", "device"] {
        if let Some(value) = node.attribute(attribute) {
            name.push_str(&format!(" {attribute}='{value}'"));
        }
    }
    format!("<{name}>")
}
