//! `passthru rom`.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::support::Sample;

/// The sample's card.
const IDS: (u16, u16) = (0x10de, 0x1f08);

/// An image of 1 KiB: legacy code (0) or a UEFI driver (3).
fn image(ids: (u16, u16), code: u8, last: bool) -> Vec<u8> {
    let mut bytes = vec![0x90; 1024];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(
        0,
        &[
            0x55, 0xaa, 2, 0, 0xf1, 0x0e, 0, 0, 0x0b, 0, 0x64, 0x86, 1, 0,
        ],
    );
    put(0x18, &[0x40, 0]);
    put(0x40, b"PCIR");
    put(0x44, &ids.0.to_le_bytes());
    put(0x46, &ids.1.to_le_bytes());
    put(
        0x48,
        &[
            0,
            0,
            0x18,
            0,
            0,
            0,
            0,
            3,
            2,
            0,
            0,
            0,
            code,
            u8::from(last) << 7,
        ],
    );
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[1023] = bytes[1023].wrapping_sub(sum);
    bytes
}

/// A whole ROM for the sample's card.
fn rom() -> Vec<u8> {
    [image(IDS, 0, false), image(IDS, 3, true)].concat()
}

/// The sample, and a file beside it.
fn with(bytes: &[u8]) -> (Sample, PathBuf) {
    let sample = Sample::new();
    let file = sample.dir().join("card.rom");
    fs::write(&file, bytes).unwrap();
    (sample, file)
}

/// The sample, whose card gives `bytes` as its ROM.
fn with_card(bytes: &[u8]) -> Sample {
    let sample = Sample::new();
    let device = sample.root().join("sys/bus/pci/devices/0000:01:00.0");
    fs::write(device.join("rom"), bytes).unwrap();
    sample
}

#[test]
fn a_good_rom() {
    let (sample, file) = with(&rom());
    let file = file.to_str().unwrap();
    insta::assert_snapshot!(
        sample
            .run(&["rom", "check", file, "--gpu", "01:00.0"])
            .exits(0)
    );
}

#[test]
fn a_rom_with_everything_wrong() {
    let mut bytes = [vec![0; 512], image((0x10de, 0x1b80), 0, true)].concat();
    bytes[1000] ^= 1;
    bytes.resize(2048, 0xff);
    let (sample, file) = with(&bytes);
    let file = file.to_str().unwrap();
    insta::assert_snapshot!(sample.run(&["rom", "check", file]).exits(1));
    // For the card of the sample there is no image in it at all.
    let said = sample
        .run(&["rom", "check", file, "--gpu", "01:00.0"])
        .exits(1);
    assert!(said.contains("begins with 00 00 00 00"), "{said}");
}

#[test]
fn forty_columns_are_enough() {
    let (sample, file) = with(&rom());
    let directory = fs::canonicalize(sample.dir()).unwrap();
    let mut command = sample.command(&["rom", "check", "card.rom", "--gpu", "01:00.0", "-v"]);
    let output = command
        .env("COLUMNS", "40")
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("UEFI driver"), "{text}");
    // A hash is one word.
    let narrow = |line: &str| line.chars().count() <= 40 || line.starts_with("sha256 ");
    assert!(text.lines().all(narrow), "{text}");
    drop(file);
}

#[test]
fn what_is_no_rom_is_named() {
    for (bytes, words) in [
        (&b"<!DOCTYPE html>"[..], "web page"),
        (&[0xff; 1024], "all 1024 bytes are 0xff"),
        (&rom()[..50], "974 bytes are missing"),
    ] {
        let (sample, file) = with(bytes);
        let said = sample
            .bare(&["rom", "check", file.to_str().unwrap()])
            .exits(1);
        let said: Vec<&str> = said.split_whitespace().collect();
        assert!(said.join(" ").contains(words), "{said:?}");
    }
    let said = Sample::new()
        .bare(&["rom", "check", "/nonexistent"])
        .exits(2);
    assert!(said.contains("/nonexistent"), "{said}");
}

