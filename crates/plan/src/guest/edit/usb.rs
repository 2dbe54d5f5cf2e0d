//! A USB device of the host in a domain.
//!
//! libvirt knows a device by what it is (vendor and product) or by its number on the bus, which is
//! another one after each replug and each start of the host. Newer versions also know the port it is
//! plugged into; whether this one does is told by its schema ([`super::port::takes_ports`]).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use roxmltree::Node;

use super::{
    super::{
        element::Element,
        existing::{self, child, devices, number},
    },
    Job,
    port::Port,
};
use crate::{facts::UsbDevice, pci::Ids};

/// Which USB device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usb {
    /// By what it is.
    Ids(Ids),
    /// By where it is plugged in.
    Port {
        /// The port.
        port: Port,
        /// libvirt of this host knows ports ([`super::port::takes_ports`]).
        known: bool,
    },
}

pub(super) fn add(job: &mut Job<'_, '_>, usb: &Usb) {
    match usb {
        Usb::Ids(ids) => by_ids(job, *ids),
        Usb::Port { port, known } => by_port(job, port, *known),
    }
}

fn by_ids(job: &mut Job<'_, '_>, ids: Ids) {
    if of_ids(job.domain, ids).next().is_some() {
        return;
    }
    let Some(all) = job.facts.usb.value() else {
        let why = job.facts.usb.why_not().unwrap_or_default();
        job.draft.note(
            "guest.edit.usb.unknown",
            format!("Which USB devices are plugged in was not measured: {why}."),
        );
        return put(job, ids);
    };
    let found: Vec<&UsbDevice> = all.iter().filter(|device| device.ids == ids).collect();
    match found[..] {
        [] => job.draft.note(
            "guest.edit.usb.absent",
            format!(
                "No device {ids} is plugged in now. The guest gets it if it is when the guest starts."
            ),
        ),
        [one] if refused(job, one) => return,
        [one] => kept(job, one),
        _ => {
            let ports: Vec<String> = found.iter().map(|one| one.words()).collect();
            job.draft.refuse(
                "guest.edit.usb.equal",
                format!(
                    "{} devices are {ids}, and libvirt could not tell which is meant: {}.",
                    found.len(),
                    ports.join("; ")
                ),
                "Name one by its port: --add-usb-port PORT. Or unplug the others: libvirt looks when \
                 the guest starts.",
            );
            return;
        }
    }
    put(job, ids);
}

fn by_port(job: &mut Job<'_, '_>, port: &Port, known: bool) {
    if of_port(job.domain, port).next().is_some() {
        return;
    }
    let name = port.to_string();
    let all = match job.facts.usb.value() {
        Some(all) => all,
        // A port that libvirt knows needs nobody to look what is in it.
        None if known => &Vec::new(),
        None => {
            let why = job.facts.usb.why_not().unwrap_or_default();
            job.draft.refuse(
                "guest.edit.usb.unknown",
                format!("What is plugged into port {port} was not measured: {why}."),
                "Name the device by what it is (lsusb): --add-usb VENDOR:PRODUCT.",
            );
            return;
        }
    };
    let device = all.iter().find(|device| device.port == name);
    if device.is_some_and(|device| refused(job, device)) {
        return;
    }
    if known {
        match device {
            Some(device) => kept(job, device),
            None => job.draft.note(
                "guest.edit.usb.empty",
                format!(
                    "Nothing was seen in port {port}. The guest gets what is in it when the guest \
                     starts."
                ),
            ),
        }
        let address = Element::new("address")
            .with("bus", port.bus)
            .with("port", &port.path);
        return hostdev(job, [address]);
    }
    let Some(device) = device else {
        job.draft.refuse(
            "guest.edit.usb.empty",
            format!(
                "Nothing is plugged into port {port}, and libvirt of this host knows devices, not \
                 ports."
            ),
            "Plug it in first, or name it by what it is: --add-usb VENDOR:PRODUCT.",
        );
        return;
    };
    let alike: Vec<String> = all
        .iter()
        .filter(|other| other.ids == device.ids)
        .map(UsbDevice::words)
        .collect();
    if alike.len() > 1 {
        job.draft.refuse(
            "guest.edit.usb.equal",
            format!(
                "{} devices are {}: {}. libvirt of this host tells equal devices apart only by a \
                 number that is another one after each replug and each start.",
                alike.len(),
                device.ids,
                alike.join("; ")
            ),
            "Give the guest the USB controller of that port whole (passthru devices --all; --add-gpu with \
             its card and --with the controller), plug in \
             another model, or leave only this one plugged in and name it with --add-usb. Newer \
             versions of libvirt know ports.",
        );
        return;
    }
    if of_ids(job.domain, device.ids).next().is_some() {
        return;
    }
    kept(job, device);
    job.draft.note(
        "guest.edit.usb.by-ids",
        format!(
            "libvirt of this host knows devices, not ports: the guest gets the device {} that is in \
             port {port} now, wherever it is plugged in later.",
            device.ids
        ),
    );
    put(job, device.ids);
}

