//! The entry "… without passthru" and the copies that it starts.

use super::*;

/// Before the release of the kernel that the entry starts.
const RELEASE: &str = "# Its kernel: ";

/// The release of the kernel that the entry at `path` with this text starts, if that is known.
fn release_of(facts: &Facts, path: &str, text: &str) -> Option<String> {
    let recorded = text.lines().find_map(|line| line.strip_prefix(RELEASE));
    let said = recorded
        .map(str::trim)
        .or_else(|| bls::value(text, "version"));
    // Read from the kernel itself.
    let entries = facts.boot.entries.iter();
    let found = || {
        entries
            .filter(|entry| entry.path == path)
            .find_map(|entry| entry.version.clone())
    };
    said.map(String::from).or_else(found)
}

fn is_installed(facts: &Facts, release: &str) -> bool {
    let mut kernels = facts.kernel.installed.iter();
    kernels.any(|kernel| kernel.release == release)
}

/// The entry "… without passthru", and the release that it starts if the modules of that kernel are
/// gone.
pub(crate) fn way_back_entry(facts: &Facts) -> Option<(&str, Option<String>)> {
    if !super::super::is_menu(facts) {
        return None;
    }
    let [name, _] = names(facts.boot.loader.value());
    let path = facts.files.keys().find(|path| path.ends_with(name))?;
    // Whoever writes entries by hand may put any text where a release belongs.
    let is_said_by_others = |release: &String| {
        let mut others = facts
            .boot
            .entries
            .iter()
            .filter(|entry| !entry.is_passthrus());
        others.any(|entry| entry.version.as_ref() == Some(release))
    };
    let gone = release_of(facts, path, facts.text(path)?)
        .filter(|release| !is_installed(facts, release) && !is_said_by_others(release));
    Some((path, gone))
}

