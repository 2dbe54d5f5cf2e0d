//! Can the IOMMU groups of each card be given away? The rule is the planner's
//! ([`crate::rules::blockers`]): what is named here is what it refuses.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{
    Gpu, View,
    check::{as_root, check},
};
use crate::{
    facts::{Facts, Group},
    finding::{Finding, Severity},
    pci::Address,
    rules::{Blocker, blockers, describe, iommu::is_left_out, iommu_is_active},
};

pub(super) fn check_all(view: &View<'_>, gpu: &Gpu<'_>, found: &mut Vec<Finding>) {
    let severity = severity(view);
    found.push(viable(view.facts, gpu, severity));
    if iommu_is_active(view.facts) {
        found.extend(reserved(view.facts, gpu, severity));
    }
}

/// A card that cannot be given away is a blocker only if no other card can.
fn severity(view: &View<'_>) -> Severity {
    let hopeless = |gpu: &Gpu<'_>| {
        let groups = groups_of(view.facts, gpu);
        super::cards::is_behind_vmd(gpu)
            || without_group(view.facts, gpu).next().is_some()
            || groups
                .iter()
                .any(|group| direct_regions(group).next().is_some())
            || groups
                .iter()
                .flat_map(|group| blockers(view.facts, group, &gpu.card))
                .any(|blocker| !blocker.may_travel)
    };
    if iommu_is_active(view.facts) && view.gpus.iter().all(hopeless) {
        Severity::Blocker
    } else {
        Severity::Warning
    }
}

fn groups_of<'a>(facts: &'a Facts, gpu: &Gpu<'_>) -> Vec<&'a Group> {
    let ids: BTreeSet<u32> = gpu.functions(facts).filter_map(|f| f.group).collect();
    ids.into_iter().filter_map(|id| facts.group(id)).collect()
}

/// Functions of the card that an active IOMMU does not translate.
fn without_group(facts: &Facts, gpu: &Gpu<'_>) -> impl Iterator<Item = Address> {
    gpu.functions(facts)
        .filter(|f| f.group.is_none() && !is_left_out(facts, f))
        .map(|f| f.address)
}

fn direct_regions(group: &Group) -> impl Iterator<Item = String> {
    group
        .reserved
        .iter()
        .filter(|region| region.kind == "direct")
        .map(|region| {
            format!(
                "group {}: {:#x}-{:#x} direct",
                group.id, region.start, region.end
            )
        })
}

fn viable(facts: &Facts, gpu: &Gpu<'_>, severity: Severity) -> Finding {
    let check = check(
        gpu.id("group.viable"),
        format!("The group of {} can be given away", gpu.name()),
        severity,
        "The IOMMU keeps groups apart, not single functions. The kernel gives a group away only if no member of it works for the host.",
    );
    if !iommu_is_active(facts) {
        return check.unknown(
            "the IOMMU is not on, so there are no groups yet",
            "Turn the IOMMU on first: passthru plan --iommu-only. After the reboot the groups show.",
        );
    }
    let lost: Vec<String> = without_group(facts, gpu)
        .map(|address| format!("{address} has no group although the IOMMU is on"))
        .collect();
    if !lost.is_empty() {
        return check.no(
            lost,
            "The firmware's IOMMU table leaves this device out. Look for a firmware update, or use another slot.",
        );
    }
    let groups = groups_of(facts, gpu);
    let mut evidence = travels(facts, gpu);
    let mut found = Vec::new();
    for group in &groups {
        let blocking = blockers(facts, group, &gpu.card);
        evidence.extend(harmless(facts, gpu, group, &blocking));
        for blocker in &blocking {
            evidence.push(obstacle(facts, group, blocker));
        }
        found.extend(blocking);
    }
    if found.is_empty() {
        return check.yes(evidence);
    }
    let flags: Vec<String> = found
        .iter()
        .map(|b| format!("--with {}", b.function.address))
        .collect();
    let remedy = if found.iter().all(|b| b.may_travel) {
        format!(
            "The host seems to have no use for them, so they can go with the card: passthru plan --gpu {} {}. Or move the card to another slot.",
            gpu.function.address,
            flags.join(" ")
        )
    } else {
        String::from(
            "Move the card to another slot, best the one wired to the processor (the topmost long one). Or look in the firmware for \"ACS Enable\", \"AER\" or \"PCIe ARI Support\", which split groups where the hardware can.",
        )
    };
    check.no(evidence, remedy)
}

fn travels(facts: &Facts, gpu: &Gpu<'_>) -> Vec<String> {
    let names: Vec<String> = gpu.functions(facts).map(describe).collect();
    let together = if names.len() == 1 {
        "the card is one function"
    } else {
        "the card travels as a whole"
    };
    Vec::from([format!("{together}: {}", names.join(", "))])
}

/// Members beside the card that do not stand in the way, in one line for each group.
fn harmless(
    facts: &Facts,
    gpu: &Gpu<'_>,
    group: &Group,
    blocking: &[Blocker<'_>],
) -> Option<String> {
    let names: Vec<String> = group
        .functions
        .iter()
        .filter(|address| !gpu.card.contains(address))
        .filter(|&&address| blocking.iter().all(|b| b.function.address != address))
        .filter_map(|&address| facts.function(address))
        .map(describe)
        .collect();
    if !names.is_empty() {
        Some(format!(
            "group {} also holds what does no harm: {}",
            group.id,
            names.join(", ")
        ))
    } else if blocking.is_empty() {
        Some(format!("group {} holds nothing else", group.id))
    } else {
        None
    }
}

fn obstacle(facts: &Facts, group: &Group, blocker: &Blocker<'_>) -> String {
    let uses: Vec<&str> = facts
        .uses_of(blocker.function.address)
        .map(|usage| usage.detail.as_str())
        .collect();
    let cost = if !uses.is_empty() {
        format!("the host would lose {}", uses.join(", "))
    } else if blocker.may_travel {
        String::from("no use of it by the host was seen")
    } else {
        String::from("the host cannot run without it")
    };
    format!(
        "group {}: {} stands in the way; {cost}",
        group.id,
        describe(blocker.function)
    )
}

/// `direct` regions of `reserved_regions` (Documentation/ABI/testing/sysfs-kernel-iommu_groups);
/// `direct-relaxable` ones, as graphics and USB controllers have, do no harm.
fn reserved(facts: &Facts, gpu: &Gpu<'_>, severity: Severity) -> Option<Finding> {
    let check = check(
        gpu.id("group.reserved"),
        format!("The firmware keeps no memory of {} for itself", gpu.name()),
        severity,
        "Where the firmware says that a device must always reach a piece of memory, the kernel does not give the device away.",
    );
    let groups = groups_of(facts, gpu);
    if groups.is_empty() {
        return None;
    }
    let direct: Vec<String> = groups
        .iter()
        .flat_map(|group| direct_regions(group))
        .collect();
    Some(if !direct.is_empty() {
        check.no(
            direct,
            "No boot parameter changes this. Look for a firmware update, turn off management or legacy USB access to this device in the firmware, or use another slot.",
        )
    } else if groups.iter().all(|group| group.reserved.is_empty()) {
        // Every group of an x86 host has at least its interrupt window.
        check.unknown("reserved_regions could not be read", as_root(facts))
    } else {
        check.yes(["reserved_regions of its groups have no line that ends in direct"])
    })
}
