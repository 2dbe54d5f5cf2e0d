//! Guests as command lines of QEMU: the same machine as the domain, in words a shell reads back.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use std::process::Command;

use passthru_plan::{
    guest::{
        Guest, Wish,
        domain::domain,
        firmware::Descriptor,
        hugepages::PageSize,
        qemu::{CommandLine, Files, command_line},
    },
    text::quote,
};
use proptest::prelude::*;
use roxmltree::Document;
use wishes::*;

fn line(guest: &Guest) -> CommandLine {
    command_line(guest, &Files::debian(guest))
}

/// Values of an option, in order.
fn values<'a>(line: &'a CommandLine, option: &str) -> Vec<&'a str> {
    line.argv
        .windows(2)
        .filter(|pair| pair[0] == option)
        .map(|pair| pair[1].as_str())
        .collect()
}

#[test]
fn a_linux_guest() {
    insta::assert_snapshot!(line(&planned(&desktop("5950X"), &linux())).script());
}

#[test]
fn a_windows_guest() {
    insta::assert_snapshot!(line(&planned(&desktop("5950X"), &windows())).script());
}

#[test]
fn nothing_listens_on_the_network() {
    for wish in [linux(), windows()] {
        let line = line(&planned(&desktop("5950X"), &wish));
        let all = line.argv.join(" ");
        assert!(!all.contains("vnc") && !all.contains("tcp:") && !all.contains(",port="));
        assert_eq!(values(&line, "-display"), ["none"]);
        assert!(line.argv.contains(&"-nodefaults".to_owned()));
        for socket in values(&line, "-spice") {
            assert!(socket.starts_with("unix=on,addr=/"));
        }
        // Sockets lie where nobody else can enter.
        assert_eq!(line.before[0][..4], ["mkdir", "-p", "-m", "0700"]);
    }
}

/// The functions as both descriptions place them: host address and place in the guest.
#[test]
fn both_descriptions_place_the_card_alike() {
    for wish in [linux(), windows()] {
        let guest = planned(&desktop("5950X"), &wish);
        let xml = domain(&guest);
        let document = Document::parse(&xml).unwrap();
        let of = |node: &roxmltree::Node<'_, '_>, name| {
            u32::from_str_radix(&node.attribute(name).unwrap()[2..], 16).unwrap()
        };
        let in_domain: Vec<String> = document
            .descendants()
            .filter(|node| node.has_tag_name("hostdev"))
            .map(|node| {
                let source = node
                    .descendants()
                    .find(|n| n.has_tag_name("address"))
                    .unwrap();
                let place = node
                    .children()
                    .rfind(|n| n.has_tag_name("address"))
                    .unwrap();
                let several = place.attribute("multifunction").is_some();
                format!(
                    "vfio-pci,host={:04x}:{:02x}:{:02x}.{:x},bus=port{},addr=0x{}.0x{:x}{}",
                    of(&source, "domain"),
                    of(&source, "bus"),
                    of(&source, "slot"),
                    of(&source, "function"),
                    of(&place, "bus"),
                    of(&place, "slot"),
                    of(&place, "function"),
                    if several { ",multifunction=on" } else { "" }
                )
            })
            .collect();
        let line = line(&guest);
        let on_line: Vec<&str> = values(&line, "-device")
            .into_iter()
            .filter(|value| value.starts_with("vfio-pci"))
            .collect();
        assert_eq!(in_domain.len(), 4);
        assert_eq!(in_domain, on_line);
    }
}

#[test]
fn memory_nodes_are_those_of_the_domain() {
    let facts = desktop("2990WX");
    let wide = Wish {
        cpus: Some(24),
        hugepages: Some(PageSize::Largest),
        ..linux()
    };
    let guest = planned(&facts, &wide);
    let cells = &guest.memory.as_ref().unwrap().cells;
    assert_eq!(cells.len(), 2);
    let line = line(&guest);
    let machine = values(&line, "-machine");
    assert!(!machine[0].contains("memory-backend"), "{machine:?}");
    let nodes = &guest.pinning.as_ref().unwrap().nodes;
    let objects = values(&line, "-object");
    let numa = values(&line, "-numa");
    for (i, (kib, node)) in cells.iter().zip(nodes).enumerate() {
        let ram = format!("id=ram{i},size={kib}K,host-nodes={},policy=bind", node.node);
        assert!(
            objects.iter().any(|o| o.ends_with(&ram)),
            "{ram} in {objects:?}"
        );
        let cpus = format!("node,nodeid={i},cpus={},memdev=ram{i}", node.vcpus);
        assert_eq!(numa[i], cpus);
    }
    let plain = Wish {
        hugepages: None,
        cpus: Some(8),
        ..wide
    };
    let guest = planned(&facts, &plain);
    let node = guest.pinning.as_ref().unwrap().nodes[0].node;
    let line = self::line(&guest);
    let ram = format!(
        "memory-backend-ram,merge=off,id=ram0,size=8388608K,host-nodes={node},policy=preferred"
    );
    assert_eq!(values(&line, "-object")[0], ram);
}

