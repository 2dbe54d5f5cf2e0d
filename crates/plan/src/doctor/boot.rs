//! The boot stack: is it known, and is there a way back?

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{as_root, check, on_host},
};
use crate::{
    facts::{BootLoader, Facts, Reading},
    finding::{Finding, Severity},
    measured::Measured,
    plan::Plan,
    remedy,
    rules::{
        stack::loader::{grub, way_back_entry},
        way_back_is_stale,
    },
    text::{
        grub_cfg::{self, Purpose},
        shell, size,
    },
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    let mut plan = view.iommu_plan.clone();
    plan.refusals
        .extend(crate::rules::stack::generator_refusals(facts));
    for refusal in &mut plan.refusals {
        if refusal.id == "stack.nixos" {
            refusal.id = "stack.loader".into();
        }
    }
    let plan = &plan;
    found.push(recognised(
        facts,
        plan,
        &Stack {
            id: "boot.loader",
            refusal: "stack.loader",
            title: "passthru knows this host's boot loader",
            why: "Everything that acts at boot hangs on the kernel command line of a boot entry; passthru has to know who writes it.",
            name: facts.boot.loader.value().map(|l| l.name()),
            why_not: why_not(&facts.boot.loader),
            evidence: &facts.boot.loader_evidence,
        },
    ));
    found.push(recognised(
        facts,
        plan,
        &Stack {
            id: "boot.initramfs",
            refusal: "stack.initramfs",
            title: "passthru knows what makes this host's initramfs",
            why: "vfio-pci has to be in the first file system that the kernel starts from (the initramfs), or a graphics driver is there before it.",
            name: facts.boot.generator.value().map(|g| g.name()),
            why_not: why_not(&facts.boot.generator),
            evidence: &facts.boot.generator_evidence,
        },
    ));
    if matches!(facts.boot.loader.value(), Some(BootLoader::Grub)) {
        found.push(fallback(facts));
        found.extend(menu(facts));
    }
    found.extend(way_back(facts));
    found.push(space(facts));
}

/// An entry "… without passthru" with copies of a kernel that has been removed since.
fn way_back(facts: &Facts) -> Option<Finding> {
    let (path, gone) = way_back_entry(facts)?;
    let check = check(
        "boot.way-back",
        "The way back starts a kernel that is installed",
        Severity::Warning,
        "The entry \"… without passthru\" starts copies of kernel and initramfs. Without that kernel's modules, which a package update removes, the host comes up without most of its drivers.",
    );
    Some(match gone {
        Some(release) => check.no([String::from(path)], way_back_is_stale(&release)),
        None => check.yes([String::from(path)]),
    })
}

fn why_not<T>(fact: &Measured<T>) -> &str {
    fact.why_not().unwrap_or("")
}

struct Stack<'a> {
    id: &'a str,
    /// Id of the planner's refusal.
    refusal: &'a str,
    title: &'a str,
    why: &'a str,
    name: Option<&'a str>,
    why_not: &'a str,
    evidence: &'a [String],
}

fn recognised(facts: &Facts, plan: &Plan, stack: &Stack<'_>) -> Finding {
    let check = check(stack.id, stack.title, Severity::Warning, stack.why);
    let Some(name) = stack.name else {
        let mut finding = check.unknown(
            stack.why_not,
            match facts.reading {
                Reading::Copy => "Run it on the host itself. If several are installed, remove the ones you do not use; passthru does not guess which one counts.",
                Reading::User | Reading::Root => {
                    "If several are installed, remove the ones you do not use; passthru does not guess which one counts."
                }
            },
        );
        finding.evidence.extend(stack.evidence.iter().cloned());
        return finding;
    };
    let mut evidence = Vec::from([String::from(name)]);
    evidence.extend(stack.evidence.iter().cloned());
    match plan.refusals.iter().find(|r| r.id == stack.refusal) {
        Some(refusal) => check.no(evidence, format!("{} {}", refusal.why, refusal.way_out)),
        None => check.yes(evidence),
    }
}

const CONFIG: &str = "/boot/grub/grub.cfg";

