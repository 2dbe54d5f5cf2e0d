//! systemd-boot with entries that kernel-install writes, initramfs-tools, two kernels.

use super::{Firmware, Loader, Recipe, small_initramfs};

/// The newest of the kernels before the current one. Where the archive has none, the real-time kernel;
/// it shows no EFI variables. Only apt outside the tree reaches the mirror.
const SECOND_KERNEL: &str = "set -e
current=$(ls \"$1/boot\" | sed -n s/^vmlinuz-//p)
second=$(chroot \"$1\" apt-cache search --names-only '^linux-image-[0-9.]+[+]deb[0-9.]+-amd64$' |
    cut -d' ' -f1 | grep -vx \"linux-image-$current\" | sort -V | tail -n 1)
: ${second:=linux-image-rt-amd64}
APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get install --yes -qq --download-only $second
chroot \"$1\" apt-get install --yes -qq --no-download $second";

/// systemd-boot with entries that kernel-install writes, initramfs-tools, two kernels.
pub static SYSTEMD_BOOT: Recipe = Recipe {
    name: "base-systemd-boot",
    firmware: Firmware::Efi,
    loader: Loader::SystemdBoot,
    packages: &["initramfs-tools", "systemd-boot", "dosfstools"],
    answers: &[],
    customize: Some(SECOND_KERNEL),
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
