//! A whole disk of the host in a domain.

use alloc::{format, string::String};

use roxmltree::Node;

use super::{
    super::{
        devices::disk_element,
        disk,
        existing::{child, devices, hostdevs},
        names,
        spec::{Bus, Disk, Format, Os, Storage, Wish},
    },
    Job,
};
use crate::{Selector, pci::Address};

pub(super) fn add(job: &mut Job<'_, '_>, path: &str, bus: Bus, transplant: bool) {
    if job.draft.check(names::path(path, "a disk")).is_none() {
        return;
    }
    let device = ["/dev/disk/by-", "/dev/mapper/", "/dev/md/", "/dev/zvol/"];
    let measured = job.facts.blocks.devices.value().is_some();
    if !path.starts_with("/dev/") || !measured && !device.iter().any(|at| path.starts_with(at)) {
        job.draft.refuse(
            "guest.edit.disk.path",
            format!("{path} is no lasting name of a disk: names such as /dev/sda change places."),
            "Name it as in ls /dev/disk/by-id, such as /dev/disk/by-id/nvme-….",
        );
        return;
    }
    if partition(path) {
        job.draft.refuse(
            "guest.edit.disk.partition",
            format!("{path} is a partition, and the guest would look for partitions inside it."),
            "Name the whole disk, without -part and what follows.",
        );
        return;
    }
    if of_path(job.domain, path).next().is_some() {
        return;
    }
    let card = hostdevs(job.domain).first().map(|one| one.host);
    let card = Selector::at(card.unwrap_or(Address::new(0, 0, 0, 0)));
    let wish = Wish::new("edited", Os::Other, 0, card);
    let storage = Storage {
        path: path.into(),
        format: Some(Format::Raw),
        transplant,
        empty: false,
    };
    disk::check(job.draft, job.facts, &wish, &storage);
    if job.draft.is_refused() {
        return;
    }
    let Some(target) = target(job.domain, bus) else {
        job.draft.refuse(
            "guest.edit.disk.too-many",
            "All 26 names of disks of this kind are taken.",
            "Take a disk away first: --remove-disk PATH.",
        );
        return;
    };
    let disk = Disk {
        path: path.into(),
        format: Format::Raw,
        bus,
        cdrom: false,
        boot: None,
    };
    job.add_device("disk", &disk_element(&disk, false, target));
}

/// `nvme-X-part1`, `ata-Y-part2`.
fn partition(name: &str) -> bool {
    name.rsplit_once("-part")
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The first name that no disk has.
fn target(domain: Node<'_, '_>, bus: Bus) -> Option<String> {
    let prefix = match bus {
        Bus::Virtio => "vd",
        Bus::Sata => "sd",
    };
    let taken = |name: &str| {
        devices(domain, "disk")
            .filter_map(|disk| child(disk, "target")?.attribute("dev"))
            .any(|dev| dev == name)
    };
    let mut names = (b'a'..=b'z').map(|letter| format!("{prefix}{}", char::from(letter)));
    names.find(|name| !taken(name))
}

pub(super) fn remove(job: &mut Job<'_, '_>, path: &str) {
    let mut any = false;
    for disk in of_path(job.domain, path) {
        any = true;
        job.splices.remove(disk);
    }
    if !any {
        job.draft.note(
            "guest.edit.disk.absent",
            format!("The guest has no disk {path}."),
        );
    }
}

fn of_path<'a, 'i>(domain: Node<'a, 'i>, path: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    devices(domain, "disk").filter(move |&disk| {
        child(disk, "source").is_some_and(|source| {
            ["dev", "file"]
                .iter()
                .any(|&name| source.attribute(name) == Some(path))
        })
    })
}
