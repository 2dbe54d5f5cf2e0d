//! Guests as libvirt domains: held to libvirt's own schema, to a reader of XML, and read by a person.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use std::process::Command;

use passthru_plan::guest::{Guest, domain::domain, spec::*};
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
            for (pinned, hugepages) in [(false, false), (true, false), (true, true)] {
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
