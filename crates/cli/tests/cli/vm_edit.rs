//! `passthru vm edit` and `vm check`: shown, done, and taken back.

use crate::support::{Ran, Sample};

fn act(sample: &Sample, words: &[&str]) -> Ran {
    let words: Vec<&str> = words
        .iter()
        .chain(&["--sample-tools", "--yes"])
        .copied()
        .collect();
    sample.run(&words)
}

/// A domain that somebody wrote by hand, known to libvirt of the sample host.
const XML: &str = "<domain type='kvm'>
   <name>games</name> <!-- mine -->
   <memory unit='GiB'>4</memory>
   <vcpu>4</vcpu>
   <os><type arch='x86_64' machine='q35'>hvm</type></os>
   <devices>
      <graphics type='spice'/>
      <video><model type='qxl'/></video>
   </devices>
</domain>
";

fn sample() -> Sample {
    let sample = Sample::new();
    sample.write("var/lib/sample-libvirt/games.xml", XML);
    sample
}

const EVERYTHING: [&str; 9] = [
    "vm",
    "edit",
    "games",
    "--add-gpu",
    "01:00.0",
    "--pin",
    "--no-screen",
    "--evdev",
    "/dev/input/by-id/usb-Sample-event-kbd",
];

fn with(words: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    words.iter().chain(more).copied().collect()
}

#[test]
fn a_guest_is_edited_and_taken_back_to_the_byte() {
    let sample = sample();
    let before = sample.print();
    insta::assert_snapshot!(act(&sample, &with(&EVERYTHING, &["--dry-run"])).exits(0));
    assert_eq!(sample.print(), before);
    insta::assert_snapshot!(act(&sample, &EVERYTHING).exits(0));
    let after = sample.read("var/lib/sample-libvirt/games.xml");
    assert!(after.contains("<name>games</name> <!-- mine -->"));
    assert_eq!(after.matches("<hostdev").count(), 4);
    let again = act(&sample, &with(&EVERYTHING, &["--json"])).json(0);
    assert_eq!(again["state"], "nothing-to-do");
    let list = act(&sample, &["history", "--json"]).json(0);
    assert_eq!(list["transactions"][0]["guest"], "games");
    act(&sample, &["undo"]).exits(0);
    assert_eq!(sample.read("var/lib/sample-libvirt/games.xml"), XML);
    assert_eq!(sample.print(), before);
}

#[test]
fn json_holds_what_is_changed() {
    let sample = sample();
    let value = act(&sample, &with(&EVERYTHING, &["--dry-run", "--json"])).json(0);
    assert_eq!(value["state"], "shown");
    assert_eq!(value["changes"][0]["kind"], "domain");
    assert_eq!(value["changes"][0]["before"], XML);
    assert_eq!(value["changes"][0]["after"], value["xml"]);
    let value = act(
        &sample,
        &["vm", "edit", "games", "--add-gpu", "42:00.0", "--json"],
    )
    .json(1);
    assert_eq!(value["state"], "refused");
    assert_eq!(value["refusals"][0]["id"], "guest.card.unknown");
    assert_eq!(sample.read("var/lib/sample-libvirt/games.xml"), XML);
}

