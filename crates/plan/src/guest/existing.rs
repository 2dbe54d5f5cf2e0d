//! What an existing domain says, as far as edits and checks of it ask: by the names and defaults of
//! libvirt's domain format, whoever wrote it.

use alloc::{format, string::String, vec::Vec};

use roxmltree::{Document, Node};

pub(super) use super::node::{address, child, children, cpuset, is, number};
use super::{node::amount, plan::refusal};
use crate::{
    pci::Address,
    plan::Refusal,
    text::{cpulist::CpuSet, quote},
};

/// The document of a domain.
///
/// # Errors
/// If the text is no XML or no domain. Document types, and with them entities, are not read: what an
/// entity stands for has no place in the text that could be kept.
pub(super) fn parse(xml: &str) -> Result<Document<'_>, Refusal> {
    let way_out = "sudo virsh dumpxml --inactive NAME prints the definition that libvirt has.";
    let document = Document::parse(xml).map_err(|error| {
        let why = format!("The domain's XML cannot be read: {error}.");
        refusal("guest.xml", why, way_out)
    })?;
    if !is(document.root_element(), "domain") {
        return Err(refusal(
            "guest.xml",
            "The XML describes no domain.",
            way_out,
        ));
    }
    Ok(document)
}

/// The name of a domain, if it has one.
pub(super) fn name(xml: &str) -> Option<String> {
    let document = parse(xml).ok()?;
    let name = child(document.root_element(), "name")?.text()?;
    (!name.is_empty()).then(|| name.into())
}

/// The file of this machine that holds the variables of a domain's firmware, if the text says it.
pub fn nvram(xml: &str) -> Option<String> {
    let document = parse(xml).ok()?;
    let os = child(document.root_element(), "os")?;
    let path = child(os, "nvram")?.text()?.trim();
    path.starts_with('/').then(|| path.into())
}

/// The directory of this machine in which libvirt keeps the state of a domain's TPM, one of swtpm
/// (`swtpmStorageDir` in libvirt's src/qemu/qemu_conf.c), if it has one.
pub fn tpm(xml: &str) -> Option<String> {
    let document = parse(xml).ok()?;
    let domain = document.root_element();
    child(child(domain, "devices")?, "tpm")?;
    uuid(xml).map(|uuid| alloc::format!("/var/lib/libvirt/swtpm/{uuid}"))
}

/// The UUID of a domain: two guests of one name, one after the other, have different ones.
pub fn uuid(xml: &str) -> Option<String> {
    let document = parse(xml).ok()?;
    let uuid = child(document.root_element(), "uuid")?.text()?.trim();
    let plain = uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (plain && !uuid.is_empty()).then(|| uuid.into())
}

/// The name of a domain as a word of a command; NAME where it has none.
pub(super) fn command_name(xml: &str) -> String {
    name(xml).map_or_else(|| "NAME".into(), |name| quote::word(&name))
}

/// The elements `name` among the devices of a domain.
pub(super) fn devices<'a, 'i>(
    domain: Node<'a, 'i>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    children(domain, "devices").flat_map(move |devices| children(devices, name))
}

/// A PCI function of the host that the domain owns.
#[derive(Clone, Copy)]
pub(super) struct Hostdev<'a, 'i> {
    pub(super) node: Node<'a, 'i>,
    /// Where it is on the host.
    pub(super) host: Address,
    /// Where the guest sees it; libvirt chooses if that is not said.
    pub(super) place: Option<Address>,
}

impl<'a, 'i> Hostdev<'a, 'i> {
    /// The element that says where the guest sees it.
    pub(super) fn place_node(&self) -> Option<Node<'a, 'i>> {
        child(self.node, "address")
    }

    /// libvirt takes it from its driver when the guest starts, and gives it back.
    pub(super) fn is_managed(&self) -> bool {
        self.node.attribute("managed") == Some("yes")
    }
}

/// PCI functions of the host that the domain owns.
pub(super) fn hostdevs<'a, 'i>(domain: Node<'a, 'i>) -> Vec<Hostdev<'a, 'i>> {
    devices(domain, "hostdev")
        .filter(|node| node.attribute("type") == Some("pci"))
        .filter_map(|node| {
            let source = child(node, "source").and_then(|source| child(source, "address"));
            Some(Hostdev {
                node,
                host: address(source?)?,
                place: child(node, "address").and_then(address),
            })
        })
        .collect()
}

/// The machine type: `q35`, `pc-q35-7.2`, `pc-i440fx-9.0`, `pc` …; empty where libvirt chooses.
pub(super) fn machine<'a>(domain: Node<'a, '_>) -> &'a str {
    child(domain, "os")
        .and_then(|os| child(os, "type"))
        .and_then(|kind| kind.attribute("machine"))
        .unwrap_or_default()
}

/// It is a q35 of x86, the machine with PCI Express that cards want.
pub(super) fn is_q35(domain: Node<'_, '_>) -> bool {
    machine(domain).contains("q35")
}

/// Memory in KiB.
pub(super) fn memory(domain: Node<'_, '_>) -> Option<u64> {
    child(domain, "memory").and_then(amount)
}

/// Virtual CPUs; 1 if that is not said.
pub(super) fn vcpus(domain: Node<'_, '_>) -> Option<u32> {
    let Some(vcpu) = child(domain, "vcpu") else {
        return Some(1);
    };
    vcpu.text()?.trim().parse().ok()
}

/// Host CPUs by virtual CPU, from `<vcpupin>`, in the order of the text.
pub(super) fn pins(domain: Node<'_, '_>) -> Vec<(u32, Option<CpuSet>, String)> {
    let Some(tune) = child(domain, "cputune") else {
        return Vec::new();
    };
    children(tune, "vcpupin")
        .filter_map(|pin| {
            let set = pin.attribute("cpuset")?;
            Some((number(pin.attribute("vcpu")?)?, cpuset(set), set.into()))
        })
        .collect()
}

/// Host CPUs of `<emulatorpin>` and `<iothreadpin>`.
pub(super) fn threads_of_qemu(domain: Node<'_, '_>) -> CpuSet {
    let tune = child(domain, "cputune");
    let pins = tune.into_iter().flat_map(|tune| {
        let threads = ["emulatorpin", "iothreadpin"];
        threads
            .into_iter()
            .flat_map(move |name| children(tune, name))
    });
    let sets = pins.filter_map(|pin| pin.attribute("cpuset").and_then(cpuset));
    sets.flat_map(|set| set.iter().collect::<Vec<_>>())
        .collect()
}