/// Hubs cannot be given away.
fn refused(job: &mut Job<'_, '_>, device: &UsbDevice) -> bool {
    if device.hub {
        job.draft.refuse(
            "guest.edit.usb.hub",
            format!("{} is a hub, which no guest can own.", device.words()),
            "Name the devices that are plugged into it: lsusb -t.",
        );
    }
    device.hub
}

/// What the host keeps.
fn kept(job: &mut Job<'_, '_>, device: &UsbDevice) {
    let keyboards = |all: &Vec<UsbDevice>| {
        let others = all
            .iter()
            .filter(|other| other.keyboard && other.port != device.port);
        others.count()
    };
    let last = device.keyboard
        && !job.facts.keyboard_elsewhere
        && job.facts.usb.value().is_none_or(|all| keyboards(all) == 0);
    if last {
        job.draft.note(
            "guest.edit.usb.keyboard",
            format!(
                "{} is the host's only keyboard: while the guest runs, the host has none. Shared, \
                 both have it: --evdev /dev/input/by-id/….",
                device.words()
            ),
        );
    }
}

fn put(job: &mut Job<'_, '_>, ids: Ids) {
    let id = |name, id: u16| Element::new(name).with("id", format_args!("{id:#06x}"));
    hostdev(job, [id("vendor", ids.vendor), id("product", ids.device)]);
}

/// The guest starts without it, if it is not there (libvirt 1.0).
fn hostdev(job: &mut Job<'_, '_>, source: impl IntoIterator<Item = Element>) {
    let source = Element::new("source")
        .with("startupPolicy", "optional")
        .children(source);
    let element = Element::new("hostdev")
        .with("mode", "subsystem")
        .with("type", "usb")
        .with("managed", "yes")
        .child(source);
    job.add_device("hostdev", &element);
}

pub(super) fn remove(job: &mut Job<'_, '_>, usb: &Usb) {
    let (nodes, name): (Vec<Node<'_, '_>>, String) = match usb {
        Usb::Ids(ids) => (of_ids(job.domain, *ids).collect(), ids.to_string()),
        Usb::Port { port, .. } => {
            // Where libvirt knows devices only, the one that is there now.
            let name = port.to_string();
            let all = job.facts.usb.value().map_or(&[][..], Vec::as_slice);
            let here = all.iter().find(|device| device.port == name);
            let mut nodes: Vec<_> = of_port(job.domain, port).collect();
            if nodes.is_empty() {
                nodes.extend(
                    here.into_iter()
                        .flat_map(|here| of_ids(job.domain, here.ids)),
                );
            }
            (nodes, name)
        }
    };
    if nodes.is_empty() {
        job.draft.note(
            "guest.edit.usb.not-there",
            format!("The guest does not have the USB device {name}."),
        );
    }
    for node in nodes {
        job.splices.remove(node);
    }
}

fn sources<'a, 'i>(domain: Node<'a, 'i>) -> impl Iterator<Item = (Node<'a, 'i>, Node<'a, 'i>)> {
    devices(domain, "hostdev")
        .filter(|node| node.attribute("type") == Some("usb"))
        .filter_map(|node| Some((node, child(node, "source")?)))
}

fn of_ids<'a, 'i>(domain: Node<'a, 'i>, ids: Ids) -> impl Iterator<Item = Node<'a, 'i>> {
    let id = |source: Node<'_, '_>, name| {
        child(source, name)
            .and_then(|node| node.attribute("id"))
            .and_then(number)
    };
    sources(domain)
        .filter(move |&(_, source)| {
            id(source, "vendor") == Some(u32::from(ids.vendor))
                && id(source, "product") == Some(u32::from(ids.device))
        })
        .map(|(node, _)| node)
}

fn of_port<'a, 'i>(domain: Node<'a, 'i>, port: &Port) -> impl Iterator<Item = Node<'a, 'i>> {
    let port = port.clone();
    sources(domain)
        .filter(move |&(_, source)| {
            existing::child(source, "address").is_some_and(|address| {
                address.attribute("bus").and_then(number) == Some(port.bus)
                    && address.attribute("port") == Some(port.path.as_str())
            })
        })
        .map(|(node, _)| node)
}
