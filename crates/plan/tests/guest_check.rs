//! Existing domains held to a host: one mistake, one finding.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "common/domains.rs"]
mod domains;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use std::collections::BTreeMap;

use domains::{fixture, fixtures, host, remove_hostdev};
use passthru_plan::{
    Facts, Finding, Measured, Severity, Status,
    facts::{HugepagePool, Use, UseKind},
    guest::{
        CoreWish,
        check::{RomFiles, check, rom_files},
        domain::domain,
        edit::{Edit, edit},
        hugepages::HostPages,
        pinning::{self, Wanted},
        xml,
    },
};
use topologies::known;
use wishes::{linux, planned};

const CARD: &str = "0000:01:00.0";

fn checked(facts: &Facts, xml: &str) -> Vec<Finding> {
    check(facts, xml, &RomFiles::new(), HostPages::default()).unwrap()
}

fn answer(findings: &[Finding], id: &str) -> Status {
    let mut found = findings.iter().filter(|finding| finding.id == id);
    let finding = found
        .next()
        .unwrap_or_else(|| panic!("no {id}: {findings:#?}"));
    assert!(found.next().is_none(), "{id} twice");
    finding.status
}

/// Ids of what is answered no.
fn wrong(facts: &Facts, xml: &str) -> Vec<String> {
    let findings = checked(facts, xml);
    for finding in &findings {
        assert!(!finding.evidence.is_empty(), "{}", finding.id);
        assert!(!finding.why.is_empty() && !finding.title.is_empty());
        assert_eq!(finding.remedy.is_none(), finding.status == Status::Yes);
    }
    let no = findings.iter().filter(|f| f.status == Status::No);
    no.map(|finding| finding.id.clone()).collect()
}

/// The host with the card, and a guest as `vm new` makes it.
fn good() -> (Facts, String) {
    let facts = host();
    let xml = domain(&planned(&facts, &linux()));
    (facts, xml)
}

#[test]
fn a_guest_of_vm_new_is_as_it_should_be() {
    let (facts, xml) = good();
    assert_eq!(wrong(&facts, &xml), [""; 0]);
    // Its disk is an image; what is pinned and owned is measured.
    let findings = checked(&facts, &xml);
    let unknown = findings.iter().filter(|f| f.status == Status::Unknown);
    let unknown: Vec<_> = unknown.map(|f| f.id.as_str()).collect();
    assert_eq!(unknown, ["guest.machine"; 0]);
    assert!(findings.len() >= 13, "{findings:#?}");
}

/// Each mistake, and the findings that tell of it.
#[test]
fn one_mistake_one_finding() {
    let (facts, xml) = good();
    let text = |from: &str, to: &str| {
        assert!(xml.contains(from), "{from}\n{xml}");
        xml.replace(from, to)
    };
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        (
            "the machine of old",
            text("machine='q35'", "machine='pc-i440fx-9.0'"),
            vec!["guest.machine"],
        ),
        (
            "the card is elsewhere",
            text("bus='0x01' slot='0x00'", "bus='0x7f' slot='0x00'").replace(
                "bus='0x7f' slot='0x00' function='0x0' m",
                "bus='0x01' slot='0x00' function='0x0' m",
            ),
            vec!["guest.functions"],
        ),
        (
            "a function stays behind",
            remove_hostdev(&xml, "0x3"),
            vec!["guest.groups", "guest.card.whole:0000:01:00.0"],
        ),
        (
            "function 0 does not tell of the others",
            text(" multifunction='on'", ""),
            vec!["guest.card.together:0000:01:00.0"],
        ),
        (
            "nobody takes it",
            text("managed='yes'", "managed='no'"),
            vec!["guest.functions.managed"],
        ),
        (
            "more memory than there is",
            text(">8388608<", ">838860800<"),
            vec!["guest.memory"],
        ),
        (
            "pages that nobody set aside",
            text(
                "<vcpu ",
                "<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>\n  <vcpu ",
            ),
            vec!["guest.hugepages"],
        ),
        (
            "a CPU that is not there",
            text("<emulatorpin cpuset='", "<emulatorpin cpuset='400,"),
            vec!["guest.pins"],
        ),
        (
            "threads in the wrong order",
            text("vcpu='1' cpuset='28'", "vcpu='1' cpuset='13'")
                .replace("vcpu='2' cpuset='13'", "vcpu='2' cpuset='28'"),
            vec!["guest.pins.threads"],
        ),
        (
            "QEMU on the guest's CPUs",
            text("<emulatorpin cpuset='", "<emulatorpin cpuset='12,"),
            vec!["guest.pins.cores"],
        ),
    ];
    for (what, xml, ids) in cases {
        assert_eq!(wrong(&facts, &xml), ids, "{what}");
    }
}

