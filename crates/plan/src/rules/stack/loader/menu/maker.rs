//! Who makes the entries and images of this host.

use super::*;

/// Who makes the entries, and so what has to be done beside editing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// kernel-install writes entries and copies kernels and images beside them.
    KernelInstall,
    /// Nobody: entries are written by hand.
    Hand,
    /// Entries of GRUB, kept by grubby and kernel-install's plugins.
    Grub,
    /// Unified images by kernel-install.
    UnifiedKernelInstall,
    /// Unified images by mkinitcpio's presets.
    UnifiedMkinitcpio,
    /// Unified images by dracut.
    UnifiedDracut,
    /// Pop!_OS: entries, kernels and images by kernelstub, from a configuration of its own.
    Kernelstub,
}

impl Maker {
    pub(super) fn is_unified(self) -> bool {
        matches!(
            self,
            Self::UnifiedKernelInstall | Self::UnifiedMkinitcpio | Self::UnifiedDracut
        )
    }

    /// It takes the words of entries that it makes later from [`CMDLINE`].
    pub(super) fn reads_cmdline(self) -> bool {
        !matches!(self, Self::Hand | Self::UnifiedDracut | Self::Kernelstub)
    }
}

/// Who makes the entries of this host; a refusal if that is not known.
pub(super) fn maker(draft: &mut Draft<'_>) -> Option<Maker> {
    let facts = draft.facts;
    match facts.boot.loader.value()? {
        BootLoader::SystemdBootKernelInstall => Some(Maker::KernelInstall),
        BootLoader::SystemdBoot => Some(Maker::Hand),
        BootLoader::GrubBls => Some(Maker::Grub),
        BootLoader::Kernelstub => Some(Maker::Kernelstub),
        BootLoader::UnifiedKernelImage => unified_maker(draft),
        _ => None,
    }
}

/// kernel-install makes unified kernel images (`layout=uki` of kernel-install(8)).
pub(in crate::rules::stack) fn is_layout_uki(facts: &Facts) -> bool {
    let install = facts.files.iter().filter(|(path, _)| {
        *path == "/etc/kernel/install.conf" || path.starts_with("/etc/kernel/install.conf.d/")
    });
    let layout = shell::evaluate(install.filter_map(|(path, _)| facts.text(path)))
        .remove("layout")
        .flatten();
    layout.as_deref() == Some("uki")
}

/// Who makes this host's unified kernel images, if that is known.
fn maker_of_unified(facts: &Facts) -> Option<Maker> {
    let presets = facts.files.iter().any(|(path, _)| {
        path.starts_with("/etc/mkinitcpio.d/")
            && facts.text(path).is_some_and(|text| {
                shell::assignments(text)
                    .iter()
                    .any(|assignment| assignment.name.ends_with("_uki"))
            })
    });
    let dracut = facts.files.iter().any(|(path, _)| {
        path.starts_with("/etc/dracut.conf")
            && facts.text(path).is_some_and(|text| {
                shell::evaluate([text]).remove("uefi").flatten().as_deref() == Some("yes")
            })
    });
    if is_layout_uki(facts) {
        Some(Maker::UnifiedKernelInstall)
    } else if presets {
        Some(Maker::UnifiedMkinitcpio)
    } else if dracut {
        Some(Maker::UnifiedDracut)
    } else {
        None
    }
}

/// See [`unified_command`].
pub(crate) const BY_KERNEL_INSTALL: &str = "sudo kernel-install add-all";
/// See [`unified_command`].
pub(crate) const BY_DRACUT: &str = "sudo dracut --force --regenerate-all";

/// The command that makes this host's unified kernel images anew.
pub(crate) fn unified_command(facts: &Facts) -> Option<&'static str> {
    Some(match maker_of_unified(facts)? {
        Maker::UnifiedMkinitcpio => "sudo mkinitcpio -P",
        Maker::UnifiedDracut => BY_DRACUT,
        _ => BY_KERNEL_INSTALL,
    })
}

fn unified_maker(draft: &mut Draft<'_>) -> Option<Maker> {
    let facts = draft.facts;
    let Some(maker) = maker_of_unified(facts) else {
        draft.refuse(
            "stack.unified-image",
            "This host starts a unified kernel image, and what makes it is not known: neither kernel-install (layout=uki), nor a preset of mkinitcpio, nor dracut (uefi=yes).",
            "If a tool of your own makes the image, add the words that passthru plan shows there and make it anew.",
        );
        return None;
    };
    if maker == Maker::UnifiedMkinitcpio {
        refuse::other_cmdlines(draft);
    }
    if !facts.boot.secure_boot.is(&false) && facts.boot.signer.is_none() {
        let state = if facts.boot.secure_boot.is(&true) {
            "Secure Boot is on"
        } else {
            "Whether Secure Boot is on was not measured"
        };
        draft.refuse(
            "stack.signed-images",
            format!("{state}, and nothing on this host signs the kernel images that it makes: one with other words would not start."),
            "Set up keys of your own (sbctl, or SecureBootPrivateKey= in /etc/kernel/uki.conf) so that kernel-install or mkinitcpio signs what it makes, or turn Secure Boot off in the firmware.",
        );
        return None;
    }
    Some(maker)
}
