//! Which loader and which initramfs generator a host uses.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::Host;
use passthru_plan::facts::{BootLoader, Generator};

/// A situation: its name, files with their text, and the answer (`None`: not measured).
type Case<'a, T> = (&'a str, &'a [(&'a str, &'a str)], Option<T>);

#[test]
fn boot_loaders() {
    const INFO: &str = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    const STUB: &str = "/sys/firmware/efi/efivars/StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    const GRUB: (&str, &str) = ("/boot/grub/grub.cfg", "");
    const GRUB2: (&str, &str) = ("/boot/grub2/grub.cfg", "");
    const SD: (&str, &str) = ("/boot/efi/EFI/systemd/systemd-bootx64.efi", "");
    const KERNEL: (&str, &str) = ("/lib/modules/6.12.1/modules.dep", "");
    let cases: &[Case<'_, BootLoader>] = &[
        ("Debian", &[GRUB], Some(BootLoader::Grub)),
        ("openSUSE classic", &[GRUB2], Some(BootLoader::Grub2)),
        (
            "Fedora",
            &[
                GRUB2,
                ("/etc/default/grub", "GRUB_ENABLE_BLSCFG=true\n"),
                ("/boot/loader/entries/a-6.12.1.conf", ""),
            ],
            Some(BootLoader::GrubBls),
        ),
        (
            "systemd-boot runs beside an old GRUB",
            &[
                GRUB,
                SD,
                KERNEL,
                (INFO, "systemd-boot 257"),
                ("/boot/efi/loader/entries/ab12-6.12.1+3.conf", ""),
            ],
            Some(BootLoader::SystemdBootKernelInstall),
        ),
        (
            "Arch by hand",
            &[
                KERNEL,
                (INFO, "systemd-boot 258"),
                ("/boot/loader/entries/arch.conf", ""),
            ],
            Some(BootLoader::SystemdBoot),
        ),
        (
            "CachyOS",
            &[
                KERNEL,
                (INFO, "systemd-boot 258"),
                ("/usr/bin/sdboot-manage", ""),
                ("/etc/sdboot-manage.conf", "LINUX_OPTIONS=\"quiet\"\n"),
                ("/boot/loader/entries/linux-cachyos.conf", ""),
            ],
            Some(BootLoader::SdbootManage),
        ),
        (
            "sdboot-manage that does nothing by itself",
            &[
                KERNEL,
                (INFO, "systemd-boot 258"),
                ("/usr/bin/sdboot-manage", ""),
                ("/etc/sdboot-manage.conf", "NO_AUTOGEN=\"yes\"\n"),
                ("/boot/loader/entries/linux-cachyos.conf", ""),
            ],
            Some(BootLoader::SystemdBoot),
        ),
        (
            "systemd-boot without entries",
            &[(INFO, "systemd-boot 258")],
            None,
        ),
        (
            "a UKI",
            &[(INFO, "systemd-boot 258"), (STUB, "systemd-stub 258")],
            Some(BootLoader::UnifiedKernelImage),
        ),
        (
            "Pop",
            &[
                ("/etc/os-release", "ID=pop\n"),
                (INFO, "systemd-boot 249"),
                ("/etc/kernelstub/configuration", "{}"),
            ],
            Some(BootLoader::Kernelstub),
        ),
        (
            "Limine says so",
            &[GRUB, (INFO, "Limine 9.2")],
            Some(BootLoader::Limine),
        ),
        (
            "Limine on BIOS",
            &[("/boot/limine.conf", "")],
            Some(BootLoader::Limine),
        ),
        (
            "rEFInd",
            &[(INFO, "rEFInd 0.14.2")],
            Some(BootLoader::Refind),
        ),
        (
            "NixOS",
            &[("/etc/NIXOS", ""), (INFO, "systemd-boot 257")],
            Some(BootLoader::NixOs),
        ),
        (
            "Proxmox",
            &[GRUB, ("/etc/kernel/proxmox-boot-uuids", "1234-ABCD\n")],
            Some(BootLoader::ProxmoxBootTool),
        ),
        (
            "Proxmox with plain GRUB",
            &[GRUB, ("/etc/kernel/proxmox-boot-uuids", "\n")],
            Some(BootLoader::Grub),
        ),
        (
            "Silverblue",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                GRUB2,
            ],
            Some(BootLoader::RpmOstree),
        ),
        (
            "Bluefin",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                ("/usr/bin/bootc", ""),
                (
                    "/ostree/deploy/default/deploy/0a.0.origin",
                    "[origin]\ncontainer-image-reference=ostree-image-signed:x\n",
                ),
            ],
            Some(BootLoader::Bootc),
        ),
        (
            "ostree with a hidden origin",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                ("/usr/bin/bootc", ""),
            ],
            None,
        ),
        (
            "MicroOS",
            &[
                ("/etc/os-release", "ID=opensuse-microos\n"),
                ("/usr/sbin/transactional-update", ""),
                GRUB2,
            ],
            Some(BootLoader::TransactionalUpdate),
        ),
        (
            "Tumbleweed with BLS",
            &[
                ("/usr/bin/sdbootutil", ""),
                ("/etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2-bls\"\n"),
            ],
            Some(BootLoader::Sdbootutil),
        ),
        (
            "Tumbleweed classic",
            &[
                GRUB2,
                ("/usr/bin/sdbootutil", ""),
                ("/etc/sysconfig/bootloader", "LOADER_TYPE=grub2-efi\n"),
            ],
            Some(BootLoader::Grub2),
        ),
        ("two GRUBs", &[GRUB, GRUB2], None),
        ("GRUB and Limine", &[GRUB, ("/boot/limine.conf", "")], None),
        (
            "GRUB and Limine, started by GRUB",
            &[
                GRUB,
                ("/boot/limine.conf", ""),
                ("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro\n"),
            ],
            Some(BootLoader::Grub),
        ),
        ("nothing", &[], None),
    ];
    for (name, files, expected) in cases {
        let host = Host::new();
        for (path, text) in *files {
            if path.contains("efivars") {
                let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
                host.file(
                    path,
                    [6, 0, 0, 0].into_iter().chain(units).collect::<Vec<_>>(),
                );
            } else {
                host.file(path, text);
            }
        }
        let boot = host.facts().boot;
        assert_eq!(boot.loader.value(), expected.as_ref(), "{name}: {boot:?}");
        if let Some(why) = boot.loader.why_not() {
            assert!(why.len() > 20, "{name}: {why}");
        }
    }
}