#[test]
fn pins_are_judged() {
    let facts = host();
    // 16 CPUs on each of two caches; siblings are 16 apart.
    let guest = |pins: &[&str], threads: u32| {
        let n = pins.len();
        let pins: String = pins
            .iter()
            .enumerate()
            .map(|(vcpu, set)| format!("<vcpupin vcpu='{vcpu}' cpuset='{set}'/>"))
            .collect();
        format!(
            "<domain><memory>4194304</memory><vcpu>{n}</vcpu><cputune>{pins}</cputune>\
             <cpu><topology sockets='1' cores='{}' threads='{threads}'/></cpu></domain>",
            n as u32 / threads
        )
    };
    let say = |pins: &[&str], threads| wrong(&facts, &guest(pins, threads));
    assert_eq!(say(&["8", "24", "9", "25"], 2), [""; 0]);
    assert_eq!(say(&["8", "9"], 1), ["guest.pins.cores"]);
    assert_eq!(
        say(&["8", "24"], 1),
        ["guest.pins.threads"],
        "one core seen as two"
    );
    assert_eq!(
        say(&["8", "9", "24", "25"], 2),
        ["guest.pins.threads"],
        "neighbours mixed up"
    );
    assert_eq!(
        say(&["8", "24", "8", "24"], 2),
        ["guest.pins.threads", "guest.pins.apart"]
    );
    assert_eq!(
        say(&["7", "23", "8", "24"], 2),
        ["guest.pins.caches"],
        "over two caches for nothing"
    );
    let wide = checked(&facts, &guest(&["8,24", "8,24"], 2));
    assert_eq!(answer(&wide, "guest.pins.threads"), Status::Unknown);
    assert_eq!(answer(&wide, "guest.pins.apart"), Status::Yes);
    assert_eq!(say(&["nonsense"], 1), [""; 0]);
    let free = "<domain><memory>4194304</memory><vcpu>4</vcpu></domain>";
    assert_eq!(wrong(&facts, free), ["guest.pins"]);
    let many = "<domain><memory>4194304</memory><vcpu>400</vcpu></domain>";
    assert_eq!(wrong(&facts, many), ["guest.cpus", "guest.pins"]);
}

#[test]
fn what_pinning_chooses_is_never_found_wanting() {
    let mut tried = 0;
    for (name, known) in known() {
        let mut facts = host();
        facts.topology = known.facts().topology;
        for cpus in [None, Some(2), Some(4), Some(6), Some(8), Some(12), Some(16)] {
            let wanted = Wanted {
                cpus,
                ..Wanted::default()
            };
            let Ok(pinning) = pinning::plan(&facts, &wanted) else {
                continue;
            };
            let fragment = xml::fragment(&pinning, None, facts.machine.cpu.vendor);
            let xml = format!("<domain><memory>4194304</memory>{fragment}</domain>");
            let wrong = wrong(&facts, &xml);
            assert_eq!(wrong, [""; 0], "{name}, {cpus:?}\n{xml}");
            tried += 1;
        }
    }
    assert!(tried > 20);
}

#[test]
fn what_the_host_needs_is_found() {
    let (mut facts, xml) = good();
    facts.uses.push(Use {
        address: CARD.parse().unwrap(),
        kind: UseKind::Keyboard,
        detail: "the keyboard".into(),
    });
    assert_eq!(wrong(&facts, &xml), ["guest.functions.unused"]);
}

