//! kernel-install with images on the boot partition only: `kernel-install add` makes them there by its
//! plugin of the generator, and the generator's own command would write over them in place
//! (kernel-install(8); dracut's 50-dracut.install).

use alloc::{format, vec::Vec};

use crate::{
    facts::{BootLoader, Facts, Generator, InstalledKernel},
    rules::Draft,
};

/// Every image lies where kernel-install puts it, so it makes them. Refused if only some do.
pub(super) fn is_in_charge(draft: &mut Draft<'_>, kernels: &[&InstalledKernel]) -> bool {
    let facts = draft.facts;
    // dracut alone finds that place by itself (dracut(8), `--regenerate-all`).
    let by_dracut = facts.boot.generator.is(&Generator::Dracut) && !facts.boot.update_initramfs;
    if !by_dracut || !entries_by_kernel_install(facts) {
        return false;
    }
    let images = kernels.iter().filter(|kernel| kernel.image.is_some());
    let (there, elsewhere): (Vec<_>, Vec<_>) = images.partition(|kernel| is_there(facts, kernel));
    if there.is_empty() {
        return false;
    }
    let names = |kernels: &[&&InstalledKernel]| {
        let names: Vec<&str> = kernels
            .iter()
            .map(|kernel| kernel.release.as_str())
            .collect();
        names.join(", ")
    };
    if !elsewhere.is_empty() {
        draft.refuse(
            "stack.initramfs",
            format!("kernel-install makes the initramfs of {} on the boot partition, but that of {} lies elsewhere; which of them is started is not clear.", names(&there), names(&elsewhere)),
            "Remove kernels that are no longer started with the package manager, and initramfs images in /boot that no boot entry names; then plan again.",
        );
    }
    let unmade: Vec<_> = there
        .into_iter()
        .filter(|kernel| !facts.boot.kernel_images.contains_key(&kernel.release))
        .collect();
    if !unmade.is_empty() {
        draft.refuse(
            "stack.initramfs",
            format!("kernel-install makes the initramfs, and of {} there is no kernel to give to it in /usr/lib/modules or /boot.", names(&unmade)),
            "Reinstall the package of that kernel, or remove it, and plan again.",
        );
    }
    true
}

fn entries_by_kernel_install(facts: &Facts) -> bool {
    let unified = facts.boot.loader.is(&BootLoader::UnifiedKernelImage);
    facts.boot.loader.is(&BootLoader::SystemdBootKernelInstall)
        || unified && crate::rules::stack::loader::is_layout_uki(facts)
}

fn is_there(facts: &Facts, kernel: &InstalledKernel) -> bool {
    let Some(image) = &kernel.image else {
        return false;
    };
    facts.boot.entries.iter().any(|entry| {
        entry.version.as_ref() == Some(&kernel.release)
            && (entry.path == image.path || entry.initrds.contains(&image.path))
    })
}
