//! Domains that others wrote, and every edit of them.
// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

use std::process::Command;

use passthru_plan::{
    Facts, Measured,
    facts::UsbDevice,
    guest::{
        CoreWish,
        edit::{Edit, RomWish, Usb},
        hugepages::PageSize,
        spec::Bus,
    },
};
use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::wishes::desktop;

/// Two of these are plugged in.
pub const TWIN: &str = "057e:2009";

/// A desktop with a card at 01:00, USB devices, and a processor of two caches.
pub fn host() -> Facts {
    let mut facts = desktop("5950X");
    let device = |port: &str, ids: &str| UsbDevice {
        port: port.into(),
        ids: ids.parse().unwrap(),
        name: Some("Sample".into()),
        serial: None,
        hub: false,
        keyboard: false,
    };
    let mut keyboard = device("1-1", "046d:c31c");
    keyboard.keyboard = true;
    let mut hub = device("1-4", "05e3:0610");
    hub.hub = true;
    facts.usb = Measured::Value(vec![
        keyboard,
        device("1-3", TWIN),
        hub,
        device("1-4.1", TWIN),
        device("1-5", "046d:c52b"),
    ]);
    facts.keyboard_elsewhere = false;
    facts
}

pub const FIXTURES: [&str; 4] = [
    "virt-manager-windows11.xml",
    "by-hand.xml",
    "one-line.xml",
    "crlf.xml",
];

