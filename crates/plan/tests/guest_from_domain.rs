//! Domains read back as guests: the same machine, and what has no place is named.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use passthru_plan::guest::{
    Guest, Wish,
    domain::domain,
    from_domain::read,
    hugepages::PageSize,
    qemu::{Files, command_line},
    spec::*,
};
use proptest::prelude::*;
use wishes::*;

fn argv(guest: &Guest) -> Vec<String> {
    command_line(guest, &Files::debian(guest)).argv
}

/// Guests of every kind, on hosts with one and with several memory nodes.
fn guests() -> Vec<Guest> {
    let mut guests = Vec::new();
    for processor in ["5950X", "EPYC 7763", "i9-13900K", "2990WX", "Xeon"] {
        let facts = desktop(processor);
        for wish in [linux(), windows()] {
            for hugepages in [None, Some(PageSize::Largest), Some(PageSize::Mib2)] {
                for hide in [false, wish.os.is_windows()] {
                    let wish = Wish {
                        hugepages,
                        hide,
                        ..wish.clone()
                    };
                    guests.push(planned(&facts, &wish));
                }
            }
        }
        guests.push(planned(
            &facts,
            &Wish {
                pinned: false,
                hugepages: None,
                cpus: Some(3),
                network: Network::Bridge("br0".into()),
                nested: true,
                ..linux()
            },
        ));
    }
    guests
}

#[test]
fn what_is_written_is_read_back() {
    for guest in guests() {
        let (again, left) = read(&domain(&guest)).unwrap();
        assert_eq!(left, [""; 0], "{}", domain(&guest));
        assert_eq!(argv(&again), argv(&guest));
        let files = Files::debian(&guest);
        assert_eq!(
            command_line(&again, &files).before,
            command_line(&guest, &files).before
        );
    }
}

/// As libvirt 9.0 writes the Linux guest once it has it.
#[test]
fn what_libvirt_makes_of_it_is_the_same_guest() {
    let (again, left) = read(include_str!("data/linux-as-libvirt-has-it.xml")).unwrap();
    assert_eq!(left, [""; 0]);
    assert_eq!(argv(&again), argv(&planned(&desktop("5950X"), &linux())));
}

#[test]
fn what_has_no_place_is_named() {
    let xml = domain(&planned(&desktop("5950X"), &linux()))
        .replace(
            "<domain ",
            "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ",
        )
        .replace(
            "  </devices>",
            "    <sound model='ich9'/>\n    <filesystem type='mount'/>\n    \
             <hostdev mode='subsystem' type='usb'/>\n  </devices>\n  \
             <qemu:commandline><qemu:arg value='-S'/></qemu:commandline>",
        );
    let (_, left) = read(&xml).unwrap();
    assert_eq!(
        left,
        [
            "<sound model='ich9'>",
            "<filesystem type='mount'>",
            "<hostdev type='usb'>",
            "<commandline>"
        ]
    );
}

#[test]
fn other_machines_are_refused() {
    let xml = domain(&planned(&desktop("5950X"), &linux()));
    for (from, to) in [
        ("machine='q35'", "machine='pc-i440fx-7.2'"),
        (" firmware='efi'", ""),
        ("<domain ", "<network "),
        ("<name>", "<name"),
    ] {
        let xml = xml.replace(from, to).replace(
            "</domain>",
            if to == "<network " {
                "</network>"
            } else {
                "</domain>"
            },
        );
        assert_eq!(read(&xml).unwrap_err().id, "guest.domain", "{to}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(cut in 0_usize..6000, with in "[<>/'\"a-z0-9= ]{0,20}") {
        let mut xml = domain(&planned(&desktop("5950X"), &windows()));
        let cut = cut.min(xml.len());
        if xml.is_char_boundary(cut) {
            xml.insert_str(cut, &with);
        }
        let _ = read(&xml);
    }
}