#[test]
fn check_as_json() {
    let (sample, file) = with(&rom());
    let file = file.to_str().unwrap();
    let value = sample
        .run(&["rom", "check", file, "--gpu", "01:00.0", "--json"])
        .json(0);
    assert_eq!(value["verdict"], "ready");
    assert_eq!(value["function"], "0000:01:00.0");
    assert_eq!(
        (&value["rom"]["offset"], &value["rom"]["length"]),
        (&0.into(), &2048.into())
    );
    assert_eq!(value["rom"]["images"][1]["code"], "efi");
    assert_eq!(value["rom"]["images"][1]["ids"], "10de:1f08");
    assert_eq!(value["rom"]["chain"]["state"], "complete");
    assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
    fs::write(file, "no rom").unwrap();
    let value = sample.bare(&["rom", "check", file, "--json"]).json(1);
    assert_eq!(
        (&value["verdict"], &value["rom"]),
        (&"blocked".into(), &().into())
    );
    let value = sample
        .run(&["rom", "check", file, "--gpu", "1f:00.0", "--json"])
        .json(2);
    assert_eq!(value["error"]["kind"], "input");
}

#[test]
fn trim_cuts_around_and_changes_nothing_inside() {
    let (sample, file) = with(&[vec![1; 512], rom(), vec![0xff; 300]].concat());
    let (file, trimmed) = (file.to_str().unwrap(), sample.dir().join("new.rom"));
    let out = trimmed.to_str().unwrap();
    let said = sample.bare(&["rom", "trim", file, out]).exits(0);
    assert!(
        said.contains("Cut off: 512 bytes at the start, 300 at the end."),
        "{said}"
    );
    assert!(said.contains("a guess"), "{said}");
    assert_eq!(fs::read(&trimmed).unwrap(), rom());
    let mode = fs::metadata(&trimmed).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    // What is there is left alone, unless told otherwise.
    fs::write(&trimmed, "mine").unwrap();
    let said = sample.bare(&["rom", "trim", file, out]).exits(2);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(fs::read(&trimmed).unwrap(), b"mine");
    let value = sample
        .bare(&["rom", "trim", file, out, "--force", "--json"])
        .json(0);
    assert_eq!(
        (&value["cut_before"], &value["cut_after"]),
        (&512.into(), &300.into())
    );
    assert_eq!(fs::read(&trimmed).unwrap(), rom());
}

#[test]
fn trim_refuses_half_a_rom_and_what_is_none() {
    let (sample, file) = with(&rom()[..2000]);
    let (file, out) = (file.to_str().unwrap(), sample.dir().join("new.rom"));
    let said = sample
        .bare(&["rom", "trim", file, out.to_str().unwrap()])
        .exits(1);
    assert!(
        said.contains("not complete") && said.contains("nothing was written"),
        "{said}"
    );
    fs::write(file, b"\x7fELF").unwrap();
    let said = sample
        .bare(&["rom", "trim", file, out.to_str().unwrap()])
        .exits(2);
    assert!(said.contains("ELF"), "{said}");
    assert!(!out.exists());
}

#[test]
fn dump_names_the_file_by_what_the_card_is() {
    let sample = with_card(&rom());
    let place = sample.dir().join("here");
    fs::create_dir(&place).unwrap();
    let mut command = sample.command(&["rom", "dump", "01:00.0", "--json"]);
    let output = command.current_dir(&place).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["file"], "10de-1f08-01-00-0.rom");
    assert_eq!(
        (&value["source"], &value["verdict"]),
        (&"function".into(), &"ready".into())
    );
    assert_eq!(
        fs::read(place.join("10de-1f08-01-00-0.rom")).unwrap(),
        rom()
    );
    // Not over what is there.
    let again = sample
        .command(&["rom", "dump", "01:00.0"])
        .current_dir(&place)
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn dump_puts_it_where_a_guest_can_read_it() {
    let sample = with_card(&rom());
    sample.write("sys/module/apparmor/parameters/enabled", "Y\n");
    sample.write("etc/apparmor.d/abstractions/libvirt-qemu", "");
    insta::assert_snapshot!(
        sample
            .run(&["rom", "dump", "01:00.0", "--install"])
            .exits(0)
    );
    let place = "var/lib/passthru/vbios/10de-1f08-01-00-0.rom";
    assert_eq!(fs::read(sample.root().join(place)).unwrap(), rom());
    let rule = "etc/apparmor.d/local/abstractions/libvirt-qemu";
    assert!(!sample.root().join(rule).exists(), "only said, not written");
    sample.write(rule, "/var/lib/passthru/vbios/*.rom r,\n");
    let value = sample
        .run(&["rom", "dump", "01:00.0", "--install", "--json"])
        .json(0);
    assert_eq!(value["apparmor"], serde_json::Value::Null);
    // A plan made afterwards keeps its own part of the directory closed.
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    let mode = |path: &str| {
        fs::metadata(sample.root().join(path))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("var/lib/passthru") & 0o7777, 0o711);
    assert_eq!(mode("var/lib/passthru/transactions") & 0o7777, 0o700);
    sample.act(&["undo"]).exits(0);
    assert!(sample.root().join(place).exists());
}

