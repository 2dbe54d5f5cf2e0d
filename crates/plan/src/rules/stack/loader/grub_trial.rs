//! GRUB's trial entry: a copy of the default entry in custom.cfg, which grub.cfg reads at every boot
//! (41_custom), and a one-shot in grubenv (grub-reboot(8)). grub-mkconfig does not run.

use alloc::{format, string::String, vec, vec::Vec};

use super::{Trial, grub, grub_layout::Layout};
use crate::{
    change::Change,
    facts::Facts,
    rules::{
        Draft, repair,
        stack::{edit, foreign, removal, trial as service, words, words_to_remove},
    },
    text::{
        grub_cfg::{self, Entry, Purpose},
        kargs,
    },
};

/// The entry's id, by which grub-reboot names it.
const ID: &str = "passthru-trial";
const BEGIN: &str = "# Written by passthru for a trial boot. Taken away by: passthru undo\n";
const END: &str = "# End of passthru's entry\n";

/// The trial entry with `words` and `trial_words`, or why there cannot be one.
pub(super) fn trial(
    draft: &Draft<'_>,
    words: &[String],
    trial_words: &[String],
) -> Result<Trial, String> {
    let facts = draft.facts;
    can_start_once(facts)?;
    let layout = Layout::of(facts);
    let (path, custom) = (layout.config(), layout.custom());
    let config = match facts.files.get(&path).map(|file| &file.text) {
        Some(text) => text
            .value()
            .ok_or_else(|| format!("{path} could not be read"))?,
        None => return Err(format!("{path} is not there")),
    };
    if !config.contains("custom.cfg") {
        return Err(format!(
            "{path} does not read custom.cfg (is /etc/grub.d/41_custom gone or not executable?)"
        ));
    }
    let entries = grub_cfg::entries(config);
    let entry = starts_by_default(facts, &entries)
        .ok_or("the boot menu has no normal Linux entry to start from")?;
    let (header, body) = grub_cfg::block(config, entry).ok_or("the boot menu is cut short")?;

    let mut added = words.to_vec();
    added.extend_from_slice(trial_words);
    let mut without: Vec<String> = words_to_remove(draft).into_iter().map(Into::into).collect();
    without.extend(foreign::grub_words(draft).into_iter().map(|list| list.word));
    let mut replace = Vec::new();
    for fix in repair::fixes(draft) {
        match fix.becomes {
            Some(with) => replace.push((fix.word, with)),
            None => without.push(fix.word),
        }
    }
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let mut lines = String::new();
    for line in body {
        match grub_cfg::linux_command(line) {
            Some((command, arguments)) => {
                let all = 0..arguments.len();
                let becomes = |word: &kargs::Word<'_>| {
                    let found = replace.iter().find(|(old, _)| old == word.raw)?;
                    Some(found.1.clone())
                };
                let arguments = kargs::reworded(arguments, core::slice::from_ref(&all), becomes);
                let merged = words::merged(&arguments, &added, &without);
                lines.push_str(&format!("{} {merged}\n", command.trim_end()));
            }
            None => {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    let title = format!("{}, with passthru (trial)", entry.title());
    let options = grub_cfg::options(header).join(" ");
    let block = format!(
        "{BEGIN}menuentry {} {options} --id {ID} {{\n{lines}}}\n{END}",
        grub_cfg::quoted(&title)
    );
    let mut changes = Vec::new();
    let there = facts.text(&custom).unwrap_or_default();
    if service::is_running(facts) && there.contains(BEGIN) {
        // It has done its work; a kernel that was installed since does not make it another.
        return Ok(Trial {
            entry: title,
            changes,
        });
    }
    changes.extend(edit(
        facts,
        &custom,
        format!("{}{block}", others(there)),
        0o600,
        "an entry with the change, for one boot; the default entry and all others stay as they are",
    ));
    // GRUB clears it when it starts the entry.
    let waits = facts
        .boot
        .one_shot
        .value()
        .is_some_and(|id| id.as_deref() == Some(ID));
    if !changes.is_empty() || !(waits || service::is_running(facts)) {
        changes.push(Change::Run {
            argv: vec![layout.tool("reboot"), ID.into()],
            undo: Some(vec![
                layout.tool("editenv"),
                layout.environment(),
                "unset".into(),
                "next_entry".into(),
            ]),
            outputs: vec![],
            family: None,
            anew: None,
            once: false,
            expect: vec![],
            why: "makes GRUB start that entry at the next boot, once".into(),
        });
    }
    Ok(Trial {
        entry: title,
        changes,
    })
}

/// The entry that starts by default: the one that GRUB_DEFAULT names; where the last choice counts
/// (`saved`), one with the kernel that runs; else the first.
fn starts_by_default<'a>(facts: &Facts, entries: &'a [Entry]) -> Option<&'a Entry> {
    let normal = |entry: &&Entry| entry.purpose() == Purpose::Normal;
    let named = match grub::value(facts, "GRUB_DEFAULT").as_deref() {
        Some("saved") => {
            let release = facts.kernel.release.as_deref();
            let runs = |entry: &&Entry| {
                let kernel = entry.kernel.as_deref().zip(release);
                kernel.is_some_and(|(kernel, release)| kernel.ends_with(&format!("-{release}")))
            };
            entries.iter().filter(normal).find(runs)
        }
        Some(default) => grub_cfg::by_default(entries, default).filter(normal),
        None => None,
    };
    named.or_else(|| entries.iter().find(normal))
}

/// GRUB can start an entry once, or why not.
pub(super) fn can_start_once(facts: &Facts) -> Result<(), String> {
    match facts.boot.grubenv_read_only.value() {
        Some(None) => Ok(()),
        Some(Some(why)) => Err(format!(
            "GRUB cannot write its environment ({why}), so an entry that is started once would be started for ever"
        )),
        None => {
            let why = facts.boot.grubenv_read_only.why_not().unwrap_or_default();
            Err(format!(
                "whether GRUB can write its environment was not measured ({why})"
            ))
        }
    }
}

/// Takes the trial entry away.
pub(super) fn without(facts: &Facts) -> Vec<Change> {
    let custom = Layout::of(facts).custom();
    let Some(text) = facts.text(&custom) else {
        return Vec::new();
    };
    let others = others(text);
    let why = "the trial is over";
    if others == text {
        Vec::new()
    } else if others.is_empty() {
        removal(facts, &custom, why).into_iter().collect()
    } else {
        edit(facts, &custom, others, 0o600, why)
            .into_iter()
            .collect()
    }
}

/// What of custom.cfg is not passthru's.
fn others(text: &str) -> String {
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return text.into();
    };
    let after = rest.split_once(END).map_or("", |(_, after)| after);
    format!("{before}{after}")
}
