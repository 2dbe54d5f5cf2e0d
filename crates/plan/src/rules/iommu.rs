//! Is translation on, and what turns it on?

use alloc::{string::String, vec::Vec};

use super::{Draft, stack};
use crate::{
    facts::{CpuVendor, Facts, Function},
    text::kargs,
};

/// Words that the kernel's parsers cannot take back later on the same line: `amd_iommu=` knows no
/// "on" (drivers/iommu/amd/init.c), `iommu=off` sets a flag that nothing clears
/// (arch/x86/kernel/pci-dma.c). They must go from where they stand.
pub(super) const OFF_FOR_GOOD: [&str; 2] = ["amd_iommu=off", "iommu=off"];

/// Translation is on: there are groups. Units alone are not enough, and captures may lack them.
pub fn is_active(facts: &Facts) -> bool {
    !facts.groups.is_empty()
}

/// The IOMMU is on but leaves the chosen graphics device out, as Debian's kernels do for Intel
/// graphics unless `intel_iommu=on` is given (CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF).
pub(super) fn leaves_out_graphics(draft: &Draft<'_>) -> bool {
    draft
        .chosen_functions()
        .any(|function| is_left_out(draft.facts, function))
}

/// The IOMMU is on but leaves this graphics device out.
pub(crate) fn is_left_out(facts: &Facts, function: &Function) -> bool {
    is_intel(facts)
        && is_active(facts)
        && function.group.is_none()
        && function.class.is_display()
        && function.ids.vendor == 0x8086
}

/// The firmware's table says which kind of IOMMU this is; without it, the processor's maker.
pub(super) fn is_intel(facts: &Facts) -> bool {
    match facts.iommu.firmware_table.value() {
        Some(Some(table)) => table == "DMAR",
        _ => matches!(
            facts.machine.cpu.vendor,
            CpuVendor::Intel | CpuVendor::Zhaoxin
        ),
    }
}

/// Kernel command line words that turn the IOMMU on, or refusals.
pub(super) fn words(draft: &mut Draft<'_>) -> Vec<String> {
    let facts = draft.facts;
    let mut words = Vec::new();
    let ours = stack::own_words(facts);
    let cmdline = facts.kernel.cmdline.value().map_or("", String::as_str);
    let active = is_active(facts);

    if is_intel(facts) && (!active || leaves_out_graphics(draft) || has(&ours, "intel_iommu=on")) {
        words.push(String::from("intel_iommu=on"));
    }
    // Both have a later "on" that wins: intel_iommu_setup(), setup_irqremap().
    let last = kargs::words(cmdline)
        .filter(|w| w.is("intremap") || w.is("nointremap"))
        .last();
    let remapping_off =
        last.is_some_and(|w| w.is("nointremap") || w.value().as_deref() == Some("off"));
    if remapping_off && !draft.intent.allow_unsafe_interrupts || has(&ours, "intremap=on") {
        words.push(String::from("intremap=on"));
    }

    if !active {
        match facts.iommu.firmware_table.value() {
            Some(None) => draft.refuse(
                "iommu.firmware",
                "The firmware offers no IOMMU (no DMAR or IVRS table).",
                firmware_menu(facts),
            ),
            Some(Some(_)) if !is_intel(facts) && !turned_off(cmdline) => draft.refuse(
                "iommu.inactive",
                "The firmware offers an AMD IOMMU and nothing on the kernel command line turns it off, yet it is not active.",
                "Look for \"AMD-Vi\" errors in the kernel log (sudo dmesg); a firmware update usually mends its table.",
            ),
            _ => {}
        }
    } else if facts.iommu.interrupt_remapping.is(&false)
        && !remapping_off
        && !draft.chosen.is_empty()
    {
        if draft.intent.allow_unsafe_interrupts {
            draft.notice(
                "iommu.unsafe-interrupts",
                "By your consent the guest runs without interrupt remapping: a malicious guest could inject interrupts into the host.",
            );
        } else {
            draft.refuse(
                "iommu.interrupt-remapping",
                "Interrupt remapping is not active: a guest could inject interrupts into the host, and the kernel refuses (\"No interrupt remapping support\").",
                "Look for \"Interrupt Remapping\" or \"x2APIC\" beside the IOMMU option in the firmware menu. If this machine cannot do it and you trust the guest, say --allow-unsafe-interrupts.",
            );
        }
    }
    if draft.intent.allow_unsafe_interrupts && !facts.iommu.interrupt_remapping.is(&true)
        || has(&ours, UNSAFE)
    {
        words.push(String::from(UNSAFE));
    }
    words
}

/// Consent to run without interrupt remapping (drivers/vfio/vfio_iommu_type1.c).
const UNSAFE: &str = "vfio_iommu_type1.allow_unsafe_interrupts=1";

fn has(words: &str, word: &str) -> bool {
    kargs::has_word(words, word)
}

/// A word that nothing overrules turns the IOMMU off.
pub(super) fn turned_off(cmdline: &str) -> bool {
    OFF_FOR_GOOD.iter().any(|word| has(cmdline, word))
}

/// Where the switch is, in the words of firmware menus.
pub(crate) fn firmware_menu(facts: &Facts) -> String {
    String::from(match facts.machine.cpu.vendor {
        CpuVendor::Intel | CpuVendor::Zhaoxin => {
            "Enter the firmware setup and enable \"VT-d\" (\"Intel Virtualization Technology for Directed I/O\"), often under Advanced > System Agent or Chipset."
        }
        CpuVendor::Amd => {
            "Enter the firmware setup and enable \"IOMMU\" (Enabled, not Auto) and \"SVM Mode\", often under Advanced > AMD CBS > NBIO."
        }
        CpuVendor::Other | CpuVendor::Unknown => {
            "Enter the firmware setup and enable the IOMMU (\"VT-d\" on Intel, \"IOMMU\" or \"AMD-Vi\" on AMD)."
        }
    })
}
