//! Kernels that are known by what loads them: boot entries, presets, GRUB's menu.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::{Host, cpio};
use passthru_plan::facts::InstalledKernel;

const RELEASE: &str = "6.18.2-1-custom";

/// A kernel of x86 that says which release it is: magic, and the text's offset less 0x200.
fn kernel() -> Vec<u8> {
    let mut bytes = vec![0; 0x1000];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x0b00_u16.to_le_bytes());
    let text = format!("{RELEASE} (builder@host) #1 SMP");
    bytes[0xd00..0xd00 + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn host() -> Host {
    let host = Host::new();
    host.link("lib", "usr/lib")
        .file(&format!("usr/lib/modules/{RELEASE}/modules.dep"), "");
    host
}

fn found(host: &Host) -> InstalledKernel {
    let mut installed = host.facts().kernel.installed;
    assert_eq!(installed.len(), 1);
    installed.remove(0)
}

fn image_of(host: &Host) -> Option<String> {
    let kernel = found(host);
    assert!(kernel.bootable);
    kernel.image.map(|image| image.path)
}

fn image() -> Vec<u8> {
    cpio(&[("init", Some(b""))])
}

#[test]
fn nothing_names_it() {
    let host = host();
    host.file("boot/vmlinuz", kernel());
    let kernel = found(&host);
    assert!(!kernel.bootable);
    assert_eq!(kernel.image, None);
}

#[test]
fn by_the_series_that_manjaro_writes_down() {
    let host = host();
    host.file(&format!("usr/lib/modules/{RELEASE}/pkgbase"), "linux618\n")
        .file(
            &format!("usr/lib/modules/{RELEASE}/kernelbase"),
            "6.18-x86_64\n",
        )
        .file("boot/vmlinuz-6.18-x86_64", "")
        .file("boot/initramfs-6.18-x86_64.img", image());
    assert_eq!(
        image_of(&host).as_deref(),
        Some("/boot/initramfs-6.18-x86_64.img")
    );
}

#[test]
fn by_a_preset() {
    let host = host();
    host.file("boot/vmlinuz-mine", kernel())
        .file("boot/mine.img", image())
        .file(
            "etc/mkinitcpio.d/mine.preset",
            "ALL_kver=\"/boot/vmlinuz-mine\"\nPRESETS=('default')\ndefault_image=\"/boot/mine.img\"\n",
        );
    assert_eq!(image_of(&host).as_deref(), Some("/boot/mine.img"));
    host.file("boot/vmlinuz-mine", "no kernel");
    assert!(!found(&host).bootable);
}

#[test]
fn by_the_menu_of_grub() {
    let host = host();
    host.file("boot/vmlinuz-mine", kernel())
        .file("boot/mine.img", image())
        .file(
            "boot/grub/grub.cfg",
            "menuentry 'Linux' --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {\n\tlinux\t/@/boot/vmlinuz-mine root=UUID=1\n\tinitrd\t/@/boot/amd-ucode.img /@/boot/mine.img\n}\n",
        );
    assert_eq!(image_of(&host).as_deref(), Some("/boot/mine.img"));
}

#[test]
fn by_the_version_of_an_entry() {
    let host = host();
    host.file("efi/0123/linux", "")
        .file("efi/0123/initrd", image())
        .file("efi/0123/initrd-fallback", image())
        .file(
            "efi/loader/entries/0123-fallback.conf",
            format!("version {RELEASE}\nlinux /0123/linux\ninitrd /0123/initrd-fallback\n"),
        )
        .file(
            "efi/loader/entries/0123.conf",
            format!("version {RELEASE}\nlinux /0123/linux\ninitrd /0123/amd-ucode.img\ninitrd /0123/initrd\n"),
        );
    assert_eq!(image_of(&host).as_deref(), Some("/efi/0123/initrd"));
}

#[test]
fn the_kernel_of_the_way_back_says_its_release() {
    let host = host();
    host.file("efi/passthru/linux/vmlinuz-linux", kernel())
        .file(
            "efi/loader/entries/_-passthru-without.conf",
            "title Arch without passthru\nlinux /passthru/linux/vmlinuz-linux\n",
        );
    let entries = host.facts().boot.entries;
    assert_eq!(entries[0].version.as_deref(), Some(RELEASE));
    assert!(
        !found(&host).bootable,
        "it is a copy, which no update keeps"
    );
}
