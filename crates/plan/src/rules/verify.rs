//! Verify is planning again: what would still have to be done, and what runs differently.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{groups, hugepages, iommu, repair, stack::loader};
use crate::{
    change::Change,
    facts::{Facts, Function},
    intent::Intent,
    plan::{BoundFunction, Method, Plan},
    text::kargs,
    verify::{State, Verification, VerifiedFunction},
};

pub(crate) fn verify(facts: &Facts, intent: &Intent) -> Verification {
    let plan = super::plan(facts, intent);
    let mut drift: Vec<String> = plan
        .refusals
        .iter()
        .map(|refusal| format!("{} {}", refusal.why, refusal.way_out))
        .collect();
    let way_back = loader::way_back_entry(facts);
    // That the way back has lost its kernel is for doctor to say: a kernel update is nothing that the
    // change is judged by, least of all on trial.
    let renewed = match &way_back {
        Some((path, Some(_))) => Some(*path),
        _ => None,
    };
    let of_way_back = |change: &&Change| match change {
        Change::Copy { .. } => renewed.is_some(),
        Change::Edit { path, .. } => renewed == Some(path.as_str()),
        _ => false,
    };
    let others = plan.changes.iter().filter(|change| !of_way_back(change));
    drift.extend(others.map(left_to_do));

    let cmdline = facts.kernel.cmdline.value();
    let missing: Vec<&String> = plan
        .words
        .iter()
        .filter(|word| cmdline.is_some_and(|cmdline| !kargs::has_word(cmdline, word)))
        .collect();
    let configured = drift.is_empty();
    // A word that had to go still stands on the line of a boot from before.
    // Repairs alone ask for no IOMMU.
    let wants_iommu = !intent.is_repair_only();
    let off = wants_iommu
        && !iommu::is_active(facts)
        && cmdline.is_some_and(|cmdline| iommu::turned_off(cmdline));
    let rebooted = missing.is_empty() && !off && !repair::waits_for_reboot(facts, intent);
    let devices: Vec<_> = plan
        .bindings
        .iter()
        .map(|bound| device(facts, &plan, bound, rebooted))
        .collect();

    let state = if !configured {
        State::Drifted
    } else if !rebooted {
        State::RebootNeeded
    } else {
        drift.extend(
            devices
                .iter()
                .filter_map(|d| d.why.as_ref().map(|why| format!("{}: {why}", d.address))),
        );
        if wants_iommu {
            drift.extend(running_drift(facts, &plan));
            drift.extend(hugepages::drift(facts, intent));
        }
        if drift.is_empty() {
            State::Done
        } else {
            State::Drifted
        }
    };
    Verification {
        state,
        devices,
        drift,
        not_measured: not_measured(facts),
    }
}

/// What is said of an entry "… without passthru" whose kernel was removed.
pub(crate) fn way_back_is_stale(release: &str) -> String {
    format!(
        "The way back starts kernel {release}, whose modules are gone (an update removed them): passthru apply with the same cards as before renews it."
    )
}

/// A change that planning again still asks for.
fn left_to_do(change: &Change) -> String {
    match change {
        Change::Edit {
            path, before: None, ..
        } => format!("{path} is missing: {}.", change.why()),
        Change::Edit { path, .. } => format!("{path} is not as planned: {}.", change.why()),
        Change::Copy { to: path, .. } | Change::Make { path, .. } | Change::Disc { path, .. } => {
            format!("{path} is missing: {}.", change.why())
        }
        Change::Domain { name, .. } => {
            format!("the guest {name} is not as planned: {}.", change.why())
        }
        Change::Run { argv, .. } => {
            format!("{} has to run again: {}.", argv.join(" "), change.why())
        }
    }
}

fn device(facts: &Facts, plan: &Plan, bound: &BoundFunction, rebooted: bool) -> VerifiedFunction {
    let address = bound.function.address;
    let function = facts.function(address);
    let ok = function.is_some_and(Function::is_on_vfio);
    let why = match function {
        _ if ok => None,
        None => Some(String::from("the function is gone")),
        Some(_) if !rebooted => Some(String::from("waits for the reboot")),
        Some(function) => Some(why_not(facts, plan, bound, function)),
    };
    VerifiedFunction {
        address,
        driver: function.and_then(|f| f.driver.clone()),
        ok,
        why,
    }
}

/// Why a function is not on vfio-pci although its word was on the command line.
fn why_not(facts: &Facts, plan: &Plan, bound: &BoundFunction, function: &Function) -> String {
    let driver = function.driver.as_deref();
    let loaded = facts
        .kernel
        .loaded
        .value()
        .is_some_and(|modules| modules.iter().any(|m| m == "vfio_pci"));
    if driver.is_none() && !loaded {
        return "no driver is bound and vfio-pci is not loaded: this kernel's initramfs or modules lack it".to_string();
    }
    let lists = facts
        .kernel
        .cmdline
        .value()
        .map(|c| kargs::values(c, "vfio-pci.ids"))
        .unwrap_or_default();
    if bound.method == Method::Ids
        && lists.len() > 1
        && plan
            .words
            .iter()
            .all(|w| kargs::Word { raw: w }.value().as_ref() != lists.last())
    {
        return "another vfio-pci.ids= comes later on the kernel command line, and only the last one counts".to_string();
    }
    match (driver, bound.method) {
        (Some(driver), Method::Ids) => format!(
            "{driver} was bound before vfio-pci; look for what loads it early (modules-load.d, the initramfs, a built-in driver)"
        ),
        (Some(driver), Method::ByAddress) => {
            format!(
                "{driver} holds it; the script in the initramfs left it alone (passthru: lines in the kernel log say why)"
            )
        }
        (None, _) => {
            "no driver is bound; the kernel log of vfio-pci says why it refused".to_string()
        }
    }
}

/// What runs differently although every word is there and every file is as planned.
fn running_drift(facts: &Facts, plan: &Plan) -> Vec<String> {
    let mut drift = Vec::new();
    if !iommu::is_active(facts) {
        drift.push(
            "The IOMMU is not active although nothing on the kernel command line turns it off: look for DMAR or AMD-Vi errors in the kernel log (sudo dmesg) and at the firmware setup."
                .to_string(),
        );
        return drift;
    }
    let chosen: Vec<_> = plan
        .bindings
        .iter()
        .map(|bound| bound.function.address)
        .collect();
    for group in facts
        .groups
        .iter()
        .filter(|g| g.functions.iter().any(|a| chosen.contains(a)))
    {
        for blocker in groups::blockers(facts, group, &chosen) {
            drift.push(format!(
                "Group {} is not viable: {} is in it.",
                group.id,
                super::describe(blocker.function)
            ));
        }
    }
    drift
}

/// What could not be looked at, so that "done" does not claim it.
fn not_measured(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for kernel in facts.kernel.installed.iter().filter(|k| k.bootable) {
        if let Some(image) = &kernel.image
            && let Some(why) = image.entries.why_not()
        {
            found.push(format!("{}: {why}", image.path));
        }
    }
    if let Some(why) = facts.kernel.cmdline.why_not() {
        found.push(format!("kernel command line: {why}"));
    }
    for path in ["/boot/grub/grub.cfg"] {
        if let Some(why) = facts.files.get(path).and_then(|file| file.text.why_not()) {
            found.push(format!("{path}: {why}"));
        }
    }
    found
}