#[test]
fn generators() {
    let cases: &[Case<'_, Generator>] = &[
        (
            "Debian, with dracut's tools beside",
            &[
                (
                    "/usr/sbin/update-initramfs",
                    "#!/bin/sh\nmkinitramfs -o x\n",
                ),
                ("/usr/bin/dracut", ""),
            ],
            Some(Generator::InitramfsTools),
        ),
        (
            "Debian with dracut",
            &[
                ("/usr/sbin/update-initramfs", "#!/bin/sh\ndracut --force\n"),
                ("/usr/bin/dracut", ""),
            ],
            Some(Generator::Dracut),
        ),
        (
            "Fedora",
            &[("/usr/bin/dracut", "")],
            Some(Generator::Dracut),
        ),
        (
            "Arch",
            &[("/usr/bin/mkinitcpio", "")],
            Some(Generator::Mkinitcpio),
        ),
        (
            "booster",
            &[("/usr/bin/booster", "")],
            Some(Generator::Booster),
        ),
        (
            "two",
            &[("/usr/bin/mkinitcpio", ""), ("/usr/bin/dracut", "")],
            None,
        ),
        (
            "two, one hooked",
            &[
                ("/usr/bin/mkinitcpio", ""),
                ("/usr/bin/dracut", ""),
                ("/usr/share/libalpm/hooks/90-dracut-install.hook", ""),
            ],
            Some(Generator::Dracut),
        ),
        (
            "two, one chosen",
            &[
                ("/usr/bin/mkinitcpio", ""),
                ("/usr/bin/dracut", ""),
                (
                    "/etc/kernel/install.conf",
                    "layout=uki\ninitrd_generator=mkinitcpio\n",
                ),
            ],
            Some(Generator::Mkinitcpio),
        ),
        ("NixOS", &[("/etc/NIXOS", "")], Some(Generator::NixOs)),
        (
            "ostree",
            &[("/run/ostree-booted", ""), ("/usr/bin/dracut", "")],
            Some(Generator::RpmOstree),
        ),
        ("none", &[], None),
    ];
    for (name, files, expected) in cases {
        let host = Host::new();
        for (path, text) in *files {
            host.file(path, text);
        }
        let boot = host.facts().boot;
        assert_eq!(
            boot.generator.value(),
            expected.as_ref(),
            "{name}: {boot:?}"
        );
    }
}

/// A variable of the firmware: attributes, then UTF-16.
fn variable(host: &Host, name: &str, text: &str) {
    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    host.file(
        &format!("/sys/firmware/efi/efivars/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"),
        [6, 0, 0, 0].into_iter().chain(units).collect::<Vec<_>>(),
    );
}

/// A unified kernel image with these sections.
fn unified(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut head = vec![0; 0x40];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c] = 0x40;
    head.extend(b"PE\0\0\x64\x86");
    head.extend(u16::try_from(sections.len()).expect("few").to_le_bytes());
    head.extend([0; 16]);
    let start = head.len() + 40 * sections.len();
    let mut body = Vec::new();
    for (name, content) in sections {
        let mut entry = [0; 40];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        let size = u32::try_from(content.len()).expect("small").to_le_bytes();
        entry[8..12].copy_from_slice(&size);
        entry[16..20].copy_from_slice(&size);
        let offset = u32::try_from(start + body.len()).expect("small");
        entry[20..24].copy_from_slice(&offset.to_le_bytes());
        head.extend(entry);
        body.extend_from_slice(content);
    }
    head.extend(body);
    head
}

