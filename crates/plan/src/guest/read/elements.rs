//! Elements of a domain, one function for each kind.

use alloc::{borrow::ToOwned, format, vec::Vec};
use roxmltree::Node;

use super::{BadDomain, Binding, Disk, HostDev, Interface, Link, OsHint, Pages};
use crate::{
    guest::node::{child, children, cpuset, number, scaled},
    pci::Address,
};

/// A PCI function that the element gives to the guest.
pub(super) fn function(node: Node<'_, '_>) -> Result<Option<HostDev>, BadDomain> {
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

pub(super) fn interface(node: Node<'_, '_>) -> Interface {
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

pub(super) fn disk(node: Node<'_, '_>) -> Option<Disk> {
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

pub(super) fn pages(node: Node<'_, '_>) -> Vec<Pages> {
    let mut pages: Vec<Pages> = children(node, "page")
        .map(|page| Pages {
            kib: page
                .attribute("size")
                .and_then(|size| scaled(size, page.attribute("unit"))),
            cells: page.attribute("nodeset").and_then(cpuset),
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

pub(super) fn binding(node: Node<'_, '_>) -> Option<Binding> {
    Some(Binding {
        mode: node.attribute("mode").unwrap_or("strict").into(),
        nodes: cpuset(node.attribute("nodeset")?)?,
    })
}

pub(super) fn os(root: Node<'_, '_>) -> OsHint {
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

pub(super) fn own_text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.text().map(str::trim).filter(|text| !text.is_empty())
}
