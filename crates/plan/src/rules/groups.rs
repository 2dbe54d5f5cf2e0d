//! Can the IOMMU groups of the chosen functions be given away?
//!
//! The rule is the kernel's (`iommu_device_claim_dma_owner` in drivers/iommu/iommu.c): a group is
//! viable if no member is bound to a driver that does DMA for the host. Driverless members, PCI
//! bridges on pcieport, pci-stub and vfio drivers do not stand in the way.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{Draft, claims, describe, iommu};
use crate::{
    facts::{Facts, Function, Group},
    pci::Address,
};

/// A member of a group that keeps it from being given away.
#[derive(Debug, Clone, Copy)]
pub struct Blocker<'a> {
    /// The member.
    pub function: &'a Function,
    /// It could be given away together with the card (an endpoint that the host can do without).
    pub may_travel: bool,
}

/// PCI drivers with `driver_managed_dma`, and vfio drivers.
pub fn is_exempt_driver(driver: &str) -> bool {
    matches!(driver, "pcieport" | "pci-stub") || driver.split(['-', '_']).any(|part| part == "vfio")
}

/// Members of `group` other than `chosen` that keep it from being viable.
pub fn blockers<'a>(facts: &'a Facts, group: &Group, chosen: &[Address]) -> Vec<Blocker<'a>> {
    group
        .functions
        .iter()
        .filter(|address| !chosen.contains(address))
        .filter_map(|&address| facts.function(address))
        .filter(|f| {
            f.driver
                .as_deref()
                .is_some_and(|driver| !is_exempt_driver(driver))
        })
        .map(|function| Blocker {
            function,
            may_travel: !function.class.is_bridge()
                && function.class.sub() != 0x0c05
                && facts.uses_of(function.address).next().is_none(),
        })
        .collect()
}

pub(super) fn check(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    if draft.chosen.is_empty() {
        return;
    }
    if !iommu::is_active(facts) {
        let left: Vec<_> = facts
            .functions
            .iter()
            .filter(|f| !f.class.is_bridge() && !draft.is_chosen(f.address))
            .filter(|f| draft.chosen.iter().any(|a| a.slot() == f.address.slot()))
            .map(describe)
            .collect();
        if !left.is_empty() {
            draft.notice(
                "groups.left-in-slot",
                format!(
                    "Left to the host although in the same slot, as parts of the processor: {}.",
                    left.join(", ")
                ),
            );
        }
        draft.notice(
            "groups.unknown",
            "There are no IOMMU groups yet, so what must travel together is not known. The card is taken by its slot; passthru verify checks the groups after the reboot. To see them first, do the IOMMU step alone: --iommu-only.",
        );
        return;
    }
    let ids: BTreeSet<u32> = draft.chosen_functions().filter_map(|f| f.group).collect();
    for group in ids.into_iter().filter_map(|id| facts.group(id)) {
        for region in group
            .reserved
            .iter()
            .filter(|region| region.kind == "direct")
        {
            draft.refuse(
                "group.reserved",
                format!(
                    "The firmware reserves {:#x}-{:#x} for group {} (RMRR or unity map): the kernel does not assign such a device.",
                    region.start, region.end, group.id
                ),
                "No boot parameter changes this. Look for a firmware update or an option that turns off management or legacy USB access to this device; or use another slot.",
            );
        }
        let found = blockers(facts, group, &draft.chosen);
        let travel: Vec<_> = found
            .iter()
            .filter(|b| b.may_travel)
            .map(|b| b.function)
            .collect();
        for blocker in found.iter().filter(|b| !b.may_travel) {
            let loses = claims::loses(draft, blocker.function.address);
            let cost = if loses.is_empty() {
                String::from("the host cannot run without it")
            } else {
                format!("the host would lose {loses}")
            };
            draft.refuse(
                "group.host-device",
                format!("Group {} also holds {}: {cost}.", group.id, describe(blocker.function)),
                "Move the card to another slot (one wired to the processor), or look for ACS or \"PCIe ARI/AER\" options in the firmware, which split groups where the hardware can.",
            );
        }
        if !travel.is_empty() {
            let names: Vec<_> = travel.iter().map(|f| describe(f)).collect();
            let flags: Vec<_> = travel
                .iter()
                .map(|f| format!("--with {}", f.address))
                .collect();
            draft.refuse(
                "group.shared",
                format!(
                    "Group {} also holds {}. A group is given away whole.",
                    group.id,
                    names.join(", ")
                ),
                format!(
                    "Give it away too: {}. Or move the card to another slot.",
                    flags.join(" ")
                ),
            );
        }
    }
    let without: Vec<_> = draft
        .chosen_functions()
        .filter(|f| f.group.is_none())
        .map(|f| f.address)
        .collect();
    if !without.is_empty() && !iommu::leaves_out_graphics(draft) {
        let names: Vec<_> = without.iter().map(|a| format!("{a}")).collect();
        draft.refuse(
            "group.none",
            format!("The IOMMU is on, but {} has no group: it is not translated.", names.join(", ")),
            "The firmware's IOMMU table leaves this device out. Look for a firmware update, or use another slot.",
        );
    }
}
