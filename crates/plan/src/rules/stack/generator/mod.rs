//! Initramfs generators: how vfio-pci comes into the initramfs of every kernel.

pub(crate) mod initramfs_tools;

use alloc::{format, string::ToString, vec::Vec};

use crate::{
    change::Change,
    facts::{Generator, InstalledKernel},
    plan::BoundFunction,
    rules::Draft,
};

/// What the generator in charge needs done. [`is_supported`] has said yes.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Vec<Change> {
    initramfs_tools::changes(draft, bindings, kernels)
}

/// The generator is one that passthru can configure; else it is refused by name.
pub(super) fn is_supported(draft: &mut Draft<'_>) -> bool {
    let boot = &draft.facts.boot;
    let later =
        "passthru devices, doctor and capture work on this host; binding at boot does not yet.";
    match boot.generator.value() {
        Some(Generator::InitramfsTools) => return true,
        Some(generator) => draft.refuse(
            "stack.initramfs",
            format!(
                "The initramfs is made by {}, which is not supported yet.",
                generator.name()
            ),
            later,
        ),
        None => {
            let why = boot
                .generator
                .why_not()
                .unwrap_or("no known generator was found")
                .to_string();
            draft.refuse(
                "stack.initramfs",
                format!("What makes the initramfs is not clear: {why}."),
                later,
            );
        }
    }
    false
}
