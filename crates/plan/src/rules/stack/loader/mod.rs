//! Boot loaders: who carries the words to the kernel command line.

pub(crate) mod grub;
mod grub_layout;
mod grub_own;
mod grub_taken;
mod grub_trial;
mod line;
mod menu;
mod ostree;
mod proxmox;
mod refused;

use alloc::{format, string::String, vec::Vec};

pub(super) use menu::is_layout_uki;
pub(crate) use menu::{BY_DRACUT, BY_KERNEL_INSTALL, unified_command, way_back_entry};

use super::generator::Images;
use crate::{
    change::Change,
    facts::{BootLoader, Facts},
    plan::WayBack,
    rules::Draft,
};

/// What a loader needs done, in order.
pub(super) struct Steps {
    /// Before the initramfs is made: a way back that no later step can break.
    pub(super) before: Vec<Change>,
    /// An entry with the words that is started once, or why there cannot be one.
    pub(super) trial: Result<Trial, String>,
    /// The words on every normal entry, and no trial entry any more.
    pub(super) keep: Vec<Change>,
}

/// An entry that is started once.
pub(super) struct Trial {
    /// Its title.
    pub(super) entry: String,
    /// What makes it, and makes the loader start it once.
    pub(super) changes: Vec<Change>,
}

/// What the loader in charge needs done to carry `words`. [`is_supported`] has said yes.
/// `trial_words` stand on the trial entry only; `images` is what the generator does between
/// [`Steps::before`] and what follows.
pub(super) fn steps(
    draft: &mut Draft<'_>,
    words: &[String],
    trial_words: &[String],
    images: &Images,
) -> Steps {
    if is_menu(draft.facts) {
        menu::steps(draft, words, trial_words, images)
    } else if is_ostree(draft.facts) {
        ostree::steps(draft, words)
    } else if is_proxmox(draft.facts) {
        proxmox::steps(draft, words)
    } else {
        grub::steps(draft, words, trial_words)
    }
}

/// Entries are files of their own.
fn is_menu(facts: &Facts) -> bool {
    matches!(
        facts.boot.loader.value(),
        Some(
            BootLoader::SystemdBootKernelInstall
                | BootLoader::SystemdBoot
                | BootLoader::UnifiedKernelImage
                | BootLoader::GrubBls
                | BootLoader::Kernelstub
        )
    )
}

fn is_ostree(facts: &Facts) -> bool {
    facts.boot.loader.is(&BootLoader::RpmOstree)
}

fn is_proxmox(facts: &Facts) -> bool {
    facts.boot.loader.is(&BootLoader::ProxmoxBootTool)
}

/// The way back of the loader in charge, where no trial entry is started once.
pub(crate) fn way_back(facts: &Facts) -> WayBack {
    let (choice, stays) = if is_ostree(facts) {
        ostree::WAY_BACK
    } else if is_proxmox(facts) && !proxmox::by_grub(facts) {
        proxmox::WAY_BACK
    } else if is_by_grub_defaults(facts) {
        (
            "choose the entry \"… without passthru\" in the boot menu, which shows for some seconds",
            if grub::has_recovery(facts) {
                "The boot menu keeps an entry \"… without passthru\" that starts this host as it is today; so does the recovery entry."
            } else {
                WITHOUT
            },
        )
    } else {
        (
            "choose the entry \"… without passthru\" in the boot menu",
            WITHOUT,
        )
    };
    WayBack {
        choice: choice.into(),
        stays: stays.into(),
    }
}

const WITHOUT: &str =
    "The boot menu keeps an entry \"… without passthru\" that starts this host as it is today.";

/// The words stand in GRUB's defaults, and grub-mkconfig makes the menu.
pub(crate) fn is_by_grub_defaults(facts: &Facts) -> bool {
    match facts.boot.loader.value() {
        Some(BootLoader::Grub | BootLoader::Grub2) => true,
        Some(BootLoader::ProxmoxBootTool) => proxmox::by_grub(facts),
        _ => false,
    }
}

/// Words that were taken off the normal entries, and that the entries "… without passthru" keep, as
/// one command line.
pub(crate) fn kept_words(facts: &Facts) -> String {
    if is_menu(facts) {
        menu::kept_words(facts)
    } else if is_by_grub_defaults(facts) {
        grub::kept_words(facts)
    } else {
        String::new()
    }
}

/// Entries have images of their own, which are made when the initramfs is.
pub(super) fn copies_images(facts: &Facts) -> bool {
    is_menu(facts)
}

/// Words that passthru has configured on this host, as one command line.
pub(super) fn own_words(facts: &Facts) -> String {
    if is_menu(facts) {
        return menu::own_words(facts);
    }
    if is_ostree(facts) {
        return ostree::own_words(facts);
    }
    if is_proxmox(facts) {
        return proxmox::own_words(facts);
    }
    grub::own_words(facts)
}

/// Kernel command lines that are configured elsewhere than in GRUB's defaults: the place and the
/// line.
pub(crate) fn cmdlines(facts: &Facts) -> Vec<(String, String)> {
    if is_menu(facts) {
        menu::cmdlines(facts)
    } else if is_ostree(facts) {
        ostree::cmdlines(facts)
    } else if is_proxmox(facts) {
        proxmox::cmdlines(facts)
    } else {
        Vec::new()
    }
}

/// Every kernel command line that is configured, whoever wrote it.
pub(crate) fn configured(facts: &Facts) -> Vec<String> {
    let by_grub = grub::foreign_cmdlines(facts)
        .into_iter()
        .map(|(_, _, line)| line);
    let others = cmdlines(facts).into_iter().map(|(_, line)| line);
    by_grub.chain(others).collect()
}

/// The loader is one that passthru can configure; else it is refused by name, with what to do with
/// `words` by hand.
pub(super) fn is_supported(draft: &mut Draft<'_>, words: &[String]) -> bool {
    let facts = draft.facts;
    let boot = &facts.boot;
    match boot.loader.value() {
        Some(_) if is_menu(facts) || is_ostree(facts) => return true,
        Some(BootLoader::ProxmoxBootTool) if !proxmox::by_grub(facts) => return true,
        Some(BootLoader::Grub | BootLoader::Grub2) if refused::is_zfs_menu(facts) => {
            refused::zfs_menu(draft, words);
        }
        Some(BootLoader::Grub | BootLoader::Grub2 | BootLoader::ProxmoxBootTool)
            if boot.grub_dropins.value().is_some() =>
        {
            return true;
        }
        Some(BootLoader::Grub | BootLoader::Grub2 | BootLoader::ProxmoxBootTool) => {
            let why = boot.grub_dropins.why_not().unwrap_or_default();
            draft.refuse(
                "stack.loader",
                format!(
                    "Whether GRUB reads drop-ins in /etc/default/grub.d was not measured: {why}."
                ),
                "Run passthru on the host itself.",
            );
        }
        Some(loader) => refused::refuse(draft, *loader, words),
        None => {
            let why = boot
                .loader
                .why_not()
                .unwrap_or("no known boot loader was found");
            draft.refuse(
                "stack.loader",
                format!("Which boot loader starts this host is not clear: {why}."),
                "passthru devices, doctor and capture work on this host; binding at boot does not yet.",
            );
        }
    }
    false
}
