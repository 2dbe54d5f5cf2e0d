//! A real Debian for a guest: the second disk of a host that runs libvirt.
//!
//! A cloud image as Debian's own are (cloud-init, OpenSSH, an EFI boot loader at the removable path),
//! made here because a guest inside an emulated host is slow: whatever only costs time is left out.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::command;
use crate::debian::{text, write};
use crate::error::Result;
use crate::recipe::Text;

/// The disk's serial number, and so its name in the host: `/dev/disk/by-id/virtio-guest`.
pub const SERIAL: &str = "guest";

const SUITE: &str = "trixie";

/// The kernel is the one for every machine: the one for clouds has neither graphics nor sound drivers, so no
/// guest with a card would use it.
const PACKAGES: [&str; 16] = [
    "linux-image-amd64",
    "initramfs-tools",
    "systemd",
    "systemd-sysv",
    "systemd-boot-efi",
    "systemd-resolved",
    "udev",
    "dbus",
    "kmod",
    "zstd",
    "e2fsprogs",
    "iproute2",
    "cloud-init",
    "openssh-server",
    "sudo",
    "pciutils",
];

/// What must be there before the packages: the initramfs is made only once, with what this disk needs, and
/// what the seed needs, for which cloud-init does not wait.
const BEFORE: [Text; 2] = [
    (
        "etc/initramfs-tools/conf.d/lab",
        0o644,
        "MODULES=list\nBUSYBOX=no\n",
    ),
    (
        "etc/initramfs-tools/hooks/lab",
        0o755,
        "#!/bin/sh
[ \"$1\" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk ext4 ahci sr_mod
",
    ),
];

const FILES: [Text; 4] = [
    (
        "etc/fstab",
        0o644,
        "LABEL=guest / ext4 errors=remount-ro 0 1\n",
    ),
    ("etc/hostname", 0o644, "unset\n"),
    (
        "etc/cloud/cloud.cfg.d/50_lab.cfg",
        0o644,
        include_str!("../image/guest-cloud.cfg"),
    ),
    (
        "etc/systemd/system.conf.d/lab.conf",
        0o644,
        "[Manager]\nDefaultTimeoutStopSec=30s\n",
    ),
];

/// Units that would only cost time.
const MASKED: [&str; 9] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-firstboot.service",
    "systemd-networkd-wait-online.service",
    "getty@tty1.service",
];

