//! Disks of a host: read from its tree without opening one, listed, and captured.
#![allow(clippy::unwrap_used)]

mod disk_builder;
mod observe_builder;

use disk_builder::*;
use passthru_host::{
    archive::open_host,
    capture::capture_to,
    observe::{Wanted, observe},
};
use passthru_plan::{
    Facts, Measured,
    facts::{Block, BootLoader, Transport},
    guest::{disk_list, leave},
};

#[test]
fn what_a_disk_is() {
    let host = host();
    let facts = facts(&host);
    let disk = |name: &str| -> Block { facts.blocks.named(name).unwrap().clone() };
    let sda = disk("sda");
    assert_eq!(sda.model.as_deref(), Some("DISK"));
    assert_eq!(sda.serial.as_deref(), Some("SERIALA"));
    assert_eq!(sda.bytes, 1_000_204_886_016);
    assert_eq!(sda.transport, Some(Transport::Sata));
    assert_eq!(sda.functions, ["0000:00:17.0".parse().unwrap()]);
    assert_eq!(disk("sda1").disk.as_deref(), Some("sda"));
    assert_eq!(disk("sda1").mounts, ["/srv"]);
    let nvme = disk("nvme1n1");
    assert_eq!(nvme.transport, Some(Transport::Nvme));
    assert_eq!(nvme.stable(), Some("/dev/disk/by-id/nvme-FAST_NVSERIAL1"));
    assert_eq!(nvme.links.len(), 4);
    assert_eq!(
        disk("sdg3").content.value().unwrap().label.as_deref(),
        Some("My Windows")
    );
    let pools: Vec<&str> = facts
        .blocks
        .pools
        .iter()
        .map(|pool| pool.name.as_str())
        .collect();
    assert_eq!(pools, ["tank"]);
    // A volume is found by every name it has.
    for path in [
        "/dev/dm-1",
        "/dev/mapper/vg--host-root",
        "/dev/vg-host/root",
        "/dev/disk/by-id/dm-name-vg--host-root",
    ] {
        assert_eq!(facts.blocks.at(path).unwrap().name, "dm-1", "{path}");
    }
    // What only lists devices does not read them.
    let devices = observe(&host.root(), Wanted::devices());
    assert!(devices.blocks.devices.value().is_none());
}

#[test]
fn the_list_says_of_each_disk_whether_a_guest_can_have_it() {
    let facts = facts(&host());
    let list = disk_list::list(&facts);
    let of = |state| -> String {
        let found = list.iter().filter(|disk| disk.state == state);
        found
            .map(|disk| disk.name.trim_start_matches("sd"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    use disk_list::State;
    assert_eq!(of(State::Host), "nvme0n1");
    assert_eq!(of(State::Free), "nvme1n1 g");
    assert_eq!(of(State::Idle), "d f h i l o");
    assert_eq!(of(State::Used), "a b c e j k m n r s t");
    assert_eq!(of(State::Unusable), "p q");
    // It says what a plan says.
    for disk in &list {
        let id = disk.id.as_deref().unwrap();
        let planned = plan(&facts, &wish(vec![storage(id)])).is_ok();
        assert_eq!(planned, disk.state == State::Free, "{id}");
    }
}

#[test]
fn a_capture_has_the_disks_without_their_serial_numbers() {
    let host = host();
    host.file("usr/bin/os-prober", "").file("usr/sbin/lvm", "");
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first.tar.gz");
    capture_to(&host.root(), &first).unwrap();
    let root = open_host(&first).unwrap();
    let there = observe(&root, Wanted::guest());
    let here = facts(&host);
    let shown = |facts: &Facts| -> Vec<_> {
        let list = disk_list::list(facts);
        list.into_iter()
            .map(|d| (d.name, d.state, d.model, d.holds, d.uses))
            .collect()
    };
    assert_eq!(shown(&here), shown(&there));
    assert!(there.blocks.os_prober && there.blocks.lvm);
    let text = format!("{:?}", there.blocks);
    assert!(!text.contains("SERIAL"), "{text}");
    assert!(!text.contains("eui.00"), "{text}");
    let sdg = there.blocks.named("sdg").unwrap().stable().unwrap();
    let sdg3 = there.blocks.named("sdg3").unwrap().stable().unwrap();
    assert_eq!(format!("{sdg}-part3"), sdg3);
    // A capture of it is the same.
    let second = directory.path().join("second.tar.gz");
    capture_to(&root, &second).unwrap();
    assert_eq!(
        observe(&open_host(&second).unwrap(), Wanted::guest()),
        there
    );
}

#[test]
fn the_host_is_told_to_leave_the_disks_alone() {
    let host = host();
    host.file("usr/bin/os-prober", "")
        .file("usr/sbin/lvm", "")
        .file("usr/lib/udev/rules.d/80-udisks2.rules", "");
    let mut facts = facts(&host);
    facts.boot.loader = Measured::Value(BootLoader::Grub);
    facts.boot.grub_dropins = Measured::Value(true);
    let windows = by_id('g');
    let told = leave::leave(&facts, "win", &[&windows]);
    insta::assert_json_snapshot!(told.changes);
    let notes: Vec<&str> = told.notes.iter().map(|note| note.text.as_str()).collect();
    insta::assert_json_snapshot!(notes);
}