impl Menu<'_> {
    /// The entry "… without passthru", and copies for it that no tool knows.
    pub(super) fn way_back(&self, words: &[String]) -> Vec<Change> {
        let path = self.path(self.without_name());
        let record = self.record(words);
        if let Some(text) = self.facts.text(&path)
            && self.starts_an_installed_kernel(&path, text)
        {
            let rest: String = text
                .split_inclusive('\n')
                .filter(|line| !line.starts_with(RECORD))
                .collect();
            return edit(
                self.facts,
                &path,
                format!("{record}{rest}"),
                0o644,
                "keeps in the way back which words of the other entries are passthru's",
            )
            .into_iter()
            .collect();
        }
        let mut changes = Vec::new();
        let mut copied: Vec<(String, String)> = Vec::new();
        let sources: Vec<&String> = if self.default.unified {
            vec![&self.default.path]
        } else {
            self.default
                .linux
                .iter()
                .chain(&self.default.initrds)
                .collect()
        };
        let version = self.default_release().unwrap_or("linux");
        let directory = self.free_directory(version);
        for from in sources {
            let base = from.rsplit('/').next().unwrap_or("image");
            let name = match systemd_boot::without_counter(base) {
                (name, _) if self.default.unified => name,
                _ => base.to_string(),
            };
            let mut to = format!("{directory}/{name}");
            let mut number = 2;
            while copied.iter().any(|(_, other)| *other == to) {
                to = format!("{directory}/{number}-{name}");
                number += 1;
            }
            // The generators write over what lies on a file system of their own, too.
            copied.push((from.clone(), to.clone()));
            changes.push(Change::Copy {
                from: from.clone(),
                to,
                why: "a copy of what starts today, under a name that no tool writes to: the way back that nothing below can break".into(),
            });
        }
        let text = self.without_text(&record, &copied);
        changes.extend(edit(
            self.facts,
            &path,
            text,
            0o644,
            "adds the boot entry \"… without passthru\", which starts those copies; it never becomes the default",
        ));
        changes
    }

    /// The line that says which words are passthru's: those on the entries now, and those to come.
    pub(super) fn record(&self, words: &[String]) -> String {
        let old = kargs::words(&self.own)
            .map(|word| word.raw)
            .filter(|old| !words.iter().any(|word| word == old));
        let all: Vec<&str> = old.chain(words.iter().map(String::as_str)).collect();
        format!("{RECORD}{}\n", all.join(" "))
    }

    /// Words that this plan takes off the entries are passthru's no longer.
    pub(super) fn record_change(&self, before: &[Change], words: &[String]) -> Option<Change> {
        let path = self.path(self.without_name());
        let planned = before.iter().find_map(|change| match change {
            Change::Edit {
                path: edited,
                after,
                ..
            } if *edited == path => after.as_deref(),
            _ => None,
        });
        let text = planned.or_else(|| self.facts.text(&path))?;
        let after = text.replacen(
            &self.record(words),
            &format!("{RECORD}{}\n", words.join(" ")),
            1,
        );
        (after != text).then(|| Change::Edit {
            path,
            before: Some(text.into()),
            after: Some(after),
            mode: 0o644,
            why: "keeps in the way back which words of the other entries are passthru's".into(),
        })
    }

    /// A directory for copies that is not there yet.
    pub(super) fn free_directory(&self, version: &str) -> String {
        let base = if self.default.unified {
            format!("{}/EFI/passthru", self.place)
        } else {
            format!("{}/passthru", self.place)
        };
        let plain: String = version
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "+-._~".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let mut directory = format!("{base}/{plain}");
        let mut number = 2;
        while self.facts.boot.copies.contains(&directory) {
            directory = format!("{base}/{plain}-{number}");
            number += 1;
        }
        directory
    }

    /// The modules of the kernel that the way back starts are still there.
    pub(super) fn starts_an_installed_kernel(&self, path: &str, text: &str) -> bool {
        release_of(self.facts, path, text).is_none_or(|release| {
            is_installed(self.facts, &release)
                || self.default.version.as_deref() == Some(release.as_str())
        })
    }

    /// The release that starts by default: the entry says it, or the image that it names is a kernel's.
    fn default_release(&self) -> Option<&str> {
        let by_image = || {
            let mut kernels = self.facts.kernel.installed.iter();
            let kernel = kernels.find(|kernel| {
                let image = kernel.image.as_ref();
                image.is_some_and(|image| self.default.initrds.contains(&image.path))
            })?;
            Some(kernel.release.as_str())
        };
        self.default.version.as_deref().or_else(by_image)
    }

    /// A path on the partition as an entry names it.
    pub(super) fn in_entry(&self, path: &str) -> String {
        // Where /boot is no mount of its own, the default entry's own way of writing tells.
        let prefix = self
            .facts
            .text(&self.default.path)
            .and_then(|text| bls::value(text, "linux"))
            .zip(self.default.linux.as_deref())
            .and_then(|(written, real)| real.strip_suffix(written))
            .unwrap_or(&self.place);
        path.strip_prefix(prefix).unwrap_or(path).into()
    }

    pub(super) fn without_text(&self, record: &str, copied: &[(String, String)]) -> String {
        let mut head = format!(
            "{record}# Written by passthru: starts this host as it was, from copies. It must stay as it\n\
             # is; passthru undo takes it away.\n"
        );
        // Entries that are written by hand say no version.
        if self.default.version.is_none()
            && let Some(release) = self.default_release()
        {
            head.push_str(&format!("{RELEASE}{release}\n"));
        }
        let title = self.title();
        if self.default.unified {
            let mut text = format!("{head}title      {title} {TITLE_WITHOUT}\n");
            if let Some(version) = &self.default.version {
                text.push_str(&format!("version    {version}\n"));
            }
            for (_, to) in copied {
                text.push_str(&format!("efi        {}\n", self.in_partition(to)));
            }
            return text;
        }
        let mut files = copied.iter();
        let body = self.copied_entry(&format!("{title} {TITLE_WITHOUT}"), |_| {
            files.next().map(|(_, to)| self.in_entry(to))
        });
        head + &Line::without(&self.own).on_entry(&body)
    }

    pub(super) fn in_partition(&self, path: &str) -> String {
        path.strip_prefix(&self.place).unwrap_or(path).into()
    }

    /// The default entry's text with another title, without a sort key, and with the files that
    /// `file` names.
    pub(super) fn copied_entry(
        &self,
        title: &str,
        mut file: impl FnMut(&str) -> Option<String>,
    ) -> String {
        let text = self.facts.text(&self.default.path).unwrap_or_default();
        let mut result = String::new();
        let mut titled = false;
        for line in text.lines() {
            let trimmed = line.trim_start();
            let (key, value) = trimmed.split_once([' ', '\t']).unwrap_or((trimmed, ""));
            let renamed = match key {
                // An id of its own would hide the name of the file.
                "sort-key" | "id" => continue,
                _ if key.starts_with('#') => continue,
                "title" if titled => continue,
                "title" => {
                    titled = true;
                    Some(title.to_string())
                }
                "linux" | "initrd" => {
                    let names: Vec<String> = value
                        .split_whitespace()
                        .map(|name| {
                            let known = !name.starts_with('$');
                            known
                                .then(|| file(name))
                                .flatten()
                                .unwrap_or_else(|| name.into())
                        })
                        .collect();
                    Some(names.join(" "))
                }
                _ => None,
            };
            match renamed {
                Some(value) => result.push_str(&format!("{key:<10} {value}\n")),
                None if trimmed.is_empty() => {}
                None => {
                    result.push_str(line);
                    result.push('\n');
                }
            }
        }
        if titled {
            result
        } else {
            format!("title      {title}\n{result}")
        }
    }
}
