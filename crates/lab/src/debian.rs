//! The recipe of the Debian that every host runs: packages, files, boot loader, disk.
//!
//! This file is part of the cache's key: whatever changes here makes new disks.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::error::{Context as _, Result};
use crate::{command, ensure};

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
const FILES: [(&str, u32, &str); 9] = [
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
        "etc/systemd/network/uplink.network",
        0o644,
        include_str!("../image/uplink.network"),
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
pub const FIRST_BOOT: &str = "set -e
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

/// Everything that determines the disk.
pub fn recipe() -> Vec<String> {
    let mut parts = vec![include_str!("debian.rs").to_owned()];
    parts.extend(FILES.iter().map(|(_, _, text)| (*text).to_owned()));
    parts
}

/// Debian into a folder, from the default mirror.
pub fn bootstrap(root: &Path) -> Result<()> {
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
pub fn furnish(root: &Path) -> Result<()> {
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
    for (target, unit) in [
        ("sysinit.target", "/etc/systemd/system/lab-agent.service"),
        (
            "multi-user.target",
            "/usr/lib/systemd/system/systemd-networkd.service",
        ),
    ] {
        let wants = units.join(format!("{target}.wants"));
        fs::create_dir_all(&wants)?;
        let name = Path::new(unit).file_name().ok_or("a unit has a name")?;
        symlink(unit, wants.join(name))?;
    }

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
pub fn assemble(root: &Path, raw: &Path) -> Result<()> {
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
}
