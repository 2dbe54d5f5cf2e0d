//! Repairs alone: files, the images that hold them, and words by the loader's own way, with nothing
//! bound.

use alloc::{string::String, vec::Vec};

use super::{
    Outcome, Stage, foreign,
    generator::{self, Images},
    loader, own_words, say_untested, staged,
};
use crate::{
    change::{Change, Expect},
    facts::{Generator, InstalledKernel},
    rules::{
        Draft,
        repair::{self, Repairs},
    },
    text::kargs,
};

/// Words of the kernel command line are taken away or put right.
pub(super) fn change_words(draft: &Draft<'_>) -> bool {
    !repair::fixes(draft).is_empty()
        || !foreign::grub_words(draft).is_empty()
        || !foreign::line_words(draft).is_empty()
}

/// There is something to repair, or a trial of repairs to bring to its end.
pub(in crate::rules) fn has_repairs(draft: &Draft<'_>, repairs: &Repairs, stage: Stage) -> bool {
    stage == Stage::Keep
        || !repairs.changes.is_empty()
        || change_words(draft)
        || !foreign::take_over(&mut draft.quiet()).is_empty()
}

/// Plans repairs alone: files, the images that hold them, and words by the loader's own way.
pub(in crate::rules) fn changes(
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
    let by_loader = stage == Stage::Keep || change_words(draft);
    if (by_loader || in_image) && !is_written(draft) {
        return Outcome::default();
    }
    let images = images(draft, in_image, &lists, kernels);
    let mut changes = repairs.changes;
    changes.extend(lists);
    if by_loader || (!images.is_empty() && loader::copies_images(facts)) {
        say_untested(draft, !images.is_empty(), stage);
        return staged(draft, words, changes, images, stage);
    }
    changes.extend(images.changes);
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
pub(super) fn images(
    draft: &mut Draft<'_>,
    in_image: bool,
    planned: &[Change],
    kernels: &[&InstalledKernel],
) -> Images {
    let facts = draft.facts;
    let set_up = facts.files.contains_key(generator::rules::PATH);
    let by_image = facts.boot.generator.is(&Generator::RpmOstree);
    if !in_image || (by_image && !set_up) {
        return Images::default();
    }
    if set_up {
        let mut images = generator::changes(draft, &[], kernels);
        images.changes.retain(|change| !planned.contains(change));
        return images;
    }
    let mut quiet = draft.quiet();
    let images = generator::changes(&mut quiet, &[], kernels);
    let refusals = core::mem::take(&mut quiet.refusals);
    draft.refusals.extend(refusals);
    let runs = images
        .changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Run {
                argv,
                undo,
                outputs,
                family,
                anew,
                once,
                expect,
                ..
            } if !outputs.is_empty() => Some(Change::Run {
                argv,
                undo,
                outputs,
                family,
                anew,
                once,
                expect: expect.into_iter().map(is_whole).collect(),
                why: "makes the initramfs anew, for files that were repaired are part of it".into(),
            }),
            _ => None,
        });
    Images {
        changes: runs.collect(),
        by_loader: images.by_loader,
        expected: images.expected.into_iter().map(is_whole).collect(),
    }
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
