//! Kernel command lines: the one that runs, and every one that is configured, with their places.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use crate::{
    facts::Facts,
    rules::stack::{self, loader::grub},
    text::{
        kargs::{self, Word},
        shell,
    },
};

/// All command lines of a host, without the words that passthru itself put there.
pub(super) struct Cmdlines {
    lines: Vec<Line>,
}

struct Line {
    /// `/etc/default/grub line 9 (GRUB_CMDLINE_LINUX)`; `None` for the running one.
    place: Option<String>,
    words: Vec<String>,
}

/// Where a word was found.
pub(super) struct Hit {
    /// The word as it is written.
    pub(super) word: String,
    /// The configuration that holds it; `None` for the running command line.
    pub(super) place: Option<String>,
}

impl Hit {
    /// The hit as evidence.
    pub(super) fn evidence(&self) -> String {
        match &self.place {
            Some(place) => format!("{place}: {}", self.word),
            None => format!("running now (/proc/cmdline): {}", self.word),
        }
    }
}

impl Cmdlines {
    pub(super) fn of(facts: &Facts) -> Self {
        let ours = stack::own_words(facts);
        let mut lines = Vec::new();
        if let Some(text) = facts.kernel.cmdline.value() {
            lines.push(Line {
                place: None,
                words: kargs::words(text).map(|word| word.raw.into()).collect(),
            });
        }
        for (path, file) in &facts.files {
            let Some(text) = file.text.value() else {
                continue;
            };
            if is_grub_default(path) && path != grub::DROP_IN {
                lines.extend(of_grub(path, text));
            } else if is_whole_cmdline(path) {
                lines.extend(
                    text.lines().enumerate().filter_map(|(number, line)| {
                        line_of(path, number, None, line.trim_start())
                    }),
                );
            } else if is_entry(path) {
                lines.extend(text.lines().enumerate().filter_map(|(number, line)| {
                    let options = line.trim_start().strip_prefix("options")?;
                    line_of(path, number, Some("options"), options)
                }));
            }
        }
        for line in &mut lines {
            line.words.retain(|word| !kargs::has_word(&ours, word));
        }
        lines.retain(|line| !line.words.is_empty());
        Self { lines }
    }

    /// Every word that `matches`.
    pub(super) fn hits(&self, matches: impl Fn(Word<'_>) -> bool) -> Vec<Hit> {
        let mut found = Vec::new();
        for line in &self.lines {
            for raw in line.words.iter().filter(|raw| matches(Word { raw })) {
                found.push(Hit {
                    word: raw.clone(),
                    place: line.place.clone(),
                });
            }
        }
        found
    }

    /// The words of each command line, for rules about several words at once.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&str>, &[String])> {
        self.lines
            .iter()
            .map(|line| (line.place.as_deref(), line.words.as_slice()))
    }
}

pub(super) fn is_grub_default(path: &str) -> bool {
    path == "/etc/default/grub"
        || path.starts_with("/etc/default/grub.d/") && path.ends_with(".cfg")
}

/// Files that hold nothing but words: kernel-install(8), mkinitcpio(8), sdbootutil.
fn is_whole_cmdline(path: &str) -> bool {
    path == "/etc/kernel/cmdline"
        || ["/etc/kernel/cmdline.d/", "/etc/cmdline.d/"]
            .iter()
            .any(|dir| path.starts_with(dir) && path.ends_with(".conf"))
}

/// An entry of the Boot Loader Specification. The way back keeps words as they were, and is passthru's.
fn is_entry(path: &str) -> bool {
    path.split_once("/loader/entries/")
        .is_some_and(|(_, name)| {
            let ours = name.trim_start_matches(['_', '-', '~']);
            name.ends_with(".conf") && !ours.starts_with("passthru-")
        })
}

fn line_of(path: &str, number: usize, what: Option<&str>, text: &str) -> Option<Line> {
    let words: Vec<String> = kargs::words(text).map(|word| word.raw.into()).collect();
    (!words.is_empty() && !text.starts_with('#')).then(|| Line {
        place: Some(match what {
            Some(what) => format!("{path} line {} ({what})", number + 1),
            None => format!("{path} line {}", number + 1),
        }),
        words,
    })
}

fn of_grub(path: &str, text: &str) -> Vec<Line> {
    let nothing = BTreeMap::new();
    shell::assignments(text)
        .into_iter()
        .filter(|a| {
            matches!(
                a.name.as_str(),
                "GRUB_CMDLINE_LINUX" | "GRUB_CMDLINE_LINUX_DEFAULT"
            )
        })
        .filter_map(|assignment| {
            let value = assignment.value(&nothing)?;
            let number = line_number(text, assignment.range.start);
            line_of(path, number - 1, Some(&assignment.name), &value)
        })
        .collect()
}

/// Number of the line, from 1, in which the byte at `at` stands.
pub(super) fn line_number(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}
