//! rpm-ostree: words are part of a deployment, and every change makes a new one. The deployment that
//! runs now stays in the boot menu, and it is the way back.

use alloc::{format, string::String, vec, vec::Vec};

use super::{Steps, line};
use crate::{change::Change, facts::Facts, rules::Draft, text::kargs};

/// What to do in the boot menu, and what stays there.
pub(super) const WAY_BACK: (&str, &str) = (
    "choose the deployment from before in the boot menu (hold Shift, or press Esc, if it does not show)",
    "The deployment that runs now stays in the boot menu below the new one, and starts this host as it is today.",
);

/// The command line of the deployment that starts next, else of the running one.
fn next(facts: &Facts) -> String {
    let entries = facts.boot.entries.iter();
    let chosen = facts.boot.default_entry.as_ref();
    entries
        .filter(|entry| Some(&entry.path) == chosen)
        .find_map(|entry| entry.options.value().cloned())
        .or_else(|| line::of_running(facts))
        .unwrap_or_default()
}

pub(super) fn own_words(facts: &Facts) -> String {
    line::certain_words(&next(facts))
}

pub(super) fn cmdlines(facts: &Facts) -> Vec<(String, String)> {
    vec![("the deployment's kernel arguments".into(), next(facts))]
}

pub(super) fn steps(draft: &mut Draft<'_>, words: &[String]) -> Steps {
    let facts = draft.facts;
    let now = next(facts);
    let line = line::Line::of(draft, &own_words(facts), words);
    let after = line.on(&now);
    let all = |text: &str| -> Vec<String> {
        kargs::all_words(text).map(|word| word.raw.into()).collect()
    };
    let (old, new) = (all(&now), all(&after));
    let gone: Vec<&String> = old.iter().filter(|word| !new.contains(word)).collect();
    let come: Vec<&String> = new.iter().filter(|word| !old.contains(word)).collect();
    let command = |gone: &[&String], come: &[&String]| {
        let mut argv = vec![String::from("rpm-ostree"), "kargs".into()];
        argv.extend(
            gone.iter()
                .map(|word| format!("--delete-if-present={word}")),
        );
        argv.extend(
            come.iter()
                .map(|word| format!("--append-if-missing={word}")),
        );
        argv
    };
    let mut keep = Vec::new();
    if !gone.is_empty() || !come.is_empty() {
        keep.push(Change::Run {
            argv: command(&gone, &come),
            // What was there before is in neither list, so it stays.
            undo: Some(command(&come, &gone)),
            outputs: Vec::new(),
            family: None,
            anew: None,
            once: false,
            expect: Vec::new(),
            why: "makes a deployment with the words; the one that runs now stays in the boot menu"
                .into(),
        });
        draft.notice(
            "boot.previous-deployment",
            "The way back is the deployment that runs now: it stays in the boot menu below the new one (hold Shift, or press Esc, if the menu does not show), and sudo rpm-ostree rollback makes it the default again.",
        );
    }
    Steps {
        before: Vec::new(),
        trial: Err(
            "rpm-ostree starts its newest deployment by default; the one from before stays below it in the menu"
                .into(),
        ),
        keep,
    }
}