const MOUNTS: &str =
    "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n37 36 254:1 / /boot/efi rw - vfat /dev/vda1 rw\n";

#[test]
fn entries_of_systemd_boot() {
    let host = Host::new();
    variable(&host, "LoaderInfo", "systemd-boot 257.13");
    variable(&host, "LoaderEntryOneShot", "t-6.1.conf");
    let entry = |version: &str| {
        format!(
            "title Debian\nversion {version}\nsort-key debian\nmachine-id t\noptions root=UUID=1 ro\nlinux /t/{version}/linux\ninitrd /t/{version}/initrd\n"
        )
    };
    host.file("/proc/self/mountinfo", MOUNTS)
        .file("/boot/efi/loader/loader.conf", "default t-*\n")
        .file("/boot/efi/loader/entries/t-6.1.conf", entry("6.1"))
        .file("/boot/efi/loader/entries/t-6.12+2-1.conf", entry("6.12"))
        .file(
            "/boot/efi/loader/entries/_-passthru-without.conf",
            "title x\nlinux /passthru/6.1/linux\n",
        )
        .file("/boot/efi/passthru/6.1/linux", "")
        .file("/lib/modules/6.12/modules.dep", "")
        .file("/lib/modules/6.12/vmlinuz", "");
    let boot = host.facts().boot;
    let paths: Vec<_> = boot
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/boot/efi/loader/entries/_-passthru-without.conf",
            "/boot/efi/loader/entries/t-6.1.conf",
            "/boot/efi/loader/entries/t-6.12+2-1.conf",
        ]
    );
    let newest = &boot.entries[2];
    assert_eq!(newest.id, "t-6.12.conf");
    assert_eq!(newest.linux.as_deref(), Some("/boot/efi/t/6.12/linux"));
    assert_eq!(newest.initrds, ["/boot/efi/t/6.12/initrd"]);
    assert_eq!(
        newest.options.value().map(String::as_str),
        Some("root=UUID=1 ro")
    );
    assert_eq!(boot.default_entry.as_deref(), Some(newest.path.as_str()));
    assert_eq!(boot.one_shot.value(), Some(&Some("t-6.1.conf".to_owned())));
    let partition = boot.partition.expect("it is mounted");
    assert_eq!(
        (partition.path.as_str(), partition.file_system.as_str()),
        ("/boot/efi", "vfat")
    );
    assert_eq!(boot.copies, ["/boot/efi/passthru/6.1"]);
    assert_eq!(boot.kernel_images["6.12"], "/lib/modules/6.12/vmlinuz");
}

#[test]
fn unified_images_and_a_capture_of_them() {
    let host = Host::new();
    variable(&host, "LoaderInfo", "systemd-boot 257.13");
    variable(&host, "StubInfo", "systemd-stub 257.13");
    host.file("/proc/self/mountinfo", MOUNTS).file(
        "/boot/efi/EFI/Linux/t-6.12.efi",
        unified(&[
            (
                ".osrel",
                b"ID=debian\nPRETTY_NAME=\"Debian 13\"\nVERSION_ID=13\n",
            ),
            (
                ".cmdline",
                b"root=UUID=3a0eb4ba-2d49-4c4d-a0a7-c5c0e1ae6d3c ro\0",
            ),
            (".uname", b"6.12"),
            (".linux", b"MZ"),
        ]),
    );
    host.file(
        "/boot/efi/EFI/Linux/x.addon.efi",
        unified(&[(".cmdline", b"debug")]),
    );
    let boot = host.facts().boot;
    let [image] = &boot.entries[..] else {
        panic!("an addon is no entry: {:?}", boot.entries)
    };
    assert!(image.unified);
    assert_eq!(image.version.as_deref(), Some("6.12"));
    assert_eq!(image.title.as_deref(), Some("Debian 13"));
    assert_eq!(
        image.options.value().map(String::as_str),
        Some("root=UUID=3a0eb4ba-2d49-4c4d-a0a7-c5c0e1ae6d3c ro")
    );
    assert_eq!(boot.default_entry.as_deref(), Some(image.path.as_str()));

    let mut archive = Vec::new();
    passthru_host::capture::capture(&host.root(), &mut archive).expect("a capture");
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("host.tar.gz");
    std::fs::write(&file, archive).expect("written");
    let root = passthru_host::archive::open_host(&file).expect("opened");
    let seen = passthru_host::observe::observe(&root, passthru_host::observe::Wanted::all()).boot;
    let [seen] = &seen.entries[..] else {
        panic!("{:?}", seen.entries)
    };
    assert_eq!(seen.version, image.version);
    let options = seen.options.value().expect("kept");
    assert!(
        options.starts_with("root=UUID=00000000-"),
        "serials are masked: {options}"
    );
}

#[test]
fn a_damaged_image_is_not_measured() {
    let host = Host::new();
    variable(&host, "StubInfo", "systemd-stub 257");
    host.file("/boot/efi/EFI/Linux/x.efi", "MZ");
    let boot = host.facts().boot;
    assert!(boot.entries[0].options.value().is_none());
}
