//! systemd-boot with entries that kernel-install writes, initramfs-tools, two kernels.

use super::{Firmware, Loader, Recipe, small_initramfs};

/// systemd-boot with entries that kernel-install writes, initramfs-tools, two kernels.
pub static SYSTEMD_BOOT: Recipe = Recipe {
    name: "base-systemd-boot",
    firmware: Firmware::Efi,
    loader: Loader::SystemdBoot,
    packages: &["initramfs-tools", "systemd-boot", "linux-image-rt-amd64"],
    answers: &[],
    files: &[],
    prepare: small_initramfs!(),
    // As the package does it on a host that runs. The hook of update-initramfs copies every kernel.
    first_boot: "bootctl install --make-machine-id-directory=auto
update-initramfs -u -k all
sync",
    regenerate: &["update-initramfs -u -k all"],
    regenerated: &[
        "/boot/initrd.img-",
        "/boot/efi/",
        "/var/lib/initramfs-tools/",
    ],
};