pub fn fixture(name: &str) -> String {
    let path = format!("{}/tests/data/domains/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub fn fixtures() -> Vec<(String, String)> {
    FIXTURES.map(|name| (name.to_owned(), fixture(name))).into()
}

fn card() -> Edit {
    Edit::AddCard {
        card: "01:00.0".parse().unwrap(),
        with: vec![],
    }
}

/// What asks for something, and what takes it back.
pub fn pairs() -> Vec<(Edit, Edit)> {
    let card_at = "01:00.0".parse().unwrap();
    let usb = |ids: &str| Usb::Ids(ids.parse().unwrap());
    let port = || Usb::Port {
        port: "1-4.1".parse().unwrap(),
        known: true,
    };
    let path = "/dev/disk/by-id/nvme-SAMPLE_<1'TB>";
    let disk = |bus| Edit::AddDisk {
        path: path.into(),
        bus,
        transplant: false,
    };
    let keyboard = "/dev/input/by-id/usb-Sample-event-kbd";
    let mouse = "/dev/input/by-path/pci-0-event-mouse";
    vec![
        (card(), Edit::RemoveCard(card_at)),
        (
            Edit::AddUsb(usb("046d:c31c")),
            Edit::RemoveUsb(usb("046d:c31c")),
        ),
        (
            Edit::AddUsb(usb("046d:c52b")),
            Edit::RemoveUsb(usb("046d:c52b")),
        ),
        (Edit::AddUsb(port()), Edit::RemoveUsb(port())),
        (disk(Bus::Virtio), Edit::RemoveDisk(path.into())),
        (disk(Bus::Sata), Edit::RemoveDisk(path.into())),
        (Edit::Hugepages(PageSize::Largest), Edit::NoHugepages),
        (
            Edit::AddEvdev(keyboard.into()),
            Edit::RemoveEvdev(keyboard.into()),
        ),
        (
            Edit::AddEvdev(mouse.into()),
            Edit::RemoveEvdev(mouse.into()),
        ),
    ]
}

/// Each edit alone (and those that need another, after it), with the beginnings of the paths of the
/// elements that it may touch.
pub fn every_edit() -> Vec<(Vec<Edit>, Vec<&'static str>)> {
    let card_at = "01:00.0".parse().unwrap();
    let hostdev = "/domain/devices/hostdev";
    let port = "/domain/devices/controller";
    let mut all: Vec<(Vec<Edit>, Vec<&'static str>)> = Vec::new();
    for (there, back) in pairs() {
        let touches = match &there {
            Edit::AddCard { .. } => vec![hostdev, port],
            Edit::AddUsb(_) => vec![hostdev],
            Edit::AddDisk { .. } => vec!["/domain/devices/disk"],
            Edit::Hugepages(_) => vec!["/domain/memoryBacking"],
            _ => vec!["/domain/devices/input"],
        };
        all.push((vec![there], touches.clone()));
        all.push((vec![back], touches));
    }
    let rom = |wish| Edit::Rom(card_at, wish);
    let file = || RomWish::File("/usr/share/kvm/a&b.rom".into());
    for edits in [
        vec![card(), rom(file())],
        vec![card(), rom(RomWish::Off)],
        vec![card(), rom(file()), rom(RomWish::Off)],
        vec![card(), rom(RomWish::Off), rom(file())],
        vec![card(), rom(file()), Edit::NoRom(card_at)],
    ] {
        all.push((edits, vec![hostdev, port]));
    }
    let cpus = vec![
        "/domain/vcpu",
        "/domain/cputune",
        "/domain/numatune",
        "/domain/cpu ",
        "/domain/cpu/topology",
        "/domain/cpu/cache",
        "/domain/cpu/feature",
    ];
    all.push((
        vec![Edit::Pin {
            cpus: None,
            cores: CoreWish::default(),
        }],
        cpus.clone(),
    ));
    all.push((
        vec![Edit::Pin {
            cpus: Some(6),
            cores: CoreWish::default(),
        }],
        cpus.clone(),
    ));
    all.push((
        vec![
            Edit::Pin {
                cpus: Some(6),
                cores: CoreWish::default(),
            },
            Edit::NoPin,
        ],
        cpus.clone(),
    ));
    all.push((vec![Edit::NoPin], cpus));
    let features = vec!["/domain/features"];
    all.push((vec![Edit::Hide], features.clone()));
    all.push((vec![Edit::NoHide], features.clone()));
    all.push((vec![Edit::NoHide, Edit::Hide], features));
    all.push((
        vec![Edit::NoScreen],
        [
            "graphics",
            "video",
            "channel",
            "redirdev",
            "redirfilter",
            "smartcard",
            "serial",
            "console",
            "parallel",
            "sound",
            "audio",
        ]
        .map(|name| &*format!("/domain/devices/{name}").leak())
        .into(),
    ));
    all
}

/// Everything at once.
pub fn everything() -> Vec<Edit> {
    let there = pairs().into_iter().map(|(there, _)| there);
    let mut all: Vec<Edit> = there
        .filter(|edit| {
            // One bus for a disk; and ports are newer than the schema of 9.0.
            !matches!(edit, Edit::AddDisk { bus: Bus::Sata, .. })
                && !matches!(edit, Edit::AddUsb(Usb::Port { .. }))
        })
        .collect();
    let rom = RomWish::File("/usr/share/kvm/a&b.rom".into());
    all.push(Edit::Rom("01:00.0".parse().unwrap(), rom));
    all.push(Edit::Pin {
        cpus: Some(6),
        cores: CoreWish::default(),
    });
    all.push(Edit::NoScreen);
    all
}

/// Elements, remarks and instructions that are in one text and not in the other, each as often.
pub fn difference(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let (mut gone, mut new) = (items(before), items(after));
    gone.retain(|item| match new.iter().position(|other| other == item) {
        Some(at) => {
            new.remove(at);
            false
        }
        None => true,
    });
    (gone, new)
}

fn items(xml: &str) -> Vec<String> {
    let document = Document::parse(xml).unwrap();
    let items = document.descendants().filter(|node| !node.is_text());
    items.map(item).collect()
}

fn item(node: Node<'_, '_>) -> String {
    let mut path = String::new();
    let mut above: Vec<_> = node
        .ancestors()
        .filter(Node::is_element)
        .map(|node| node.tag_name().name())
        .collect();
    above.reverse();
    for name in above {
        path.push('/');
        path.push_str(name);
    }
    if let Some(instruction) = node.pi() {
        return format!("{path}/?{instruction:?}");
    }
    if node.is_comment() {
        return format!("{path}/! {:?}", node.text());
    }
    let mut attributes: Vec<_> = node
        .attributes()
        .map(|one| format!("{}={:?}", one.name(), one.value()))
        .collect();
    attributes.sort();
    let text: String = node
        .children()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect();
    format!("{path} {} {:?}", attributes.join(" "), text.trim())
}

/// Lines that went and came, in the order of the text.
pub fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // The longest common rest of each pair of places.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            i += 1;
            j += 1;
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            out.push_str(&format!("-{}\n", old[i]));
            i += 1;
        } else {
            out.push_str(&format!("+{}\n", new[j]));
            j += 1;
        }
    }
    out
}

