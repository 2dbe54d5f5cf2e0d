//! The IOMMU: is it there, is it on, does it do all that a guest needs?

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{as_root, check, on_host},
    how,
};
use crate::{
    facts::CpuVendor,
    finding::{Finding, Severity},
    rules::{
        describe,
        iommu::{firmware_menu, is_left_out},
        iommu_is_active,
    },
    text::kargs::Word,
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    found.push(firmware(view));
    found.push(enabled(view));
    found.extend(conflict(view));
    found.push(interrupt_remapping(view));
    found.extend(address_width(view));
    found.extend(graphics_left_out(view));
    found.extend(acs_override(view));
}

fn firmware(view: &View<'_>) -> Finding {
    let facts = view.facts;
    let check = check(
        "iommu.firmware",
        "The firmware offers an IOMMU",
        Severity::Blocker,
        "The IOMMU keeps a card that a guest owns inside the guest's memory. The firmware describes it to the kernel in a table (DMAR on Intel, IVRS on AMD).",
    );
    match facts.iommu.firmware_table.value() {
        Some(Some(table)) => check.yes([format!("/sys/firmware/acpi/tables/{table} exists")]),
        _ if iommu_is_active(facts) => {
            check.yes(["the kernel has IOMMU groups, so the firmware offered one"])
        }
        Some(None) => check.no(
            ["/sys/firmware/acpi/tables has neither DMAR nor IVRS"],
            match facts.machine.hypervisor.value() {
                Some(Some(name)) => format!(
                    "This host is itself a guest ({name}). Give it an emulated IOMMU in the outer hypervisor (libvirt: <iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>)."
                ),
                _ => firmware_menu(facts),
            },
        ),
        None => check.unknown(
            facts.iommu.firmware_table.why_not().unwrap_or("not looked at"),
            as_root(facts),
        ),
    }
}

fn enabled(view: &View<'_>) -> Finding {
    let facts = view.facts;
    let check = check(
        "iommu.enabled",
        "The IOMMU is on",
        Severity::Blocker,
        "A card can be given away only while the IOMMU translates what it reads and writes.",
    );
    if facts.functions.is_empty() {
        return check.unknown("no PCI functions were read", on_host(facts));
    }
    let units = if facts.iommu.has_units() {
        format!("/sys/class/iommu: {}", facts.iommu.units.join(", "))
    } else {
        String::from("/sys/class/iommu has no units")
    };
    if iommu_is_active(facts) {
        let groups = format!("/sys/kernel/iommu_groups: {} groups", facts.groups.len());
        return if facts.iommu.has_units() {
            check.yes([units, groups])
        } else {
            check.yes([groups])
        };
    }
    // A capture without these directories looks like a host without an IOMMU; a live host shows at
    // least what its firmware offers.
    if !facts.iommu.has_units() && facts.iommu.firmware_table.value().is_none() {
        return check.unknown(
            "no IOMMU groups, units or firmware tables were there to read",
            as_root(facts),
        );
    }
    let evidence = [
        units,
        String::from("/sys/kernel/iommu_groups has no groups"),
    ];
    let refused = view
        .iommu_plan
        .refusals
        .iter()
        .find(|r| r.id.starts_with("iommu."));
    let remedy = if facts.iommu.firmware_table.is(&None) {
        String::from("Turn it on in the firmware first: see the firmware check above.")
    } else if let Some(refusal) = refused {
        format!("{} {}", refusal.why, refusal.way_out)
    } else if view.iommu_plan.refusals.is_empty() && !view.iommu_plan.changes.is_empty() {
        String::from(
            "passthru does this: look at it with passthru plan --iommu-only, do it with sudo passthru apply --iommu-only, and reboot. passthru plan --gpu … does it together with the card.",
        )
    } else if view.iommu_plan.refusals.is_empty() && !view.iommu_plan.words.is_empty() {
        String::from("It is configured. Reboot, then run sudo passthru verify.")
    } else {
        match facts.machine.cpu.vendor {
            CpuVendor::Intel | CpuVendor::Zhaoxin => how::add_word(facts, "intel_iommu=on"),
            _ => firmware_menu(facts),
        }
    };
    check.no(evidence, remedy)
}

/// Words that turn the IOMMU, or a part of it, off.
fn turns_off(word: Word<'_>) -> bool {
    let value = word.value().unwrap_or_default();
    let says = |wanted: &str| value.split(',').any(|part| part == wanted);
    let is_on = |value: &str| matches!(value, "" | "1" | "y" | "Y" | "on");
    ["iommu", "amd_iommu", "intel_iommu"]
        .iter()
        .any(|name| word.is(name))
        && says("off")
        || word.is("pci") && says("noacpi")
        || word.is("acpi") && says("off")
        || word.is("intremap") && says("off")
        || word.is("nointremap")
        || word.is("vfio.enable_unsafe_noiommu_mode") && is_on(&value)
}

