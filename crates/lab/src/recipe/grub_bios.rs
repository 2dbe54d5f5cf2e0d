//! GRUB on BIOS, initramfs-tools.

use super::{Firmware, Loader, Recipe, small_initramfs};

/// GRUB on BIOS, initramfs-tools.
pub static GRUB_BIOS: Recipe = Recipe {
    name: "base",
    firmware: Firmware::Bios,
    loader: Loader::Grub,
    packages: &["initramfs-tools", "grub-pc"],
    // Without it GRUB's package asks which disk to install to.
    answers: &["grub-pc grub-pc/install_devices_empty boolean true"],
    customize: None,
    files: &[
        (
            "etc/default/grub",
            0o644,
            include_str!("../../image/default-grub"),
        ),
        (
            "boot/grub/grub.cfg",
            0o644,
            include_str!("../../image/grub-first.cfg"),
        ),
    ],
    prepare: concat!(
        small_initramfs!(),
        "
mkdir -p /boot/grub/i386-pc
cp -r /usr/lib/grub/i386-pc/. /boot/grub/i386-pc
grub-editenv /boot/grub/grubenv create
grub-mkimage --format=i386-pc '--prefix=(hd0,msdos1)/boot/grub' \\
    --output=/boot/grub/i386-pc/core.img biosdisk part_msdos ext2"
    ),
    first_boot: "update-initramfs -u -k all
update-grub
sync",
    regenerate: &["update-initramfs -u -k all", "update-grub"],
    regenerated: &["/boot/initrd.img-", "/var/lib/initramfs-tools/"],
};
