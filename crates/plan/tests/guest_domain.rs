//! Guests as libvirt domains: held to libvirt's own schema, to a reader of XML, and read by a person.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use std::process::Command;

use passthru_plan::guest::{
    self, Capabilities, Guest, Wish, domain::domain, element::Element, hugepages::PageSize, spec::*,
};
use proptest::prelude::*;
use roxmltree::{Document, Node};
use wishes::*;

/// libvirt's schema, where it is installed. A guest that it does not take is printed.
fn validate(guests: &[Guest]) {
    let directory = tempfile::tempdir().unwrap();
    for guest in guests {
        let file = directory.path().join("domain.xml");
        let xml = domain(guest);
        std::fs::write(&file, &xml).unwrap();
        let output = match Command::new("virt-xml-validate")
            .arg(&file)
            .arg("domain")
            .output()
        {
            Err(_) => {
                println!("skipped: virt-xml-validate (libvirt-clients) is not installed");
                return;
            }
            Ok(output) => output,
        };
        assert!(
            output.status.success(),
            "{xml}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_kind_of_guest_is_what_libvirts_schema_takes() {
    let mut guests = Vec::new();
    for (host, cpus) in [("5950X", 8), ("13900K", 4)] {
        let facts = desktop(host);
        for os in [Os::Linux, Os::Windows11, Os::Windows10, Os::Other] {
            for (pinned, hugepages) in
                [(false, None), (true, None), (true, Some(PageSize::Largest))]
            {
                for tpm in [false, true] {
                    let mut base = if os == Os::Linux { linux() } else { windows() };
                    base.os = os;
                    base.cpus = Some(cpus);
                    base.pinned = pinned;
                    base.hugepages = hugepages;
                    base.tpm = Some(tpm);
                    base.hide = os.is_windows() && tpm;
                    if tpm {
                        base.network = Network::Bridge("br0".into());
                        base.seed = None;
                        base.screen = Screen::None;
                    } else if pinned {
                        base.network = Network::None;
                        base.virtio_win = None;
                    }
                    guests.push(planned(&facts, &base));
                }
            }
        }
    }
    assert_eq!(guests.len(), 48);
    validate(&guests);
}

#[test]
fn a_linux_guest() {
    insta::assert_snapshot!(domain(&planned(&desktop("5950X"), &linux())));
}

#[test]
fn a_windows_guest() {
    insta::assert_snapshot!(domain(&planned(&desktop("5950X"), &windows())));
}

fn texts<'a>(document: &'a Document<'a>, path: &[&str], attribute: Option<&str>) -> Vec<&'a str> {
    let mut nodes: Vec<Node<'a, 'a>> = vec![document.root_element()];
    for name in path {
        nodes = nodes
            .iter()
            .flat_map(roxmltree::Node::children)
            .filter(|node| node.has_tag_name(*name))
            .collect();
    }
    nodes
        .into_iter()
        .filter_map(|node| match attribute {
            Some(attribute) => node.attribute(attribute),
            None => node.text(),
        })
        .collect()
}

/// The names of the enlightenments in a domain.
fn enlightenments(guest: &Guest) -> Vec<String> {
    let xml = domain(guest);
    let document = Document::parse(&xml).unwrap();
    let hyperv = document.descendants().find(|n| n.has_tag_name("hyperv"));
    hyperv
        .into_iter()
        .flat_map(|node| node.children())
        .filter(Node::is_element)
        .map(|node| node.tag_name().name().to_owned())
        .collect()
}

proptest! {
    /// What a person types as a name or a path is what libvirt reads.
    #[test]
    fn any_name_and_path_survive(
        name in "[^/\\x00-\\x1f\\x7f-\\u{9f}\\u{fffe}\\u{ffff}]{1,40}",
        file in "/[^\\x00-\\x1f\\x7f-\\u{9f}\\u{fffe}\\u{ffff}]{1,40}",
    ) {
        prop_assume!(!name.trim().is_empty() && name != "." && name != "..");
        let image = format!("{file}.qcow2");
        let wish = Wish { name: name.clone(), disks: vec![disk(&image)], seed: Some(file.clone()), ..linux() };
        let xml = domain(&planned(&desktop("5950X"), &wish));
        let document = Document::parse(&xml).unwrap();
        prop_assert_eq!(texts(&document, &["name"], None), [name.as_str()]);
        // A path into /dev is a device.
        let sources = ["file", "dev"].map(|kind| texts(&document, &["devices", "disk", "source"], Some(kind))).concat();
        prop_assert_eq!(sources, [image.as_str(), file.as_str()]);
    }

    /// Text with anything in it, blanks of all kinds too, survives the writer itself.
    #[test]
    fn any_text_survives_escaping(text in "[\\t\\n\\r -\\u{d7ff}\\u{e000}-\\u{fffd}\\u{10000}-\\u{10ffff}]{1,60}") {
        let element = Element::new("a").with("b", &text).text(&text);
        let xml = element.to_string();
        let document = Document::parse(&xml).unwrap();
        prop_assert_eq!(document.root_element().attribute("b"), Some(text.as_str()));
        prop_assert_eq!(document.root_element().text(), Some(text.as_str()));
    }

    /// Whatever a libvirt offers, a guest asks for nothing else, and for nothing whose ground is
    /// missing.
    #[test]
    fn only_what_is_offered(offered in prop::collection::btree_set(
        prop::sample::select(vec![
            "relaxed", "vapic", "spinlocks", "vpindex", "runtime", "synic", "stimer", "reset",
            "vendor_id", "frequencies", "reenlightenment", "tlbflush", "ipi", "evmcs", "avic",
            "emsr_bitmap", "xmm_input", "something-new",
        ]), 0..18))
    {
        let capabilities = Capabilities {
            hyperv: offered.iter().map(|&name| name.into()).collect(),
            ..capabilities()
        };
        let guest = guest::plan(&desktop("5950X"), &windows(), Some(&capabilities)).unwrap();
        let asked = enlightenments(&guest);
        for name in &asked {
            prop_assert!(offered.contains(name.as_str()), "{} was not offered", name);
            let needs: &[&str] = match name.as_str() {
                "synic" | "tlbflush" | "ipi" => &["vpindex"],
                "stimer" => &["vpindex", "synic"],
                _ => &[],
            };
            for need in needs {
                prop_assert!(asked.iter().any(|other| other == need), "{} without {}", name, need);
            }
        }
        prop_assert_eq!(asked.iter().any(|name| name == "relaxed"), offered.contains("relaxed"));
    }
}

#[test]
fn linux_and_an_unasked_host_have_no_enlightenments() {
    assert!(enlightenments(&planned(&desktop("5950X"), &linux())).is_empty());
    let guest = guest::plan(&desktop("5950X"), &windows(), None).unwrap();
    assert!(enlightenments(&guest).is_empty());
    assert!(
        guest
            .notes
            .iter()
            .any(|note| note.id == "guest.hyperv.unknown")
    );
}

#[test]
fn newer_libvirts_say_which_parts_work() {
    let text = CAPABILITIES.replace(
        "</hyperv>",
        "<defaults><spinlocks>4095</spinlocks><stimer_direct>on</stimer_direct>\
         <tlbflush_direct>on</tlbflush_direct><tlbflush_extended>off</tlbflush_extended></defaults></hyperv>",
    );
    let offered = Capabilities::parse(&text).unwrap();
    let guest = guest::plan(&desktop("5950X"), &windows(), Some(&offered)).unwrap();
    let parts: Vec<_> = guest
        .hyperv
        .iter()
        .filter(|one| one.direct || one.extended)
        .map(|one| (one.name, one.direct, one.extended))
        .collect();
    assert_eq!(parts, [("stimer", true, false), ("tlbflush", true, false)]);
    assert!(domain(&guest).contains("<direct state='on'/>"));
}

#[test]
fn hiding_is_written_and_only_for_windows() {
    let hidden = Wish {
        hide: true,
        ..windows()
    };
    let facts = desktop("5950X");
    let xml = domain(&planned(&facts, &hidden));
    assert!(xml.contains("<hidden state='on'/>"));
    assert!(xml.contains("<vendor_id state='on' value='passthru'/>"));
    assert!(!domain(&planned(&facts, &windows())).contains("<hidden"));
    let linux = Wish {
        hide: true,
        ..linux()
    };
    assert_eq!(refused(&facts, &linux), ["guest.hide"]);
}

#[test]
fn an_iommu_with_fewer_address_bits_limits_the_guest() {
    let mut facts = desktop("13900K");
    facts.iommu.address_width = Some(39);
    facts.machine.cpu.physical_bits = Some(46);
    let linux = Wish {
        cpus: Some(4),
        ..linux()
    };
    let xml = domain(&planned(&facts, &linux));
    assert!(xml.contains("<maxphysaddr mode='passthrough' limit='39'/>"));
    // libvirt before 9.3, and a schema that cannot be read.
    let schema = |inside: &str| {
        format!(
            "<grammar><define><element name='maxphysaddr'><attribute name='mode'/>{inside}</element></define></grammar>"
        )
    };
    for (schema, limited) in [
        (schema(""), false),
        (
            schema("<optional><attribute name='limit'/></optional>"),
            true,
        ),
        (String::new(), true),
    ] {
        let offered = capabilities().with_schema(&schema);
        let guest = guest::plan(&facts, &linux, Some(&offered)).unwrap();
        assert_eq!(domain(&guest).contains("maxphysaddr"), limited, "{schema}");
        let told = guest
            .notes
            .iter()
            .any(|note| note.id == "guest.address-bits");
        assert_eq!(told, !limited);
    }
    facts.machine.cpu.physical_bits = Some(39);
    assert!(!domain(&planned(&facts, &linux)).contains("maxphysaddr"));
}

#[test]
fn an_installed_windows_starts_from_the_bus_it_knows() {
    let facts = desktop("5950X");
    let with = |empty, bus| {
        let mut wish = windows();
        wish.disks = vec![Storage {
            empty,
            ..disk("/srv/windows.qcow2")
        }];
        wish.bus = bus;
        planned(&facts, &wish)
    };
    assert_eq!(with(true, None).disks[0].bus, Bus::Virtio);
    let installed = with(false, None);
    assert_eq!(installed.disks[0].bus, Bus::Sata);
    let told = installed
        .notes
        .iter()
        .find(|note| note.id == "guest.disk.windows");
    assert!(told.unwrap().text.contains("INACCESSIBLE_BOOT_DEVICE"));
    assert_eq!(with(false, Some(Bus::Virtio)).disks[0].bus, Bus::Virtio);
    assert_eq!(with(true, Some(Bus::Sata)).disks[0].bus, Bus::Sata);
}
