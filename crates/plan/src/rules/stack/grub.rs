//! GRUB on Debian and Ubuntu: a drop-in with the words, and entries without them.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{edit, words_to_remove};
use crate::{
    change::{Change, Expect, Output},
    facts::Facts,
    rules::Draft,
    text::{
        grub_cfg::{self, Purpose},
        kargs, shell,
    },
};

/// Sorts after every other drop-in; cloud images overwrite the variable in a 50-… file.
pub(crate) const DROP_IN: &str = "/etc/default/grub.d/zz-passthru.cfg";
/// Adds the entries without passthru's words, after all of the distribution's entries.
const ENTRIES: &str = "/etc/grub.d/42_passthru";
const DEFAULTS: &str = "/etc/default/grub";
const CONFIG: &str = "/boot/grub/grub.cfg";
/// grub-mkconfig overwrites its target in place, and a power cut there would leave half a menu.
const STAGED: &str = "/boot/grub/grub.cfg.passthru";

const ENTRIES_TEXT: &str = "\
#!/bin/sh
# Written by passthru. The same boot entries once more, without the words that
# /etc/default/grub.d/zz-passthru.cfg adds: they start this host as if passthru
# had never been there. Taken away by: passthru undo
set -e
[ \"${PASSTHRU_WITHOUT+set}\" = set ] || exit 0
[ -x /etc/grub.d/10_linux ] || exit 0
GRUB_CMDLINE_LINUX_DEFAULT=\"$PASSTHRU_WITHOUT\"
GRUB_DISABLE_RECOVERY=true
export GRUB_CMDLINE_LINUX_DEFAULT GRUB_DISABLE_RECOVERY
/etc/grub.d/10_linux | sed \\
\t-e \"s/^\\([[:blank:]]*\\)\\(menuentry\\|submenu\\) '\\([^']*\\)'/\\1\\2 '\\3 without passthru'/\" \\
\t-e \"s/'gnulinux-/'passthru-without-/g\"
";

fn drop_in_text(words: &[String]) -> String {
    format!(
        "# Written by passthru. These words are added to the normal boot entries only; the recovery\n\
         # entries and the entries \"... without passthru\" stay as they were.\n\
         # Taken away by: passthru undo\n\
         export PASSTHRU_WITHOUT=\"$GRUB_CMDLINE_LINUX_DEFAULT\"\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {}\"\n",
        words.join(" ")
    )
}

/// The words a drop-in of ours adds.
pub(super) fn words_of(text: &str) -> Option<String> {
    shell::evaluate([text])
        .remove("GRUB_CMDLINE_LINUX_DEFAULT")
        .flatten()
}

/// Command lines that others configured: the file that set each one last, and its value.
pub(super) fn foreign_cmdlines(facts: &Facts) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut origin: BTreeMap<String, String> = BTreeMap::new();
    for path in sources(facts).into_iter().filter(|path| path != DROP_IN) {
        for assignment in shell::assignments(facts.text(&path).unwrap_or_default()) {
            let value = assignment.value(&variables);
            origin.insert(assignment.name.clone(), path.clone());
            variables.insert(assignment.name, value);
        }
    }
    ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]
        .into_iter()
        .filter_map(|name| {
            let value = variables.get(name).cloned().flatten()?;
            Some((format!("{} ({name})", origin.get(name)?), value))
        })
        .collect()
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

pub(super) fn changes(draft: &mut Draft<'_>, words: &[String]) -> Vec<Change> {
    let facts = draft.facts;
    let mut changes = remove_off_words(draft);
    if words.is_empty() && changes.is_empty() {
        return changes;
    }
    if !words.is_empty() {
        changes.extend(edit(
            facts,
            DROP_IN,
            drop_in_text(words),
            0o644,
            "puts the words on the kernel command line of every normal boot entry; a drop-in, so /etc/default/grub stays yours",
        ));
        changes.extend(edit(
            facts,
            ENTRIES,
            ENTRIES_TEXT.into(),
            0o755,
            "adds boot menu entries \"… without passthru\" for every kernel: the way back if a boot fails",
        ));
        menu_notice(draft);
    }
    if changes.is_empty() && is_as_planned(facts.text(CONFIG), words) {
        return changes;
    }
    changes.push(Change::Run {
        argv: ["grub-mkconfig", "-o", STAGED].map(String::from).to_vec(),
        outputs: vec![Output { path: CONFIG.into(), staged: Some(STAGED.into()) }],
        family: None,
        expect: vec![Expect::GrubWords { path: CONFIG.into(), words: words.to_vec() }],
        why: "makes the boot menu, beside the one in use; it takes its place in one step once every entry was checked".into(),
    });
    changes
}

/// The configuration that boots carries `words` where it should. An unreadable one counts as right:
/// it cannot be judged, and verify says that it was not measured.
pub(super) fn is_as_planned(config: Option<&str>, words: &[String]) -> bool {
    config.is_none_or(|text| mistakes(text, words).is_empty())
}

/// What is wrong with a GRUB configuration that should carry `words` on its normal entries only.
pub fn mistakes(text: &str, words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut normal = 0;
    for entry in grub_cfg::entries(text) {
        let carried = |word: &&String| kargs::has_word(&entry.cmdline, word);
        match entry.purpose() {
            Purpose::Normal => {
                normal += 1;
                for word in words.iter().filter(|word| !carried(word)) {
                    found.push(format!(
                        "the entry \"{}\" (line {}) lacks {word}",
                        entry.title(),
                        entry.line
                    ));
                }
            }
            Purpose::Recovery | Purpose::WithoutPassthru => {
                for word in words
                    .iter()
                    .filter(carried)
                    .filter(|word| word.starts_with("vfio") || word.starts_with("passthru"))
                {
                    found.push(format!(
                        "the entry \"{}\" (line {}) must not carry {word}",
                        entry.title(),
                        entry.line
                    ));
                }
            }
            Purpose::Other => {}
        }
    }
    if normal == 0 {
        found.push("it has no normal Linux entry".into());
    }
    found
}

/// Removes the words that turn the IOMMU off and cannot be overruled by a later one.
fn remove_off_words(draft: &Draft<'_>) -> Vec<Change> {
    let facts = draft.facts;
    let mut changes = Vec::new();
    for path in sources(facts) {
        let Some(before) = facts.text(&path) else {
            continue;
        };
        let mut after = String::from(before);
        let mut removed = Vec::new();
        for word in words_to_remove(draft) {
            for name in ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"] {
                if let Some(text) = shell::remove_word(&after, name, word) {
                    after = text;
                    removed.push(word);
                }
            }
        }
        if !removed.is_empty() {
            let why = format!(
                "{} turns the IOMMU off, and no later word can turn it on again; it has to go from where it stands",
                removed.join(" and ")
            );
            changes.extend(edit(facts, &path, after, 0o644, &why));
        }
    }
    changes
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
    let files = sources(facts);
    let values = shell::evaluate(files.iter().filter_map(|path| facts.text(path)));
    let get = |name: &str| values.get(name).cloned().flatten();
    let hidden = get("GRUB_TIMEOUT_STYLE").is_some_and(|style| style != "menu");
    get("GRUB_TIMEOUT").as_deref() == Some("0") || hidden
}
