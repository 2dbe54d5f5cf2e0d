//! GRUB on Debian and Ubuntu: a drop-in with the words, and entries without them.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

pub(crate) use super::grub_layout::DROP_IN;
use super::{
    Steps,
    grub_layout::{self, DEFAULTS, Layout},
    grub_own::{ENTRIES, Restored, drop_in_text, entries_text},
    grub_taken::take_out_words,
    grub_trial,
};
use crate::rules::stack::{edit, words_to_remove};
use crate::{
    change::{Change, Expect, Output},
    facts::Facts,
    intent::TrialBoot,
    rules::{Draft, repair},
    text::{
        grub_cfg::{self, Purpose},
        kargs, shell,
    },
};

/// Variables that end up on the kernel command line: of all entries, and of the normal ones.
pub(crate) const VARIABLES: [&str; 2] = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"];

/// Words that earlier plans took out of the user's files.
pub(super) fn kept_words(facts: &Facts) -> String {
    Restored::of(facts).without.join(" ")
}

/// The words that passthru's part of GRUB's defaults adds.
pub(super) fn own_words(facts: &Facts) -> String {
    shell::evaluate(grub_layout::own_text(facts))
        .remove("GRUB_CMDLINE_LINUX_DEFAULT")
        .flatten()
        .unwrap_or_default()
}

/// Command lines that others configured: the variable, the file that set it last, and its value.
pub(crate) fn foreign_cmdlines(facts: &Facts) -> Vec<(&'static str, String, String)> {
    let texts = grub_layout::foreign_texts(facts);
    let mut variables =
        shell::evaluate_files(texts.iter().map(|(path, text)| (path, text.as_str())));
    VARIABLES
        .into_iter()
        .filter_map(|name| {
            let (value, path) = variables.remove(name)?;
            Some((name, path.clone(), value?))
        })
        .collect()
}

/// What others assign to those variables, each where it stands: the variable, the text of the file,
/// and the value without what comes from other variables.
pub(crate) fn foreign_values(facts: &Facts) -> Vec<(&'static str, String, String)> {
    let nothing = BTreeMap::new();
    let mut found = Vec::new();
    for (_, text) in grub_layout::foreign_texts(facts) {
        for assignment in shell::assignments(&text) {
            let variable = VARIABLES.into_iter().find(|name| *name == assignment.name);
            if let Some((variable, value)) = variable.zip(assignment.value(&nothing)) {
                found.push((variable, text.clone(), value));
            }
        }
    }
    found
}

/// /etc/default/grub and its drop-ins in the order grub-mkconfig reads them.
pub(crate) fn sources(facts: &Facts) -> Vec<String> {
    let drop_ins = facts
        .files
        .keys()
        .filter(|path| path.starts_with("/etc/default/grub.d/") && path.ends_with(".cfg"));
    core::iter::once(DEFAULTS.to_string())
        .chain(drop_ins.cloned())
        .collect()
}

/// The value that grub-mkconfig finds for the variable `name`, if it is set and can be told.
pub(crate) fn value(facts: &Facts, name: &str) -> Option<String> {
    let sources = sources(facts);
    let texts = sources.iter().filter_map(|path| facts.text(path));
    shell::evaluate(texts).remove(name).flatten()
}

/// What GRUB needs done.
pub(super) fn steps(draft: &mut Draft<'_>, words: &[String], trial_words: &[String]) -> Steps {
    let trial = grub_trial::trial(draft, words, trial_words);
    let visible = trial.is_err() || draft.intent.trial == TrialBoot::Never;
    let mut keep = changes(draft, words, visible);
    keep.extend(grub_trial::without(draft.facts));
    Steps {
        before: Vec::new(),
        trial,
        keep,
    }
}