/// After the packages; `$1` is the tree. What a cloud image is without, too: keys of the server and an
/// identity, which the first boot makes.
const CUSTOMIZE: &str = "set -e
rm -f \"$1\"/etc/ssh/ssh_host_*
: >\"$1/etc/machine-id\"
rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/*.bin \"$1\"/usr/share/i18n
chroot \"$1\" systemctl -q enable systemd-networkd.service ssh.service";

/// The boot loader starts the only entry at once. As on the hosts, no console goes to a card.
const LOADER: &str = "timeout 0\ndefault debian.conf\neditor no\n";
const ENTRY: &str = "title Debian\nlinux /vmlinuz\ninitrd /initrd.img
options root=LABEL=guest ro console=ttyS0,115200 drm_kms_helper.fbdev_emulation=0 quiet\n";

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// First byte of the EFI system partition, of the root file system, and of what is after that: the
/// table's copy needs the end.
const ESP: u64 = MIB;
const ROOT: u64 = 97 * MIB;
const END: u64 = SIZE - MIB;
const SIZE: u64 = 1024 * MIB;

/// Everything that determines the disk.
pub fn parts() -> [String; 3] {
    [
        include_str!("guest_system.rs"),
        include_str!("debian.rs"),
        include_str!("../image/guest-cloud.cfg"),
    ]
    .map(str::to_owned)
}

/// The guest's disk of a host: a layered file beside the host's own.
pub fn beside(disk: &Path) -> PathBuf {
    let mut name = OsString::from(disk);
    name.push(".guest");
    name.into()
}

/// Debian from the default mirror into a folder.
pub fn bootstrap(root: &Path) -> Result<()> {
    // mmdebstrap takes an existing folder if it is empty but for lost+found, so files come by hooks.
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
    for (path, mode, text) in BEFORE {
        let folder = Path::new(path).parent().ok_or("a file has a folder")?;
        arguments.push(format!(
            "--setup-hook=mkdir -p \"$1/{}\" && printf %s '{text}' >\"$1/{path}\" && chmod {mode:o} \"$1/{path}\"",
            folder.display(),
        ));
    }
    arguments.push(format!("--customize-hook={CUSTOMIZE}"));
    arguments.push(format!("--include={}", PACKAGES.join(",")));
    arguments.push(SUITE.to_owned());
    arguments.push(text(root)?.to_owned());
    command::run("mmdebstrap", arguments)?;
    Ok(())
}

/// The tree as a disk that EFI firmware boots.
pub fn assemble(root: &Path, raw: &Path) -> Result<()> {
    for (path, mode, text) in FILES {
        write(&root.join(path), mode, text)?;
    }
    for unit in MASKED {
        symlink("/dev/null", root.join("etc/systemd/system").join(unit))?;
    }
    fs::File::create_new(raw)?.set_len(SIZE)?;
    command::run(
        "mke2fs",
        [
            "-qF",
            "-text4",
            "-Lguest",
            "-E",
            &format!("offset={ROOT},lazy_itable_init=1"),
            "-d",
            text(root)?,
            text(raw)?,
            &format!("{}k", (END - ROOT) / 1024),
        ],
    )?;
    let sectors =
        |from: u64, to: u64| format!("start={}, size={}", from / SECTOR, (to - from) / SECTOR);
    let table = format!(
        "label: gpt\n{}, type=uefi\n{}, type=linux\n",
        sectors(ESP, ROOT),
        sectors(ROOT, END)
    );
    command::feed("sfdisk", ["-q", text(raw)?], &table)?;
    command::run(
        "mkfs.vfat",
        [
            "-F32",
            // One sector is one cluster: FAT32 must have many.
            "-s1",
            "-nGUEST",
            &format!("--offset={}", ESP / SECTOR),
            text(raw)?,
            &format!("{}", (ROOT - ESP) / 1024),
        ],
    )?;
    let at = format!("{}@@{ESP}", text(raw)?);
    let folders = ["::EFI", "::EFI/BOOT", "::loader", "::loader/entries"];
    command::run("mmd", [["-i", &at].as_slice(), &folders].concat())?;
    let room = tempfile::tempdir()?;
    for (name, to, text) in [
        ("loader.conf", "::loader/loader.conf", LOADER),
        ("debian.conf", "::loader/entries/debian.conf", ENTRY),
    ] {
        let file = room.path().join(name);
        fs::write(&file, text)?;
        copy(&at, &file, to)?;
    }
    let loader = root.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    copy(&at, &loader, "::EFI/BOOT/BOOTX64.EFI")?;
    // The links in the root folder name the kernel that is installed.
    for name in ["vmlinuz", "initrd.img"] {
        copy(&at, &root.join(name), &format!("::{name}"))?;
    }
    Ok(())
}

fn copy(at: &str, file: &Path, to: &str) -> Result<()> {
    let words = [
        OsStr::new("-i"),
        OsStr::new(at),
        file.as_os_str(),
        OsStr::new(to),
    ];
    command::run("mcopy", words)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_do_not_overlap() {
        const { assert!(ESP < ROOT && ROOT < END) };
        // 33 sectors of the table's copy.
        const { assert!(END + 33 * SECTOR <= SIZE) };
        for start in [ESP, ROOT, END] {
            assert_eq!(start % MIB, 0);
        }
    }

    #[test]
    fn hooks_take_these_texts() {
        for (path, _, text) in BEFORE {
            assert!(!text.contains('\''), "{path}");
        }
    }

    #[test]
    fn the_disk_lies_beside_the_hosts() {
        let disk = beside(Path::new("/room/disk.qcow2"));
        assert_eq!(disk, Path::new("/room/disk.qcow2.guest"));
    }
}
