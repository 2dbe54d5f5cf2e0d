//! What has to be made and told to libvirt so that a planned guest exists.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{
    domain::domain,
    edit::{Edit, Edited},
    image::Image,
    plan::refusal,
    seed::{self, Seed},
    spec::{Guest, Network, Os},
};
use crate::{
    change::Change,
    plan::{Notice, Plan, Refusal},
    text::{quote::word, size},
};

/// Where libvirt's guests have their images (`virStorageDriver`'s pool `default`), and where its
/// AppArmor and `SELinux` rules expect them.
pub const DIRECTORY: &str = "/var/lib/libvirt/images";

/// The disk that is made for the guest `name`.
pub fn disk_path(name: &str) -> String {
    format!("{DIRECTORY}/{name}.qcow2")
}

/// The disc with its first settings.
pub fn seed_path(name: &str) -> String {
    format!("{DIRECTORY}/{name}-seed.iso")
}

/// A disk that is made for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewDisk {
    /// A copy of an image, so that neither depends on the other.
    Copy {
        /// Absolute path of the image.
        from: String,
        /// What it is.
        image: Image,
        /// How large the disk becomes, in bytes; as large as the image's if left out.
        size: Option<u64>,
    },
    /// An empty disk of so many bytes.
    Empty(u64),
}

/// What is made for a guest before it is defined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Making {
    /// Its disk, at [`disk_path`].
    pub disk: Option<NewDisk>,
    /// Its first settings, at [`seed_path`].
    pub seed: Option<Seed>,
}

/// Smaller than any system that boots by UEFI.
const LEAST: u64 = 64 << 20;

/// Plans how `guest` comes to be. `exists`: there is a domain of its name.
///
/// # Errors
/// Every refusal.
pub fn define(guest: &Guest, making: &Making, exists: bool) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let name = &guest.name;
    if exists {
        refusals.push(refusal(
            "guest.exists",
            format!("There is a guest {name} already."),
            format!(
                "Choose another name, or change that one: sudo passthru vm edit {}",
                word(name)
            ),
        ));
    }
    let mut changes = Vec::new();
    if let Some(disk) = &making.disk {
        match disk_commands(disk, &disk_path(name)) {
            Ok(argv) => changes.push(Change::Make {
                path: disk_path(name),
                argv,
                why: match disk {
                    NewDisk::Copy { from, .. } => {
                        format!("the guest's disk, a copy of {from}, which stays as it is")
                    }
                    NewDisk::Empty(_) => "an empty disk to install to".to_string(),
                },
            }),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if let Some(seed) = &making.seed {
        changes.push(Change::Disc {
            path: seed_path(name),
            volume: seed::VOLUME.into(),
            files: vec![
                ("meta-data".into(), seed.meta_data()),
                ("user-data".into(), seed.user_data()),
            ],
            why: "what cloud-init sets up when the guest starts for the first time".into(),
        });
    }
    changes.push(Change::Domain {
        name: name.clone(),
        before: None,
        after: Some(domain(guest)),
        why: "the guest itself; it is not started".into(),
    });
    if guest.autostart {
        changes.push(Change::Run {
            argv: [
                "virsh",
                "--connect",
                "qemu:///system",
                "autostart",
                &format!("--domain={name}"),
            ]
            .map(Into::into)
            .to_vec(),
            // It goes with the domain.
            undo: None,
            outputs: Vec::new(),
            family: None,
            anew: None,
            once: false,
            expect: Vec::new(),
            why: "it starts with the host".into(),
        });
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut plan = Plan::of_guest(name, changes, guest.notes.clone());
    if matches!(making.disk, Some(NewDisk::Copy { .. })) && making.seed.is_none() {
        plan.notices.extend(no_user(guest.os));
    }
    plan.outcome = outcome(guest);
    Ok(plan)
}

/// Gives the guest that `plan` makes the devices that `edits` ask for beside its card; `edited` is
/// its domain with them.
pub fn with_devices(plan: &mut Plan, guest: &mut Guest, edits: &[Edit], edited: Edited) {
    for change in &mut plan.changes {
        if let Change::Domain { after, .. } = change {
            *after = Some(edited.xml.clone());
        }
    }
    plan.outcome.extend(edits.iter().map(Edit::words));
    guest.notes.extend(edited.notes.iter().cloned());
    plan.notices.extend(edited.notes);
}

/// Commands that make `disk` at `path`. Sizes are bytes: qemu-img's units differ between its versions.
fn disk_commands(disk: &NewDisk, path: &str) -> Result<Vec<Vec<String>>, Refusal> {
    let argv = |words: &[&str]| words.iter().map(|&word| word.into()).collect();
    let too_small = |why: String, way_out: &str| Err(refusal("guest.disk.too-small", why, way_out));
    match disk {
        NewDisk::Empty(size) if *size < LEAST => too_small(
            format!("A disk of {} holds no system.", size::words(*size)),
            "Windows needs 64G, a Linux desktop 20G: --new-disk 64G.",
        ),
        NewDisk::Empty(size) => Ok(vec![argv(&[
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            path,
            &size.to_string(),
        ])]),
        NewDisk::Copy { image, size, .. } if size.is_some_and(|size| size < image.size) => {
            too_small(
                format!(
                    "The image holds a disk of {}, which cannot become smaller.",
                    size::words(image.size)
                ),
                "Ask for more with --disk-size, or leave it out.",
            )
        }
        NewDisk::Copy { from, image, size } => {
            let mut commands = vec![argv(&[
                "qemu-img",
                "convert",
                "-f",
                image.format.name(),
                "-O",
                "qcow2",
                from,
                path,
            ])];
            if let Some(size) = size.filter(|size| *size > image.size) {
                let size = size.to_string();
                commands.push(argv(&[
                    "qemu-img", "resize", "-q", "-f", "qcow2", path, &size,
                ]));
            }
            Ok(commands)
        }
    }
}

/// Images for clouds have a user only if one is asked for (cloud-init).
fn no_user(os: Os) -> Option<Notice> {
    (os == Os::Linux).then(|| Notice {
        id: "guest.image.no-user".into(),
        text: "A cloud image has no user of its own: without --seed-user and --ssh-key nobody can \
               log in."
            .into(),
    })
}

/// What the guest will be, in statements.
fn outcome(guest: &Guest) -> Vec<String> {
    let mut list = Vec::new();
    let topology = guest.topology;
    let cpus = topology.sockets * topology.dies * topology.cores * topology.threads;
    let pinned = match &guest.pinning {
        Some(_) => ", pinned (passthru vm pin shows where)",
        None => ", not pinned",
    };
    list.push(format!(
        "it has {cpus} CPUs{pinned} and {} of memory{}",
        size::words(guest.memory_kib << 10),
        if guest.memory.is_some() {
            " in huge pages"
        } else {
            ""
        }
    ));
    for slot in &guest.slots {
        let functions: Vec<String> = slot
            .functions
            .iter()
            .map(|function| function.host.to_string())
            .collect();
        list.push(format!(
            "it owns {} while it runs, in one slot",
            functions.join(", ")
        ));
    }
    list.push(match &guest.network {
        Network::Default => {
            "it is behind libvirt's network default; the host reaches it by its address".into()
        }
        Network::Bridge(bridge) => format!("it is a machine of the network behind {bridge}"),
        Network::None => "it has no network".into(),
    });
    if guest.os == Os::Windows11 {
        list.push(
            "it has what the installer of Windows 11 asks for: Secure Boot and a TPM 2.0".into(),
        );
    }
    list
}
