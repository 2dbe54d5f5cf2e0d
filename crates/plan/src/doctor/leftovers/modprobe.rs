//! Modules that are kept from loading: what that does to the rest of the host.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::super::{View, check::check, cmdlines::Hit, how};
use crate::{
    facts::{Facts, Function},
    finding::{Finding, Severity},
    rules::repair::{
        blacklists,
        modprobe::{is_read, is_unread},
    },
    text::{
        kargs::{Word, same_name},
        modprobe,
    },
};

/// Drivers that a host needs for more than the card.
const NEEDED: [(&str, &str); 8] = [
    (
        "xhci_pci",
        "every USB port of the host, with keyboard and mouse",
    ),
    ("usbhid", "USB keyboards and mice"),
    ("ahci", "every SATA disk"),
    ("nvme", "every NVMe disk"),
    (
        "snd_hda_intel",
        "the sound of the host and of every other card",
    ),
    ("snd_hda_codec_hdmi", "the sound of every monitor"),
    ("drm", "every graphics driver"),
    ("vfio_pci", "passthrough itself"),
];

/// A module that is kept from loading.
struct Kept {
    module: String,
    /// `blacklist nouveau` at its place.
    evidence: String,
    /// The word on a command line, or `None` for a line in modprobe.d.
    hit: Option<Hit>,
    /// Explicit loading is refused too, not only loading by alias.
    hard: bool,
}

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let kept = kept(view);
    found.extend(xhci_hcd(view.facts, &kept));
    found.extend(needed(view.facts, &kept));
    found.extend(gpu_drivers(view, &kept));
    found.extend(without_suffix(view.facts));
}

fn kept(view: &View<'_>) -> Vec<Kept> {
    let mut found = Vec::new();
    for (path, text) in super::texts(view.facts, is_read) {
        for directive in modprobe::directives(text) {
            if let Some(kept) = blacklists::by_directive(&directive) {
                found.push(Kept {
                    module: kept.module.into(),
                    evidence: format!(
                        "{path} line {}: {} {}",
                        directive.line,
                        directive.keyword,
                        directive.arguments.join(" ")
                    ),
                    hit: None,
                    hard: kept.hard,
                });
            }
        }
    }
    let names = blacklists::WORDS;
    for hit in view.cmdlines.hits(|w| names.iter().any(|name| w.is(name))) {
        let word = Word { raw: &hit.word };
        for module in blacklists::by_word(word) {
            found.push(Kept {
                module,
                evidence: hit.evidence(),
                hard: word.is("module_blacklist"),
                hit: Some(Hit {
                    word: hit.word.clone(),
                    place: hit.place.clone(),
                }),
            });
        }
    }
    found
}

fn remedy(facts: &Facts, kept: &[&Kept]) -> String {
    let mut parts = Vec::new();
    let mut hits = Vec::new();
    let mut lines = BTreeSet::new();
    for kept in kept {
        match &kept.hit {
            Some(hit) => hits.push(Hit {
                word: hit.word.clone(),
                place: hit.place.clone(),
            }),
            None => {
                lines.extend(kept.evidence.split_once(": ").map(|(place, _)| place));
            }
        }
    }
    if !lines.is_empty() {
        let lines: Vec<&str> = lines.into_iter().collect();
        parts.push(format!(
            "Delete {}, run: {}, and reboot.",
            lines.join(" and "),
            how::rebuild_images(facts)
        ));
    }
    if !hits.is_empty() {
        parts.push(how::remove_words(facts, &hits));
    }
    parts.push(String::from(
        "passthru plan --gpu … takes the card's functions one by one instead.",
    ));
    parts.join(" ")
}

fn evidence(kept: &[&Kept]) -> Vec<String> {
    let mut lines: Vec<String> = kept.iter().map(|kept| kept.evidence.clone()).collect();
    lines.dedup();
    lines
}

