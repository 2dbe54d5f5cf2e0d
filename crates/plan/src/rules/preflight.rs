//! What would make the next boot fail for a reason that has nothing to do with the card: a partition
//! that cannot be written, a disk's key that no longer comes.

use alloc::format;

use super::{Draft, describe, display};
use crate::{facts::BootLoader, text::kargs};

/// Checks before anything is written.
pub(super) fn check(draft: &mut Draft<'_>) {
    partition(draft);
    sealed_key(draft);
    prompt(draft);
}

/// The partition that the loader reads must be there and writable.
fn partition(draft: &mut Draft<'_>) {
    let boot = &draft.facts.boot;
    let on_partition = matches!(
        boot.loader.value(),
        Some(
            BootLoader::SystemdBoot
                | BootLoader::SystemdBootKernelInstall
                | BootLoader::UnifiedKernelImage
                | BootLoader::Kernelstub
        )
    );
    if !on_partition {
        return;
    }
    match &boot.partition {
        None => draft.refuse(
            "stack.boot-partition",
            "The partition that the boot loader reads is not mounted on /efi, /boot or /boot/efi.",
            "Mount it (bootctl -p tells where it belongs, lsblk which it is), and plan again.",
        ),
        Some(partition) if partition.read_only => {
            let path = partition.path.clone();
            draft.refuse(
                "stack.boot-partition",
                format!("The partition that the boot loader reads is mounted read-only on {path}."),
                format!("Find out why (a damaged file system is mounted so: sudo dmesg), then run: sudo mount -o remount,rw {path}, and plan again."),
            );
        }
        Some(_) => {}
    }
}

/// Names of disks whose key the TPM gives out, by /etc/crypttab or the kernel command line.
fn sealed_key(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    let by_table = facts
        .text("/etc/crypttab")
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .find(|line| line.contains("tpm2-device="))
        .and_then(|line| line.split_whitespace().next());
    let by_word = facts.kernel.cmdline.value().is_some_and(|cmdline| {
        kargs::values(cmdline, "rd.luks.options")
            .iter()
            .any(|value| value.contains("tpm2-device="))
    });
    let disk = match (by_table, by_word) {
        (Some(name), _) => format!("The disk \"{name}\" (/etc/crypttab)"),
        (None, true) => "A disk (rd.luks.options on the kernel command line)".into(),
        (None, false) => return,
    };
    draft.notice(
        "boot.tpm-sealed",
        format!(
            "{disk} is unlocked by the TPM. It measures the kernel, the initramfs and the command line (PCR 4, 9, 11 and 12), and all of them change: have the recovery key or passphrase at hand for the next boot. Afterwards enroll the key anew: sudo systemd-cryptenroll --wipe-slot=tpm2 --tpm2-device=auto with your PCRs."
        ),
    );
}

/// A passphrase prompt that stands on the chosen card's screen.
fn prompt(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    if !facts.machine.encrypted_root.is(&true) || draft.intent.headless || draft.intent.iommu_only {
        return;
    }
    let Some(primary) = display::primary(facts).filter(|&primary| draft.is_chosen(primary)) else {
        return;
    };
    let Some(function) = facts.function(primary) else {
        return;
    };
    draft.notice(
        "boot.luks-prompt",
        format!(
            "The disk's passphrase is asked for on the screen of {} today, and vfio-pci will have that card before it is asked. It then shows on the host's other screen only if that card's driver is in the initramfs. Make the other card the primary display in the firmware first; or unlock blindly, by a key file, the TPM or over the network.",
            describe(function)
        ),
    );
}
