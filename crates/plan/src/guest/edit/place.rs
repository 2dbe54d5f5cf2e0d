//! Where a new element of a domain goes: beside its like, in the order in which libvirt writes them
//! (`virDomainDefFormatInternalSetRootName` in src/conf/domain_conf.c).

use roxmltree::Node;

use super::{
    super::{element::Element, existing::child},
    Job,
};

/// Elements of a domain.
const DOMAIN: [&str; 27] = [
    "name",
    "uuid",
    "genid",
    "title",
    "description",
    "metadata",
    "maxMemory",
    "memory",
    "currentMemory",
    "blkiotune",
    "memtune",
    "memoryBacking",
    "vcpu",
    "vcpus",
    "iothreads",
    "iothreadids",
    "defaultiothread",
    "cputune",
    "numatune",
    "resource",
    "sysinfo",
    "bootloader",
    "os",
    "idmap",
    "features",
    "cpu",
    "clock",
];

/// Devices of a domain.
const DEVICES: [&str; 21] = [
    "emulator",
    "disk",
    "controller",
    "lease",
    "filesystem",
    "interface",
    "smartcard",
    "serial",
    "parallel",
    "console",
    "channel",
    "input",
    "tpm",
    "graphics",
    "sound",
    "audio",
    "video",
    "hostdev",
    "redirdev",
    "redirfilter",
    "hub",
];

/// Elements of a host device.
const HOSTDEV: [&str; 7] = [
    "driver", "source", "teaming", "boot", "alias", "acpi", "rom",
];

impl Job<'_, '_> {
    /// A new element of the domain.
    pub(super) fn add(&mut self, name: &str, element: &Element) {
        self.put(self.domain, &DOMAIN, name, element);
    }

    /// A new device.
    pub(super) fn add_device(&mut self, name: &str, element: &Element) {
        match child(self.domain, "devices") {
            Some(devices) => self.put(devices, &DEVICES, name, element),
            None => {
                let devices = Element::new("devices").child(element.clone());
                self.splices.insert_in(self.domain, &devices);
            }
        }
    }

    /// A new element of a host device.
    pub(super) fn add_to_hostdev(&mut self, hostdev: Node<'_, '_>, name: &str, element: &Element) {
        self.put(hostdev, &HOSTDEV, name, element);
    }

    /// Behind the last one that libvirt writes before it, before the first one else.
    fn put(&mut self, parent: Node<'_, '_>, order: &[&str], name: &str, element: &Element) {
        let rank = |name: &str| order.iter().position(|&one| one == name);
        let Some(own) = rank(name) else {
            return self.splices.insert_in(parent, element);
        };
        let children = || parent.children().filter(Node::is_element);
        let before = children().filter(|node| {
            rank(node.tag_name().name()).is_some_and(|rank| rank <= own)
                && node.tag_name().namespace().is_none()
        });
        // The nearest kind counts, and of it the last: a text in another order keeps it.
        let after = before.max_by_key(|node| (rank(node.tag_name().name()), node.range().start));
        match (after, parent.first_element_child()) {
            (Some(after), _) => self.splices.insert_after(after, element),
            (None, Some(first)) => self.splices.insert_before(first, element),
            (None, None) => self.splices.insert_in(parent, element),
        }
    }
}
