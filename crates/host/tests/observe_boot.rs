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
