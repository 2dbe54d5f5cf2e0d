//! `passthru vm disks`, and disks of `vm new`.

use crate::support::Sample;

const FREE: &str = "/dev/disk/by-id/ata-WDC_WD10EZEX_SAMPLE0002";

/// `vm new --dry-run` with these words.
fn new<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let start = [
        "vm",
        "new",
        "guest",
        "--os",
        "linux",
        "--gpu",
        "01:00.0",
        "--memory",
        "8G",
        "--dry-run",
    ];
    start.into_iter().chain(words.iter().copied()).collect()
}

#[test]
fn the_names_to_give_and_what_uses_each() {
    let sample = Sample::new();
    insta::assert_snapshot!(sample.run(&["vm", "disks"]).exits(0));
}

#[test]
fn json_says_the_same() {
    let value = Sample::new().run(&["vm", "disks", "--json"]).json(0);
    let disks = value["disks"].as_array().unwrap();
    let states: Vec<_> = disks
        .iter()
        .map(|disk| disk["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["host", "free"]);
    assert_eq!(disks[1]["id"], FREE);
    assert_eq!(disks[1]["bytes"], 1_000_204_886_016_u64);
    assert_eq!(disks[0]["uses"][1]["carries"][0], "/");
    assert!(value["unknown"].is_null());
}

#[test]
fn a_capture_shows_the_same_but_for_serial_numbers() {
    let sample = Sample::new();
    let file = sample.dir().join("host.tar.gz");
    let file = file.to_str().unwrap();
    sample.run(&["capture", file]).exits(0);
    let there = sample.bare(&["vm", "disks", "--host", file]).exits(0);
    assert!(!there.contains("SAMPLE"), "{there}");
    assert!(
        there.contains("WDC WD10EZEX") && there.contains("free"),
        "{there}"
    );
}

#[test]
fn a_free_disk_is_given_away_by_its_name() {
    let sample = Sample::new();
    let xml = sample.run(&new(&["--disk", FREE])).exits(0);
    assert!(xml.contains(&format!("<source dev='{FREE}'")), "{xml}");
}

#[test]
fn the_host_s_disk_is_not() {
    let sample = Sample::new();
    let before = sample.print();
    let root = "/dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_SAMPLE0001";
    for (path, id) in [
        (root, "guest.disk.host"),
        ("/dev/sda", "guest.disk.name"),
        ("/dev/disk/by-id/ata-GONE", "guest.disk.missing"),
    ] {
        for option in ["--disk", "--transplant"] {
            let value = sample.run(&new(&[option, path, "--json"])).json(1);
            assert_eq!(value["refusals"][0]["id"], id, "{path}");
            assert_eq!(value["refusals"].as_array().unwrap().len(), 1);
        }
    }
    insta::assert_snapshot!(sample.run(&new(&["--disk", root])).exits(1));
    assert_eq!(before, sample.print());
}

#[test]
fn what_is_written_for_a_disk_is_shown_first() {
    let sample = Sample::new();
    sample.write("usr/lib/udev/rules.d/80-udisks2.rules", "");
    let value = sample.run(&new(&["--disk", FREE, "--json"])).json(0);
    let changes = value["changes"].as_array().unwrap();
    assert_eq!(
        changes[0]["path"],
        "/etc/udev/rules.d/90-passthru-guest-disks.rules"
    );
    assert!(
        changes[0]["after"]
            .as_str()
            .unwrap()
            .contains(&FREE["/dev/".len()..])
    );
    assert_eq!(changes.last().unwrap()["kind"], "domain");
}