#[test]
fn what_was_not_measured_is_said() {
    let (mut facts, xml) = good();
    let xml = xml.replace(
        "<vcpu ",
        "<memoryBacking><hugepages/></memoryBacking>\n  <vcpu ",
    );
    facts.groups.clear();
    facts.topology = Default::default();
    facts.machine.memory.total_kib = None;
    let findings = checked(&facts, &xml);
    for id in [
        "guest.groups",
        "guest.memory",
        "guest.hugepages",
        "guest.cpus",
        "guest.pins",
    ] {
        assert_eq!(answer(&findings, id), Status::Unknown, "{id}");
    }
    let unnamed = xml.replace(" machine='q35'", "");
    let findings = checked(&facts, &unnamed);
    assert_eq!(answer(&findings, "guest.machine"), Status::Unknown);
}

#[test]
fn huge_pages_without_their_mount() {
    let (mut facts, xml) = good();
    for node in &mut facts.topology.nodes {
        node.hugepages = [2048, 1 << 20]
            .map(|page_kib| HugepagePool {
                page_kib,
                total: 1 << 16,
                free: 1 << 16,
            })
            .into();
    }
    let said = |inside: &str, default_kib, mounted: Option<&[u64]>| {
        let backing = format!("<memoryBacking>{inside}</memoryBacking>\n  <vcpu ");
        let xml = xml.replace("<vcpu ", &backing);
        let pages = HostPages {
            default_kib,
            mounted,
        };
        let findings = check(&facts, &xml, &RomFiles::new(), pages).unwrap();
        let found = findings.iter().find(|f| f.id == "guest.hugepages").unwrap();
        let remedy = found.remedy.clone().unwrap_or_default();
        (found.status, remedy.contains("vm edit"))
    };
    let (bare, small) = ("<hugepages/>", Some(2048));
    assert_eq!(said(bare, small, Some(&[1 << 20])), (Status::No, true));
    assert_eq!(said(bare, small, Some(&[2048])), (Status::Yes, false));
    assert_eq!(said(bare, None, None), (Status::Yes, false));
    // The host's default is another.
    assert_eq!(
        said(bare, Some(1 << 20), Some(&[1 << 20])),
        (Status::Yes, false)
    );
    assert_eq!(said(bare, Some(1 << 20), Some(&[2048])), (Status::No, true));
    let memfd = "<hugepages/><source type='memfd'/>";
    assert_eq!(said(memfd, small, Some(&[])), (Status::Yes, false));
    // A file is what its owner wants.
    let file = "<hugepages/><source type='file'/>";
    assert_eq!(said(file, small, Some(&[])), (Status::No, false));
}

#[test]
fn rom_files_are_looked_into() {
    let (facts, xml) = good();
    let path = "/usr/share/kvm/card.rom";
    let xml = xml.replacen("</source>", &format!("</source><rom file='{path}'/>"), 9);
    let xml = {
        // Of the first function alone.
        let (first, rest) = xml.split_once("<rom file").unwrap();
        let (own, rest) = rest.split_once("/>").unwrap();
        let rest = rest.replace(&format!("<rom file='{path}'/>"), "");
        format!("{first}<rom file{own}/>{rest}")
    };
    assert_eq!(rom_files(&xml).unwrap(), [path]);
    let with = |bytes: Measured<Vec<u8>>| {
        let files: RomFiles = BTreeMap::from([(path.to_owned(), bytes)]);
        let findings = check(&facts, &xml, &files, HostPages::default()).unwrap();
        answer(&findings, &format!("guest.rom:{CARD}"))
    };
    assert_eq!(with(Measured::Value(vec![0xff; 512])), Status::No);
    assert_eq!(with(Measured::not("no such file")), Status::Unknown);
    let none = checked(&facts, &xml);
    assert_eq!(answer(&none, &format!("guest.rom:{CARD}")), Status::Unknown);
}

