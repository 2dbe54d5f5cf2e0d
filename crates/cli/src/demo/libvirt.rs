//! Stand-ins for virsh(1) and qemu-img(1) of the sample host: definitions are files below its root,
//! and nothing ever runs.

use std::{fs, io, path::Path};

use passthru_plan::guest::capabilities::QUESTION;

/// Where the stand-in keeps definitions.
const STORE: &str = "var/lib/sample-libvirt";

/// What the sample's libvirt offers.
const OFFERED: &str = "<domainCapabilities><domain>kvm</domain>\
    <os supported='yes'><enum name='firmware'><value>efi</value></enum>\
    <loader supported='yes'><enum name='secure'><value>yes</value></enum></loader></os>\
    <devices><graphics supported='yes'><enum name='type'><value>spice</value></enum></graphics>\
    <tpm supported='yes'><enum name='backendModel'><value>emulator</value></enum></tpm></devices>\
    </domainCapabilities>\n";

/// Runs virsh with `arguments` for the sample at `root`: its exit status and what it says.
pub(super) fn virsh(root: &Path, arguments: &[&str]) -> (i32, String) {
    let value = |flag: &str| {
        arguments
            .iter()
            .find_map(|word| word.strip_prefix(flag)?.strip_prefix('='))
    };
    let store = root.join(STORE);
    let file = |name: &str| store.join(format!("{name}.xml"));
    let verb = arguments
        .iter()
        .find(|word| !word.starts_with('-') && !word.starts_with("qemu:"));
    let done = match verb.copied() {
        Some("domcapabilities") if arguments.ends_with(&QUESTION) => Ok(OFFERED.to_owned()),
        // Nothing runs.
        Some("list") if !arguments.contains(&"--all") => Ok("\n".to_owned()),
        Some("list") => names(&store),
        Some("dumpxml") => fs::read_to_string(file(value("--domain").unwrap_or_default())),
        Some("define") => define(&store, value("--file").unwrap_or_default()),
        Some("undefine") => {
            fs::remove_file(file(value("--domain").unwrap_or_default())).map(|()| {
                // It was not there before the first domain.
                let _ = fs::remove_dir(&store);
                String::new()
            })
        }
        Some("autostart") => Ok(String::new()),
        verb => Err(io::Error::other(format!(
            "the sample's virsh has no {}",
            verb.unwrap_or_default()
        ))),
    };
    match done {
        Ok(text) => (0, text),
        Err(error) => (1, format!("error: {error}\n")),
    }
}

fn names(store: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entries => {
            for entry in entries? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                names.push(name.trim_end_matches(".xml").to_owned());
            }
        }
    }
    names.sort();
    Ok(names.join("\n") + "\n\n")
}

fn define(store: &Path, path: &str) -> io::Result<String> {
    let xml = fs::read_to_string(path)?;
    let name = xml
        .split_once("<name>")
        .and_then(|(_, rest)| rest.split_once("</name>"))
        .ok_or_else(|| io::Error::other("the domain has no name"))?
        .0;
    fs::create_dir_all(store)?;
    fs::write(store.join(format!("{name}.xml")), &xml)?;
    Ok(String::new())
}

/// Runs qemu-img: what it makes is a file that says how it was made.
pub(super) fn qemu_img(root: &Path, arguments: &[&str]) -> (i32, String) {
    let Some(path) = arguments
        .iter()
        .rfind(|word| word.starts_with("/var/lib/libvirt/"))
    else {
        return (1, "qemu-img: no image of a guest is named\n".to_owned());
    };
    let made = root.join(path.trim_start_matches('/'));
    match fs::write(made, arguments.join(" ")) {
        Ok(()) => (0, String::new()),
        Err(error) => (1, format!("qemu-img: {path}: {error}\n")),
    }
}
