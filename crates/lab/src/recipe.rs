//! The recipes of the disks: what a Debian with one boot stack is made of, as data.
//!
//! The recipe is part of the cache's key: whatever changes here makes new disks.

mod grub_bios;
mod grub_efi;
mod libvirt;
mod probing;
mod systemd_boot;
mod uki;

pub use grub_bios::GRUB_BIOS;
pub use grub_efi::GRUB_EFI_DRACUT;
pub use libvirt::LIBVIRT;
pub use probing::PROBING;
pub use systemd_boot::SYSTEMD_BOOT;
pub use uki::UKI;

/// A Debian with one boot stack.
#[derive(Debug)]
pub struct Recipe {
    /// Its name in the cache.
    pub name: &'static str,
    /// What starts the boot loader, and so how the disk is laid out.
    pub firmware: Firmware,
    /// The boot loader whose menu is used.
    pub loader: Loader,
    /// Packages of the stack, beyond [`PACKAGES`].
    pub packages: &'static [&'static str],
    /// Answers to questions of packages.
    pub answers: &'static [&'static str],
    /// A shell script of mmdebstrap's, after the packages: `$1` is the tree.
    pub customize: Option<&'static str>,
    /// Files of the stack, beyond [`FILES`].
    pub files: &'static [Text],
    /// Done in the tree (`chroot`), before there is a disk.
    pub prepare: &'static str,
    /// Done in the first boot: what only a running host can do for itself.
    pub first_boot: &'static str,
    /// Makes everything again that the stack generates; not a part of the disk.
    pub regenerate: &'static [&'static str],
    /// Beginnings of paths that then differ from before.
    pub regenerated: &'static [&'static str],
}

/// The firmware of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS: GRUB in front of the only partition.
    Bios,
    /// OVMF: an EFI system partition, and a store of variables that belongs to the disk.
    Efi,
}

/// A boot loader with a menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// GRUB with its generated menu.
    Grub,
    /// systemd-boot, with entries or with unified kernel images.
    SystemdBoot,
}

/// A text file of the image: path without the leading slash, mode, text.
pub type Text = (&'static str, u32, &'static str);

/// What every Debian of the lab is made of, beyond apt and what that needs.
pub const PACKAGES: [&str; 13] = [
    "linux-image-amd64",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "zstd",
    "e2fsprogs",
    "pciutils",
    "iproute2",
    // For the nested guest.
    "busybox-static",
    "qemu-system-x86",
    "login",
];

/// Files of every image.
pub const FILES: [Text; 7] = [
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
    ("etc/hostname", 0o644, "lab\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n127.0.1.1 lab\n"),
];

/// Units that would only cost time.
pub const MASKED: [&str; 6] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-firstboot.service",
];

/// Every first boot begins with the nested guest's initramfs.
pub const NESTED: &str = "set -e
room=$(mktemp -d)
mkdir $room/bin $room/sys
cp /usr/local/lib/lab/nested-init $room/init
cp /bin/busybox $room/bin/busybox
ln -s busybox $room/bin/sh
(cd $room && find . | busybox cpio -o -H newc) >/usr/local/lib/lab/nested.cpio
rm -r $room
";

/// The kernel's words on every host: both consoles, and none on a card (see the README).
pub const WORDS: &str = "console=tty0 console=ttyS0,115200 drm_kms_helper.fbdev_emulation=0";

/// Only what the root disk needs: the image is made on the machine that it is for.
macro_rules! small_initramfs {
    () => {
        "grep -qx MODULES=most /etc/initramfs-tools/initramfs.conf
sed -i s/^MODULES=most$/MODULES=dep/ /etc/initramfs-tools/initramfs.conf"
    };
}
use small_initramfs;

impl Recipe {
    /// Everything that determines the disk.
    pub fn parts(&self) -> Vec<String> {
        let mut parts = vec![
            format!("{:?} {:?} {:?}", self.firmware, self.packages, self.answers),
            format!("{:?} {:?}", self.customize, self.files),
            format!("{PACKAGES:?} {MASKED:?}"),
        ];
        parts.extend([self.prepare, self.first_boot, NESTED, WORDS].map(str::to_owned));
        parts.extend(FILES.iter().map(|file| format!("{file:?}")));
        // How it is put together.
        parts.push(include_str!("debian.rs").to_owned());
        parts.push(include_str!("partitions.rs").to_owned());
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_told_apart() {
        let all = [
            &GRUB_BIOS,
            &GRUB_EFI_DRACUT,
            &SYSTEMD_BOOT,
            &UKI,
            &LIBVIRT,
            &PROBING,
        ];
        for (number, one) in all.iter().enumerate() {
            for other in &all[..number] {
                assert_ne!(one.name, other.name);
                assert_ne!(one.parts(), other.parts());
            }
        }
    }
}
