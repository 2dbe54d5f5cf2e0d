//! Builds the disks of the hosts, and keeps them by what determines them.
//!
//! One Debian is bootstrapped, given GRUB, and booted once to make its own initramfs and menu.
//! Every host is a layer on it: first the disk of a host that is off, with its manifest; then, where
//! QEMU can save the machine, a second layer with the state of the booted host, so that a scenario
//! starts within a second.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Result};
use crate::host::{self, Host};
use crate::machine::{Console, Machine, Parts, Start};
use crate::manifest::Manifest;
use crate::report::Report;
use crate::{command, ensure, payload};

/// Where the only partition starts: the usual place, with room for GRUB before it.
pub const PARTITION_OFFSET: u64 = 1 << 20;

const DISK_SIZE: u64 = 2 << 30;
const SECTOR: u64 = 512;
const SUITE: &str = "trixie";
const FILE_SYSTEM: &str = "1ab00000-0000-4000-8000-000000000001";

/// What Debian is made of, beyond apt and what that needs.
const PACKAGES: [&str; 15] = [
    "linux-image-amd64",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "initramfs-tools",
    "zstd",
    "grub-pc",
    "e2fsprogs",
    "pciutils",
    "iproute2",
    // For the nested guest.
    "busybox-static",
    "qemu-system-x86",
    "login",
];

/// Files of the image: path, mode, text.
const FILES: [(&str, u32, &str); 8] = [
    (
        "usr/local/lib/lab/agent",
        0o755,
        include_str!("../image/agent.sh"),
    ),
    (
        "usr/local/lib/lab/nested-init",
        0o755,
        include_str!("../image/nested-init.sh"),
    ),
    (
        "etc/systemd/system/lab-agent.service",
        0o644,
        include_str!("../image/lab-agent.service"),
    ),
    (
        "etc/systemd/system/serial-getty@ttyS0.service.d/lab.conf",
        0o644,
        include_str!("../image/serial-getty.conf"),
    ),
    (
        "etc/default/grub",
        0o644,
        include_str!("../image/default-grub"),
    ),
    (
        "boot/grub/grub.cfg",
        0o644,
        include_str!("../image/grub-first.cfg"),
    ),
    ("etc/hostname", 0o644, "lab\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n127.0.1.1 lab\n"),
];

/// Units that would only cost time.
const MASKED: [&str; 6] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-firstboot.service",
];

/// Done in the first boot: what only a running host can do for itself.
const FIRST_BOOT: &str = "set -e
room=$(mktemp -d)
mkdir $room/bin $room/sys
cp /usr/local/lib/lab/nested-init $room/init
cp /bin/busybox $room/bin/busybox
ln -s busybox $room/bin/sh
(cd $room && find . | busybox cpio -o -H newc) >/usr/local/lib/lab/nested.cpio
rm -r $room
update-initramfs -u -k all
update-grub
sync";

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
    _lock: File,
}

impl<'a> Images<'a> {
    /// Opens the cache and keeps others from building in it meanwhile.
    pub fn new(qemu: &str, accelerator: &str, report: &'a Report) -> Result<Self> {
        let folder = cache()?;
        fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
        let lock = File::create(folder.join("lock"))?;
        if lock.try_lock().is_err() {
            report.say("   waiting for another lab that uses the same cache");
            lock.lock()?;
        }
        Ok(Self {
            folder,
            qemu: qemu.to_owned(),
            accelerator: accelerator.to_owned(),
            report,
            _lock: lock,
        })
    }

    /// QEMU's `-accel`.
    pub fn accelerator(&self) -> &str {
        &self.accelerator
    }

