//! The devices of a guest as a libvirt domain has them, in libvirt's own order.

use alloc::{format, vec::Vec};

use super::{
    domain::has_console,
    element::Element,
    spec::{Bus, Disk, Guest, Network, Screen, Slot},
};

use crate::pci::Address;

/// Root ports for what is plugged in later.
const SPARE: usize = 4;

pub(super) fn devices(guest: &Guest) -> Element {
    let mut devices = Element::new("devices")
        .children(disks(guest))
        .children(controllers(guest))
        .children(network(guest));
    if has_console(guest) {
        devices = devices
            .child(Element::new("serial").with("type", "pty"))
            .child(Element::new("console").with("type", "pty"));
    }
    // qemu-guest-agent in the guest answers there, if it is installed.
    devices = devices.child(
        Element::new("channel").with("type", "unix").child(
            Element::new("target")
                .with("type", "virtio")
                .with("name", "org.qemu.guest_agent.0"),
        ),
    );
    if guest.screen == Screen::Spice {
        devices = devices.child(
            Element::new("input")
                .with("type", "tablet")
                .with("bus", "usb"),
        );
    }
    if guest.tpm {
        devices = devices.child(
            Element::new("tpm").with("model", "tpm-crb").child(
                Element::new("backend")
                    .with("type", "emulator")
                    .with("version", "2.0"),
            ),
        );
    }
    devices
        .children(picture(guest))
        .children(hostdevs(guest))
        // vfio pins all of the guest's memory, so nothing could be given back.
        .child(Element::new("memballoon").with("model", "none"))
        .child(
            Element::new("rng").with("model", "virtio").child(
                Element::new("backend")
                    .with("model", "random")
                    .text("/dev/urandom"),
            ),
        )
}

fn disks(guest: &Guest) -> Vec<Element> {
    let mut names = Names::default();
    guest
        .disks
        .iter()
        .map(|disk| disk_element(disk, guest.pinning.is_some(), names.next(disk.bus)))
        .collect()
}

/// Names of targets: vda, vdb … and sda, sdb …
#[derive(Default)]
struct Names {
    virtio: u8,
    sata: u8,
}

impl Names {
    fn next(&mut self, bus: Bus) -> alloc::string::String {
        let (prefix, count) = match bus {
            Bus::Virtio => ("vd", &mut self.virtio),
            Bus::Sata => ("sd", &mut self.sata),
        };
        let letter = char::from(b'a'.saturating_add(*count));
        *count += 1;
        format!("{prefix}{letter}")
    }
}

pub(super) fn disk_element(disk: &Disk, iothread: bool, target: alloc::string::String) -> Element {
    let device = disk.is_device();
    let (kind, source) = if device {
        ("block", "dev")
    } else {
        ("file", "file")
    };
    let mut driver = Element::new("driver")
        .with("name", "qemu")
        .with("type", disk.format.name());
    if !disk.cdrom {
        driver = driver
            .with("cache", "none")
            .with("io", "native")
            .with("discard", "unmap");
        if iothread && disk.bus == Bus::Virtio {
            driver = driver.with("iothread", 1);
        }
    }
    let bus = match disk.bus {
        Bus::Virtio => "virtio",
        Bus::Sata => "sata",
    };
    let mut element = Element::new("disk")
        .with("type", kind)
        .with("device", if disk.cdrom { "cdrom" } else { "disk" })
        .child(driver)
        .child(Element::new("source").with(source, &disk.path))
        .child(Element::new("target").with("dev", target).with("bus", bus));
    if disk.cdrom {
        element = element.child(Element::new("readonly"));
    }
    if let Some(order) = disk.boot {
        element = element.child(Element::new("boot").with("order", order));
    }
    element
}

/// A root port for each slot of the guest, numbered as the bus behind it, and ports for the devices
/// that libvirt places.
fn controllers(guest: &Guest) -> Vec<Element> {
    let pci = |index: usize, model| {
        Element::new("controller")
            .with("type", "pci")
            .with("index", index)
            .with("model", model)
    };
    let virtio = guest
        .disks
        .iter()
        .filter(|disk| disk.bus == Bus::Virtio)
        .count();
    // USB, serial channels, random numbers, network.
    let others = 4;
    let ports = guest.slots.len() + virtio + others + SPARE;
    let usb = Element::new("controller")
        .with("type", "usb")
        .with("index", 0)
        .with("model", "qemu-xhci");
    [usb, pci(0, "pcie-root")]
        .into_iter()
        .chain((1..=ports).map(|index| pci(index, "pcie-root-port")))
        .collect()
}

fn network(guest: &Guest) -> Option<Element> {
    let (kind, source) = match &guest.network {
        Network::Default => ("network", Element::new("source").with("network", "default")),
        Network::Bridge(name) => ("bridge", Element::new("source").with("bridge", name)),
        Network::None => return None,
    };
    Some(
        Element::new("interface")
            .with("type", kind)
            .child(Element::new("mac").with("address", &guest.mac))
            .child(source)
            .child(Element::new("model").with("type", guest.nic.name())),
    )
}

/// What is seen beside the card: with SPICE a plain VGA, for which every system has a driver, else
/// nothing, so that the card is the guest's only display.
fn picture(guest: &Guest) -> Vec<Element> {
    let model = |name| Element::new("video").child(Element::new("model").with("type", name));
    match guest.screen {
        Screen::None => [model("none")].into(),
        Screen::Spice => [
            Element::new("graphics")
                .with("type", "spice")
                .child(Element::new("listen").with("type", "socket")),
            model("vga"),
        ]
        .into(),
    }
}

fn hostdevs(guest: &Guest) -> impl Iterator<Item = Element> {
    guest
        .slots
        .iter()
        .enumerate()
        .flat_map(|(index, slot)| slot_elements(index + 1, slot))
}

pub(super) fn slot_elements(bus: usize, slot: &Slot) -> impl Iterator<Item = Element> {
    let several = slot.functions.len() > 1;
    let bus = u8::try_from(bus).unwrap_or(u8::MAX);
    slot.functions.iter().map(move |assigned| {
        let place = Address::new(0, bus, 0, assigned.function);
        function_element(assigned.host, place, several)
    })
}

/// A function of the host at a place in the guest; `several` if there are others in its slot, which
/// function 0 has to say (the header type of PCI).
pub(super) fn function_element(host: Address, place: Address, several: bool) -> Element {
    let at = |element: Element, at: Address| {
        element
            .with("domain", format_args!("{:#06x}", at.domain))
            .with("bus", format_args!("{:#04x}", at.bus))
            .with("slot", format_args!("{:#04x}", at.device))
            .with("function", format_args!("{:#x}", at.function))
    };
    let source = at(Element::new("address"), host);
    let mut seen = at(Element::new("address").with("type", "pci"), place);
    if several && place.function == 0 {
        seen = seen.with("multifunction", "on");
    }
    Element::new("hostdev")
        .with("mode", "subsystem")
        .with("type", "pci")
        .with("managed", "yes")
        .child(Element::new("source").child(source))
        .child(seen)
}
