//! The installed kernels and their modules.

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{check, on_host},
};
use crate::{
    facts::{Facts, ModuleState},
    finding::{Finding, Severity},
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    found.push(vfio_pci(view.facts));
    found.extend(modules_disabled(view.facts));
}

fn vfio_pci(facts: &Facts) -> Finding {
    let kernels: Vec<_> = {
        let installed = &facts.kernel.installed;
        let bootable: Vec<_> = installed.iter().filter(|k| k.bootable).collect();
        // Images may lie where /boot does not show them, such as in unified kernel images.
        if bootable.is_empty() {
            installed.iter().collect()
        } else {
            bootable
        }
    };
    let lacking = kernels
        .iter()
        .filter(|k| k.vfio_pci == ModuleState::Missing)
        .count();
    let check = check(
        "kernel.vfio-pci",
        "Every installed kernel has vfio-pci",
        if lacking == kernels.len() {
            Severity::Blocker
        } else {
            Severity::Warning
        },
        "vfio-pci is the driver that holds a card for a guest. Booted with a kernel without it, the card stays with its host driver.",
    );
    if kernels.is_empty() {
        return check.unknown("/lib/modules has no kernel", on_host(facts));
    }
    let evidence = kernels.iter().map(|kernel| {
        let running = if facts.kernel.release.as_deref() == Some(kernel.release.as_str()) {
            ", running"
        } else {
            ""
        };
        let state = match kernel.vfio_pci {
            ModuleState::Module => "has it as a module",
            ModuleState::BuiltIn => "has it built in",
            ModuleState::Missing => "has no vfio-pci",
        };
        format!("{}{running}: {state}", kernel.release)
    });
    if lacking == 0 {
        check.yes(evidence)
    } else {
        check.no(
            evidence,
            "Install the distribution's standard kernel (Debian: sudo apt install linux-image-amd64; its cloud kernels have no vfio-pci; Ubuntu: linux-image-generic with linux-modules-extra), or remove the kernels that lack it.",
        )
    }
}

fn modules_disabled(facts: &Facts) -> Option<Finding> {
    facts.kernel.modules_disabled.then(|| {
        let check = check(
            "kernel.modules-disabled",
            "Kernel modules can be loaded",
            Severity::Warning,
            "Once loading is switched off, nothing but a reboot switches it on again. What is not loaded by then cannot be used.",
        );
        let evidence = String::from("/proc/sys/kernel/modules_disabled is 1");
        let loaded = facts.kernel.loaded.value();
        if loaded.is_some_and(|modules| modules.iter().any(|m| m == "vfio_pci")) {
            check.yes([evidence, String::from("vfio_pci was loaded before")])
        } else {
            check.no(
                [evidence, String::from("vfio_pci is not among the loaded modules")],
                "Find what sets kernel.modules_disabled=1 (grep -r modules_disabled /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d) and let vfio-pci and KVM load before it, or take it out.",
            )
        }
    })
}