    /// The disks of a host, built if they are not there.
    pub fn host(&self, host: &Host) -> Result<HostImage> {
        let base = self.base()?;
        let definition = host.arguments(&self.accelerator).join(" ");
        let key = key(&[&self.base_key(), &self.qemu, &definition, host.words]);
        let name = format!("host-{}-{key}", host.name);
        let folder = self.keep(&name, |room| {
            self.report.begin(&format!("image {}", host.name));
            self.build_host(host, &base, room)
        })?;
        let state = host.can_be_saved().then(|| folder.join("state"));
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

    fn base_key(&self) -> String {
        let mut parts = vec![
            SUITE.to_owned(),
            FIRST_BOOT.to_owned(),
            FILE_SYSTEM.to_owned(),
        ];
        parts.extend(PACKAGES.iter().chain(&MASKED).map(|&word| word.to_owned()));
        parts.extend(FILES.iter().map(|file| format!("{file:?}")));
        parts.push(include_str!("image.rs").to_owned());
        key(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A disk with Debian that has been booted once and is off.
    fn base(&self) -> Result<PathBuf> {
        let name = format!("base-{}", self.base_key());
        let folder = self.keep(&name, |room| {
            self.report.begin("image base");
            let root = room.join("root");
            self.report.phase("bootstrap Debian", || bootstrap(&root))?;
            let disk = room.join("disk.qcow2");
            self.report.phase("make the disk", || {
                furnish(&root)?;
                let raw = room.join("disk.raw");
                assemble(&root, &raw)?;
                fs::remove_dir_all(&root)?;
                convert(&raw, &disk)?;
                Ok(fs::remove_file(&raw)?)
            })?;
            let host = &host::HOSTS[0];
            let mut machine = self
                .report
                .phase("first boot", || self.boot(host, &disk, room, Console::Log))?;
            self.report.phase("make initramfs and boot menu", || {
                machine.agent.succeed(FIRST_BOOT, Duration::from_secs(900))
            })?;
            self.report.phase("power off", || machine.power_off())
        })?;
        Ok(folder.join("disk.qcow2"))
    }

    fn build_host(&self, host: &Host, base: &Path, room: &Path) -> Result<()> {
        let disk = room.join("disk.qcow2");
        layer(base, &disk)?;
        if !host.words.is_empty() {
            let mut machine = self
                .report
                .phase("boot", || self.boot(host, &disk, room, Console::Log))?;
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
        let manifest = self
            .report
            .phase("read every file", || Manifest::of_disk(&disk, room))?;
        fs::write(room.join("manifest"), manifest.to_text())?;
        if host.can_be_saved() {
            // A relative backing file: the folder gets its final name only when it is complete.
            let running = room.join("running.qcow2");
            command::run(
                "qemu-img",
                [
                    OsStr::new("create"),
                    OsStr::new("-qfqcow2"),
                    OsStr::new("-Fqcow2"),
                    OsStr::new("-bdisk.qcow2"),
                    running.as_os_str(),
                ],
            )?;
            let machine = self
                .report
                .phase("boot", || self.boot(host, &running, room, Console::Log))?;
            self.report
                .phase("save the machine", || machine.save(&room.join("state")))?;
        }
        Ok(())
    }

    fn boot(&self, host: &Host, disk: &Path, room: &Path, console: Console) -> Result<Machine> {
        let payload = room.join("payload");
        payload::write(&payload, &[])?;
        self.report.watch(Some(room.join("console.log")));
        let accelerator = &self.accelerator;
        let parts = Parts {
            host,
            disk,
            payload: &payload,
            folder: room,
            accelerator,
        };
        Machine::start(&parts, &Start::Boot, console)
    }

    /// Makes a folder of the cache unless it is there; a half-made one never gets its name.
    fn keep(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.is_dir() {
            return Ok(folder);
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

/// A new qcow2 layer on a disk.
pub fn layer(base: &Path, disk: &Path) -> Result<()> {
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"].map(OsStr::new);
    let files = [base.as_os_str(), disk.as_os_str()];
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

/// Debian into a folder, from the default mirror.
fn bootstrap(root: &Path) -> Result<()> {
    let include = format!("--include={}", PACKAGES.join(","));
    let without = |what: &str| format!("--dpkgopt=path-exclude=/usr/share/{what}/*");
    let mut arguments = [
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        "--quiet",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(["doc", "man", "info", "locale"].map(without));
    // Without it GRUB's package asks which disk to install to.
    arguments.push(
        "--essential-hook=echo grub-pc grub-pc/install_devices_empty boolean true | \
         chroot \"$1\" debconf-set-selections"
            .to_owned(),
    );
    arguments.push(include);
    arguments.push(SUITE.to_owned());
    arguments.push(
        root.to_str()
            .ok_or("the cache's path is not UTF-8")?
            .to_owned(),
    );
    command::run("mmdebstrap", arguments)?;
    Ok(())
}

/// Puts the lab's own files and GRUB's into the tree.
fn furnish(root: &Path) -> Result<()> {
    for (path, mode, text) in FILES {
        write(&root.join(path), mode, text)?;
    }
    write(
        &root.join("etc/fstab"),
        0o644,
        &format!("UUID={FILE_SYSTEM} / ext4 errors=remount-ro 0 1\n"),
    )?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    fs::create_dir_all(units.join("sysinit.target.wants"))?;
    symlink(
        "../lab-agent.service",
        units.join("sysinit.target.wants/lab-agent.service"),
    )?;

    // Only what the root disk needs: the image is made on the machine that it is for.
    let settings = root.join("etc/initramfs-tools/initramfs.conf");
    let text = fs::read_to_string(&settings)?;
    ensure!(
        text.contains("\nMODULES=most\n"),
        "initramfs.conf is not what the lab knows"
    );
    fs::write(
        &settings,
        text.replace("\nMODULES=most\n", "\nMODULES=dep\n"),
    )?;

    let modules = root.join("usr/lib/grub/i386-pc");
    let installed = root.join("boot/grub/i386-pc");
    fs::create_dir_all(&installed)?;
    for file in fs::read_dir(&modules)? {
        let file = file?;
        fs::copy(file.path(), installed.join(file.file_name()))?;
    }
    let root = root.to_str().ok_or("the cache's path is not UTF-8")?;
    command::run(
        "chroot",
        [root, "grub-editenv", "/boot/grub/grubenv", "create"],
    )?;
    command::run(
        "chroot",
        [
            root,
            "grub-mkimage",
            "--format=i386-pc",
            "--prefix=(hd0,msdos1)/boot/grub",
            "--output=/boot/grub/i386-pc/core.img",
            "biosdisk",
            "part_msdos",
            "ext2",
        ],
    )?;
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// A disk with GRUB in front of one ext4 partition, without a loop device.
fn assemble(root: &Path, raw: &Path) -> Result<()> {
    let mut disk = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(raw)?;
    disk.set_len(DISK_SIZE)?;
    let kib = (DISK_SIZE - PARTITION_OFFSET) / 1024;
    command::run(
        "mke2fs",
        [
            OsStr::new("-qF"),
            OsStr::new("-text4"),
            OsStr::new("-Llab"),
            OsStr::new("-U"),
            OsStr::new(FILE_SYSTEM),
            OsStr::new("-E"),
            OsStr::new(&format!("offset={PARTITION_OFFSET},lazy_itable_init=1")),
            OsStr::new("-d"),
            root.as_os_str(),
            raw.as_os_str(),
            OsStr::new(&format!("{kib}k")),
        ],
    )?;
    // GRUB's own defaults: the boot sector loads the image that starts in the next sector, which
    // knows its own length.
    let grub = root.join("boot/grub/i386-pc");
    let mut boot = [0; SECTOR as usize];
    File::open(grub.join("boot.img"))?.read_exact(&mut boot)?;
    boot[440..].copy_from_slice(&partition_table());
    disk.write_all(&boot)?;
    let core = fs::read(grub.join("core.img"))?;
    ensure!(
        core.len() as u64 <= PARTITION_OFFSET - SECTOR,
        "GRUB does not fit before the disk"
    );
    disk.seek(SeekFrom::Start(SECTOR))?;
    disk.write_all(&core)?;
    Ok(())
}

/// The last 72 bytes of the boot sector: disk signature, one bootable Linux partition, magic.
fn partition_table() -> [u8; 72] {
    let mut table = [0; 72];
    table[..4].copy_from_slice(&0x1ab0_1ab0_u32.to_le_bytes());
    let first = PARTITION_OFFSET / SECTOR;
    let count = (DISK_SIZE - PARTITION_OFFSET) / SECTOR;
    let entry = &mut table[6..22];
    entry[0] = 0x80;
    // Cylinders, heads and sectors: "beyond what they can say".
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = 0x83;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    entry[12..].copy_from_slice(&(count as u32).to_le_bytes());
    table[70..].copy_from_slice(&[0x55, 0xaa]);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_where_the_file_system_is() {
        let table = partition_table();
        assert_eq!(table[70..], [0x55, 0xaa]);
        assert_eq!(table[6], 0x80);
        assert_eq!(u32::from_le_bytes(table[14..18].try_into().unwrap()), 2048);
        let sectors = u64::from(u32::from_le_bytes(table[18..22].try_into().unwrap()));
        assert_eq!(sectors * SECTOR + PARTITION_OFFSET, DISK_SIZE);
    }

    #[test]
    fn keys_tell_where_a_part_ends() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]).len(), 16);
    }
}