/// Host function, place in the guest, and whether it says that there are others.
pub fn hostdevs(xml: &str) -> Vec<(String, String, bool)> {
    let document = Document::parse(xml).unwrap();
    let at = |node: Node<'_, '_>| {
        let part = |name| {
            node.attribute(name)
                .unwrap()
                .trim_start_matches("0x")
                .to_owned()
        };
        format!("{}:{}.{}", part("bus"), part("slot"), part("function"))
    };
    let child = |node: Node<'_, '_>, name| {
        let found = node.children().find(|one| one.has_tag_name(name));
        found.unwrap().id()
    };
    document
        .descendants()
        .filter(|node| node.has_tag_name("hostdev") && node.attribute("type") == Some("pci"))
        .map(|node| {
            let get = |id| document.get_node(id).unwrap();
            let place = get(child(node, "address"));
            let source = get(child(node, "source"));
            let host = get(child(source, "address"));
            let several = place.attribute("multifunction") == Some("on");
            (at(host), at(place), several)
        })
        .collect()
}

/// The text without the host device that comes from this function.
pub fn remove_hostdev(xml: &str, function: &str) -> String {
    let document = Document::parse(xml).unwrap();
    let node = document
        .descendants()
        .filter(|node| node.has_tag_name("hostdev"))
        .find(|node| {
            let mut below = node.descendants();
            below.any(|one| {
                one.parent().is_some_and(|up| up.has_tag_name("source"))
                    && one.attribute("function") == Some(function)
            })
        })
        .unwrap();
    let start = xml[..node.range().start].rfind('\n').unwrap() + 1;
    let end = node.range().end + xml[node.range().end..].find('\n').unwrap() + 1;
    format!("{}{}", &xml[..start], &xml[end..])
}

/// libvirt's schema, where it is installed.
pub fn validate(texts: &[(String, String)]) {
    let directory = tempfile::tempdir().unwrap();
    for (name, xml) in texts {
        let file = directory.path().join("domain.xml");
        std::fs::write(&file, xml).unwrap();
        let command = Command::new("virt-xml-validate")
            .arg(&file)
            .arg("domain")
            .output();
        let Ok(output) = command else {
            println!("skipped: virt-xml-validate (libvirt-clients) is not installed");
            return;
        };
        assert!(
            output.status.success(),
            "{name}\n{xml}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A domain with anything that XML allows between its elements.
pub fn spaced() -> impl Strategy<Value = String> {
    let gap = prop_oneof![
        4 => Just("\n    ".to_owned()),
        1 => Just("\r\n\t".to_owned()),
        1 => Just(String::new()),
        1 => Just(" ".to_owned()),
        1 => Just("\n\n\n".to_owned()),
        1 => Just(" <!-- a\nb --> ".to_owned()),
        1 => Just("\n<!-- <devices/> -->\n".to_owned()),
        1 => Just(" <!-- x -->\n  ".to_owned()),
        1 => Just("<?p <domain> ?>".to_owned()),
    ];
    proptest::collection::vec(gap, 13).prop_map(|gaps| {
        let parts = [
            "<domain type='kvm'>",
            "<name>a</name>",
            "<memory unit=\"GiB\">4</memory>",
            "<vcpu>4</vcpu>",
            "<os><type machine='q35'>hvm</type></os>",
            "<devices >",
            "<emulator>/x</emulator>",
            "<disk type='file'><source file='/a'/><target dev='vda'/></disk>",
            "<controller type='pci' index='0' model='pcie-root'/>",
            "<input type='mouse' bus=\"ps2\"\n/>",
            "<memballoon model='none'/>",
            "</devices>",
            "</domain>",
        ];
        let text = parts.iter().zip(&gaps);
        text.map(|(part, gap)| format!("{part}{gap}"))
            .collect::<String>()
            .trim_end()
            .to_owned()
    })
}
