//! `passthru vm new`: shown, made, and taken back.

use crate::support::{Ran, Sample};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me";
const LINUX: [&str; 13] = [
    "vm",
    "new",
    "cloud",
    "--os",
    "linux",
    "--gpu",
    "01:00.0",
    "--memory",
    "8G",
    "--seed-user",
    "alex",
    "--ssh-key",
    KEY,
];

/// An image of QEMU, as far as anybody looks into it.
fn image(sample: &Sample) -> String {
    let mut bytes = vec![0; 512];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    bytes[24..32].copy_from_slice(&(2_u64 << 30).to_be_bytes());
    let path = sample.dir().join("cloud.img");
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn act(sample: &Sample, words: &[&str]) -> Ran {
    let words: Vec<&str> = words
        .iter()
        .chain(&["--sample-tools", "--yes"])
        .copied()
        .collect();
    sample.run(&words)
}

#[test]
fn a_linux_guest_is_made_and_taken_back() {
    let sample = Sample::new();
    let image = image(&sample);
    let before = sample.print();
    let words: Vec<&str> = LINUX
        .iter()
        .chain(&["--image", &image, "--disk-size", "20G"])
        .copied()
        .collect();
    insta::assert_snapshot!(act(&sample, &words).exits(0));
    let list = act(&sample, &["history", "--json"]).json(0);
    assert_eq!(list["transactions"][0]["guest"], "cloud");
    assert!(
        sample
            .read("var/lib/sample-libvirt/cloud.xml")
            .contains("<name>cloud</name>")
    );

    // A name is taken once.
    let again = act(&sample, &[&words[..], &["--json"]].concat()).json(1);
    assert_eq!(again["refusals"][0]["id"], "guest.exists");
    // It has nothing to do with what the host boots.
    act(&sample, &["verify"]).exits(0);

    insta::assert_snapshot!(act(&sample, &["undo"]).exits(0));
    assert_eq!(sample.print(), before);
}

#[test]
fn one_command_takes_everything_back() {
    let sample = Sample::new();
    let before = sample.print();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    act(&sample, &[&LINUX[..], &["--new-disk", "20G"]].concat()).exits(0);
    let said = act(&sample, &["undo"]).exits(0);
    assert!(said.contains("Transaction 1 is still in force"), "{said}");
    act(&sample, &[&LINUX[..], &["--new-disk", "20G"]].concat()).exits(0);
    let value = act(&sample, &["undo", "--all", "--json"]).json(0);
    assert_eq!(value["transactions"], serde_json::json!([3, 1]));
    assert_eq!(sample.print(), before);
    assert_eq!(
        act(&sample, &["undo", "--all", "--json"]).json(0)["state"],
        "nothing-to-do"
    );
    act(&sample, &["undo", "--all", "1"]).exits(2);
}

#[test]
fn json_holds_the_guest_and_what_is_done() {
    let sample = Sample::new();
    let words = [&LINUX[..], &["--new-disk", "20G", "--dry-run", "--json"]].concat();
    let value = sample.run(&words).json(0);
    assert_eq!(value["state"], "shown");
    assert!(value["transaction"].is_null());
    let kinds: Vec<&str> = value["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["make", "disc", "domain"]);
    assert_eq!(value["changes"][2]["after"], value["xml"]);
    assert_eq!(value["guest"]["os"], "linux");
}

/// The way out that a refusal names is one that the refused command has.
#[test]
fn the_cores_are_chosen_as_pin_chooses_them() {
    let sample = Sample::new();
    let new = [&LINUX[..], &["--new-disk", "20G", "--dry-run", "--json"]].concat();
    let vcpus = |value: &serde_json::Value| value["vcpus"].as_array().unwrap().len();
    let odd = sample.run(&[&new[..], &["--cpus", "3"]].concat()).json(1);
    let way_out = odd["refusals"][0]["way_out"].as_str().unwrap();
    assert!(way_out.contains("(--threads 1)"), "{way_out}");
    let cores = ["--cpus", "3", "--threads", "1", "--leave", "4", "--l3", "0"];
    let value = sample.run(&[&new[..], &cores].concat()).json(0);
    let pinned = sample.run(&[&["vm", "pin", "--json"][..], &cores].concat());
    assert_eq!(value["guest"]["pinning"], pinned.json(0)["pinning"]);
    assert_eq!(vcpus(&value["guest"]["pinning"]), 3);
    for loose in [["--threads", "1"], ["--leave", "4"], ["--l3", "0"]] {
        let no_pin = ["--cpus", "3", "--no-pin", loose[0], loose[1]];
        sample.run(&[&new[..], &no_pin].concat()).exits(2);
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_changes() {
    let sample = Sample::new();
    let before = sample.print();
    let refused = |more: &[&str]| {
        let words = [&["vm", "new"], more, &["--os", "linux", "--json"]].concat();
        let value = act(&sample, &words).json(1);
        assert_eq!(value["state"], "refused");
        value["refusals"][0]["id"].as_str().unwrap().to_owned()
    };
    let card = ["--gpu", "01:00.0"];
    assert_eq!(
        refused(&[&["x", "--memory", "900G"], &card[..]].concat()),
        "guest.memory.too-much"
    );
    assert_eq!(
        refused(&[&["a/b", "--memory", "4G"], &card[..]].concat()),
        "guest.name"
    );
    assert_eq!(
        refused(&["x", "--memory", "4G", "--gpu", "42:00.0"]),
        "guest.card.unknown"
    );
    let image = sample.dir().join("x.xz");
    std::fs::write(&image, b"\xfd7zXZ\0").unwrap();
    let image = image.to_str().unwrap();
    assert_eq!(
        refused(&[&["x", "--memory", "4G", "--image", image], &card[..]].concat()),
        "guest.image"
    );
    assert_eq!(sample.print(), before);

    // A file that is not there is no refusal of the host's.
    act(&sample, &[&LINUX[..], &["--image", "/nowhere"]].concat()).exits(2);
    // Without the stand-ins there is no libvirt in another root.
    sample.run(&[&LINUX[..], &["--yes"]].concat()).exits(2);
    assert_eq!(sample.print(), before);
}

#[test]
fn it_needs_root() {
    let sample = Sample::new();
    sample.unprivileged(&LINUX).exits(2);
}

#[test]
fn it_is_shown_as_xml_and_as_a_script() {
    let sample = Sample::new();
    act(&sample, &[&LINUX[..], &["--new-disk", "20G"]].concat()).exits(0);
    let stored = sample.read("var/lib/sample-libvirt/cloud.xml");
    assert_eq!(act(&sample, &["vm", "show", "cloud"]).exits(0), stored);
    let planned = [
        &LINUX[..],
        &["--new-disk", "20G", "--dry-run", "--format", "qemu"],
    ]
    .concat();
    let script = act(&sample, &["vm", "show", "cloud", "--format", "qemu"]).exits(0);
    // What is noted beside it comes after it.
    let planned = sample.run(&planned).exits(0);
    assert_eq!(planned.split("[stderr]").next(), Some(&*script));
    let file = sample.dir().join("x.xml");
    std::fs::write(&file, stored.replace("q35", "pc")).unwrap();
    let file = file.to_str().unwrap();
    sample
        .run(&["vm", "show", "--xml", file, "--format", "qemu"])
        .exits(1);
    act(&sample, &["vm", "show", "nobody"]).exits(2);
    sample.run(&["vm", "show"]).exits(2);
}

const WINDOWS: [&str; 12] = [
    "vm",
    "new",
    "win",
    "--os",
    "windows11",
    "--gpu",
    "01:00.0",
    "--memory",
    "8G",
    "--new-disk",
    "64G",
    "--screen",
];

fn with_user_of_qemu(sample: &Sample) {
    sample.write("etc/passwd", "libvirt-qemu:x:64055:64055::/:/x\n");
}

#[test]
fn windows_is_told_how_its_installer_goes_on() {
    let sample = Sample::new();
    for file in ["srv/Win11.iso", "srv/virtio-win.iso"] {
        sample.write(file, "");
    }
    let media = [
        "--iso",
        "/srv/Win11.iso",
        "--virtio-win",
        "/srv/virtio-win.iso",
    ];
    insta::assert_snapshot!(act(&sample, &[&WINDOWS[..], &media].concat()).exits(0));
}

#[test]
fn media_that_are_not_there_or_closed_to_qemu_are_refused_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let sample = Sample::new();
    with_user_of_qemu(&sample);
    let refused = |more: &[&str]| {
        let words = [&WINDOWS[..], more, &["--json"]].concat();
        let value = act(&sample, &words).json(1);
        value["refusals"]
            .as_array()
            .unwrap()
            .iter()
            .fold(String::new(), |mut all, one| {
                all.push_str(one["id"].as_str().unwrap());
                all.push_str(": ");
                all.push_str(one["why"].as_str().unwrap());
                all.push('\n');
                all
            })
    };
    let said = refused(&["--iso", "/srv/none.iso"]);
    assert!(
        said.starts_with("guest.file.missing: There is no /srv/none.iso"),
        "{said}"
    );
    sample.write("home/alex/Win11.iso", "");
    let home = sample.root().join("home/alex");
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let said = refused(&["--iso", "/home/alex/Win11.iso"]);
    assert!(said.starts_with("guest.file.barred: "), "{said}");
    assert!(said.contains("/home/alex (mode 0700)"), "{said}");
    let said = refused(&["--bridge", "br0"]);
    assert!(said.starts_with("guest.network.no-bridge: "), "{said}");
}

#[test]
fn devices_of_the_host_are_given_and_shared_at_once() {
    let sample = Sample::new();
    let devices = [
        "--add-usb",
        "046d:c52b",
        "--evdev",
        "/dev/input/by-id/usb-Sample-event-kbd",
    ];
    let words = [&LINUX[..], &["--new-disk", "20G"], &devices].concat();
    let value = act(&sample, &[&words[..], &["--json"]].concat()).json(0);
    let stored = sample.read("var/lib/sample-libvirt/cloud.xml");
    assert_eq!(value["xml"], stored);
    assert!(stored.contains("<vendor id='0x046d'/>") && stored.contains("type='evdev'"));
    let shown = sample.run(&[&words[..], &["--dry-run", "--format", "qemu"]].concat());
    assert_eq!(shown.exits(0).matches("left out: ").count(), 2);
    let number = ["--evdev", "/dev/input/event3", "--json"];
    let words = [&LINUX[..], &["--new-disk", "20G"], &number].concat();
    let value = act(&sample, &words).json(1);
    let ids = value["refusals"].as_array().unwrap();
    assert!(
        ids.iter().any(|one| one["id"] == "guest.edit.evdev.path"),
        "{ids:?}"
    );
}

/// libvirt was removed since, say: that must not keep the host's boot as it is.
#[test]
fn a_guest_that_cannot_be_undone_does_not_stop_undo_all() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    act(&sample, &[&LINUX[..], &["--new-disk", "20G"]].concat()).exits(0);
    sample.tell("fail virsh\n");
    let said = act(&sample, &["undo", "--all"]).exits(5);
    assert!(said.contains("Undone: transaction 1."), "{said}");
    assert!(said.contains("virsh: told to fail"), "{said}");
    assert_eq!(sample.states(), ["undone", "applied"]);
}

/// The undo of a guest broke off in the middle: that does not keep the host's own from being undone.
#[test]
fn a_guest_that_is_stuck_in_between_does_not_stop_the_host() {
    let sample = Sample::new();
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    act(&sample, &[&LINUX[..], &["--new-disk", "20G"]].concat()).exits(0);
    sample.act_until("undo.commit", &["undo", "2"]).exits(5);
    sample.tell("fail virsh\n");
    // Named, it is what must come to an end.
    act(&sample, &["recover"]).exits(5);
    assert_ne!(sample.states()[1], "undone");
    let said = act(&sample, &["undo", "1"]).exits(0);
    assert!(said.contains("stays interrupted for now"), "{said}");
    assert_eq!(sample.states()[0], "undone");
}
