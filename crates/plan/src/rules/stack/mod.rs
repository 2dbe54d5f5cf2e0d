//! The files and commands of the host's boot stack.
//!
//! [`words`] decides what stands on the kernel command line, [`loader`] who carries it there, and
//! [`generator`] how vfio-pci comes into the initramfs. Each loader and each generator is a file.

mod fate;
pub(crate) mod foreign;
pub(crate) mod generator;
pub(crate) mod loader;
mod repairs;
pub(crate) mod trial;
pub(crate) mod words;

use alloc::{format, string::String, vec::Vec};

pub(in crate::rules) use fate::notice as ids_notice;
pub use loader::grub::mistakes as grub_mistakes;
pub(in crate::rules) use repairs::{changes as repairs, has_repairs};
pub(crate) use words::{BIND, own_words};

use super::{Draft, iommu, repair::Repairs};
use crate::{
    change::Change,
    facts::{BootLoader, Facts, Generator, InstalledKernel},
    intent::TrialBoot,
    measured::Measured,
    plan::{BoundFunction, Trial},
    text::kargs,
};

/// What the stack's rules decided.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) words: Vec<String>,
    pub(super) changes: Vec<Change>,
    pub(super) trial: Option<Trial>,
}

/// Which of its two steps a change on trial is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Apply: a trial first, where that is possible and wanted.
    Apply,
    /// The trial has proved itself: make it permanent.
    Keep,
}

/// Plans the words, files and commands.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    repairs: Repairs,
    host_words: &[String],
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
    stage: Stage,
) -> Outcome {
    let facts = draft.facts;
    let mut words = host_words.to_vec();
    words.extend(words::binding_words(draft, bindings));
    let loader = loader::is_supported(draft, &words);
    // The IOMMU alone needs no initramfs, and NixOS's refusal says all there is to do.
    let nixos = facts.boot.loader.is(&BootLoader::NixOs);
    let makes_none = draft.intent.iommu_only && !repairs.in_image;
    let generator = makes_none || nixos || generator::is_supported(draft);
    if !loader || !generator || (draft.chosen.is_empty() && !draft.intent.iommu_only) {
        return Outcome {
            words,
            ..Outcome::default()
        };
    }
    say_untested(draft, !bindings.is_empty(), stage);
    let images = if bindings.is_empty() {
        repairs::images(draft, repairs.in_image, &[], kernels)
    } else {
        generator::changes(draft, bindings, kernels)
    };
    staged(draft, words, repairs.changes, images, stage)
}

/// Everything in its order: on trial first, where that is possible and wanted.
fn staged(
    draft: &mut Draft<'_>,
    words: Vec<String>,
    repairs: Vec<Change>,
    images: generator::Images,
    stage: Stage,
) -> Outcome {
    let facts = draft.facts;
    let trial_words = trial::words(facts);
    let steps = loader::steps(draft, &words, &trial_words, &images);
    if stage == Stage::Apply
        && !images.is_empty()
        && let Some(generator) = generator::writes_over(facts)
    {
        draft.notice(
            "initramfs.in-place",
            format!("{generator} writes an image over the one that is there. If the power goes in those seconds, that kernel does not start: choose another kernel or its fallback image in the boot menu, and everything is taken back. With only one of them, have a rescue medium at hand."),
        );
    }
    let mut first = repairs;
    first.extend(steps.before);
    first.extend(images.changes);
    let mut keep = steps.keep;
    keep.extend(trial::without_units(facts));
    // Repairs that leave the command line alone need no other entry.
    let tries = !draft.intent.is_repair_only() || repairs::change_words(draft);
    if stage == Stage::Apply
        && draft.intent.trial == TrialBoot::IfPossible
        && tries
        && !keep.is_empty()
        && let Some((entry, mut changes, last)) = on_trial(draft, steps.trial, &words)
    {
        // The service comes first: it also brings to its end what a power cut leaves.
        changes.extend(first);
        changes.extend(last);
        return Outcome {
            words,
            changes,
            trial: Some(Trial {
                entry,
                words: trial_words,
                keep,
                baseline: facts.health.clone(),
            }),
        };
    }
    first.extend(keep);
    Outcome {
        words,
        changes: first,
        trial: None,
    }
}

/// Says so if no lab host boots this stack.
fn say_untested(draft: &mut Draft<'_>, makes_initramfs: bool, stage: Stage) {
    if stage == Stage::Apply && !is_boot_tested(draft.facts, makes_initramfs) {
        draft.notice(
            "stack.untested",
            "passthru's own hosts do not boot this combination of boot loader and initramfs: its files are written as documented, and no real boot has proved it. Look at the plan closely, and know your way into the boot menu.",
        );
    }
}

