//! Edits of existing domains: what is not asked for stays to the byte.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "common/domains.rs"]
mod domains;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use domains::*;
use passthru_plan::{
    Facts,
    guest::{
        CoreWish,
        edit::{Edit, Port, RomWish, Usb, edit, port::takes_ports},
        hugepages::PageSize,
        spec::Bus,
    },
};
use proptest::prelude::*;

const CARD: &str = "01:00.0";

fn done(facts: &Facts, xml: &str, edits: &[Edit]) -> String {
    match edit(facts, xml, edits) {
        Ok(edited) => edited.xml,
        Err(refusals) => panic!("{edits:?}: {refusals:#?}"),
    }
}

fn notes(facts: &Facts, xml: &str, edits: &[Edit]) -> Vec<String> {
    let edited = edit(facts, xml, edits).unwrap();
    edited.notes.into_iter().map(|note| note.id).collect()
}

fn refused(facts: &Facts, xml: &str, edits: &[Edit]) -> Vec<String> {
    let refusals = edit(facts, xml, edits).unwrap_err();
    for refusal in &refusals {
        assert!(!refusal.why.is_empty() && !refusal.way_out.is_empty());
    }
    refusals.into_iter().map(|refusal| refusal.id).collect()
}

fn add_card() -> Edit {
    Edit::AddCard {
        card: CARD.parse().unwrap(),
        with: vec![],
    }
}

fn usb(ids: &str) -> Edit {
    Edit::AddUsb(Usb::Ids(ids.parse().unwrap()))
}

fn port(port: &str, known: bool) -> Edit {
    Edit::AddUsb(Usb::Port {
        port: port.parse().unwrap(),
        known,
    })
}

#[test]
fn nothing_asked_nothing_changed() {
    for (name, xml) in fixtures() {
        assert_eq!(done(&host(), &xml, &[]), xml, "{name}");
    }
}

/// What was there before and after, but for what the edit is about.
fn only_what_was_asked(facts: &Facts, name: &str, xml: &str) -> usize {
    let mut done = 0;
    for (edits, touches) in every_edit() {
        let Ok(after) = edit(facts, xml, &edits) else {
            continue;
        };
        done += 1;
        let (gone, mut new) = difference(xml, &after.xml);
        // A domain without devices gets an element for them.
        new.retain(|item| item != "/domain/devices  \"\"" || xml.contains("<devices"));
        for item in gone.iter().chain(&new) {
            assert!(
                touches.iter().any(|path| item.starts_with(path)),
                "{name}: {edits:?} touches {item}\n{}",
                after.xml
            );
        }
        let again = edit(facts, &after.xml, &edits).unwrap();
        // Taking out and putting in again begins anew.
        if edits.len() == 1 {
            assert_eq!(again.xml, after.xml, "{name}: {edits:?} twice");
        }
    }
    done
}

#[test]
fn each_edit_of_each_domain_touches_what_it_is_about() {
    for (name, xml) in fixtures() {
        let done = only_what_was_asked(&host(), &name, &xml);
        assert!(done >= 15, "{name}: {done}");
    }
}

#[test]
fn every_edited_domain_is_what_libvirts_schema_takes() {
    let mut texts = Vec::new();
    for (name, xml) in fixtures() {
        for (edits, _) in every_edit() {
            // The installed schema may be older than ports.
            if matches!(edits[..], [Edit::AddUsb(Usb::Port { known: true, .. })]) {
                continue;
            }
            if let Ok(edited) = edit(&host(), &xml, &edits) {
                texts.push((format!("{name} {edits:?}"), edited.xml));
            }
        }
        let everything = done(&host(), &xml, &everything());
        texts.push((format!("{name} with everything"), everything));
    }
    validate(&texts);
}

#[test]
fn libvirts_own_domains() {
    let Some(directory) = std::env::var_os("PASSTHRU_LIBVIRT_CORPUS") else {
        println!("skipped: PASSTHRU_LIBVIRT_CORPUS does not name a directory with domains");
        return;
    };
    let (mut domains, mut others, mut edits) = (0, 0, 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(xml) = std::fs::read_to_string(&path) else {
            println!("no text: {name}");
            others += 1;
            continue;
        };
        match edit(&host(), &xml, &[]) {
            Ok(edited) => assert_eq!(edited.xml, xml, "{name}"),
            Err(refusals) => {
                println!("{name}: {}", refusals[0].why);
                others += 1;
                continue;
            }
        }
        domains += 1;
        edits += only_what_was_asked(&host(), &name, &xml);
    }
    println!("{domains} domains, {edits} edits, {others} other files");
    assert!(domains > 100);
}

