//! The entry that is started once, and how the loader is told to.

use super::{super::grub_trial, *};

impl<'a> Menu<'a> {
    /// A one-shot's name as a file name: GRUB leaves the ending out.
    pub(super) fn file_name(&self, id: &str) -> String {
        if self.maker == Maker::Grub && !id.ends_with(".conf") {
            format!("{id}.conf")
        } else {
            id.into()
        }
    }

    pub(super) fn one_shot(&self) -> Option<&'a str> {
        self.facts.boot.one_shot.value()?.as_deref()
    }

    /// The loader can start an entry once, or why not.
    pub(super) fn can_start_once(&self) -> Result<(), String> {
        let boot = &self.facts.boot;
        if self.maker == Maker::Grub {
            return grub_trial::can_start_once(self.facts);
        }
        if !boot
            .loader_info
            .as_deref()
            .is_some_and(|info| info.to_lowercase().starts_with("systemd-boot"))
        {
            return Err(match &boot.loader_info {
                None if boot.one_shot.value().is_none() => {
                    let why = boot.one_shot.why_not().unwrap_or_default();
                    format!("{why}, and an entry is started once through them")
                }
                None => "the firmware starts the kernel image itself, without systemd-boot".into(),
                Some(info) => format!("{info} started this host, and not systemd-boot"),
            });
        }
        Ok(())
    }

    /// Makes the loader start `name` at the next boot, once; nothing special if it is empty.
    pub(super) fn start_once(&self, name: &str, why: &str) -> Change {
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (set, unset) = if self.maker == Maker::Grub {
            let unset = list(&[
                "grub2-editenv",
                "/boot/grub2/grubenv",
                "unset",
                "next_entry",
            ]);
            let id = name.trim_end_matches(".conf");
            let set = if id.is_empty() {
                unset.clone()
            } else {
                list(&["grub2-reboot", id])
            };
            (set, unset)
        } else {
            (
                list(&["bootctl", "set-oneshot", name]),
                list(&["bootctl", "set-oneshot", ""]),
            )
        };
        Change::Run {
            undo: (set != unset).then_some(unset),
            argv: set,
            outputs: Vec::new(),
            family: None,
            anew: None,
            once: false,
            expect: Vec::new(),
            why: why.into(),
        }
    }

    /// The trial entry, and the one-shot.
    pub(super) fn trial(
        &self,
        line: &Line,
        words: &[String],
        trial_words: &[String],
        made: &Images,
    ) -> Result<Trial, String> {
        self.can_start_once()?;
        let images = !made.is_empty();
        let boot = &self.facts.boot;
        if self.default.unified {
            match boot.secure_boot.value() {
                Some(false) => {}
                Some(true) => {
                    return Err("Secure Boot is on, and then a unified kernel image takes no other command line than its own".into());
                }
                None => {
                    return Err(format!(
                        "whether Secure Boot is on was not measured ({})",
                        boot.secure_boot.why_not().unwrap_or_default()
                    ));
                }
            }
            let base = self.default.path.rsplit('/').next().unwrap_or_default();
            if systemd_boot::without_counter(base).0 != base {
                return Err(
                    "the image's name carries a boot counter, which the loader changes".into(),
                );
            }
        }
        let title = format!("{}{TITLE_TRIAL}", self.title());
        let line = line.with(trial_words);
        let head = "# Written by passthru for a trial boot. Taken away by: passthru undo\n";
        let text = if self.default.unified {
            let options = self.default.options.value().map_or("", String::as_str);
            let mut text = format!("{head}title      {title}\n");
            if let Some(version) = &self.default.version {
                text.push_str(&format!("version    {version}\n"));
            }
            text.push_str(&format!(
                "efi        {}\noptions    {}\n",
                self.in_partition(&self.default.path),
                line.on(options.trim())
            ));
            text
        } else {
            let body = self.copied_entry(&title, |_| None);
            head.to_string() + &line.on_entry(&body)
        };
        let mut changes = Vec::new();
        if images && self.copies_images() {
            let carried = |word: &&String| {
                let configured = self.facts.text(CMDLINE).unwrap_or_default();
                word.starts_with("passthru.") && !kargs::has_word(configured, word)
            };
            let absent: Vec<String> = words.iter().filter(carried).cloned().collect();
            changes.extend(self.rebuild(&[], &absent, made));
        }
        let path = self.path(self.trial_name());
        // One that runs has done its work; a kernel that was installed since does not make it another.
        let tried = service::is_running(self.facts) && self.facts.text(&path).is_some();
        if !tried {
            changes.extend(edit(
                self.facts,
                &path,
                text,
                0o644,
                "an entry with the change, for one boot; the default entry and all others stay as they are",
            ));
        }
        let waits = self
            .one_shot()
            .is_some_and(|id| self.file_name(id) == self.trial_name());
        if images || !changes.is_empty() || !(waits || service::is_running(self.facts)) {
            changes.push(self.start_once(
                self.trial_name(),
                "makes the loader start that entry at the next boot, once",
            ));
        }
        Ok(Trial {
            entry: title,
            changes,
        })
    }

    pub(super) fn trial_removal(&self) -> Option<Change> {
        removal(
            self.facts,
            &self.path(self.trial_name()),
            "the trial is over",
        )
    }
}
