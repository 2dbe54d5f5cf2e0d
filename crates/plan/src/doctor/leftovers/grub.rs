//! Settings of GRUB itself, beside the kernel command line (GRUB manual, "Simple configuration").

use alloc::{format, vec::Vec};

use super::super::{View, boot, check::check, how};
use crate::finding::{Finding, Severity};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    found.extend(grub_terminal(view));
    found.extend(gfxpayload(view));
}

fn grub_terminal(view: &View<'_>) -> Option<Finding> {
    let mut evidence = Vec::new();
    for name in [
        "GRUB_TERMINAL",
        "GRUB_TERMINAL_OUTPUT",
        "GRUB_TERMINAL_INPUT",
    ] {
        let values = boot::grub_variables(view.facts, name);
        // The last assignment counts.
        if let Some((place, value)) = values.last()
            && value.split_whitespace().any(|word| word == "serial")
            && value.split_whitespace().all(|word| word == "serial")
        {
            evidence.push(format!("{place}: {name}={value}"));
        }
    }
    (!evidence.is_empty()).then(|| {
        check(
            "cmdline.grub-terminal-serial-only",
            "The boot menu shows on the screen",
            Severity::Warning,
            "The boot menu then shows on the serial line only. The way back after a bad boot is a choice in this menu.",
        )
        .no(
            evidence,
            format!(
                "Write \"console serial\" in place of \"serial\". {}",
                how::then_apply(view.facts)
            ),
        )
    })
}

fn gfxpayload(view: &View<'_>) -> Option<Finding> {
    let values = boot::grub_variables(view.facts, "GRUB_GFXPAYLOAD_LINUX");
    let (place, value) = values.last()?;
    (value == "text").then(|| {
        check(
            "cmdline.gfxpayload-text",
            "The boot's graphics mode is left alone",
            Severity::Info,
            "GRUB_GFXPAYLOAD_LINUX=text was a way around \"BAR 1: can't reserve\". Since Linux 6.0 vfio-pci takes the firmware's console off the card by itself; on UEFI hosts the word does nothing at all.",
        )
        .no(
            [format!("{place}: GRUB_GFXPAYLOAD_LINUX={value}")],
            format!(
                "It does no harm, so there is no hurry. Delete {place}. {}",
                how::then_apply(view.facts)
            ),
        )
    })
}