#[test]
fn dump_writes_nothing_that_is_no_rom() {
    let sample = with_card(&[0xff; 4096]);
    let out = sample.dir().join("out.rom");
    let said = sample
        .run(&["rom", "dump", "01:00.0", out.to_str().unwrap()])
        .exits(1);
    assert!(
        said.contains("all 4096 bytes are 0xff") && said.contains("nothing was written"),
        "{said}"
    );
    assert!(!out.exists());
}

#[test]
fn dump_leaves_a_running_guest_alone() {
    let sample = with_card(&rom());
    sample.write("proc/4711/comm", "qemu-system-x86\n");
    let fd = sample.root().join("proc/4711/fd");
    fs::create_dir_all(&fd).unwrap();
    std::os::unix::fs::symlink("/dev/vfio/10", fd.join("30")).unwrap();
    let said = sample.run(&["rom", "dump", "01:00.0"]).exits(1);
    assert!(said.contains("process 4711, qemu-system-x86"), "{said}");
}

#[test]
fn dump_from_the_table_of_the_firmware() {
    let sample = Sample::new();
    let out = sample.dir().join("out.rom");
    let dump = [
        "rom",
        "dump",
        "01:00.0",
        out.to_str().unwrap(),
        "--from-vfct",
    ];
    let said = sample.run(&dump).exits(1);
    assert!(said.contains("VFCT is not there"), "{said}");
    let mut table = vec![0; 0x4c];
    table[..4].copy_from_slice(b"VFCT");
    table[0x34] = 0x4c;
    for word in [1_u32, 0, 0, 0x1f08_10de, 0, 0, 2048] {
        table.extend(word.to_le_bytes());
    }
    table.extend(rom());
    sample.write("sys/firmware/acpi/tables/README", "");
    fs::write(sample.root().join("sys/firmware/acpi/tables/VFCT"), table).unwrap();
    let said = sample.run(&dump).exits(0);
    assert!(said.contains("ACPI table VFCT"), "{said}");
    assert_eq!(fs::read(&out).unwrap(), rom());
}

#[test]
fn dump_needs_root_and_a_host() {
    let sample = Sample::new();
    let said = sample.unprivileged(&["rom", "dump", "01:00.0"]).exits(2);
    assert!(
        said.contains("needs root") && said.contains("sudo passthru rom dump 01:00.0"),
        "{said}"
    );
    sample
        .bare(&["rom", "dump", "01:00.0", "--host", "x.tar.gz"])
        .exits(2);
    sample.run(&["rom", "dump", "1f:00.0"]).exits(2);
}

#[test]
fn trim_puts_it_where_a_guest_can_read_it() {
    let sample = Sample::new();
    let file = sample.dir().join("found.bin");
    fs::write(&file, rom()).unwrap();
    let words = ["rom", "trim", file.to_str().unwrap(), "--install"];
    let said = sample.run(&words).exits(0);
    let place = "var/lib/passthru/vbios/found.rom";
    assert!(
        said.contains("vm edit NAME --rom ADDR=/var/lib/passthru/vbios/found.rom"),
        "{said}"
    );
    assert_eq!(fs::read(sample.root().join(place)).unwrap(), rom());
    sample
        .run(&[&words[..3], &["x.rom", "--install"]].concat())
        .exits(2);
    sample.run(&words[..3]).exits(2);
}