#[test]
fn a_windows_guest_of_virt_manager_gets_a_card_and_loses_its_screen() {
    let xml = fixture("virt-manager-windows11.xml");
    let after = done(
        &host(),
        &xml,
        &[
            add_card(),
            Edit::NoScreen,
            Edit::Pin {
                cpus: None,
                cores: CoreWish::default(),
            },
            Edit::Hugepages(PageSize::Largest),
        ],
    );
    insta::assert_snapshot!(diff(&xml, &after));
}

#[test]
fn a_domain_written_by_hand_gets_everything() {
    let xml = fixture("by-hand.xml");
    insta::assert_snapshot!(diff(&xml, &done(&host(), &xml, &everything())));
}

#[test]
fn a_domain_on_one_line_stays_on_it() {
    let xml = fixture("one-line.xml");
    let after = done(&host(), &xml, &everything());
    assert!(!after.contains('\n'), "{after}");
    insta::assert_snapshot!(after);
}

#[test]
fn carriage_returns_are_kept_and_continued() {
    let xml = fixture("crlf.xml");
    let after = done(&host(), &xml, &everything());
    assert!(after.lines().count() > xml.lines().count() + 20);
    assert!(
        after
            .split_inclusive('\n')
            .all(|line| line.ends_with("\r\n"))
    );
}

#[test]
fn huge_pages_of_a_size() {
    let facts = host();
    let edited = |inside: &str, size| {
        let xml = format!(
            "<domain><name>a</name><memory unit='GiB'>4</memory><vcpu>2</vcpu>{inside}</domain>"
        );
        let after = done(&facts, &xml, &[Edit::Hugepages(size)]);
        assert_eq!(done(&facts, &after, &[Edit::Hugepages(size)]), after);
        let from = after.find("<memoryBacking>").unwrap();
        let to = after.find("</memoryBacking>").unwrap();
        let words = after[from..to].split_whitespace();
        words.collect::<Vec<_>>().join(" ").replace("> <", "><")
    };
    let backing = |inside: &str| format!("<memoryBacking>{inside}</memoryBacking>");
    let (small, large) = ("size='2' unit='MiB'", "size='1' unit='GiB'");
    for (before, size, after) in [
        ("", PageSize::Largest, large),
        ("", PageSize::Mib2, small),
        ("<hugepages/>", PageSize::Gib1, large),
        (
            "<hugepages><page size='1' unit='G'/></hugepages>",
            PageSize::Mib2,
            small,
        ),
        ("<source type='anonymous'/>", PageSize::Mib2, small),
    ] {
        let inside = if before.is_empty() {
            String::new()
        } else {
            backing(before)
        };
        let got = edited(&inside, size);
        assert_eq!(got.matches("<page ").count(), 1, "{got}");
        assert!(got.contains(&format!("<page {after}/>")), "{got}");
        assert_eq!(got.matches("<source type='memfd'/>").count(), 1, "{got}");
    }
    // A page lies on one of the guest's nodes.
    let cells = "<cpu><numa><cell id='0' cpus='0' memory='1.5' unit='GiB'/>\
        <cell id='1' cpus='1' memory='2560' unit='MiB'/></numa></cpu>";
    let got = edited(
        &cells.replace("1.5' unit='GiB", "1536' unit='MiB"),
        PageSize::Largest,
    );
    assert!(got.contains(small), "{got}");
    // A size that is there already, and a mount that its owner chose.
    let own = "<hugepages><page size='2048' unit='KiB'/></hugepages><source type='file'/>";
    assert_eq!(
        edited(&backing(own), PageSize::Mib2),
        format!("<memoryBacking>{own}")
    );
    assert_eq!(
        edited(&backing("<hugepages/>"), PageSize::Largest),
        "<memoryBacking><hugepages/>"
    );
}

