//! `passthru devices`.

use crate::support::Sample;

#[test]
fn cards_and_what_travels_with_them() {
    insta::assert_snapshot!(Sample::new().run(&["devices"]).exits(0));
}

#[test]
fn every_function_by_group() {
    insta::assert_snapshot!(Sample::new().run(&["devices", "--all"]).exits(0));
}

#[test]
fn every_function_by_bus() {
    insta::assert_snapshot!(Sample::new().run(&["devices", "--tree"]).exits(0));
}

#[test]
fn forty_columns_are_enough() {
    let text = Sample::new().run_in(40, &["devices"]).exits(0);
    assert!(
        text.lines().all(|line| line.chars().count() <= 40),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn json_has_every_function_in_order() {
    let value = Sample::new().run(&["devices", "--json"]).json(0);
    let groups = value["groups"].as_array().unwrap();
    let ids: Vec<_> = groups.iter().map(|g| g["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted());
    let members: usize = groups
        .iter()
        .map(|group| group["functions"].as_array().unwrap().len())
        .sum();
    let ungrouped = value["ungrouped"].as_array().unwrap();
    assert_eq!(members + ungrouped.len(), 27);
    let card = groups.iter().find(|group| group["id"] == 10).unwrap();
    let first = &card["functions"][0];
    assert_eq!(first["address"], "0000:01:00.0");
    assert_eq!(first["class"], "030000");
    assert_eq!(first["vendor"], "10de");
    assert_eq!(first["device"], "1f08");
    assert_eq!(first["subsystem"], "1043:86f0");
    assert_eq!(first["driver"], "nouveau");
}

#[test]
fn names_cannot_steer_the_terminal() {
    let sample = Sample::new();
    let list = sample.read("usr/share/misc/pci.ids");
    sample.write(
        "usr/share/misc/pci.ids",
        &list.replace("TU106 [GeForce", "\u{1b}[31mTU106 [GeForce"),
    );
    let text = sample.run(&["devices"]).exits(0);
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn without_pci_ids_the_ids_stand_alone() {
    let sample = Sample::new();
    sample.remove("usr/share/misc/pci.ids");
    let text = sample.run(&["devices"]).exits(0);
    assert!(text.contains("10de:1f08"), "{text}");
}

#[test]
fn colour_is_for_terminals_or_on_request() {
    let sample = Sample::new();
    assert!(!sample.run(&["devices"]).exits(0).contains('\u{1b}'));
    let forced = sample.run(&["devices", "--color", "always"]).exits(0);
    assert!(forced.contains('\u{1b}'));
}

#[test]
fn an_archive_that_reaches_outside_is_refused_or_contained() {
    let sample = Sample::new();
    let host = sample.dir().join("evil");
    std::fs::create_dir_all(host.join("sys/bus/pci")).unwrap();
    std::os::unix::fs::symlink("/sys/bus/pci/devices", host.join("sys/bus/pci/devices")).unwrap();
    let archive = sample.dir().join("evil.tar");
    let made = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&host)
        .args(["--transform", "s,^./sys/bus/pci$,../outside,", "."])
        .status()
        .unwrap();
    assert!(made.success());
    let ran = sample.bare(&["devices", "--json", "--host", archive.to_str().unwrap()]);
    let error = ran.json(2);
    assert_eq!(error["error"]["kind"], "input");
    assert!(!sample.dir().join("outside").exists());
}

#[test]
fn a_file_that_is_no_archive() {
    let sample = Sample::new();
    let file = sample.dir().join("broken.tar.gz");
    std::fs::write(&file, "not an archive").unwrap();
    let said = sample
        .bare(&["doctor", "--host", file.to_str().unwrap()])
        .exits(2);
    assert!(said.contains("broken.tar.gz"), "{said}");
}

#[test]
fn a_truncated_attribute_is_named_and_nothing_is_done_on_that_ground() {
    let sample = Sample::new();
    for (attribute, text) in [("vendor", "0x"), ("modalias", "pci:v0000")] {
        let path = format!("sys/devices/pci0000:00/0000:00:01.1/0000:01:00.1/{attribute}");
        sample.remove(&path);
        sample.write(&path, text);
    }
    let said = sample.run(&["devices"]).exits(2);
    assert!(
        said.contains("0000:01:00.1") && said.contains("note: "),
        "{said}"
    );
    let said = sample.act(&["apply", "--gpu", "01:00.0"]).exits(2);
    assert!(
        said.contains("0000:01:00.1") && said.contains("Nothing was changed."),
        "{said}"
    );
    assert!(!sample.root().join("var/lib/passthru").exists());
}

/// A function that makes no sense has the same status for all who would have to know it.
#[test]
fn what_cannot_be_read_is_named_everywhere_and_refused() {
    let sample = Sample::new();
    let path = "sys/bus/pci/devices/0000:00:1e.0";
    sample.write(&format!("{path}/class"), "garbage\n");
    for command in [
        &["devices"] as &[&str],
        &["doctor"],
        &["plan", "--gpu", "01:00.0"],
        &["verify"],
        &[],
    ] {
        let said = sample.run(command).exits(2);
        assert!(said.contains(path), "{command:?}\n{said}");
    }
    for command in [
        &["devices", "--json"] as &[&str],
        &["doctor", "--json"],
        &["plan", "--gpu", "01:00.0", "--json"],
        &["verify", "--json"],
    ] {
        let value = sample.run(command).json(2);
        let named = value["unreadable"][0].as_str().unwrap();
        assert!(named.contains(path), "{command:?} {value}");
    }
    let plan = sample.run(&["plan", "--gpu", "01:00.0", "--json"]).json(2);
    assert_eq!(plan["refusals"][0]["id"], "facts.unreadable");
    assert_eq!(plan["changes"], serde_json::json!([]));
    let before = sample.print();
    let apply = ["apply", "--gpu", "01:00.0", "--json"];
    assert_eq!(sample.act(&apply).json(2)["state"], "refused");
    assert_eq!(sample.print(), before);
}
