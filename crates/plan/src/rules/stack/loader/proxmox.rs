//! Proxmox VE with proxmox-boot-tool: it mounts the boot partitions only while it writes, so neither a
//! way back nor a one-shot can be put there, and what it wrote is not looked into. The words go where
//! it takes them from, and undo has it write once more.
//!
//! systemd-boot starts UEFI hosts whose root is ZFS, GRUB the others (Proxmox VE Administration Guide,
//! "Host Bootloader").

use alloc::{format, string::String, vec::Vec};

use super::{Steps, grub, line, line::Line, menu::CMDLINE};
use crate::{
    change::Change,
    facts::Facts,
    rules::{Draft, stack::edit},
};

/// systemd-boot has one kernel command line for all entries here. What to do in the boot menu, and what stays there.
pub(super) const WAY_BACK: (&str, &str) = (
    "press e in the boot menu and delete the words for that boot",
    "No entry without the words stays in the boot menu, for all entries have one kernel command line; pressing e there deletes them for one boot.",
);

const UNSEEN: &str = "proxmox-boot-tool mounts the boot partitions only while it writes, so no entry that is started once can be put there";

/// GRUB is what the tool writes for.
pub(super) fn by_grub(facts: &Facts) -> bool {
    let info = facts.boot.loader_info.as_deref().unwrap_or_default();
    !info.starts_with("systemd-boot")
}

pub(super) fn own_words(facts: &Facts) -> String {
    if by_grub(facts) {
        return grub::own_words(facts);
    }
    line::certain_words(facts.text(CMDLINE).unwrap_or_default())
}

pub(super) fn cmdlines(facts: &Facts) -> Vec<(String, String)> {
    let text = facts.text(CMDLINE).filter(|_| !by_grub(facts));
    text.map(|text| (CMDLINE.into(), text.into()))
        .into_iter()
        .collect()
}

pub(super) fn steps(draft: &mut Draft<'_>, words: &[String]) -> Steps {
    let mut keep = if by_grub(draft.facts) {
        grub::changes(draft, words, true)
    } else {
        cmdline(draft, words)
    };
    if !keep.is_empty() {
        let refresh = || ["proxmox-boot-tool", "refresh"].map(String::from).to_vec();
        keep.push(Change::Run {
            argv: refresh(),
            undo: Some(refresh()),
            outputs: Vec::new(),
            family: None,
            anew: None,
            once: false,
            expect: Vec::new(),
            why: "writes kernels, images and the words to every boot partition of this host".into(),
        });
    }
    Steps {
        before: Vec::new(),
        trial: Err(UNSEEN.into()),
        keep,
    }
}

/// One line, for every entry.
fn cmdline(draft: &mut Draft<'_>, words: &[String]) -> Vec<Change> {
    let facts = draft.facts;
    let own = own_words(facts);
    let line = Line::of(draft, &own, words);
    let now = facts
        .text(CMDLINE)
        .map(String::from)
        .or_else(|| line::of_running(facts).map(|words| format!("{words}\n")))
        .unwrap_or_default();
    edit(
        facts,
        CMDLINE,
        line.on_file(&now),
        0o644,
        "puts the words on the kernel command line of every boot entry",
    )
    .into_iter()
    .collect()
}
