//! Kernels and their initramfs images.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use std::io::Write;

use observe_builder::{Host, cpio};
use passthru_host::observe::{ImageProblem, Wanted, observe, read_image};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn images_plain_gzip_and_zstd() {
    let early = cpio(&[("kernel/x86/microcode/AuthenticAMD.bin", Some(&[7; 3000]))]);
    let large = vec![b'x'; 400_000];
    let main = cpio(&[
        (".", None),
        ("etc/modprobe.d", None),
        (
            "./etc/modprobe.d/passthru.conf",
            Some(b"options vfio-pci ids=10de:1f08\n"),
        ),
        ("etc/modprobe.d/large.conf", Some(&large)),
        (
            "usr/lib/modules/6.12/kernel/drivers/vfio/pci/vfio-pci.ko.xz",
            Some(b"\0binary\xff"),
        ),
    ]);
    let host = Host::new();
    for packed in [main.clone(), gzip(&main), zstd(&main)] {
        let image = [early.clone(), packed].concat();
        host.file("boot/initrd.img-6.12", &image);
        let content = read_image(&host.root(), "/boot/initrd.img-6.12", &["etc/*"]).unwrap();
        assert_eq!(
            content.entries,
            [
                "etc/modprobe.d",
                "etc/modprobe.d/large.conf",
                "etc/modprobe.d/passthru.conf",
                "kernel/x86/microcode/AuthenticAMD.bin",
                "usr/lib/modules/6.12/kernel/drivers/vfio/pci/vfio-pci.ko.xz",
            ]
        );
        let texts: Vec<_> = content.texts.keys().collect();
        assert_eq!(texts, ["etc/modprobe.d/passthru.conf"]);
        // Cut inside an archive, it is never taken for whole.
        let packed = early.len()..image.len();
        for end in [3, 100, packed.start + 20, packed.end - packed.len() / 3] {
            host.file("boot/cut", &image[..end]);
            assert!(
                read_image(&host.root(), "/boot/cut", &[]).is_err(),
                "cut at {end}"
            );
        }
    }
}

/// A PE image with one section, as small as can be.
fn pe(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x40 + 24 + 40];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c] = 0x40;
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    image[0x46] = 1;
    let section = 0x40 + 24;
    image[section..section + name.len()].copy_from_slice(name);
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    image[section + 8..section + 12].copy_from_slice(&size);
    image[section + 16..section + 20].copy_from_slice(&size);
    let offset = u32::try_from(image.len()).unwrap().to_le_bytes();
    image[section + 20..section + 24].copy_from_slice(&offset);
    image.extend(content);
    // What follows a section is not part of it.
    image.extend(b"signature");
    image
}

#[test]
fn the_initramfs_of_a_unified_kernel_image() {
    let archive = cpio(&[("etc/modprobe.d/a.conf", Some(b"softdep a pre: b\n"))]);
    let host = Host::new();
    host.file("boot/u.efi", pe(b".initrd", &gzip(&archive)));
    let content = read_image(&host.root(), "/boot/u.efi", &["etc/*"]).unwrap();
    assert_eq!(content.entries, ["etc/modprobe.d/a.conf"]);
    assert_eq!(content.texts["etc/modprobe.d/a.conf"], "softdep a pre: b\n");
    host.file("boot/u.efi", pe(b".linux", &archive));
    let error = read_image(&host.root(), "/boot/u.efi", &[]).unwrap_err();
    assert!(matches!(error.problem, ImageProblem::Unified), "{error}");
}

#[test]
fn images_that_other_tools_must_open() {
    let host = Host::new();
    for (bytes, word) in [
        (&b"\xfd7zXZ\0rest"[..], "xz"),
        (b"\x02\x21\x4c\x18rest", "lz4"),
        (b"MZ\x90\0rest..", "without an initramfs"),
        (b"garbage!", "neither"),
    ] {
        host.file("boot/i", bytes);
        let error = read_image(&host.root(), "/boot/i", &[]).unwrap_err();
        assert!(!error.is_damage(), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    host.file("boot/i", [0; 4096]);
    let error = read_image(&host.root(), "/boot/i", &[]).unwrap_err();
    assert!(matches!(error.problem, ImageProblem::Empty) && error.is_damage());
    let error = read_image(&host.root(), "/boot/none", &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("/boot/none cannot be opened"),
        "{error}"
    );
}

#[test]
fn kernels_and_their_images() {
    let host = Host::new();
    host.link("lib", "usr/lib");
    for release in ["6.12.9-amd64", "6.12.48-amd64"] {
        host.file(
            &format!("usr/lib/modules/{release}/modules.dep"),
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n",
        );
        host.file(&format!("boot/vmlinuz-{release}"), "");
    }
    host.file(
        "usr/lib/modules/7.0-arch1/modules.dep",
        "kernel/drivers/vfio/vfio_virqfd.ko:\n",
    );
    host.file("usr/lib/modules/7.0-arch1/pkgbase", "linux\n");
    host.file("boot/vmlinuz-linux", "")
        .file("boot/initramfs-linux.img", "x");
    let image = gzip(&cpio(&[("conf/modules", Some(b"vfio-pci\n"))]));
    host.file("boot/initrd.img-6.12.48-amd64", &image);
    host.file("proc/sys/kernel/osrelease", "6.12.48-amd64\n");
    host.file("proc/cmdline", "BOOT_IMAGE=/vmlinuz ro  quiet\n");
    let kernel = host.facts().kernel;
    let names: Vec<_> = kernel
        .installed
        .iter()
        .map(|k| k.release.as_str())
        .collect();
    assert_eq!(names, ["6.12.9-amd64", "6.12.48-amd64", "7.0-arch1"]);
    assert!(kernel.installed.iter().all(|k| k.bootable));
    assert_eq!(kernel.installed[0].image, None);
    let made = kernel.installed[1].image.as_ref().unwrap();
    assert_eq!(made.size, image.len() as u64);
    assert_eq!(made.entries.value().unwrap(), &["conf/modules"]);
    assert_eq!(made.texts["conf/modules"], "vfio-pci\n");
    assert!(kernel.installed[2].has_vfio_virqfd);
    assert_eq!(
        kernel.installed[2].image.as_ref().unwrap().path,
        "/boot/initramfs-linux.img"
    );
    assert!(
        kernel.installed[2]
            .image
            .as_ref()
            .unwrap()
            .entries
            .value()
            .is_none()
    );
    assert_eq!(
        kernel.cmdline.value().unwrap(),
        "BOOT_IMAGE=/vmlinuz ro  quiet"
    );
    let closed = observe(&host.root(), Wanted::all()).kernel;
    let image = closed.installed[1].image.as_ref().unwrap();
    assert_eq!(image.entries.why_not(), Some("the image was not opened"));
}