#[test]
fn what_is_added_and_taken_away_again_leaves_the_bytes() {
    let facts = host();
    for (name, xml) in fixtures() {
        for (there, back) in pairs() {
            // An element that is opened for it stays open; a root port stays for the next card.
            let opened = name == "crlf.xml" && there == Edit::Hugepages(PageSize::Largest);
            let port = matches!(there, Edit::AddCard { .. }) && !name.starts_with("virt-manager");
            if opened || port {
                continue;
            }
            let after = done(&facts, &xml, std::slice::from_ref(&there));
            if there == usb("046d:c52b") && name == "by-hand.xml" {
                assert_eq!(after, xml, "it has one");
                continue;
            }
            assert_ne!(after, xml, "{name}: {there:?}");
            let same = done(&facts, &after, std::slice::from_ref(&back));
            assert_eq!(same, xml, "{name}: {there:?}, {back:?}");
        }
    }
}

#[test]
fn a_card_is_put_together_and_completed() {
    let facts = host();
    let xml = fixture("virt-manager-windows11.xml");
    let whole = done(&facts, &xml, &[add_card()]);
    let ports: Vec<_> = hostdevs(&whole);
    assert_eq!(
        ports,
        [
            ("01:00.0".into(), "05:00.0".into(), true),
            ("01:00.1".into(), "05:00.1".into(), false),
            ("01:00.2".into(), "05:00.2".into(), false),
            ("01:00.3".into(), "05:00.3".into(), false),
        ]
    );
    // Part of it, as a guide has it.
    let half = remove_hostdev(&whole, "0x3");
    assert_eq!(hostdevs(&half).len(), 3);
    assert_eq!(done(&facts, &half, &[add_card()]), whole);
    let half = half.replace(" multifunction='on'", "");
    assert_eq!(hostdevs(&done(&facts, &half, &[add_card()])), ports);
    // Each function in a slot of its own, as virt-manager puts them.
    let apart = whole.replace(
        "bus='0x05' slot='0x00' function='0x1'",
        "bus='0x06' slot='0x00' function='0x0'",
    );
    assert_eq!(done(&facts, &apart, &[add_card()]), apart);
    assert_eq!(
        notes(&facts, &apart, &[add_card()]),
        ["guest.edit.card.apart"]
    );
    let again = [Edit::RemoveCard(CARD.parse().unwrap()), add_card()];
    assert_eq!(hostdevs(&done(&facts, &apart, &again)), ports);
}

#[test]
fn what_goes_with_a_card_goes_in_one_go() {
    let facts = host();
    let xml = fixture("virt-manager-windows11.xml");
    let card: passthru_plan::Selector = CARD.parse().unwrap();
    let others = facts.functions.iter().filter(|f| {
        f.address.slot() != card.address.slot()
            && !f.class.is_bridge()
            && facts.uses_of(f.address).next().is_none()
    });
    let given = others.filter_map(|other| {
        let with = vec![passthru_plan::Selector::at(other.address)];
        let both = [Edit::AddCard { card, with }];
        let after = edit(&facts, &xml, &both).ok()?.xml;
        assert_eq!(edit(&facts, &after, &both).unwrap().xml, after);
        let alone = done(&facts, &xml, &[add_card()]);
        assert_eq!(hostdevs(&after).len(), hostdevs(&alone).len() + 1);
        Some(())
    });
    assert!(given.count() > 0);
}

#[test]
fn what_the_host_cannot_give_is_refused() {
    let facts = host();
    let xml = fixture("virt-manager-windows11.xml");
    let no = |edit: Edit| refused(&facts, &xml, &[edit]);
    let card = |at: &str| Edit::AddCard {
        card: at.parse().unwrap(),
        with: vec![],
    };
    assert_eq!(no(card("7f:00.0")), ["guest.card.unknown"]);
    assert_eq!(no(card("01:00.0=1234:5678")), ["guest.card.changed"]);
    assert_eq!(
        refused(
            &facts,
            &xml.replace("pc-q35-7.2", "pc-i440fx-7.2"),
            &[add_card()]
        ),
        ["guest.edit.machine"]
    );
    let disk = |path: &str| Edit::AddDisk {
        path: path.into(),
        bus: Bus::Sata,
        transplant: false,
    };
    assert_eq!(no(disk("/dev/sda")), ["guest.edit.disk.path"]);
    assert_eq!(
        no(disk("/dev/disk/by-id/ata-X-part2")),
        ["guest.edit.disk.partition"]
    );
    assert_eq!(
        no(Edit::AddEvdev("/dev/input/event3".into())),
        ["guest.edit.evdev.path"]
    );
    assert_eq!(
        no(Edit::Rom(CARD.parse().unwrap(), RomWish::Off)),
        ["guest.edit.rom.no-card"]
    );
    assert_eq!(
        no(Edit::Pin {
            cpus: Some(4096),
            cores: CoreWish::default()
        })
        .len(),
        1
    );
    for text in ["", "<network/>", "<domain>", "<!DOCTYPE domain><domain/>"] {
        assert_eq!(refused(&facts, text, &[]), ["guest.xml"], "{text}");
    }
}

