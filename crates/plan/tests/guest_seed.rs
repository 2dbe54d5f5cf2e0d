//! First settings of a cloud guest: read back by a reader of YAML and by tools for discs.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::Command;

use passthru_plan::{
    guest::{iso9660, seed::Seed},
    text::yaml,
};
use proptest::prelude::*;
use saphyr::{LoadableYamlNode, Yaml};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeKeyFakeKeyFakeKeyFakeKeyFakeKeyFake alex@desk";
const HASH: &str = "$6$saltsalt$0123456789abcdefghijklmnopqrstuvwxyzABCDEF./";

fn seed(guest: &str) -> Seed {
    Seed::new(guest, "alex", &[KEY.into()], Some(HASH)).unwrap()
}

fn read(text: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn ids(user: &str, keys: &[&str], hash: Option<&str>) -> Vec<String> {
    let keys: Vec<String> = keys.iter().map(|&key| key.into()).collect();
    let refusals = Seed::new("cloud", user, &keys, hash).unwrap_err();
    refusals.into_iter().map(|refusal| refusal.id).collect()
}

#[test]
fn user_data_and_meta_data() {
    let seed = seed("My \"cloud\": #1");
    insta::assert_snapshot!(format!("{}---\n{}", seed.user_data(), seed.meta_data()));
}

#[test]
fn a_reader_of_yaml_finds_the_user() {
    let seed = seed("cloud");
    let text = seed.user_data();
    assert!(text.starts_with("#cloud-config\n"));
    let data = read(&text);
    let user = &data["users"][0];
    assert_eq!(user["name"].as_str(), Some("alex"));
    assert_eq!(user["passwd"].as_str(), Some(HASH));
    assert_eq!(user["lock_passwd"].as_bool(), Some(false));
    assert_eq!(user["sudo"].as_str(), Some("ALL=(ALL) ALL"));
    assert_eq!(user["ssh_authorized_keys"][0].as_str(), Some(KEY));
    let meta = seed.meta_data();
    assert_eq!(read(&meta)["local-hostname"].as_str(), Some("cloud"));
}

#[test]
fn without_a_password_none_is_asked_for() {
    let text = Seed::new("cloud", "alex", &[KEY.into()], None)
        .unwrap()
        .user_data();
    let data = read(&text);
    let user = &data["users"][0];
    assert_eq!(user["lock_passwd"].as_bool(), Some(true));
    assert_eq!(user["sudo"].as_str(), Some("ALL=(ALL) NOPASSWD:ALL"));
    assert!(!text.contains("passwd: \"$"));
}

#[test]
fn other_settings_are_another_instance() {
    let one = Seed::new("cloud", "alex", &[KEY.into()], None).unwrap();
    let other = Seed::new("cloud", "kim", &[KEY.into()], None).unwrap();
    assert_ne!(one.meta_data(), other.meta_data());
}

#[test]
fn what_would_lock_out_or_leak_is_refused() {
    assert_eq!(ids("alex", &[], None), ["guest.seed.no-login"]);
    assert_eq!(ids("root", &[KEY], None), ["guest.seed.user"]);
    assert_eq!(ids("alex\n- x", &[KEY], None), ["guest.seed.user"]);
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl";
    assert_eq!(ids("alex", &[private], None), ["guest.seed.key"]);
    assert_eq!(ids("alex", &["AAAAC3Nz"], None), ["guest.seed.key"]);
    assert_eq!(ids("alex", &["ssh-ed25519"], None), ["guest.seed.key"]);
    let refusals = Seed::new("cloud", "alex", &[], Some("hunter2hunter2hunter2")).unwrap_err();
    assert_eq!(refusals[0].id, "guest.seed.password");
    assert!(!format!("{refusals:?}").contains("hunter2"));
}

/// What `tool` prints about the image, or a message that it is not there.
fn tool(argv: &[&str], image: &[u8]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seed.iso");
    std::fs::write(&file, image).unwrap();
    let output = Command::new(argv[0]).args(&argv[1..]).arg(&file).output();
    let Ok(output) = output else {
        println!("skipped: {} is not installed", argv[0]);
        return None;
    };
    assert!(output.status.success(), "{argv:?}: {output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn tools_for_discs_find_the_files() {
    let seed = seed("cloud");
    let image = seed.image();
    assert_eq!(image.len() % 2048, 0);
    if let Some(text) = tool(&["isoinfo", "-d", "-i"], &image) {
        assert!(text.contains("Volume id: cidata"), "{text}");
        assert!(text.contains("Joliet with UCS level 3"), "{text}");
        assert!(
            text.contains(&format!("Volume size is: {}", image.len() / 2048)),
            "{text}"
        );
    }
    for (joliet, name, content) in [
        ("-J", "/user-data", seed.user_data()),
        ("-J", "/meta-data", seed.meta_data()),
        ("-s", "/USER_DATA.;1", seed.user_data()),
    ] {
        if let Some(text) = tool(&["isoinfo", joliet, "-x", name, "-i"], &image) {
            assert_eq!(text, content, "{name}");
        }
    }
    if let Some(text) = tool(&["blkid", "-p", "-o", "export"], &image) {
        assert!(
            text.contains("LABEL=cidata\n") && text.contains("TYPE=iso9660"),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_a_scalar(text in "\\PC*|(?s).*") {
        let line = format!("key: {}\n", yaml::scalar(&text));
        let document = read(&line);
        prop_assert_eq!(document["key"].as_str(), Some(text.as_str()));
        prop_assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn any_guests_settings_are_yaml(name in "[^/\\x00-\\x1f\\x7f-\\u{9f}]{1,40}") {
        prop_assume!(!name.trim().is_empty() && name != "." && name != "..");
        if let Ok(seed) = Seed::new(&name, "alex", &[KEY.into()], None) {
            let meta = seed.meta_data();
            let host = read(&meta)["local-hostname"].as_str().unwrap().to_owned();
            prop_assert!(!host.is_empty() && !host.starts_with('-') && !host.ends_with('-'));
            prop_assert!(host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        }
    }

    /// Read back without any tool: the second descriptor leads to the directory, its records to the
    /// bytes.
    #[test]
    fn files_come_back(files in prop::collection::btree_map("[a-z][a-z-]{0,20}", prop::collection::vec(any::<u8>(), 0..5000), 1..60)) {
        let list: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        let image = iso9660::image("volume", &list);
        let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
        let svd = 17 * 2048;
        prop_assert_eq!(number(svd + 80) * 2048, image.len());
        let (mut at, end) = (number(svd + 158) * 2048, number(svd + 166));
        let end = at + end;
        let mut found = std::collections::BTreeMap::new();
        while at < end {
            let length = usize::from(image[at]);
            if length == 0 {
                at = (at / 2048 + 1) * 2048;
                continue;
            }
            if image[at + 25] == 0 {
                let name = &image[at + 33..at + 33 + usize::from(image[at + 32])];
                let units: Vec<u16> = name.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
                let name = String::from_utf16(&units).unwrap();
                let start = number(at + 2) * 2048;
                found.insert(name, image[start..start + number(at + 10)].to_vec());
            }
            at += length;
        }
        prop_assert_eq!(found, files);
    }
}
