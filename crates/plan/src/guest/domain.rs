//! A guest as a libvirt domain (<https://libvirt.org/formatdomain.html>), its elements in the order
//! in which libvirt itself writes them.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{
    devices,
    element::Element,
    hyperv,
    spec::{Guest, Os},
    xml,
};

/// The domain's XML, to be defined with `virsh define`.
///
/// That a guest starts with the host is no part of it: `virsh autostart`.
pub fn domain(guest: &Guest) -> String {
    let pinned = guest.pinning.as_ref();
    let memory = guest.memory.as_ref();
    let cpus: Vec<Element> = match pinned {
        Some(pinning) => xml::cpus(pinning).into(),
        None => [xml::vcpu(vcpus(guest))].into(),
    };
    Element::new("domain")
        .with("type", "kvm")
        .child(Element::new("name").text(&guest.name))
        .child(xml::size(guest.memory_kib))
        .children(memory.map(xml::backing))
        .children(cpus)
        .children(pinned.and_then(|pinning| xml::numatune(pinning, memory)))
        .child(os(guest))
        .child(features(guest))
        .child(xml::cpu(cpu(guest)))
        .child(clock(guest))
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("restart"))
        .child(Element::new("on_crash").text("destroy"))
        .child(pm())
        .child(devices::devices(guest))
        .to_string()
}

/// Virtual CPUs.
pub(super) fn vcpus(guest: &Guest) -> usize {
    let t = guest.topology;
    let count = [t.sockets, t.dies, t.cores, t.threads]
        .into_iter()
        .fold(1, u32::saturating_mul);
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// libvirt picks the firmware from the descriptors of the host by these features (since 5.2 and 7.2),
/// and makes the guest's own copy of its variables.
fn os(guest: &Guest) -> Element {
    let state = if guest.secure_boot { "yes" } else { "no" };
    let feature = |name| {
        Element::new("feature")
            .with("enabled", state)
            .with("name", name)
    };
    let mut firmware = Element::new("firmware").child(feature("secure-boot"));
    if guest.secure_boot {
        firmware = firmware.child(feature("enrolled-keys"));
    }
    Element::new("os")
        .with("firmware", "efi")
        .child(
            Element::new("type")
                .with("arch", "x86_64")
                .with("machine", "q35")
                .text("hvm"),
        )
        .child(firmware)
}

fn features(guest: &Guest) -> Element {
    let state = |name, state| Element::new(name).with("state", state);
    let mut features = Element::new("features")
        .child(Element::new("acpi"))
        .child(Element::new("apic"))
        .children(hyperv::element(&guest.hyperv, guest.hide));
    if guest.hide {
        features = features.child(Element::new("kvm").child(state("hidden", "on")));
    }
    features = features.child(state("vmport", "off"));
    if guest.secure_boot {
        // The variables are only as safe as the mode that guards them.
        features = features.child(state("smm", "on"));
    }
    features
}

fn cpu(guest: &Guest) -> xml::Cpu {
    let cells = match (&guest.pinning, &guest.memory) {
        (Some(pinning), Some(memory)) => xml::cells(pinning, memory),
        _ => Vec::new(),
    };
    xml::Cpu {
        topology: guest.topology,
        cache: guest.cache,
        topoext: guest.topoext,
        address_bits: guest.address_bits,
        without: guest.without,
        cells,
    }
}

/// Windows keeps local time in the hardware clock, everything else UTC.
fn clock(guest: &Guest) -> Element {
    let timer = |name| Element::new("timer").with("name", name);
    let mut clock = Element::new("clock")
        .with(
            "offset",
            if guest.os.is_windows() {
                "localtime"
            } else {
                "utc"
            },
        )
        .child(timer("rtc").with("tickpolicy", "catchup"))
        .child(timer("pit").with("tickpolicy", "delay"))
        .child(timer("hpet").with("present", "no"));
    if !guest.hyperv.is_empty() {
        clock = clock.child(timer("hypervclock").with("present", "yes"));
    }
    clock
}

/// No sleep: few cards wake up again in a guest.
fn pm() -> Element {
    Element::new("pm")
        .child(Element::new("suspend-to-mem").with("enabled", "no"))
        .child(Element::new("suspend-to-disk").with("enabled", "no"))
}

/// It has a serial console: cloud images and installers write to it.
pub(super) fn has_console(guest: &Guest) -> bool {
    matches!(guest.os, Os::Linux | Os::Other)
}