#[test]
fn secure_boot_has_its_own_firmware_and_guards_it() {
    let secure = line(&planned(&desktop("5950X"), &windows()));
    let all = secure.argv.join(" ");
    assert!(all.contains("OVMF_CODE_4M.ms.fd") && all.contains("smm=on"));
    assert!(all.contains("driver=cfi.pflash01,property=secure,value=on"));
    assert!(secure.before.iter().any(|argv| argv[0] == "swtpm"));
    let plain = line(&planned(&desktop("5950X"), &linux()));
    let all = plain.argv.join(" ");
    assert!(all.contains("OVMF_CODE_4M.fd") && all.contains("smm=off"));
    assert!(!all.contains("property=secure"));
}

/// What `sh` makes of a text.
fn shell(text: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(text).output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_shell_reads_the_words_back(words in prop::collection::vec("[^\\x00]{0,30}", 0..8)) {
        let mut argv = vec!["printf".to_owned(), "%s\\n".to_owned()];
        argv.extend(words.iter().cloned());
        let mut expected: String = words.iter().map(|word| format!("{word}\n")).collect();
        if words.is_empty() {
            expected.push('\n');
        }
        prop_assert_eq!(shell(&quote::command(&argv)), expected.clone());
        prop_assert_eq!(shell(&quote::lines(&argv)), expected);
    }

    /// Any name and any path come through the script as QEMU's option parser wants them.
    #[test]
    fn any_name_and_path_survive_the_script(
        name in "[^/\\x00-\\x1f\\x7f-\\u{9f}\\u{fffe}\\u{ffff}]{1,40}",
        file in "/[^\\x00-\\x1f\\x7f-\\u{9f}\\u{fffe}\\u{ffff}]{1,40}",
    ) {
        prop_assume!(!name.trim().is_empty() && name != "." && name != "..");
        let wish = Wish { name: name.clone(), disks: vec![disk(&format!("{file}.qcow2"))], ..linux() };
        let line = line(&planned(&desktop("5950X"), &wish));
        let commas = |text: &str| text.replace(',', ",,");
        let expected = format!("guest={},debug-threads=on", commas(&name));
        prop_assert_eq!(values(&line, "-name"), [expected.as_str()]);
        let ending = format!(",file.filename={}.qcow2", commas(&file));
        prop_assert!(values(&line, "-blockdev").iter().any(|value| value.ends_with(&ending)));
        // The script with each command printed instead of run.
        let script = line.script();
        let printed = shell(&format!(
            "show() {{ for word; do printf '%s\\0' \"$word\"; done; printf '\\n'; }}\n\
             mkdir() {{ :; }}; cp() {{ :; }}\n{}",
            script.replace("\nexec qemu-system-x86_64", "\nshow qemu-system-x86_64")
        ));
        let expected: String = line.argv.iter().map(|word| format!("{word}\0")).collect();
        prop_assert_eq!(printed, expected + "\n");
    }
}

#[test]
fn firmware_is_where_the_hosts_descriptors_say() {
    let descriptor = |name: &str, format: &str, machine: &str, features: &[&str]| -> Descriptor {
        let file = |kind: &str| serde_json::json!({"filename": format!("/fw/{name}.{kind}"), "format": format});
        let value = serde_json::json!({
            "description": name,
            "interface-types": ["uefi"],
            "mapping": {"device": "flash", "executable": file("code"), "nvram-template": file("vars")},
            "targets": [{"architecture": "x86_64", "machines": [machine]}],
            "features": features,
            "tags": [],
        });
        serde_json::from_value(value).unwrap()
    };
    let all = [
        serde_json::from_str(r#"{"mapping": {"device": "memory", "filename": "/fw/x"}}"#).unwrap(),
        descriptor("compressed", "qcow2", "pc-q35-*", &[]),
        descriptor("old", "raw", "pc-i440fx-*", &[]),
        descriptor(
            "no-keys",
            "raw",
            "pc-q35-*",
            &["secure-boot", "requires-smm"],
        ),
        descriptor(
            "keys",
            "raw",
            "pc-q35-*",
            &["enrolled-keys", "secure-boot", "requires-smm"],
        ),
        descriptor("plain", "raw", "pc-q35-*", &["acpi-s3"]),
    ];
    let facts = desktop("5950X");
    let of = |wish: &Wish, all: &[Descriptor]| {
        let files = Files::of(&planned(&facts, wish), all);
        (files.code, files.template)
    };
    let pair = |name: &str| (format!("/fw/{name}.code"), format!("/fw/{name}.vars"));
    assert_eq!(of(&linux(), &all), pair("plain"));
    assert_eq!(of(&windows(), &all), pair("keys"));
    let debian = Files::debian(&planned(&facts, &linux()));
    assert_eq!(of(&linux(), &all[..5]), (debian.code, debian.template));
}