#[test]
fn two_equal_usb_devices_are_told_apart_or_refused() {
    let facts = host();
    let xml = fixture("one-line.xml");
    let refusals = edit(&facts, &xml, &[usb(TWIN)]).unwrap_err();
    assert_eq!(refusals[0].id, "guest.edit.usb.equal");
    assert!(refusals[0].why.contains("port 1-3") && refusals[0].why.contains("port 1-4.1"));
    // Where libvirt knows ports it is one of them, and it is one only.
    let after = done(&facts, &xml, &[port("1-4.1", true)]);
    assert!(after.contains("<address bus='1' port='4.1'/>"), "{after}");
    assert!(!after.contains("<vendor"));
    assert_eq!(
        refused(&facts, &xml, &[port("1-4.1", false)]),
        ["guest.edit.usb.equal"]
    );
    // A device without a twin is known by what it is.
    assert_eq!(
        notes(&facts, &xml, &[port("1-1", false)]),
        ["guest.edit.usb.keyboard", "guest.edit.usb.by-ids"]
    );
    let after = done(&facts, &xml, &[port("1-1", false)]);
    assert!(after.contains("startupPolicy='optional'") && after.contains("0xc31c"));
    assert_eq!(
        refused(&facts, &xml, &[port("1-4", true)]),
        ["guest.edit.usb.hub"]
    );
    assert_eq!(
        refused(&facts, &xml, &[port("2-1", false)]),
        ["guest.edit.usb.empty"]
    );
    assert_eq!(
        notes(&facts, &xml, &[port("2-1", true)]),
        ["guest.edit.usb.empty"]
    );
    assert_eq!(
        notes(&facts, &xml, &[usb("dead:beef")]),
        ["guest.edit.usb.absent"]
    );
}

