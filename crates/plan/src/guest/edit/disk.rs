//! A whole disk of the host in a domain.

use alloc::{format, string::String};

use roxmltree::Node;

use super::{
    super::{
        devices::disk_element,
        existing::{child, devices},
        names,
        spec::{Bus, Disk, Format},
    },
    Job,
};

pub(super) fn add(job: &mut Job<'_, '_>, path: &str, bus: Bus) {
    if job.draft.check(names::path(path, "a disk")).is_none() {
        return;
    }
    let Some(name) = path
        .strip_prefix("/dev/disk/by-id/")
        .filter(|n| !n.is_empty())
    else {
        job.draft.refuse(
            "guest.edit.disk.path",
            format!("{path} is no lasting name of a disk: names such as /dev/sda change places."),
            "Name it as in ls /dev/disk/by-id, such as /dev/disk/by-id/nvme-….",
        );
        return;
    };
    if partition(name) {
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
