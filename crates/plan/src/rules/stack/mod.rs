//! The files and commands of the host's boot stack.
//!
//! [`words`] decides what stands on the kernel command line, [`loader`] who carries it there, and
//! [`generator`] how vfio-pci comes into the initramfs. Each loader and each generator is a file.

pub(crate) mod foreign;
pub(crate) mod generator;
pub(crate) mod loader;
pub(crate) mod words;

use alloc::{string::String, vec::Vec};

pub use loader::grub::mistakes as grub_mistakes;
pub(crate) use words::{BIND, own_words};

use super::{Draft, iommu};
use crate::{
    change::Change,
    facts::{Facts, InstalledKernel},
    plan::BoundFunction,
};

/// What the stack's rules decided.
pub(super) struct Outcome {
    pub(super) words: Vec<String>,
    pub(super) changes: Vec<Change>,
}

/// Plans the words, files and commands.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    iommu_words: &[String],
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Outcome {
    let mut words = iommu_words.to_vec();
    words.extend(words::binding_words(draft, bindings));
    let mut changes = Vec::new();
    let supported = [loader::is_supported(draft), generator::is_supported(draft)];
    if supported.contains(&false) || (draft.chosen.is_empty() && !draft.intent.iommu_only) {
        return Outcome { words, changes };
    }
    let steps = loader::steps(draft, &words, &[]);
    changes.extend(steps.before);
    if !bindings.is_empty() {
        changes.extend(generator::changes(draft, bindings, kernels));
    }
    changes.extend(steps.keep);
    Outcome { words, changes }
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
