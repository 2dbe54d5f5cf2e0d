//! GRUB on BIOS, initramfs-tools, libvirt, and what looks at every disk: udisks and os-prober.

use super::{GRUB_BIOS, Recipe};

/// GRUB on BIOS, initramfs-tools, libvirt, and what looks at every disk: udisks and os-prober.
pub static PROBING: Recipe = Recipe {
    name: "base-probing",
    firmware: GRUB_BIOS.firmware,
    loader: GRUB_BIOS.loader,
    packages: &[
        "initramfs-tools",
        "grub-pc",
        "libvirt-daemon-system",
        "libvirt-clients",
        "qemu-utils",
        "ovmf",
        "udisks2",
        "os-prober",
        // os-prober mounts with it.
        "grub2-common",
        "mount",
    ],
    answers: GRUB_BIOS.answers,
    customize: None,
    files: GRUB_BIOS.files,
    prepare: GRUB_BIOS.prepare,
    first_boot: GRUB_BIOS.first_boot,
    regenerate: GRUB_BIOS.regenerate,
    regenerated: GRUB_BIOS.regenerated,
};