/// The name of the guest stands where a remedy needs it, and nowhere else.
#[test]
fn files_that_are_named_as_a_placeholder() {
    let (facts, xml) = good();
    let path = "/roms/MY NAME.rom";
    let start = xml.find("<name>").unwrap();
    let end = xml.find("</name>").unwrap();
    let xml = format!("{}<name>my guest{}", &xml[..start], &xml[end..]);
    let xml = xml.replacen("</source>", &format!("</source><rom file='{path}'/>"), 1);
    let remedies: String = checked(&facts, &xml)
        .into_iter()
        .filter_map(|one| one.remedy)
        .collect();
    assert!(
        remedies.contains("passthru rom check '/roms/MY NAME.rom'"),
        "{remedies}"
    );
    let pages = xml.replace(
        "</memory>",
        "</memory><memoryBacking><hugepages/></memoryBacking>",
    );
    let remedies: String = checked(&facts, &pages)
        .into_iter()
        .filter_map(|one| one.remedy)
        .collect();
    assert!(
        remedies.contains("vm edit 'my guest' --no-hugepages"),
        "{remedies}"
    );
}

#[test]
fn what_edit_makes_is_checked_well() {
    let facts = host();
    for (name, xml) in fixtures() {
        let edits = [
            Edit::AddCard {
                card: "01:00.0".parse().unwrap(),
                with: vec![],
            },
            Edit::Pin {
                cpus: Some(8),
                cores: CoreWish::default(),
            },
        ];
        let edited = edit(&facts, &xml, &edits).unwrap().xml;
        assert_eq!(wrong(&facts, &edited), [""; 0], "{name}");
    }
}

#[test]
fn a_disk_is_looked_for() {
    let mut facts = host();
    let path = "/dev/disk/by-id/nvme-SAMPLE";
    let xml = fixture("crlf.xml");
    let add = Edit::AddDisk {
        path: path.into(),
        bus: passthru_plan::guest::spec::Bus::Sata,
        transplant: false,
    };
    let xml = edit(&facts, &xml, std::slice::from_ref(&add)).unwrap().xml;
    let id = format!("guest.disk:{path}");
    assert_eq!(answer(&checked(&facts, &xml), &id), Status::Unknown);
    let mut block = passthru_plan::facts::Block {
        name: "nvme1n1".into(),
        bytes: 1 << 40,
        transport: Some(passthru_plan::facts::Transport::Nvme),
        links: vec![path.into()],
        ..Default::default()
    };
    facts.blocks.devices = Measured::Value(Vec::new());
    assert_eq!(answer(&checked(&facts, &xml), &id), Status::No);
    facts.blocks.devices = Measured::Value(vec![block.clone()]);
    assert_eq!(answer(&checked(&facts, &xml), &id), Status::Yes);
    block.mounts = vec!["/srv".into()];
    facts.blocks.devices = Measured::Value(vec![block]);
    assert_eq!(answer(&checked(&facts, &xml), &id), Status::No);
    // What is in use is not added either.
    let refusals = edit(&facts, &fixture("crlf.xml"), &[add]).unwrap_err();
    assert!(refusals[0].id.starts_with("guest.disk."), "{refusals:?}");
}

#[test]
fn any_domain_is_checked() {
    let Some(directory) = std::env::var_os("PASSTHRU_LIBVIRT_CORPUS") else {
        println!("skipped: PASSTHRU_LIBVIRT_CORPUS does not name a directory with domains");
        return;
    };
    let facts = host();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let findings = checked(&facts, &text);
        assert!(findings.iter().any(|f| f.id == "guest.memory"));
        assert!(
            findings
                .iter()
                .all(|f| f.severity != Severity::Info || f.id == "guest.pins")
        );
        count += 1;
    }
    println!("{count} domains");
}

#[test]
fn what_hides_the_guest_is_told() {
    let facts = host();
    let xml = "<domain><name>x</name><memory>1048576</memory><features><kvm><hidden state='on'/></kvm>\
               <hyperv><vendor_id state='on' value='x'/></hyperv></features><devices/></domain>";
    let of = |xml: &str| {
        let mut findings = check(&facts, xml, &RomFiles::new(), HostPages::default()).unwrap();
        findings.retain(|one| one.id == "guest.hidden");
        findings.pop()
    };
    let found = of(xml).unwrap();
    assert_eq!(found.evidence, ["<kvm><hidden>", "<hyperv><vendor_id>"]);
    assert!(found.why.contains("Code 43"));
    assert!(found.remedy.unwrap().contains("vm edit x --no-hide"));
    assert_eq!(of(&xml.replace("'on'", "'off'")), None);
}
