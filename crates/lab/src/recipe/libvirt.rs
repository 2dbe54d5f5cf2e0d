//! GRUB on BIOS, initramfs-tools, and libvirt with its network.

use super::{GRUB_BIOS, Recipe};

/// QEMU's emulation of AMD's SVM ends with a failed assertion when a guest of the host writes CR8
/// while an interrupt waits for it, which OVMF does at every tick of its timer (seen in 10.0;
/// `helper_write_crN` does not take the lock that `cpu_interrupt` wants). So KVM gets to see every such
/// write: the function with which it stops looking returns at once. Nothing else is different.
const EVERY_CR8: &str = "chroot \"$1\" sh -ec '
module=$(echo /lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko.xz)
version=${module#/lib/modules/}
version=${version%%/*}
new=/lib/modules/$version/updates/kvm-amd.ko
mkdir -p ${new%/*}
xz -dc $module >$new
# A signature must be right or absent, and is after the end of what this copies.
objcopy $new
text=$(readelf -SW $new | sed -n \"s/.* [.]text  *PROGBITS  *[0-9a-f]*  *\\\\([0-9a-f]*\\\\) .*/0x\\\\1/p\")
function=$(readelf -sW $new | sed -n \"s/.*: \\\\([0-9a-f]*\\\\) .* FUNC .* svm_update_cr8_intercept$/0x\\\\1/p\")
at=$((text + function))
# After endbr64 and the call for ftrace.
dd if=$new bs=1 skip=$at count=9 status=none | od -An -tx1 | grep -qx \" f3 0f 1e fa e8 00 00 00 00\"
printf \"\\\\303\" | dd of=$new bs=1 seek=$((at + 9)) conv=notrunc status=none
depmod $version'";

/// GRUB on BIOS, initramfs-tools, and libvirt with its network.
pub static LIBVIRT: Recipe = Recipe {
    name: "base-libvirt",
    firmware: GRUB_BIOS.firmware,
    loader: GRUB_BIOS.loader,
    packages: &[
        "initramfs-tools",
        "grub-pc",
        "libvirt-daemon-system",
        "libvirt-clients",
        "libvirt-daemon-config-network",
        "qemu-utils",
        "ovmf",
        "dnsmasq-base",
        "iptables",
        "openssh-client",
        // Only to make the disk.
        "binutils",
        "xz-utils",
    ],
    answers: GRUB_BIOS.answers,
    customize: Some(EVERY_CR8),
    files: GRUB_BIOS.files,
    prepare: GRUB_BIOS.prepare,
    // The network starts with the host; what libvirt finds out about QEMU is kept.
    first_boot: "update-initramfs -u -k all
update-grub
virsh net-list --all --name | grep -qx default
virsh net-autostart default
virsh domcapabilities --virttype kvm --arch x86_64 --machine q35 >/dev/null
sync",
    regenerate: GRUB_BIOS.regenerate,
    regenerated: GRUB_BIOS.regenerated,
};
