//! Stand-ins for what runs on the sample host: virsh(1) for guests that run, which are files below
//! /run, and systemctl(1) for AllowedCPUs.
//!
//! A guest does what its `<title>` says: `fails` does not start, `silent` has no address. One without
//! ACPI does not hear its power button.

use std::{fs, io, path::Path};

/// A file for each guest that runs.
const RUNNING: &str = "run/sample-libvirt";

/// `virsh list`, of guests with these names.
pub(super) fn list(root: &Path, names: &[String], arguments: &[&str]) -> String {
    let has = |flag: &str| arguments.contains(&flag);
    let shown = |name: &&String| {
        let runs = runs(root, name);
        if has("--state-running") || !has("--all") {
            runs
        } else if has("--state-shutoff") {
            !runs
        } else {
            !has("--state-paused")
        }
    };
    let shown: Vec<&str> = names.iter().filter(shown).map(String::as_str).collect();
    shown.join("\n") + "\n\n"
}

fn runs(root: &Path, name: &str) -> bool {
    root.join(RUNNING).join(name).exists()
}

/// The verbs for guests that run; `xml` is the definition of the guest `name`.
pub(super) fn virsh(
    root: &Path,
    verb: &str,
    name: &str,
    xml: &str,
    arguments: &[&str],
) -> io::Result<String> {
    let file = root.join(RUNNING).join(name);
    let is = |title: &str| xml.contains(&format!("<title>{title}</title>"));
    match verb {
        "start" if is("fails") => Err(io::Error::other("group 7 is not viable")),
        "start" => {
            fs::create_dir_all(root.join(RUNNING))?;
            fs::write(file, "").map(|()| String::new())
        }
        "shutdown" if !xml.contains("<acpi/>") => Ok(String::new()),
        "shutdown" | "destroy" => fs::remove_file(file).map(|()| String::new()),
        "net-list" => Ok("default\n\n".to_owned()),
        "domifaddr" if is("silent") || !arguments.contains(&"--source=lease") => Ok("\n".into()),
        "domifaddr" => {
            let mac = xml
                .split_once("<mac address='")
                .and_then(|(_, rest)| rest.split_once('\''))
                .map_or("-", |(mac, _)| mac);
            Ok(format!(
                " vnet0      {mac}    ipv4         192.168.122.45/24\n\n"
            ))
        }
        _ => Err(io::Error::other(format!(
            "the sample's virsh has no {verb}"
        ))),
    }
}

/// AllowedCPUs of a unit, which the kernel then shows.
pub(super) fn systemctl(root: &Path, arguments: &[&str]) -> (i32, String) {
    let place = |unit: &str| root.join("sys/fs/cgroup").join(unit);
    match arguments {
        ["show", "--property=AllowedCPUs", "--value", unit] => {
            let set = fs::read_to_string(place(unit).join("allowed"));
            (0, format!("{}\n", set.unwrap_or_default().trim()))
        }
        ["set-property", "--runtime", unit, property] => {
            let cpus = property.strip_prefix("AllowedCPUs=").unwrap_or_default();
            let write = || {
                fs::create_dir_all(place(unit))?;
                fs::write(place(unit).join("allowed"), cpus)?;
                if cpus.is_empty() {
                    return Ok(());
                }
                fs::write(place(unit).join("cpuset.cpus.effective"), cpus)
            };
            match write() {
                Ok(()) => (0, String::new()),
                Err(error) => (1, format!("{error}\n")),
            }
        }
        _ => (127, "the sample host has no systemctl\n".to_owned()),
    }
}
