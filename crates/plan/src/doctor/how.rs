//! How things are done on this host's boot stack: the exact commands for remedies.

use alloc::{format, string::String, vec::Vec};

use super::cmdlines::Hit;
use crate::{
    facts::{BootLoader, Facts},
    remedy,
};

/// What makes a change of the configured command line take effect.
fn apply_cmdline(facts: &Facts, loader: BootLoader) -> &'static str {
    match loader {
        BootLoader::Grub | BootLoader::Grub2 | BootLoader::GrubBls => remedy::grub_menu(facts),
        BootLoader::Sdbootutil => "sudo sdbootutil update-all-entries",
        BootLoader::TransactionalUpdate => "sudo transactional-update grub.cfg",
        BootLoader::SdbootManage => "sudo sdboot-manage gen",
        BootLoader::SystemdBootKernelInstall => "sudo kernel-install add-all",
        BootLoader::SystemdBoot => "bootctl list (to see that the entry reads as you meant)",
        BootLoader::UnifiedKernelImage => {
            remedy::unified_command(facts).unwrap_or("the command that builds your kernel image")
        }
        BootLoader::Kernelstub => "sudo kernelstub -p (to see the result)",
        BootLoader::Limine => "sudo limine-update",
        BootLoader::Bootc if !facts.boot.rpm_ostree => {
            "sudo bootc upgrade, once the image is built anew"
        }
        BootLoader::RpmOstree | BootLoader::Bootc => "sudo rpm-ostree kargs (to see the result)",
        BootLoader::ProxmoxBootTool => "sudo proxmox-boot-tool refresh",
        BootLoader::NixOs => "sudo nixos-rebuild boot",
        BootLoader::Refind => "nothing more: rEFInd reads refind_linux.conf at boot",
    }
}

/// rpm-ostree changes this host's kernel arguments: its own, and an image of bootc that has it.
fn by_rpm_ostree(facts: &Facts) -> bool {
    match facts.boot.loader.value() {
        Some(BootLoader::RpmOstree) => true,
        Some(BootLoader::Bootc) => facts.boot.rpm_ostree,
        _ => false,
    }
}

/// What to run after an edit of the boot loader's configuration, and that a reboot follows.
pub(super) fn then_apply(facts: &Facts) -> String {
    let apply = facts
        .boot
        .loader
        .value()
        .map_or("your boot loader's update command", |l| {
            apply_cmdline(facts, *l)
        });
    format!("Then run: {apply}, and reboot.")
}

