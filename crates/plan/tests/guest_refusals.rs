//! Guests that a host cannot run, and names that nobody can take: refused with the reason, all at
//! once.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use common::function;
use passthru_plan::{
    Facts,
    guest::{self, Capabilities, Guest, Wish, hugepages::PageSize, spec::*},
};
use wishes::*;

fn facts() -> Facts {
    desktop("5950X")
}

#[test]
fn the_guests_of_the_other_tests_are_none_of_these() {
    for wish in [linux(), windows()] {
        assert_eq!(planned(&facts(), &wish).name, wish.name);
    }
}

#[test]
fn names() {
    let named = |name: &str| Wish {
        name: name.into(),
        ..linux()
    };
    let long = "x".repeat(201);
    for bad in [
        "",
        "  ",
        "a/b",
        "a\nb",
        "a\u{7f}",
        "a\u{85}",
        "a\u{ffff}",
        ".",
        "..",
        &long,
    ] {
        assert_eq!(refused(&facts(), &named(bad)), ["guest.name"], "{bad:?}");
    }
    for good in ["a b", "<&'\">", "$(x)", "-a", "7", "größe", "a,b"] {
        assert_eq!(planned(&facts(), &named(good)).name, good);
    }
    for bad in ["", "a b", "a/b", "sixteen-letters-", "..", "br0<"] {
        let wish = Wish {
            network: Network::Bridge(bad.into()),
            ..linux()
        };
        assert_eq!(
            refused(&facts(), &wish),
            ["guest.network.bridge"],
            "{bad:?}"
        );
    }
}

#[test]
fn sizes() {
    let sized = |memory_kib, cpus| Wish {
        memory_kib,
        cpus,
        ..linux()
    };
    let total = facts().machine.memory.total_kib.unwrap();
    let most = total / 5 * 4 / 1024 * 1024;
    assert_eq!(planned(&facts(), &sized(most, None)).memory_kib, most);
    let refusals = guest::plan(&facts(), &sized(most + 1024, None), None).unwrap_err();
    assert_eq!(refusals[0].id, "guest.memory.too-much");
    assert!(refusals[0].why.contains("pinned"), "{}", refusals[0].why);
    assert_eq!(
        refused(&facts(), &sized(1024, None)),
        ["guest.memory.small"]
    );
    assert_eq!(
        refused(&facts(), &sized((8 << 20) + 1, None)),
        ["guest.memory.odd"]
    );
    assert_eq!(
        refused(&facts(), &sized(8 << 20, Some(0))),
        ["guest.cpus.none"]
    );
    let unpinned = |cpus| Wish {
        pinned: false,
        ..sized(8 << 20, cpus)
    };
    for (cpus, id) in [
        (None, "guest.cpus.number"),
        (Some(0), "guest.cpus.none"),
        (Some(33), "guest.cpus.too-many"),
    ] {
        assert_eq!(refused(&facts(), &unpinned(cpus)), [id]);
    }
    let guest = planned(&facts(), &unpinned(Some(3)));
    assert_eq!((guest.topology.cores, guest.topology.threads), (3, 1));
    let huge = Wish {
        hugepages: Some(PageSize::Largest),
        ..unpinned(Some(3))
    };
    assert_eq!(refused(&facts(), &huge), ["guest.memory.hugepages"]);
}

#[test]
fn cards() {
    let card = |text: &str| Wish {
        gpu: vec![text.parse().unwrap()],
        ..linux()
    };
    for (text, id) in [
        ("09:00.0", "guest.card.unknown"),
        ("01:00.0=10de:ffff", "guest.card.changed"),
        ("01:00.0=10de:1f08/1043:0000", "guest.card.changed"),
        ("00:01.0", "guest.card.bridge"),
        ("00:1f.6", "guest.card.no-display"),
    ] {
        assert_eq!(refused(&facts(), &card(text)), [id], "{text}");
    }
    // Any function names the card.
    for text in [
        "01:00.0",
        "01:00.1",
        "01:00.3",
        "01:00.0=10de:1f08/1043:86f0",
    ] {
        let guest = planned(&facts(), &card(text));
        let hosts: Vec<u8> = functions(&guest).iter().map(|(_, host)| *host).collect();
        assert_eq!(hosts, [0, 1, 2, 3], "{text}");
    }
    // What the host runs on stays with it.
    let disk = Wish {
        with: vec!["00:17.0".parse().unwrap()],
        ..linux()
    };
    assert_eq!(refused(&facts(), &disk), ["guest.card.in-use"]);
}

fn functions(guest: &Guest) -> Vec<(u8, u8)> {
    let all = guest.slots.iter().flat_map(|slot| &slot.functions);
    all.map(|assigned| (assigned.function, assigned.host.function))
        .collect()
}

