//! How things are done on this host's boot stack: the exact commands for remedies.

use alloc::{format, string::String, vec::Vec};

use super::cmdlines::Hit;
use crate::facts::{BootLoader, Facts, Generator};

/// What makes a change of the configured command line take effect.
fn apply_cmdline(loader: BootLoader) -> &'static str {
    match loader {
        BootLoader::Grub => "sudo update-grub",
        BootLoader::Grub2 => "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
        BootLoader::GrubBls => "sudo grubby --update-kernel=ALL",
        BootLoader::Sdbootutil => "sudo sdbootutil update-all-entries",
        BootLoader::TransactionalUpdate => "sudo transactional-update grub.cfg",
        BootLoader::SystemdBootKernelInstall => "sudo kernel-install add-all",
        BootLoader::SystemdBoot => "bootctl list (to see that the entry reads as you meant)",
        BootLoader::UnifiedKernelImage => "the command that builds your kernel image",
        BootLoader::Kernelstub => "sudo kernelstub -p (to see the result)",
        BootLoader::Limine => "sudo limine-update",
        BootLoader::RpmOstree | BootLoader::Bootc => "sudo rpm-ostree kargs",
        BootLoader::ProxmoxBootTool => "sudo proxmox-boot-tool refresh",
        BootLoader::NixOs => "sudo nixos-rebuild boot",
        BootLoader::Refind => "nothing more: rEFInd reads refind_linux.conf at boot",
    }
}

/// What to run after an edit of the boot loader's configuration, and that a reboot follows.
pub(super) fn then_apply(facts: &Facts) -> String {
    let apply = facts
        .boot
        .loader
        .value()
        .map_or("your boot loader's update command", |l| apply_cmdline(*l));
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
        Some(BootLoader::RpmOstree | BootLoader::Bootc) => {
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
        Some(BootLoader::RpmOstree | BootLoader::Bootc) => {
            format!("Run: sudo rpm-ostree kargs --append-if-missing=\"{word}\", then reboot.")
        }
        Some(
            loader @ (BootLoader::SystemdBootKernelInstall
            | BootLoader::UnifiedKernelImage
            | BootLoader::Sdbootutil
            | BootLoader::ProxmoxBootTool),
        ) => format!(
            "Add {word} to the line in /etc/kernel/cmdline, run: {}, and reboot.",
            apply_cmdline(*loader)
        ),
        Some(loader @ (BootLoader::Grub | BootLoader::Grub2)) => format!(
            "Add {word} to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, run: {}, and reboot.",
            apply_cmdline(*loader)
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
pub(super) fn rebuild_images(facts: &Facts) -> &'static str {
    match facts.boot.generator.value() {
        Some(Generator::InitramfsTools) => "sudo update-initramfs -u -k all",
        Some(Generator::Dracut) => "sudo dracut -f --regenerate-all",
        Some(Generator::Mkinitcpio) => "sudo mkinitcpio -P",
        Some(Generator::Booster) => "sudo /usr/lib/booster/regenerate_images",
        Some(Generator::RpmOstree) => "sudo rpm-ostree initramfs --enable",
        Some(Generator::NixOs) => "sudo nixos-rebuild boot",
        None => "the command that makes your initramfs images",
    }
}