/// How to take the words in `hits` away.
pub(super) fn remove_words(facts: &Facts, hits: &[Hit]) -> String {
    let mut words: Vec<&str> = hits.iter().map(|hit| hit.word.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    let args = words.join(" ");
    match facts.boot.loader.value() {
        Some(BootLoader::GrubBls) => {
            return format!(
                "Run: sudo grubby --update-kernel=ALL --remove-args=\"{args}\", then reboot."
            );
        }
        Some(BootLoader::Kernelstub) => {
            let each: Vec<_> = words
                .iter()
                .map(|word| format!("sudo kernelstub -d \"{word}\""))
                .collect();
            return format!("Run: {}, then reboot.", each.join(" and "));
        }
        Some(_) if by_rpm_ostree(facts) => {
            let each: Vec<_> = words
                .iter()
                .map(|word| format!("--delete-if-present=\"{word}\""))
                .collect();
            return format!(
                "Run: sudo rpm-ostree kargs {}, then reboot.",
                each.join(" ")
            );
        }
        _ => {}
    }
    let places: Vec<_> = hits
        .iter()
        .filter_map(|hit| Some(format!("{} in {}", hit.word, hit.place.as_ref()?)))
        .collect();
    if places.is_empty() {
        format!(
            "No configuration file that was read holds {args}. If you have removed it already, reboot. If not, look for it in your boot loader's configuration."
        )
    } else {
        format!("Delete {}. {}", places.join(", and "), then_apply(facts))
    }
}

/// How to put `word` on the command line by hand.
pub(super) fn add_word(facts: &Facts, word: &str) -> String {
    match facts.boot.loader.value() {
        Some(BootLoader::GrubBls) => {
            format!("Run: sudo grubby --update-kernel=ALL --args=\"{word}\", then reboot.")
        }
        Some(BootLoader::Kernelstub) => {
            format!("Run: sudo kernelstub -a \"{word}\", then reboot.")
        }
        Some(_) if by_rpm_ostree(facts) => {
            format!("Run: sudo rpm-ostree kargs --append-if-missing=\"{word}\", then reboot.")
        }
        Some(BootLoader::UnifiedKernelImage)
            if remedy::unified_command(facts) == Some(remedy::BY_DRACUT) =>
        {
            format!(
                "Add {word} to kernel_cmdline in a file of /etc/dracut.conf.d, run: {}, and reboot.",
                remedy::BY_DRACUT
            )
        }
        Some(BootLoader::SdbootManage) => format!(
            "Add {word} inside the quotes of LINUX_OPTIONS in /etc/sdboot-manage.conf, run: sudo sdboot-manage gen, and reboot."
        ),
        Some(BootLoader::Bootc) => format!(
            "Add {word} to kargs in a file of /usr/lib/bootc/kargs.d in the image, build it anew, run: sudo bootc upgrade, and reboot."
        ),
        Some(
            loader @ (BootLoader::SystemdBootKernelInstall
            | BootLoader::UnifiedKernelImage
            | BootLoader::Sdbootutil
            | BootLoader::ProxmoxBootTool),
        ) => format!(
            "Add {word} to the line in /etc/kernel/cmdline, run: {}, and reboot.",
            apply_cmdline(facts, *loader)
        ),
        Some(loader @ (BootLoader::Grub | BootLoader::Grub2)) => format!(
            "Add {word} to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, run: {}, and reboot.",
            apply_cmdline(facts, *loader)
        ),
        Some(BootLoader::NixOs) => format!(
            "Add \"{word}\" to boot.kernelParams, run: sudo nixos-rebuild boot, and reboot."
        ),
        _ => format!(
            "Add {word} to the kernel command line in your boot loader's configuration, and reboot."
        ),
    }
}

/// The command that makes every initramfs image anew.
pub(super) fn rebuild_images(facts: &Facts) -> String {
    remedy::images(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{BootEntry, Distribution, Generator, Image, InstalledKernel, ModuleState},
        measured::Measured,
    };

    fn host(loader: BootLoader, id: &str, like: &str, generator: Generator) -> Facts {
        let mut facts = Facts::default();
        facts.boot.loader = Measured::Value(loader);
        facts.boot.generator = Measured::Value(generator);
        facts.machine.distribution = Some(Distribution {
            id: id.into(),
            like: like.split_whitespace().map(String::from).collect(),
            ..Distribution::default()
        });
        facts
    }

    fn kernel(facts: &mut Facts, image: &str) {
        facts.kernel.installed.push(InstalledKernel {
            release: "6.18.2-1".into(),
            bootable: true,
            vfio_pci: ModuleState::Module,
            has_vfio_virqfd: false,
            image: Some(Image {
                path: image.into(),
                size: 1,
                entries: Measured::default(),
                damage: None,
                texts: alloc::collections::BTreeMap::new(),
            }),
        });
    }

    #[test]
    fn commands_are_there_on_the_host_that_they_are_named_for() {
        use BootLoader as L;
        use Generator as G;
        for (loader, id, like, generator, image, apply, rebuild) in [
            (
                L::Grub,
                "debian",
                "",
                G::InitramfsTools,
                "/boot/initrd.img-6.18.2-1",
                "sudo update-grub",
                "sudo update-initramfs -u -k all",
            ),
            (
                L::Grub,
                "linuxmint",
                "ubuntu debian",
                G::InitramfsTools,
                "/boot/initrd.img-6.18.2-1",
                "sudo update-grub",
                "sudo update-initramfs -u -k all",
            ),
            (
                L::Grub,
                "arch",
                "",
                G::Mkinitcpio,
                "/boot/initramfs-linux.img",
                "sudo grub-mkconfig -o /boot/grub/grub.cfg",
                "sudo mkinitcpio -P",
            ),
            (
                L::Grub,
                "endeavouros",
                "arch",
                G::Dracut,
                "/boot/initramfs-linux.img",
                "sudo grub-mkconfig -o /boot/grub/grub.cfg",
                "sudo dracut --force /boot/initramfs-linux.img 6.18.2-1",
            ),
            (
                L::Grub2,
                "opensuse-leap",
                "suse",
                G::Dracut,
                "/boot/initrd-6.18.2-1",
                "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
                "sudo dracut --force --regenerate-all",
            ),
            (
                L::GrubBls,
                "fedora",
                "",
                G::Dracut,
                "/boot/initramfs-6.18.2-1.img",
                "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
                "sudo dracut --force --regenerate-all",
            ),
            (
                L::SdbootManage,
                "cachyos",
                "arch",
                G::Mkinitcpio,
                "/boot/initramfs-linux-cachyos.img",
                "sudo sdboot-manage gen",
                "sudo mkinitcpio -P",
            ),
            (
                L::RpmOstree,
                "fedora",
                "",
                G::RpmOstree,
                "",
                "sudo rpm-ostree kargs (to see the result)",
                "sudo rpm-ostree initramfs --enable",
            ),
        ] {
            let mut facts = host(loader, id, like, generator);
            kernel(&mut facts, image);
            assert_eq!(
                then_apply(&facts),
                format!("Then run: {apply}, and reboot.")
            );
            assert_eq!(rebuild_images(&facts), rebuild, "{id}");
        }
    }

    #[test]
    fn kernel_install_makes_images_that_are_on_the_boot_partition_only() {
        let mut facts = host(
            BootLoader::SystemdBootKernelInstall,
            "endeavouros",
            "arch",
            Generator::Dracut,
        );
        kernel(&mut facts, "/efi/0123/6.18.2-1/initrd");
        facts.boot.entries.push(BootEntry {
            version: Some("6.18.2-1".into()),
            initrds: Vec::from(["/efi/0123/6.18.2-1/initrd".into()]),
            ..BootEntry::default()
        });
        assert_eq!(rebuild_images(&facts), "sudo kernel-install add-all");
    }

    #[test]
    fn unified_images_are_made_by_what_makes_them_here() {
        use crate::facts::ConfigFile;
        for (path, text, apply) in [
            (
                "/etc/kernel/install.conf",
                "layout=uki\n",
                "sudo kernel-install add-all",
            ),
            (
                "/etc/mkinitcpio.d/linux.preset",
                "default_uki=\"/efi/EFI/Linux/arch.efi\"\n",
                "sudo mkinitcpio -P",
            ),
            (
                "/etc/dracut.conf.d/uki.conf",
                "uefi=\"yes\"\n",
                "sudo dracut --force --regenerate-all",
            ),
            (
                "/etc/other",
                "",
                "the command that builds your kernel image",
            ),
        ] {
            let mut facts = host(BootLoader::UnifiedKernelImage, "x", "", Generator::Dracut);
            facts.files.insert(
                path.into(),
                ConfigFile {
                    text: Measured::Value(text.into()),
                    mode: 0o644,
                },
            );
            assert_eq!(
                then_apply(&facts),
                format!("Then run: {apply}, and reboot.")
            );
        }
    }

    #[test]
    fn a_host_of_bootc_gets_one_answer() {
        let mut facts = host(BootLoader::Bootc, "bazzite", "fedora", Generator::RpmOstree);
        assert!(add_word(&facts, "iommu=pt").contains("kargs.d"));
        assert!(!add_word(&facts, "iommu=pt").contains("rpm-ostree"));
        facts.boot.rpm_ostree = true;
        assert!(add_word(&facts, "iommu=pt").contains("sudo rpm-ostree kargs --append"));
    }
}
