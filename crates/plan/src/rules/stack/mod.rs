//! The files and commands of the host's boot stack.
//!
//! [`words`] decides what stands on the kernel command line, [`loader`] who carries it there, and
//! [`generator`] how vfio-pci comes into the initramfs. Each loader and each generator is a file.

pub(crate) mod foreign;
pub(crate) mod generator;
pub(crate) mod loader;
pub(crate) mod trial;
pub(crate) mod words;

use alloc::{format, string::String, vec::Vec};

pub use loader::grub::mistakes as grub_mistakes;
pub(crate) use words::{BIND, own_words};

use super::{
    Draft, iommu,
    repair::{self, Repairs},
};
use crate::{
    change::{Change, Expect},
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
    iommu_words: &[String],
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
    stage: Stage,
) -> Outcome {
    let facts = draft.facts;
    let mut words = iommu_words.to_vec();
    words.extend(words::binding_words(draft, bindings));
    let loader = loader::is_supported(draft, &words);
    // The IOMMU alone needs no initramfs, and NixOS's refusal says all there is to do.
    let nixos = facts.boot.loader.is(&BootLoader::NixOs);
    let generator = draft.intent.iommu_only || nixos || generator::is_supported(draft);
    if !loader || !generator || (draft.chosen.is_empty() && !draft.intent.iommu_only) {
        return Outcome {
            words,
            ..Outcome::default()
        };
    }
    if stage == Stage::Apply && !is_boot_tested(facts, !bindings.is_empty()) {
        draft.notice(
            "stack.untested",
            "passthru's own hosts do not boot this combination of boot loader and initramfs: its files are written as documented, and no real boot has proved it. Look at the plan closely, and know your way into the boot menu.",
        );
    }
    let images = if bindings.is_empty() {
        repair_images(draft, repairs.in_image, &[], kernels)
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
    images: Vec<Change>,
    stage: Stage,
) -> Outcome {
    let facts = draft.facts;
    let trial_words = trial::words(facts);
    let steps = loader::steps(draft, &words, &trial_words, &images);
    let mut first = repairs;
    first.extend(steps.before);
    first.extend(images);
    let mut keep = steps.keep;
    keep.extend(trial::without_units(facts));
    // Repairs that leave the command line alone need no other entry.
    let tries = !draft.intent.is_repair_only() || changes_words(draft);
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

/// Words of the kernel command line are taken away or put right.
fn changes_words(draft: &Draft<'_>) -> bool {
    !repair::fixes(draft).is_empty()
        || !foreign::grub_words(draft).is_empty()
        || !foreign::line_words(draft).is_empty()
}

/// There is something to repair, or a trial of repairs to bring to its end.
pub(super) fn has_repairs(draft: &Draft<'_>, repairs: &Repairs, stage: Stage) -> bool {
    stage == Stage::Keep
        || !repairs.changes.is_empty()
        || changes_words(draft)
        || !foreign::take_over(&mut draft.quiet()).is_empty()
}

/// Plans repairs alone: files, the images that hold them, and words by the loader's own way.
pub(super) fn repairs(
    draft: &mut Draft<'_>,
    repairs: Repairs,
    kernels: &[&InstalledKernel],
    stage: Stage,
) -> Outcome {
    let facts = draft.facts;
    let own = own_words(facts);
    let words: Vec<String> = kargs::words(&own).map(|word| word.raw.into()).collect();
    let lists = foreign::take_over(draft);
    let in_image = repairs.in_image || !lists.is_empty();
    let by_loader = stage == Stage::Keep || changes_words(draft);
    if (by_loader || in_image) && !is_written(draft) {
        return Outcome::default();
    }
    let images = repair_images(draft, in_image, &lists, kernels);
    let mut changes = repairs.changes;
    changes.extend(lists);
    if by_loader || (!images.is_empty() && loader::copies_images(facts)) {
        return staged(draft, words, changes, images, stage);
    }
    changes.extend(images);
    Outcome {
        words,
        changes,
        trial: None,
    }
}

/// Boot loader and initramfs are such that passthru writes to them; else the repairs are refused, for
/// they would not arrive.
fn is_written(draft: &mut Draft<'_>) -> bool {
    let mut quiet = draft.quiet();
    let written = loader::is_supported(&mut quiet, &[]) & generator::is_supported(&mut quiet);
    if !written {
        let why = quiet.refusals.iter().map(|refusal| refusal.why.as_str());
        let why: Vec<&str> = why.collect();
        draft.refuse(
            "repair.stack",
            why.join(" "),
            "passthru doctor says for every finding how to put it right by hand.",
        );
    }
    written
}

/// The images made anew for repaired files: by the generator's own command, which on a host without
/// passthru's files puts none of them in. `planned` are changes that come before.
fn repair_images(
    draft: &mut Draft<'_>,
    in_image: bool,
    planned: &[Change],
    kernels: &[&InstalledKernel],
) -> Vec<Change> {
    let facts = draft.facts;
    let set_up = facts.files.contains_key(generator::rules::PATH);
    let by_image = facts.boot.generator.is(&Generator::RpmOstree);
    if !in_image || (by_image && !set_up) {
        return Vec::new();
    }
    if set_up {
        return generator::changes(draft, &[], kernels)
            .into_iter()
            .filter(|change| !planned.contains(change))
            .collect();
    }
    let mut quiet = draft.quiet();
    let changes = generator::changes(&mut quiet, &[], kernels);
    let refusals = core::mem::take(&mut quiet.refusals);
    draft.refusals.extend(refusals);
    changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Run {
                argv,
                undo,
                outputs,
                family,
                expect,
                ..
            } if !outputs.is_empty() => Some(Change::Run {
                argv,
                undo,
                outputs,
                family,
                expect: expect.into_iter().map(is_whole).collect(),
                why: "makes the initramfs of every installed kernel anew, for files that were repaired are part of it".into(),
            }),
            _ => None,
        })
        .collect()
}

/// The image can be read to its end, whatever is in it.
fn is_whole(expect: Expect) -> Expect {
    match expect {
        Expect::Image { path, .. } => Expect::Image {
            path,
            entries: Vec::new(),
            texts: Vec::new(),
        },
        other => other,
    }
}

/// A lab host boots with this loader and, if the initramfs is made, this generator; the README says
/// which.
fn is_boot_tested(facts: &Facts, makes_initramfs: bool) -> bool {
    let generator = facts.boot.generator.value();
    let tested = matches!(
        generator,
        Some(Generator::InitramfsTools | Generator::Dracut)
    );
    if makes_initramfs && !tested {
        return false;
    }
    match facts.boot.loader.value() {
        Some(BootLoader::Grub) => facts.boot.grub_dropins.is(&true),
        Some(BootLoader::SystemdBootKernelInstall | BootLoader::UnifiedKernelImage) => true,
        _ => false,
    }
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
        trial::units(facts, program, words),
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

/// Words that turn the IOMMU off for good and have to go.
fn words_to_remove(draft: &Draft<'_>) -> Vec<&'static str> {
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
