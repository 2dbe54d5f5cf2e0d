//! Commands that a person runs on this host's boot stack, as they are there.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::facts::{BootLoader, Facts, Generator};

pub(crate) use crate::rules::stack::loader::{BY_DRACUT, BY_KERNEL_INSTALL, unified_command};

/// Makes GRUB's menu anew. `update-grub` is Debian's, and comes with its patch for drop-ins.
pub(crate) fn grub_menu(facts: &Facts) -> &'static str {
    let debian = facts
        .machine
        .distribution
        .as_ref()
        .is_some_and(|distribution| {
            let like = distribution.like.iter().map(String::as_str);
            like.chain([distribution.id.as_str()])
                .any(|id| matches!(id, "debian" | "ubuntu"))
        });
    match facts.boot.loader.value() {
        Some(BootLoader::Grub2 | BootLoader::GrubBls) => {
            "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"
        }
        _ if debian || facts.boot.grub_dropins.is(&true) => "sudo update-grub",
        _ => "sudo grub-mkconfig -o /boot/grub/grub.cfg",
    }
}

/// Makes the initramfs of every kernel anew.
pub(crate) fn images(facts: &Facts) -> String {
    let command = match facts.boot.generator.value() {
        Some(Generator::InitramfsTools) => "sudo update-initramfs -u -k all",
        Some(Generator::Dracut) => return by_dracut(facts),
        Some(Generator::Mkinitcpio) => "sudo mkinitcpio -P",
        Some(Generator::Booster) => "sudo /usr/lib/booster/regenerate_images",
        Some(Generator::RpmOstree) => "sudo rpm-ostree initramfs --enable",
        Some(Generator::NixOs) => "sudo nixos-rebuild boot",
        None => "the command that makes your initramfs images",
    };
    command.into()
}

/// dracut names images by releases; those with other names (Arch with GRUB) it makes only when told.
fn by_dracut(facts: &Facts) -> String {
    if facts.boot.update_initramfs {
        return "sudo update-initramfs -u -k all".into();
    }
    let kernels = facts.kernel.installed.iter();
    let images: Vec<(&str, &str)> = kernels
        .filter_map(|kernel| {
            Some((
                kernel.release.as_str(),
                kernel.image.as_ref()?.path.as_str(),
            ))
        })
        .collect();
    let in_entry = |path: &str| {
        let entries = facts.boot.entries.iter();
        let mut of_kernel_install = entries.filter(|entry| entry.version.is_some());
        !path.starts_with("/boot/init")
            && of_kernel_install.any(|entry| entry.initrds.iter().any(|initrd| initrd == path))
    };
    if images.iter().any(|(_, path)| in_entry(path)) {
        return "sudo kernel-install add-all".into();
    }
    let other: Vec<String> = images
        .iter()
        .filter(|(release, path)| !path.contains(release) && !path.ends_with(".efi"))
        .map(|(release, path)| format!("sudo dracut --force {path} {release}"))
        .collect();
    if other.is_empty() {
        "sudo dracut --force --regenerate-all".to_string()
    } else {
        other.join(" and ")
    }
}