/// A lab host boots with this loader and, if the initramfs is made, this generator under it; the
/// README's table says which.
fn is_boot_tested(facts: &Facts, makes_initramfs: bool) -> bool {
    use Generator::{Dracut, InitramfsTools};
    let tested: &[Generator] = match facts.boot.loader.value() {
        Some(BootLoader::Grub) if facts.boot.grub_dropins.is(&true) => &[InitramfsTools, Dracut],
        Some(BootLoader::SystemdBootKernelInstall) => &[InitramfsTools],
        Some(BootLoader::UnifiedKernelImage) if loader::is_layout_uki(facts) => &[Dracut],
        _ => return false,
    };
    let generator = facts.boot.generator.value();
    !makes_initramfs || generator.is_some_and(|generator| tested.contains(generator))
}

/// The trial entry's title, what a trial needs before all else, and what comes last; `None` if there cannot be one, which the
/// user is told.
fn on_trial(
    draft: &mut Draft<'_>,
    trial: Result<loader::Trial, String>,
    words: &[String],
) -> Option<(String, Vec<Change>, Vec<Change>)> {
    let facts = draft.facts;
    let trial = match trial {
        Ok(trial) => trial,
        Err(why) => {
            draft.notice(
                "trial.impossible",
                format!(
                    "There is no trial boot on this host: {why}. The next boot has the change; if it fails, {}, and undo.",
                    loader::way_back(facts).choice
                ),
            );
            return None;
        }
    };
    let program = match &facts.program {
        Measured::Value(program) => program,
        Measured::NotMeasured(why) => {
            draft.refuse(
                "trial.program",
                format!("The trial boot is checked by passthru itself, started as root while the host boots, and {why}."),
                "Install it where only root can write (sudo install -m 0755 passthru /usr/local/bin/) and apply with that one, or do without the trial boot (--no-trial).",
            );
            return None;
        }
    };
    if facts
        .boot
        .generator
        .value()
        .is_some_and(|generator| !trial::reboots_without_root(*generator))
    {
        draft.notice(
            "trial.waits",
            "If the trial boot stops in the initramfs, it waits there and does not reboot by itself: press the reset button, and the entry from before starts.",
        );
    }
    Some((
        trial.entry,
        trial::units(facts, program, words, &goes_for_good(draft)),
        trial.changes,
    ))
}

/// Why this host's initramfs cannot be changed, if so.
pub(crate) fn generator_refusals(facts: &Facts) -> Vec<crate::plan::Refusal> {
    let intent = crate::intent::Intent::default();
    let mut draft = Draft {
        facts,
        intent: &intent,
        chosen: Vec::new(),
        refusals: Vec::new(),
        notices: Vec::new(),
    };
    generator::is_supported(&mut draft);
    draft.refusals
}

/// Words that go because of how the host is before the trial.
fn goes_for_good(draft: &Draft<'_>) -> Vec<String> {
    let facts = draft.facts;
    let lines = loader::configured(facts);
    let mut words: Vec<String> = words_to_remove(draft)
        .into_iter()
        .filter(|word| lines.iter().any(|line| kargs::has_word(line, word)))
        .map(String::from)
        .collect();
    words.extend(foreign::dormant_words(draft));
    words
}

/// Words that turn the IOMMU off for good and have to go.
fn words_to_remove(draft: &Draft<'_>) -> Vec<&'static str> {
    if let Some(off) = trial::off_of(draft.facts) {
        let gone = |word: &&str| off.iter().any(|off| off == word);
        return iommu::OFF_FOR_GOOD.into_iter().filter(gone).collect();
    }
    if iommu::is_active(draft.facts) {
        return Vec::new();
    }
    let intel = iommu::is_intel(draft.facts);
    iommu::OFF_FOR_GOOD
        .into_iter()
        .filter(|word| !(intel && *word == "amd_iommu=off"))
        .collect()
}

/// The removal of `path`, if it is there.
fn removal(facts: &Facts, path: &str, why: &str) -> Option<Change> {
    let before = facts.text(path)?;
    Some(Change::Edit {
        path: path.into(),
        before: Some(before.into()),
        after: None,
        mode: 0o644,
        why: why.into(),
    })
}

/// An edit of `path` to `after`, unless it has that text already.
fn edit(facts: &Facts, path: &str, after: String, mode: u32, why: &str) -> Option<Change> {
    let before = facts.text(path);
    (before != Some(after.as_str())).then(|| Change::Edit {
        path: path.into(),
        before: before.map(String::from),
        after: Some(after),
        mode,
        why: why.into(),
    })
}
