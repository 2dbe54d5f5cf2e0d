//! Builds the disks of the hosts, and keeps them by what determines them.
//!
//! One Debian is bootstrapped, given GRUB, and booted once to make its own initramfs and menu.
//! Every host is a layer on it: first the disk of a host that is off, with its manifest; then, where
//! QEMU can save the machine, a second layer with the state of the booted host, so that a scenario
//! starts within a second.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Result};
use crate::host::{self, Host};
use crate::machine::{self, Console, INITRAMFS, KERNEL, Machine, Parts, Start};
use crate::manifest::Manifest;
use crate::recipe::{Firmware, NESTED};
use crate::report::Report;
use crate::{command, debian, efi, guest_system, partitions, payload};

/// A file that tells one build of a folder from another. A layer fits only the very disk that it was
/// made on, so the identity below is part of the name of what lies above.
const IDENTITY: &str = "identity";

/// The disks of one host.
pub struct HostImage {
    /// The disk that a scenario layers its own on.
    pub disk: PathBuf,
    /// The state to go on from, where there is one; otherwise the host boots.
    pub state: Option<PathBuf>,
    /// The host's files before anything happened.
    pub manifest: Manifest,
}

/// The cache of disks.
pub struct Images<'a> {
    folder: PathBuf,
    qemu: String,
    accelerator: String,
    report: &'a Report,
}

impl<'a> Images<'a> {
    /// Opens the cache.
    pub fn new(qemu: &str, accelerator: &str, report: &'a Report) -> Result<Self> {
        let folder = cache()?;
        fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
        Ok(Self {
            folder,
            qemu: qemu.to_owned(),
            accelerator: accelerator.to_owned(),
            report,
        })
    }

    /// QEMU's `-accel`.
    pub fn accelerator(&self) -> &str {
        &self.accelerator
    }

    /// The disks of a host, built if they are not there.
    pub fn host(&self, host: &Host) -> Result<HostImage> {
        let folder = self.host_folder(host)?;
        let state = Some(folder.join("state")).filter(|state| state.exists());
        let disk = if state.is_some() {
            "running.qcow2"
        } else {
            "disk.qcow2"
        };
        let manifest = fs::read_to_string(folder.join("manifest"))?;
        Ok(HostImage {
            disk: folder.join(disk),
            state,
            manifest: Manifest::from_text(&manifest),
        })
    }

    fn host_folder(&self, host: &Host) -> Result<PathBuf> {
        // A host that needs its own command line is made on the first one, which writes it.
        let below = if host.words.is_empty() {
            self.base(host)?
        } else {
            self.host_folder(&host::HOSTS[0])?
        };
        let identity = fs::read_to_string(below.join(IDENTITY))?;
        let definition = host.arguments(&self.accelerator).join(" ");
        let mut parts = vec![identity.as_str(), &self.qemu, &definition, host.words];
        let guest = self.guest(host)?;
        if let Some((_, identity)) = &guest {
            parts.push(identity);
        }
        let key = key(&parts);
        self.keep(&format!("host-{}-{key}", host.name), |room| {
            self.report.begin(&format!("image {}", host.name));
            if let Some((disk, _)) = &guest {
                let above = guest_system::beside(&room.join("disk.qcow2"));
                overlay(disk, &above)?;
            }
            self.build_host(host, &below, room)
        })
    }

    /// The disk with a guest's system and its identity, for a host that has one.
    fn guest(&self, host: &Host) -> Result<Option<(PathBuf, String)>> {
        if !host.guest {
            return Ok(None);
        }
        let parts = guest_system::parts();
        let key = key(&parts.each_ref().map(String::as_str));
        let folder = self.keep(&format!("guest-{key}"), |room| {
            self.report.begin("image of a guest");
            let root = room.join("root");
            self.report
                .phase("bootstrap Debian", || guest_system::bootstrap(&root))?;
            self.report.phase("make the disk", || {
                let raw = room.join("disk.raw");
                guest_system::assemble(&root, &raw)?;
                fs::remove_dir_all(&root)?;
                convert(&raw, &room.join("disk.qcow2"))?;
                Ok(fs::remove_file(&raw)?)
            })
        })?;
        let identity = fs::read_to_string(folder.join(IDENTITY))?;
        Ok(Some((folder.join("disk.qcow2"), identity)))
    }

