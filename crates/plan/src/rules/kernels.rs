//! Which installed kernels can do it?

use alloc::{format, vec::Vec};

use super::Draft;
use crate::facts::{InstalledKernel, ModuleState};

/// The kernels the plan covers: those that boot and have vfio-pci. The others are named.
pub(super) fn check<'a>(draft: &mut Draft<'a>) -> Vec<&'a InstalledKernel> {
    let facts = draft.facts;
    let bootable: Vec<_> = facts
        .kernel
        .installed
        .iter()
        .filter(|k| k.bootable)
        .collect();
    let (able, unable): (Vec<_>, Vec<_>) = bootable
        .iter()
        .copied()
        .partition(|k| k.vfio_pci != ModuleState::Missing);
    if !unable.is_empty() && !draft.chosen.is_empty() && !draft.intent.iommu_only {
        let names: Vec<_> = unable.iter().map(|k| k.release.as_str()).collect();
        if able.is_empty() {
            draft.refuse(
                "kernel.vfio-pci",
                format!("No installed kernel has vfio-pci ({}).", names.join(", ")),
                "Install the distribution's standard kernel (Debian: linux-image-amd64; its cloud kernel has no vfio-pci).",
            );
        } else {
            draft.notice(
                "kernel.without-vfio-pci",
                format!("These installed kernels have no vfio-pci; booted with one, the card stays with its driver: {}.", names.join(", ")),
            );
        }
    }
    let bare: Vec<_> = able
        .iter()
        .filter(|k| k.image.is_none())
        .map(|k| k.release.as_str())
        .collect();
    if !bare.is_empty() && !draft.chosen.is_empty() && !draft.intent.iommu_only {
        draft.notice(
            "kernel.without-initramfs",
            format!("These kernels boot without an initramfs; with them, drivers may take the card before vfio-pci is loaded: {}.", bare.join(", ")),
        );
    }
    able
}
