//! GRUB on BIOS, initramfs-tools, and libvirt with its network.

use super::{GRUB_BIOS, Recipe};

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
    ],
    answers: GRUB_BIOS.answers,
    customize: None,
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
