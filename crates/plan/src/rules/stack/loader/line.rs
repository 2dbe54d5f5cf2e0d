//! What is done to a kernel command line, wherever it stands: words added, words that go, and every
//! other byte as it was.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use core::ops::Range;

use crate::{
    facts::Facts,
    rules::{
        Draft, repair,
        stack::{
            foreign,
            words::{LOAD, TRIAL},
            words_to_remove,
        },
    },
    text::{bls, kargs},
};

/// A change of command lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Words that are put at the end.
    pub(super) add: Vec<String>,
    /// Words that go, as they are written.
    pub(super) remove: Vec<String>,
    /// Those of them that repair takes away.
    fixed: Vec<String>,
    /// Words that are put right in their place: the word, and what it becomes.
    replace: Vec<(String, String)>,
}

impl Line {
    /// The plan's `words`; what an earlier plan put there (`own`) and this one does not want goes,
    /// and so does what must not stay.
    pub(super) fn of(draft: &Draft<'_>, own: &str, words: &[String]) -> Self {
        let mut remove: Vec<String> = kargs::words(own)
            .map(|word| word.raw.to_string())
            .filter(|word| !words.contains(word))
            .collect();
        remove.extend(off_words(draft));
        remove.extend(foreign::line_words(draft));
        let mut fixed = Vec::new();
        let mut replace = Vec::new();
        for fix in repair::fixes(draft) {
            match fix.becomes {
                Some(with) => replace.push((fix.word, with)),
                None => fixed.push(fix.word),
            }
        }
        if draft.intent.repair {
            fixed.extend(foreign::line_words(draft));
        }
        remove.extend(fixed.iter().cloned());
        Self {
            add: words.to_vec(),
            remove,
            fixed,
            replace,
        }
    }

    /// Takes passthru's own words out again: the line as it was before.
    pub(super) fn without(own: &str) -> Self {
        Self {
            remove: kargs::words(own).map(|word| word.raw.to_string()).collect(),
            ..Self::default()
        }
    }

    /// The same with more words.
    pub(super) fn with(&self, more: &[String]) -> Self {
        let mut add = self.add.clone();
        add.extend_from_slice(more);
        Self {
            add,
            ..self.clone()
        }
    }

    /// The same for entries that passthru adds nothing to: what is repaired, and no more.
    pub(super) fn repairs(&self) -> Self {
        Self {
            add: Vec::new(),
            remove: self.fixed.clone(),
            ..self.clone()
        }
    }

    /// It changes no line.
    pub(super) fn is_nothing(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.replace.is_empty()
    }

    /// Words that no entry may carry afterwards.
    pub(super) fn absent(&self) -> Vec<String> {
        let replaced = self.replace.iter().map(|(word, _)| word.clone());
        self.remove.iter().cloned().chain(replaced).collect()
    }

    fn becomes(&self, word: &kargs::Word<'_>) -> Option<String> {
        let found = self.replace.iter().find(|(old, _)| old == word.raw)?;
        Some(found.1.clone())
    }

    pub(super) fn goes(&self, word: &kargs::Word<'_>) -> bool {
        let wanted = self.add.iter().any(|new| new == word.raw);
        !wanted
            && (word.name().starts_with("passthru.") || self.remove.iter().any(|w| w == word.raw))
    }

    /// A command line.
    pub(super) fn on(&self, cmdline: &str) -> String {
        let all = 0..cmdline.len();
        let text = kargs::reworded(cmdline, core::slice::from_ref(&all), |word| {
            self.becomes(word)
        });
        kargs::edited(&text, &self.add, |word| self.goes(word))
    }

    /// A file with a command line: blanks and line ends separate words, lines that begin with `#` are
    /// comments (which not every reader knows, and which then are words).
    pub(super) fn on_file(&self, text: &str) -> String {
        let text = &kargs::reworded(text, &pieces(text), |word| self.becomes(word));
        let pieces = pieces(text);
        if pieces.is_empty() && self.add.is_empty() {
            return text.clone();
        }
        if pieces.is_empty() {
            let line_end = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            return format!("{text}{line_end}{}\n", self.add.join(" "));
        }
        kargs::edited_pieces(text, &pieces, &self.add, |word| self.goes(word))
    }

    /// An entry of the Boot Loader Specification.
    pub(super) fn on_entry(&self, text: &str) -> String {
        let text = bls::reworded(text, |word| self.becomes(word));
        bls::with_words(&text, &self.add, |word| self.goes(word))
    }

    /// The command line has the words that were asked for, and none that goes.
    pub(super) fn holds(&self, cmdline: &str) -> bool {
        self.on(cmdline) == cmdline
    }
}

/// The lines of a file that hold words.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for part in text.split_inclusive('\n') {
        let body = part.trim_end_matches(['\n', '\r']);
        if !body.trim_start().starts_with('#') && !body.trim().is_empty() {
            pieces.push(at..at + body.len());
        }
        at += part.len();
    }
    pieces
}

/// Words that turn the IOMMU off for good and have to go.
pub(super) fn off_words(draft: &Draft<'_>) -> Vec<String> {
    words_to_remove(draft).into_iter().map(Into::into).collect()
}

/// Words of `cmdline` that are passthru's beyond doubt: those it alone reads, and the ids beside
/// them. Others (`intel_iommu=on`) may be anybody's.
pub(super) fn certain_words(cmdline: &str) -> String {
    let gated = kargs::words(cmdline).any(|word| word.is(LOAD));
    let last_ids = kargs::words(cmdline)
        .filter(|word| word.is("vfio-pci.ids"))
        .last();
    let words: Vec<&str> = kargs::words(cmdline)
        .filter(|word| {
            (word.name().starts_with("passthru.") && !word.is(TRIAL))
                || (gated && Some(*word) == last_ids)
        })
        .map(|word| word.raw)
        .collect();
    words.join(" ")
}

/// A command line of the running boot as a loader's configuration would have it: without what GRUB
/// and systemd-boot put there, and without words of a trial.
pub(super) fn of_running(facts: &Facts) -> Option<String> {
    let running = facts.kernel.cmdline.value()?;
    let words: Vec<&str> = kargs::all_words(running)
        .filter(|word| !word.is("BOOT_IMAGE") && !word.is("initrd"))
        .map(|word| word.raw)
        .collect();
    Some(words.join(" "))
}