fn conflict(view: &View<'_>) -> Option<Finding> {
    let hits = view.cmdlines.hits(turns_off);
    if hits.is_empty() {
        return None;
    }
    // A later word, as passthru's own, may have overruled it.
    let in_effect = !(iommu_is_active(view.facts)
        && view.facts.iommu.interrupt_remapping.is(&true)
        && hits.iter().all(|hit| !hit.word.starts_with("vfio")));
    let by_plan = "passthru plan --gpu … takes back what turns the IOMMU off where the boot stack is supported.";
    Some(check(
        "iommu.conflict",
        "No kernel word turns the IOMMU or a part of it off",
        if in_effect {
            Severity::Warning
        } else {
            Severity::Info
        },
        "These words switch off translation, interrupt remapping, or the table they are described in. Often they are what an earlier attempt left behind.",
    )
    .no(
        hits.iter().map(super::cmdlines::Hit::evidence),
        format!("{} {by_plan}", how::remove_words(view.facts, &hits)),
    ))
}

fn interrupt_remapping(view: &View<'_>) -> Finding {
    let facts = view.facts;
    let check = check(
        "iommu.interrupt-remapping",
        "Interrupts of cards are remapped",
        Severity::Blocker,
        "Without it a guest could make its card send any interrupt to the host, so the kernel refuses to give cards away (\"No interrupt remapping support\").",
    );
    match facts.iommu.interrupt_remapping.value() {
        Some(true) => check.yes(["interrupt controllers named IR-… are in use"]),
        _ if !iommu_is_active(facts) => check.unknown(
            "the IOMMU is not on, and it does the remapping",
            "Turn the IOMMU on first; then this can be seen.",
        ),
        Some(false) => {
            let off = view.cmdlines.hits(|w| {
                w.is("nointremap") || w.is("intremap") && w.value().as_deref() == Some("off")
            });
            let remedy = if off.is_empty() {
                String::from(
                    "Look for \"Interrupt Remapping\" or \"x2APIC\" beside the IOMMU option in the firmware menu. If this machine cannot do it and you trust the guest, passthru plan --gpu … --allow-unsafe-interrupts goes on without it.",
                )
            } else {
                how::remove_words(facts, &off)
            };
            check.no(["no interrupt controller in use is named IR-…"], remedy)
        }
        None => check.unknown(
            facts
                .iommu
                .interrupt_remapping
                .why_not()
                .unwrap_or("not looked at"),
            as_root(facts),
        ),
    }
}

/// MGAW of the VT-d capability register against the processor's physical address bits
/// (drivers/iommu/intel/iommu.h `cap_mgaw`).
fn address_width(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let width = facts.iommu.address_width?;
    let bits = facts.machine.cpu.physical_bits?;
    let check = check(
        "iommu.address-width",
        "The IOMMU reaches every address a guest may use",
        Severity::Warning,
        "Newer guest firmware puts the card's memory as high as the processor reaches. Where the IOMMU does not reach, the guest fails to start (\"VFIO_MAP_DMA … Invalid argument\").",
    );
    let evidence = [
        format!("the IOMMU translates {width}-bit addresses (intel-iommu/cap)"),
        format!("the processor has {bits} physical address bits (/proc/cpuinfo)"),
    ];
    Some(if width < bits {
        check.no(
            evidence,
            format!(
                "In each guest that owns a card, add to <cpu> in the libvirt domain: <maxphysaddr mode='passthrough' limit='{width}'/> (libvirt 9.3 or later). For plain QEMU: -cpu host,host-phys-bits=on,host-phys-bits-limit={width}."
            ),
        )
    } else {
        check.yes(evidence)
    })
}

fn graphics_left_out(view: &View<'_>) -> Option<Finding> {
    let left_out: Vec<String> = view
        .gpus
        .iter()
        .filter(|gpu| is_left_out(view.facts, gpu.function))
        .map(|gpu| format!("{} has no IOMMU group", describe(gpu.function)))
        .collect();
    (!left_out.is_empty()).then(|| {
        check(
            "iommu.graphics-left-out",
            "The IOMMU also covers the processor's own graphics",
            Severity::Info,
            "Debian's kernels leave Intel's built-in graphics out unless they are told otherwise. That is fine as long as the host keeps this GPU.",
        )
        .no(
            left_out,
            format!(
                "Only if a guest is to have it: passthru plan --gpu {} adds intel_iommu=on. By hand: {}",
                view.gpus
                    .iter()
                    .find(|gpu| is_left_out(view.facts, gpu.function))
                    .map_or_else(String::new, |gpu| format!("{}", gpu.function.address)),
                how::add_word(view.facts, "intel_iommu=on")
            ),
        )
    })
}

fn acs_override(view: &View<'_>) -> Option<Finding> {
    let hits = view.cmdlines.hits(|w| w.is("pcie_acs_override"));
    if hits.is_empty() {
        return None;
    }
    Some(check(
        "iommu.acs-override",
        "The groups are what the hardware says",
        Severity::Warning,
        "Stock kernels ignore pcie_acs_override. Kernels with the ACS patch split groups that the hardware does not keep apart: a guest could then reach other devices, and data can be corrupted.",
    )
    .no(
        hits.iter().map(super::cmdlines::Hit::evidence),
        format!(
            "{} Then look at the real groups with passthru devices. If the card shares one, another slot or the firmware options \"ACS Enable\" and \"AER\" split it honestly.",
            how::remove_words(view.facts, &hits)
        ),
    ))
}
