//! Boot loaders: who carries the words to the kernel command line.

pub(crate) mod grub;
mod grub_layout;
mod grub_trial;
mod line;
mod menu;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    change::Change,
    facts::{BootLoader, Facts},
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
    images: &[Change],
) -> Steps {
    if is_menu(draft.facts) {
        menu::steps(draft, words, trial_words, images)
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
        )
    )
}

/// Words that passthru has configured on this host, as one command line.
pub(super) fn own_words(facts: &Facts) -> String {
    if is_menu(facts) {
        return menu::own_words(facts);
    }
    grub::own_words(facts)
}

/// Kernel command lines that are configured elsewhere than in GRUB's defaults: the place and the
/// line.
pub(super) fn cmdlines(facts: &Facts) -> Vec<(String, String)> {
    if is_menu(facts) {
        menu::cmdlines(facts)
    } else {
        Vec::new()
    }
}

/// The loader is one that passthru can configure; else it is refused by name.
pub(super) fn is_supported(draft: &mut Draft<'_>) -> bool {
    let boot = &draft.facts.boot;
    let later =
        "passthru devices, doctor and capture work on this host; binding at boot does not yet.";
    match boot.loader.value() {
        Some(BootLoader::Grub | BootLoader::Grub2) if boot.grub_dropins.value().is_some() => {
            return true;
        }
        Some(_) if is_menu(draft.facts) => return true,
        Some(BootLoader::Grub | BootLoader::Grub2) => {
            let why = boot.grub_dropins.why_not().unwrap_or_default().to_string();
            draft.refuse(
                "stack.loader",
                format!(
                    "Whether GRUB reads drop-ins in /etc/default/grub.d was not measured: {why}."
                ),
                "Run passthru on the host itself.",
            );
        }
        Some(loader) => draft.refuse(
            "stack.loader",
            format!(
                "The boot loader is {}, which is not supported yet.",
                loader.name()
            ),
            later,
        ),
        None => {
            let why = boot
                .loader
                .why_not()
                .unwrap_or("no known boot loader was found")
                .to_string();
            draft.refuse(
                "stack.loader",
                format!("Which boot loader starts this host is not clear: {why}."),
                later,
            );
        }
    }
    false
}