fn fallback(facts: &Facts) -> Finding {
    let check = check(
        "boot.fallback",
        "The boot menu has an entry to fall back on",
        Severity::Warning,
        "If a boot goes wrong, a recovery entry or one without passthru's words starts the host as it was.",
    );
    let Some(file) = facts.files.get(CONFIG) else {
        return check.unknown(format!("{CONFIG} was not read"), as_root(facts));
    };
    let text = match (file.text.value(), file.text.why_not()) {
        (Some(text), _) => text,
        (None, why) => {
            return check.unknown(
                format!("{CONFIG}: {}", why.unwrap_or("not read")),
                as_root(facts),
            );
        }
    };
    let entries: Vec<String> = grub_cfg::entries(text)
        .iter()
        .filter(|entry| {
            matches!(
                entry.purpose(),
                Purpose::Recovery | Purpose::WithoutPassthru
            )
        })
        .map(|entry| format!("{CONFIG} line {}: \"{}\"", entry.line, entry.title()))
        .collect();
    if !entries.is_empty() {
        return check.yes(entries);
    }
    let mut evidence = Vec::from([format!(
        "{CONFIG} has neither a recovery entry nor one without passthru"
    )]);
    let disabled = grub_variables(facts, "GRUB_DISABLE_RECOVERY");
    evidence.extend(
        disabled
            .iter()
            .map(|(place, value)| format!("{place}: GRUB_DISABLE_RECOVERY={value}")),
    );
    check.no(
        evidence,
        format!(
            "passthru plan --gpu … adds entries \"… without passthru\" for every kernel. To have the distribution's recovery entries back, delete the GRUB_DISABLE_RECOVERY line and run: {}.",
            remedy::grub_menu(facts)
        ),
    )
}

fn menu(facts: &Facts) -> Option<Finding> {
    if !grub::menu_is_hidden(facts) {
        return None;
    }
    let mut evidence = Vec::new();
    for name in ["GRUB_TIMEOUT_STYLE", "GRUB_TIMEOUT"] {
        evidence.extend(
            grub_variables(facts, name)
                .iter()
                .map(|(place, value)| format!("{place}: {name}={value}")),
        );
    }
    Some(check(
        "boot.menu",
        "The boot menu shows by itself",
        Severity::Info,
        "The way back after a bad boot is a choice in this menu. Hidden, it is easy to miss on the day you need it.",
    )
    .no(
        evidence,
        format!(
            "Set GRUB_TIMEOUT_STYLE=menu and GRUB_TIMEOUT=5 in /etc/default/grub and run: {}. Or try now how to reach it: press Esc (UEFI) or hold Shift (BIOS) while the host starts.",
            remedy::grub_menu(facts)
        ),
    ))
}

/// Every assignment of a GRUB variable: where, and to what.
pub(super) fn grub_variables(facts: &Facts, name: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in grub::sources(facts) {
        let text = facts.text(&path).unwrap_or_default();
        for assignment in shell::assignments(text).iter().filter(|a| a.name == name) {
            if let Some(value) = assignment.value(&alloc::collections::BTreeMap::new()) {
                let line = super::cmdlines::line_number(text, assignment.range.start);
                found.push((format!("{path} line {line}"), value));
            }
        }
    }
    found
}

fn space(facts: &Facts) -> Finding {
    let check = check(
        "boot.space",
        "/boot has room to make every initramfs anew",
        Severity::Warning,
        "vfio-pci has to go into the initramfs of every kernel. A full /boot leaves a half-written image, and that kernel does not start.",
    );
    let sizes: u64 = facts
        .kernel
        .installed
        .iter()
        .filter_map(|kernel| kernel.image.as_ref())
        .filter(|image| !is_elsewhere(facts, &image.path))
        .fold(0, |sum, image| sum.saturating_add(image.size));
    let free = match (facts.boot.boot_free.value(), facts.boot.boot_free.why_not()) {
        (Some(free), _) => *free,
        (None, why) => {
            return check.unknown(
                format!("free space of /boot: {}", why.unwrap_or("not looked at")),
                on_host(facts),
            );
        }
    };
    // Every image once more, and a fifth for what is added.
    let needed = sizes.saturating_add(sizes / 5);
    let evidence = [
        format!("free on /boot: {}", size::words(free)),
        format!(
            "all initramfs images together and a fifth more: {}",
            size::words(needed)
        ),
    ];
    if free < needed {
        check.no(
            evidence,
            "Remove kernels you no longer use (Debian, Ubuntu: sudo apt autoremove --purge), or make /boot larger.",
        )
    } else {
        check.yes(evidence)
    }
}

/// The image lies on a boot partition of its own and not on what holds /boot.
fn is_elsewhere(facts: &Facts, path: &str) -> bool {
    let partition = facts.boot.partition.as_ref();
    partition.is_some_and(|partition| {
        partition.path != "/boot"
            && path
                .strip_prefix(&partition.path)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}
