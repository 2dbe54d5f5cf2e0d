//! GRUB on EFI, dracut.

use super::{Firmware, Loader, Recipe};

/// GRUB on EFI, dracut.
pub static GRUB_EFI_DRACUT: Recipe = Recipe {
    name: "base-efi-dracut",
    firmware: Firmware::Efi,
    loader: Loader::Grub,
    packages: &["dracut", "grub-efi-amd64", "efibootmgr", "dosfstools"],
    answers: &[],
    customize: None,
    files: &[(
        "etc/default/grub",
        0o644,
        include_str!("../../image/default-grub"),
    )],
    prepare: "",
    first_boot: "grub-install --target=x86_64-efi --efi-directory=/boot/efi
dracut --force --regenerate-all
update-grub
sync",
    regenerate: &["dracut --force --regenerate-all", "update-grub"],
    regenerated: &["/boot/initrd.img-"],
};
