//! What others wrote into GRUB's defaults and what cannot stay there, taken out where it stands.

use alloc::{format, string::String, vec::Vec};

use super::{grub::VARIABLES, grub_layout, grub_own::Restored};
use crate::{
    change::Change,
    facts::Facts,
    rules::{
        Draft, repair,
        stack::{edit, foreign, words_to_remove},
    },
    text::{kargs, shell},
};

/// Takes out of the user's files what cannot stay there: words that turn the IOMMU off and that no
/// later word overrules, and dormant ids (see [`foreign`]).
pub(super) fn take_out_words(draft: &mut Draft<'_>, restored: &mut Restored) -> Vec<Foreign> {
    let facts = draft.facts;
    let off = words_to_remove(draft);
    let lists = foreign::grub_words(draft);
    let fixes = repair::fixes(draft);
    let mut texts: Vec<Foreign> = Vec::new();
    for (path, text) in grub_layout::foreign_texts(facts) {
        let mut after = text;
        let mut why = Vec::new();
        for variable in VARIABLES {
            for &word in &off {
                if let Some(text) = shell::remove_word(&after, variable, word) {
                    after = text;
                    why.push(format!(
                        "{word} turns the IOMMU off, and no later word can turn it on again; it has to go from where it stands. The entries \"… without passthru\" keep it"
                    ));
                    restored.keep(variable, word);
                }
            }
            for fix in &fixes {
                if let Some(text) = fix.on_variable(&after, variable) {
                    after = text;
                    why.push(format!("{}: {}", fix.word, fix.why));
                    restored.keep(variable, &fix.word);
                }
            }
            for list in lists.iter().filter(|list| list.variable == variable) {
                if let Some(text) = shell::remove_word(&after, variable, &list.word) {
                    after = text;
                    why.push(list.why.into());
                    // One that acts does so in the way back, too; one that never did stays out.
                    if list.acts {
                        restored.keep(variable, &list.word);
                    }
                }
            }
        }
        texts.push(Foreign { path, after, why });
    }
    refuse_what_is_left(draft, &texts, &off, &lists, restored);
    texts
}

/// A file of others, without words that cannot stay.
pub(super) struct Foreign {
    pub(super) path: String,
    pub(super) after: String,
    /// Why words were taken out; empty if none were.
    pub(super) why: Vec<String>,
}

impl Foreign {
    pub(super) fn edit(self, facts: &Facts) -> Option<Change> {
        (!self.why.is_empty())
            .then(|| edit(facts, &self.path, self.after, 0o644, &self.why.join("; ")))
            .flatten()
    }
}

/// A word that is put together from variables, or comes from elsewhere, cannot be taken out by
/// editing one value.
fn refuse_what_is_left(
    draft: &mut Draft<'_>,
    texts: &[Foreign],
    off: &[&str],
    lists: &[foreign::GrubWord],
    restored: &Restored,
) {
    let values = shell::evaluate(texts.iter().map(|text| text.after.as_str()));
    let on_line = |word: &str| {
        VARIABLES.into_iter().find(|name| {
            let value = values.get(*name).and_then(Option::as_deref);
            value.is_some_and(|value| kargs::has_word(value, word))
        })
    };
    let running = draft
        .facts
        .kernel
        .cmdline
        .value()
        .map_or("", String::as_str);
    for word in off.iter().copied() {
        let kept = restored.without.iter().any(|kept| kept == word);
        let place = match on_line(word) {
            Some(name) => format!(
                "{name} in the files of /etc/default/grub is put together from other variables"
            ),
            None if !kept && kargs::has_word(running, word) => String::from(
                "it is on this boot's kernel command line, but not in /etc/default/grub or its drop-ins",
            ),
            None => continue,
        };
        draft.refuse(
            "iommu.off-word",
            format!("{word} turns the IOMMU off and cannot be taken out automatically: {place}."),
            format!("Find where {word} comes from (grep -r {word} /etc/default /etc/grub.d /boot/grub/custom.cfg), remove it, reboot, and plan again."),
        );
    }
    for foreign::GrubWord { variable, word, .. } in lists {
        if on_line(word).is_some() {
            draft.refuse(
                "binding.other-ids",
                format!("{word} in {variable} cannot stay beside passthru's own list of ids; it is put together from other variables and cannot be taken out automatically."),
                "Remove it from /etc/default/grub or its drop-ins, and plan again.",
            );
        }
    }
}