/// The words on every normal entry; the menu shows if it is to be `visible`.
pub(super) fn changes(draft: &mut Draft<'_>, words: &[String], visible: bool) -> Vec<Change> {
    let facts = draft.facts;
    let layout = Layout::of(facts);
    let own_path = layout.own_path();
    let mut restored = Restored::of(facts);
    let mut taken = take_out_words(draft, &mut restored);
    let nothing = words.is_empty() && restored.without.is_empty();
    let others = taken.iter().position(|text| text.path == own_path);
    let others = others.map(|number| taken.remove(number));
    let mut changes: Vec<Change> = taken
        .into_iter()
        .filter_map(|text| text.edit(facts))
        .collect();
    if nothing {
        changes.extend(others.and_then(|text| text.edit(facts)));
        return changes;
    }
    let own = drop_in_text(words, &restored, visible && menu_was_hidden(facts));
    let mut why = vec![if words.is_empty() {
        "keeps words that were taken away for the entries \"… without passthru\", which start this host as it was".to_string()
    } else if own_path == DROP_IN {
        "puts the words on the kernel command line of every normal boot entry; a drop-in, so /etc/default/grub stays yours".to_string()
    } else {
        "puts the words on the kernel command line of every normal boot entry; all other lines stay as they are".to_string()
    }];
    let mut above = String::new();
    if let Some(text) = others {
        above = text.after;
        why.extend(text.why);
    }
    changes.extend(edit(
        facts,
        own_path,
        layout.with_own(&above, &own),
        0o644,
        &why.join("; "),
    ));
    changes.extend(edit(
        facts,
        ENTRIES,
        entries_text(own_path),
        0o755,
        "adds boot menu entries \"… without passthru\" for every kernel: the way back if a boot fails",
    ));
    if !visible {
        menu_notice(draft);
    }
    // One that somebody has put back since is there on purpose.
    let configured = foreign_values(facts);
    let is_back = |word: &String| {
        let off = words_to_remove(draft).contains(&word.as_str());
        let fixed = repair::fixes(draft).iter().any(|fix| fix.word == *word);
        !off && !fixed
            && configured
                .iter()
                .any(|(_, _, value)| kargs::has_word(value, word))
    };
    let mut absent = restored.without;
    absent.retain(|word| !is_back(word) && !words.contains(word));
    if changes.is_empty() && is_as_planned(facts.text(&layout.config()), words, &absent) {
        return changes;
    }
    changes.push(Change::Run {
        argv: vec![layout.tool("mkconfig"), "-o".into(), layout.staged()],
        undo: None,
        outputs: vec![Output { path: layout.config(), staged: Some(layout.staged()) }],
        family: None,
        anew: None,
        once: false,
        expect: vec![Expect::GrubWords { path: layout.config(), words: words.to_vec(), absent }],
        why: "makes the boot menu, beside the one in use; it takes its place in one step once every entry was checked".into(),
    });
    changes
}

/// The configuration that boots carries `words` where it should. An unreadable one counts as right:
/// it cannot be judged, and verify says that it was not measured.
fn is_as_planned(config: Option<&str>, words: &[String], absent: &[String]) -> bool {
    config.is_none_or(|text| mistakes(text, words, absent).is_empty())
}

/// What is wrong with a GRUB configuration that should carry `words` on its normal entries and
/// `absent` on none of these. Other entries must not carry passthru's own words; ids there may be
/// the user's.
pub fn mistakes(text: &str, words: &[String], absent: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut normal = 0;
    let mut without = 0;
    for entry in grub_cfg::entries(text) {
        let carried = |word: &&String| kargs::has_word(&entry.cmdline, word);
        let mut must_not = |word: &str| {
            found.push(format!(
                "the entry \"{}\" (line {}) must not carry {word}",
                entry.title(),
                entry.line
            ));
        };
        match entry.purpose() {
            Purpose::Normal => {
                normal += 1;
                absent
                    .iter()
                    .filter(carried)
                    .for_each(|word| must_not(word));
                for word in words.iter().filter(|word| !carried(word)) {
                    found.push(format!(
                        "the entry \"{}\" (line {}) lacks {word}",
                        entry.title(),
                        entry.line
                    ));
                }
            }
            purpose @ (Purpose::Recovery | Purpose::WithoutPassthru) => {
                without += usize::from(purpose == Purpose::WithoutPassthru);
                for word in kargs::words(&entry.cmdline) {
                    if word.name().starts_with("passthru.") {
                        must_not(word.raw);
                    }
                }
            }
            Purpose::Other => {}
        }
    }
    if without == 0 {
        found.push("it has no entry \"… without passthru\", the way back".into());
    }
    if normal == 0 {
        found.push("it has no normal Linux entry".into());
    }
    found
}

/// Says so if the menu, and with it the way back, does not show by itself.
fn menu_notice(draft: &mut Draft<'_>) {
    if menu_is_hidden(draft.facts) {
        draft.notice(
            "boot.hidden-menu",
            "The boot menu of this host does not show by itself. To reach the entries \"… without passthru\", press Esc (EFI) or hold Shift (BIOS) while it starts, or try it once now.",
        );
    }
}

/// The boot menu does not show by itself.
pub(crate) fn menu_is_hidden(facts: &Facts) -> bool {
    let paths = sources(facts);
    is_hidden(paths.iter().filter_map(|path| facts.text(path)))
}

/// It would not without passthru's drop-in.
fn menu_was_hidden(facts: &Facts) -> bool {
    let texts = grub_layout::foreign_texts(facts);
    is_hidden(texts.iter().map(|(_, text)| text.as_str()))
}

fn is_hidden<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let values = shell::evaluate(texts);
    let get = |name: &str| values.get(name).cloned().flatten();
    let hidden = get("GRUB_TIMEOUT_STYLE").is_some_and(|style| style != "menu");
    get("GRUB_TIMEOUT").as_deref() == Some("0") || hidden
}

/// The menu has the distribution's recovery entries, which carry no words of passthru's.
pub(super) fn has_recovery(facts: &Facts) -> bool {
    ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"]
        .iter()
        .filter_map(|path| facts.text(path))
        .flat_map(grub_cfg::entries)
        .any(|entry| entry.purpose() == Purpose::Recovery)
}