#[test]
fn ports_of_usb() {
    for good in ["1-2", "3-1.4", "10-1.2.3.4.5.6"] {
        assert_eq!(good.parse::<Port>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "1",
        "1-",
        "-1",
        "0-1",
        "1-0",
        "1-2.",
        "1-a",
        "1-1.2.3.4.5.6.7",
        "1-2:1.0",
    ] {
        assert!(bad.parse::<Port>().is_err(), "{bad}");
    }
}

#[test]
fn whether_libvirt_knows_ports_is_in_its_schema() {
    let schema = |attribute: &str| {
        format!(
            "<grammar xmlns='http://relaxng.org/ns/structure/1.0'>\
             <define name='hostdevsubsysusb'><element name='source'><ref name='usbaddress'/>\
             </element></define>\
             <define name='usbaddress'><element name='address'><attribute name='bus'/>\
             <attribute name='{attribute}'/></element></define>\
             <define name='usbportaddress'><attribute name='port'/></define></grammar>"
        )
    };
    assert!(takes_ports(&schema("port")));
    assert!(!takes_ports(&schema("device")));
    assert!(!takes_ports("no schema"));
    // The one of this machine is read to its end.
    if let Ok(installed) = std::fs::read_to_string("/usr/share/libvirt/schemas/domaincommon.rng") {
        println!("installed: {}", takes_ports(&installed));
    }
}

#[test]
fn remarks_of_edits() {
    let facts = host();
    let xml = fixture("one-line.xml");
    let absent = [
        Edit::RemoveCard(CARD.parse().unwrap()),
        Edit::RemoveDisk("/dev/disk/by-id/x".into()),
        Edit::RemoveUsb(Usb::Ids("dead:beef".parse().unwrap())),
        Edit::RemoveEvdev("/dev/input/by-id/x-event-kbd".into()),
        Edit::NoRom(CARD.parse().unwrap()),
        Edit::NoPin,
        Edit::NoHugepages,
    ];
    assert_eq!(notes(&facts, &xml, &absent).len(), 5);
    assert_eq!(done(&facts, &xml, &absent), xml);
    assert_eq!(
        notes(&facts, &xml, &[Edit::NoScreen]),
        ["guest.edit.screen.none"]
    );
    let vnc = fixture("crlf.xml");
    assert_eq!(
        notes(&facts, &vnc, &[Edit::NoScreen]),
        ["guest.edit.screen.other"]
    );
    assert_eq!(done(&facts, &vnc, &[Edit::NoScreen]), vnc);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is between the elements of a domain, an edit keeps all of it, changes nothing when it
    /// is done again, and is taken back to the byte.
    #[test]
    fn any_spacing_and_remarks_survive(xml in spaced(), which in 0..9_usize) {
        let facts = host();
        prop_assert_eq!(&done(&facts, &xml, &[]), &xml);
        let (there, back) = pairs().swap_remove(which % pairs().len());
        let after = done(&facts, &xml, std::slice::from_ref(&there));
        prop_assert_eq!(&done(&facts, &after, std::slice::from_ref(&there)), &after);
        let (gone, _) = difference(&xml, &after);
        prop_assert!(gone.is_empty(), "{:?}", gone);
        let same = done(&facts, &after, &[back]);
        if !matches!(there, Edit::AddCard { .. }) {
            prop_assert_eq!(same, xml);
        }
    }

    /// A path that a person types is the path that libvirt reads.
    #[test]
    fn any_path_is_read_back(name in "[^/\\p{Cc}]{1,40}") {
        let path = format!("/dev/disk/by-id/{name}");
        let facts = host();
        let wish = Edit::AddDisk { path: path.clone(), bus: Bus::Virtio, transplant: false };
        if let Ok(edited) = edit(&facts, &fixture("crlf.xml"), &[wish]) {
            let document = roxmltree::Document::parse(&edited.xml).unwrap();
            let found = document
                .descendants()
                .any(|node| node.has_tag_name("source") && node.attribute("dev") == Some(&path));
            prop_assert!(found, "{}", edited.xml);
        }
    }
}

#[test]
fn hiding_comes_and_goes() {
    let facts = host();
    let xml = "<domain type='kvm'><name>x</name><memory>1048576</memory><features><acpi/>\
               <hyperv mode='custom'><relaxed state='on'/></hyperv></features><devices/></domain>";
    let hidden = done(&facts, xml, &[Edit::Hide]);
    assert!(hidden.contains("<hidden state='on'/>") && hidden.contains("<vendor_id state='on'"));
    assert_eq!(done(&facts, &hidden, &[Edit::Hide]), hidden);
    let back = done(&facts, &hidden, &[Edit::NoHide]);
    assert!(!back.contains("hidden") && !back.contains("vendor_id") && !back.contains("<kvm"));
    assert!(back.contains("<relaxed state='on'/>"));
    let off = hidden.replace("<hidden state='on'/>", "<hidden state='off'/>");
    assert!(done(&facts, &off, &[Edit::Hide]).contains("<hidden state='on'/>"));
    let bare = "<domain><name>x</name><memory>1</memory></domain>";
    assert!(done(&facts, bare, &[Edit::Hide]).contains("<features><kvm>"));
}

#[test]
fn a_picture_wants_a_keyboard() {
    let mut facts = host();
    // The port on the card brings a controller of its own.
    for function in &mut facts.functions {
        if function.class.sub() == 0x0c03 {
            function.class.0 = 0x0c_8000;
        }
    }
    let xml = "<domain><name>a b</name><memory>1048576</memory><os><type machine='q35'>hvm</type></os>\
               <devices/></domain>";
    let told = |edits: &[Edit]| {
        let edited = edit(&facts, xml, edits).unwrap();
        let mut notes = edited.notes.into_iter();
        notes.find(|note| note.id == "guest.keyboard")
    };
    assert_eq!(told(&[]), None, "no card, no picture");
    let note = told(&[add_card()]).unwrap();
    assert!(note.text.contains("vm edit 'a b' --evdev"), "{}", note.text);
    let keyboard = Edit::AddEvdev("/dev/input/by-id/usb-Sample-event-kbd".into());
    assert_eq!(told(&[add_card(), keyboard]), None);
    assert_eq!(told(&[add_card(), usb("046d:c52b")]), None);
    let screen = xml.replace("<devices/>", "<devices><graphics type='vnc'/></devices>");
    let edited = edit(&facts, &screen, &[add_card()]).unwrap();
    assert!(edited.notes.iter().all(|note| note.id != "guest.keyboard"));
}