/// `blacklist` filters aliases only, and xhci_hcd has none: xhci_pci pulls it in as a dependency
/// (modprobe.d(5)).
fn xhci_hcd(facts: &Facts, kept: &[Kept]) -> Option<Finding> {
    let found: Vec<&Kept> = kept
        .iter()
        .filter(|k| !k.hard && same_name(&k.module, "xhci_hcd"))
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "modprobe.blacklist-xhci-hcd",
            "No line pretends to free the card's USB function",
            Severity::Info,
            "A blacklist stops loading by device only. xhci_hcd is loaded because xhci_pci needs it, so this line does nothing; and if it worked, the host would lose its keyboard.",
        )
        .no(evidence(&found), remedy(facts, &found))
    })
}

fn needed(facts: &Facts, kept: &[Kept]) -> Option<Finding> {
    let mut found = Vec::new();
    let mut lines = Vec::new();
    for kept in kept {
        let hard_hcd = kept.hard && same_name(&kept.module, "xhci_hcd");
        let module = if hard_hcd {
            "xhci_pci"
        } else {
            kept.module.as_str()
        };
        if let Some((_, what)) = NEEDED.iter().find(|(name, _)| same_name(name, module)) {
            lines.push(format!("{} (serves {what})", kept.evidence));
            found.push(kept);
        }
    }
    (!found.is_empty()).then(|| {
        check(
            "modprobe.blacklist-needed",
            "No driver that the host needs is kept from loading",
            Severity::Warning,
            "A blacklist works for all devices of a driver, not for one card. This is how a host loses its keyboard, its disks or its sound.",
        )
        .no(lines, remedy(facts, &found))
    })
}

/// GPU drivers whose cards then have no driver at all. A blacklist that leaves another driver for
/// the card, as NVIDIA's packages do with nouveau, is in order.
fn gpu_drivers(view: &View<'_>, kept: &[Kept]) -> Option<Finding> {
    let is_kept = |module: &str| kept.iter().any(|k| same_name(&k.module, module));
    let gpus: Vec<&Function> = blacklists::stranded(view.facts, is_kept).collect();
    let mut by_driver: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for gpu in &gpus {
        for candidate in &gpu.candidates {
            by_driver.entry(&candidate.module).or_default().push(gpu);
        }
    }
    let found: Vec<&Kept> = kept
        .iter()
        .filter(|k| by_driver.keys().any(|module| same_name(module, &k.module)))
        .collect();
    if found.is_empty() {
        return None;
    }
    let mut lines = evidence(&found);
    for gpu in &gpus {
        let now = if gpu.is_on_vfio() {
            "vfio-pci has it"
        } else {
            "the host cannot use it"
        };
        lines.push(format!("{} ({}): {now}", gpu.address, gpu.label()));
    }
    let loses = gpus.iter().any(|gpu| !gpu.is_on_vfio());
    Some(
        check(
            "modprobe.blacklist-gpu-driver",
            "Every GPU of the host has a driver that may load",
            if loses { Severity::Warning } else { Severity::Info },
            "A blacklist works for all cards of a driver, also for one that the host should show its picture on. vfio-pci does not need it: it only has to be loaded first.",
        )
        .no(lines, remedy(view.facts, &found)),
    )
}

/// modprobe reads only *.conf (modprobe.d(5)).
fn without_suffix(facts: &Facts) -> Option<Finding> {
    let found: Vec<String> = super::texts(facts, |_| true)
        .filter(|(path, text)| is_unread(path, text))
        .map(|(path, _)| format!("{path} is about vfio, but is not read"))
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "modprobe.no-conf-suffix",
            "Every file about vfio in /etc/modprobe.d is read",
            Severity::Warning,
            "modprobe reads only files whose name ends in .conf. What stands in others has no effect.",
        )
        .no(
            found,
            format!(
                "If you want what is in it, rename it to end in .conf and run: {}. If not, delete it.",
                how::rebuild_images(facts)
            ),
        )
    })
}