#[test]
fn a_group_goes_whole() {
    let mut facts = facts();
    // Another device of the card's group, on a driver of the host.
    facts.functions.push(function(
        "0000:02:00.3",
        0x01_0802,
        "144d:a80a",
        Some("nvme"),
        Some(1),
    ));
    common::regroup(&mut facts);
    let refusals = guest::plan(&facts, &linux(), None).unwrap_err();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].id, "guest.card.group");
    assert!(refusals[0].way_out.contains("--with 0000:02:00.3"));
    let with = Wish {
        with: vec!["02:00.3".parse().unwrap()],
        ..linux()
    };
    let guest = planned(&facts, &with);
    // A slot without a function 0 would not be looked at: this one becomes it, the card's stay.
    assert_eq!(guest.slots.len(), 2);
    assert_eq!(functions(&guest), [(0, 0), (1, 1), (2, 2), (3, 3), (0, 3)]);
    // On vfio-pci it stands in nobody's way.
    facts.functions.last_mut().unwrap().driver = Some("vfio-pci".into());
    planned(&facts, &linux());
    // In no group at all no function can go.
    facts.functions.last_mut().unwrap().group = None;
    common::regroup(&mut facts);
    assert_eq!(refused(&facts, &with), ["guest.card.no-group"]);
}

#[test]
fn without_groups_a_note_says_so() {
    let facts = common::without_iommu(facts());
    let guest = planned(&facts, &linux());
    assert_eq!(functions(&guest).len(), 4);
    assert!(
        guest
            .notes
            .iter()
            .any(|note| note.id == "guest.groups.unknown")
    );
}

#[test]
fn disks() {
    let on = |paths: &[&str]| Wish {
        disks: paths.iter().map(|path| disk(path)).collect(),
        ..linux()
    };
    assert_eq!(
        refused(&facts(), &on(&["/a.qcow2", "/a.qcow2"])),
        ["guest.disk.twice"]
    );
    assert_eq!(refused(&facts(), &on(&["a.qcow2"])), ["guest.path"]);
    assert_eq!(refused(&facts(), &on(&["/a\n.qcow2"])), ["guest.path"]);
    assert_eq!(refused(&facts(), &on(&["/a.img"])), ["guest.disk.format"]);
    let many: Vec<String> = (0..21).map(|n| format!("/{n}.raw")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused(&facts(), &on(&many)), ["guest.disk.too-many"]);
    let mut seeded = windows();
    seeded.seed = Some("/seed.iso".into());
    assert_eq!(refused(&facts(), &seeded), ["guest.seed"]);
    // Without drivers Windows gets what it knows.
    let mut bare = windows();
    bare.virtio_win = None;
    let guest = planned(&facts(), &bare);
    assert_eq!(guest.disks[0].bus, Bus::Sata);
    assert_eq!(guest.nic, Nic::E1000e);
    assert!(guest.notes.iter().any(|note| note.id == "guest.virtio-win"));
    bare.disks = (0..6).map(|n| disk(&format!("/{n}.raw"))).collect();
    assert_eq!(refused(&facts(), &bare), ["guest.disk.too-many"]);
}

#[test]
fn what_the_host_does_not_offer() {
    let nothing = Capabilities::default();
    let ids = |wish: &Wish, offered: &Capabilities| -> Vec<String> {
        let refusals = guest::plan(&facts(), wish, Some(offered)).unwrap_err();
        refusals.into_iter().map(|refusal| refusal.id).collect()
    };
    assert_eq!(ids(&linux(), &nothing), ["guest.host.no-efi"]);
    let efi = Capabilities {
        efi: true,
        ..nothing
    };
    assert_eq!(
        ids(&windows(), &efi),
        [
            "guest.host.no-secure-boot",
            "guest.host.no-tpm",
            "guest.host.no-spice"
        ]
    );
    let modest = Wish {
        secure_boot: Some(false),
        tpm: Some(false),
        screen: Screen::None,
        ..windows()
    };
    guest::plan(&facts(), &modest, Some(&efi)).unwrap();
}

#[test]
fn every_reason_at_once() {
    let wish = Wish {
        name: "a/b".into(),
        memory_kib: 1024,
        gpu: vec!["09:00.0".parse().unwrap()],
        disks: vec![disk("/a.img")],
        hide: true,
        ..linux()
    };
    assert_eq!(
        refused(&facts(), &wish),
        [
            "guest.name",
            "guest.card.unknown",
            "guest.disk.format",
            "guest.memory.small",
            "guest.hide"
        ]
    );
}

#[test]
fn an_answer_of_libvirt() {
    let offered = capabilities();
    assert!(offered.efi && offered.secure_boot && offered.tpm && offered.spice);
    assert_eq!(offered.hyperv.len(), 15);
    assert!(offered.hyperv_defaults.is_empty());
    let bad = |text: &str| Capabilities::parse(text).unwrap_err().id;
    assert_eq!(bad("error: failed to connect"), "guest.host.answer");
    assert_eq!(bad("<capabilities/>"), "guest.host.answer");
    let qemu = CAPABILITIES.replace("<domain>kvm</domain>", "<domain>qemu</domain>");
    assert_eq!(bad(&qemu), "guest.host.no-kvm");
    let off = CAPABILITIES.replace("<hyperv supported='yes'>", "<hyperv supported='no'>");
    assert!(Capabilities::parse(&off).unwrap().hyperv.is_empty());
    assert_eq!(
        Capabilities::parse("<domainCapabilities/>").unwrap(),
        Capabilities::default()
    );
}