    /// The folder of a disk with the host's Debian that has been booted once and is off.
    fn base(&self, host: &Host) -> Result<PathBuf> {
        let recipe = host.recipe;
        let parts = recipe.parts();
        let guest = self.guest(host)?;
        let key = key(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        self.keep(&format!("{}-{key}", recipe.name), |room| {
            self.report.begin(&format!("image {}", recipe.name));
            let root = room.join("root");
            self.report
                .phase("bootstrap Debian", || debian::bootstrap(recipe, &root))?;
            let disk = room.join("disk.qcow2");
            self.report.phase("make the disk", || {
                debian::furnish(recipe, &root)?;
                let raw = room.join("disk.raw");
                partitions::assemble(recipe.firmware, &root, &raw)?;
                for file in [KERNEL, INITRAMFS] {
                    fs::copy(root.join(file), room.join(file))?;
                }
                fs::remove_dir_all(&root)?;
                convert(&raw, &disk)?;
                Ok(fs::remove_file(&raw)?)
            })?;
            if let Some((guest, _)) = &guest {
                overlay(guest, &guest_system::beside(&disk))?;
            }
            // GRUB is on a BIOS disk already; an EFI loader is installed by the host itself.
            let start = match recipe.firmware {
                Firmware::Bios => Start::Boot,
                Firmware::Efi => {
                    efi::provide(&disk)?;
                    Start::Kernel(room)
                }
            };
            let mut machine = self
                .report
                .phase("first boot", || self.start(host, &disk, room, &start))?;
            self.report.phase("make initramfs and boot menu", || {
                let script = format!("{NESTED}{}", recipe.first_boot);
                machine.agent.succeed(&script, Duration::from_secs(900))
            })?;
            for file in [KERNEL, INITRAMFS] {
                fs::remove_file(room.join(file))?;
            }
            self.report.phase("power off", || machine.power_off())
        })
    }

    fn build_host(&self, host: &Host, below: &Path, room: &Path) -> Result<()> {
        let disk = room.join("disk.qcow2");
        if host.words.is_empty() {
            layer(&below.join("disk.qcow2"), &disk)?;
        } else {
            // The host itself may not boot well without these words, so the first one writes them.
            let other = &host::HOSTS[0];
            let image = self.host(other)?;
            layer(&image.disk, &disk)?;
            let start = image.state.as_deref().map_or(Start::Boot, Start::Saved);
            let mut machine = self.start(other, &disk, room, &start)?;
            self.report.phase("change the kernel command line", || {
                let script = format!(
                    "sed -i 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=\"{}\"/' \
                     /etc/default/grub && update-grub && sync",
                    host.words
                );
                machine.agent.succeed(&script, Duration::from_secs(300))
            })?;
            self.report.phase("power off", || machine.power_off())?;
        }
        let manifest = self.report.phase("read every file", || {
            Manifest::of_disk(host.recipe.firmware, &disk, room)
        })?;
        fs::write(room.join("manifest"), manifest.to_text())?;
        if host.can_be_saved() {
            // A relative backing file: the folder gets its final name only when it is complete.
            let running = room.join("running.qcow2");
            layer(Path::new("disk.qcow2"), &running)?;
            let machine = self
                .report
                .phase("boot", || self.start(host, &running, room, &Start::Boot))?;
            let state = room.join("state");
            if let Err(error) = self
                .report
                .phase("save the machine", || machine.save(&state))
            {
                // Scenarios take longer without it, and work.
                self.report
                    .say(&format!("   {}: not saved: {error}", host.name));
                let _ = fs::remove_file(&state);
                fs::remove_file(&running)?;
            }
        }
        Ok(())
    }

    fn start(&self, host: &Host, disk: &Path, room: &Path, start: &Start<'_>) -> Result<Machine> {
        let payload = room.join("payload");
        payload::write(&payload, &[])?;
        self.report.watch(Some(room.join(machine::CONSOLE)));
        let accelerator = &self.accelerator;
        let parts = Parts {
            host,
            disk,
            payload: &payload,
            folder: room,
            accelerator,
        };
        Machine::start(&parts, start, Console::Log)
    }

    /// Makes a folder of the cache unless it is there; a half-made one never gets its name.
    fn keep(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
        // One at a time builds; whoever waited may find it built.
        let lock = File::create(self.folder.join("lock"))?;
        if lock.try_lock().is_err() {
            self.report
                .say("   waiting for another lab that builds disks");
            lock.lock()?;
            if folder.is_dir() {
                return Ok(folder);
            }
        }
        let room = self.folder.join("new");
        if room.exists() {
            fs::remove_dir_all(&room)?;
        }
        fs::create_dir(&room)?;
        let made = make(&room).context(|| {
            format!(
                "building {name} (what is there so far is kept in {})",
                room.display()
            )
        });
        self.report.watch(None);
        made?;
        let identity = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        fs::write(room.join(IDENTITY), identity)?;
        fs::rename(&room, &folder)?;
        Ok(folder)
    }
}

/// Where disks are kept: `PASSTHRU_LAB_CACHE`, or a folder in the user's cache.
pub fn cache() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("PASSTHRU_LAB_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("passthru-lab")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/passthru-lab")))
        .ok_or_else(|| "no place for disks: set PASSTHRU_LAB_CACHE".into())
}

/// A new qcow2 layer on a disk, and one on its EFI variables and on its guest's disk if it has any. A
/// relative base is beside the disk.
pub fn layer(base: &Path, disk: &Path) -> Result<()> {
    overlay(base, disk)?;
    for beside in [efi::variables, guest_system::beside] {
        let (below, above) = (beside(base), beside(disk));
        if disk.with_file_name(&below).exists() && !above.exists() {
            overlay(&below, &above)?;
        }
    }
    Ok(())
}

/// A new qcow2 layer on one file.
fn overlay(base: &Path, file: &Path) -> Result<()> {
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"].map(OsStr::new);
    let files = [base.as_os_str(), file.as_os_str()];
    command::run("qemu-img", arguments.into_iter().chain(files))?;
    Ok(())
}

fn convert(raw: &Path, disk: &Path) -> Result<()> {
    let arguments = ["convert", "-f", "raw", "-O", "qcow2"].map(OsStr::new);
    command::run(
        "qemu-img",
        arguments
            .into_iter()
            .chain([raw.as_os_str(), disk.as_os_str()]),
    )?;
    Ok(())
}

/// The first 16 digits of a checksum over all parts.
fn key(parts: &[&str]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    sum.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_where_a_part_ends() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]).len(), 16);
    }
}