#[test]
fn the_host_leaves_a_disk_alone_that_is_given_away() {
    const DISK: &str = "/dev/disk/by-id/ata-WDC_WD10EZEX_SAMPLE0002";
    let sample = sample();
    sample.write("usr/lib/udev/rules.d/80-udisks2.rules", "");
    let edit = ["vm", "edit", "games", "--dry-run", "--json"];
    let given = act(&sample, &with(&edit, &["--add-disk", DISK])).json(0);
    let changes = given["changes"].as_array().unwrap();
    let kinds: Vec<_> = changes
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["edit", "domain"]);
    let rules = changes[0]["after"].as_str().unwrap();
    assert!(
        rules.contains("guest games ") && rules.contains("SAMPLE0002"),
        "{rules}"
    );
    // Taken away again, it is the host's.
    let path = changes[0]["path"].as_str().unwrap();
    sample.write(path.trim_start_matches('/'), rules);
    let xml = given["xml"].as_str().unwrap();
    sample.write("var/lib/sample-libvirt/games.xml", xml);
    let taken = act(&sample, &with(&edit, &["--remove-disk", DISK])).json(0);
    assert_eq!(taken["changes"][0]["path"], path);
    assert!(taken["changes"][0]["after"].is_null(), "{taken}");
    // Nothing of it where disks are not asked about.
    let pinned = act(&sample, &with(&edit, &["--pin"])).json(0);
    assert_eq!(pinned["changes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_password_is_kept_and_not_shown() {
    let sample = Sample::new();
    let xml = XML.replace("type='spice'", "type='spice' passwd='hush'");
    sample.write("var/lib/sample-libvirt/games.xml", &xml);
    let edit = ["vm", "edit", "games", "--pin"];
    for more in [
        ["--dry-run"].as_slice(),
        &["--dry-run", "--json"],
        &["--json"],
    ] {
        let said = act(&sample, &with(&edit, more)).exits(0);
        assert!(!said.contains("hush"), "{said}");
    }
    let after = sample.read("var/lib/sample-libvirt/games.xml");
    assert!(after.contains("passwd='hush'") && after != xml);
    act(&sample, &["undo"]).exits(0);
    assert_eq!(sample.read("var/lib/sample-libvirt/games.xml"), xml);
}

#[test]
fn cores_are_chosen_with_pin() {
    let sample = sample();
    let edit = ["vm", "edit", "games", "--dry-run", "--json"];
    let cores = ["--cpus", "3", "--threads", "1"];
    act(&sample, &with(&edit, &cores)).exits(2);
    act(&sample, &with(&edit, &["--threads", "1"])).exits(2);
    act(&sample, &with(&edit, &["--pin", "--cpus", "3"])).json(1);
    let edited = act(&sample, &with(&edit, &with(&["--pin"], &cores))).json(0);
    let xml = edited["changes"][0]["after"].as_str().unwrap();
    assert_eq!(xml.matches("<vcpupin ").count(), 3, "{xml}");
}

#[test]
fn what_is_not_asked_right_is_said() {
    let sample = sample();
    act(&sample, &["vm", "edit", "games"]).exits(2);
    act(&sample, &["vm", "edit", "games", "--cpus", "4"]).exits(2);
    act(&sample, &["vm", "edit", "games", "--pin", "--no-pin"]).exits(2);
    act(&sample, &["vm", "edit", "games", "--rom", "01:00.0"]).exits(2);
    let file = sample.dir().join("games.xml");
    std::fs::write(&file, XML).unwrap();
    let file = file.to_str().unwrap();
    act(&sample, &["vm", "edit", "--xml", file, "--pin"]).exits(2);
    act(
        &sample,
        &["vm", "edit", "--xml", file, "--pin", "--dry-run"],
    )
    .exits(0);
    let said = act(&sample, &["vm", "edit", "others", "--pin"]).exits(2);
    assert!(said.contains("it knows games"), "{said}");
}

#[test]
fn a_guest_is_held_to_the_host() {
    let sample = sample();
    // It has no card, and nothing that the host could not give.
    let value = act(&sample, &["vm", "check", "games", "--json"]).json(0);
    assert_eq!(value["verdict"], "ready");
    act(&sample, &EVERYTHING).exits(0);
    let value = act(&sample, &["vm", "check", "games", "--json"]).json(0);
    let findings = value["findings"].as_array().unwrap();
    let no: Vec<_> = findings.iter().filter(|f| f["status"] == "no").collect();
    assert!(no.is_empty(), "{no:?}");
    let file = sample.dir().join("games.xml");
    let xml = sample
        .read("var/lib/sample-libvirt/games.xml")
        .replace(">4</memory>", ">4000</memory>")
        .replace(" multifunction='on'", "");
    std::fs::write(&file, xml).unwrap();
    let words = ["vm", "check", "--xml", file.to_str().unwrap()];
    insta::assert_snapshot!(act(&sample, &words).exits(1));
}

#[test]
fn a_rom_is_named_from_where_one_stands_and_held_to_apparmor() {
    let sample = sample();
    sample.write("sys/module/apparmor/parameters/enabled", "Y\n");
    sample.write(
        "etc/apparmor.d/abstractions/libvirt-qemu",
        "/usr/share/kvm/** r,\n",
    );
    let words = |rom: &'static str| {
        [
            "vm",
            "edit",
            "games",
            "--add-gpu",
            "01:00.0",
            "--rom",
            rom,
            "--json",
        ]
    };
    let mut command = sample.command(&words("01:00.0=card.rom"));
    command.args(["--sample-tools", "--yes", "--dry-run"]);
    let output = command.current_dir(sample.dir()).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let path = format!(
        "{}/card.rom",
        sample.dir().canonicalize().unwrap().display()
    );
    assert!(value["xml"].as_str().unwrap().contains(&path), "{value}");
    let told = |value: &serde_json::Value| {
        let notes = value["notes"].as_array().unwrap().iter();
        notes
            .filter(|note| note["id"] == "guest.edit.rom.apparmor")
            .count()
    };
    assert_eq!(told(&value), 1);
    let value = act(&sample, &words("01:00.0=/usr/share/kvm/card.rom")).json(0);
    assert_eq!(told(&value), 0);
}

#[test]
fn files_that_qemu_cannot_get_to_are_blockers() {
    use std::os::unix::fs::PermissionsExt;
    let sample = sample();
    let disk = "<disk type='file' device='disk'><source file='/home/alex/a.qcow2'/></disk>";
    let xml = XML.replace("<devices>", &format!("<devices>{disk}"));
    sample.write("var/lib/sample-libvirt/games.xml", &xml);
    sample.write("home/alex/a.qcow2", "");
    sample.write("etc/passwd", "libvirt-qemu:x:64055:64055::/:/x\n");
    let home = sample.root().join("home/alex");
    let mode = |mode| {
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let closed = |status| {
        let ran = sample.run(&["vm", "check", "games", "--sample-tools", "--json"]);
        let value = ran.json(status);
        let findings = value["findings"].as_array().unwrap().clone();
        findings
            .into_iter()
            .find(|one| one["id"] == "guest.file:/home/alex/a.qcow2")
    };
    mode(0o700);
    let found = closed(1).unwrap();
    assert_eq!(found["severity"], "blocker");
    let remedy = found["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("setfacl -m u:libvirt-qemu:x /home/alex"),
        "{remedy}"
    );
    mode(0o755);
    assert_eq!(closed(0), None);
}
