//! Loaders whose entries are files of their own: systemd-boot (entries by kernel-install or by hand),
//! unified kernel images, and GRUB with entries of the Boot Loader Specification.
//!
//! The partition is FAT as a rule: no rename is atomic there, and kernel-install and the generators
//! write over kernels and images in place. So the way back comes first: copies of what starts today,
//! under names of our own, and an entry for them that is started once should the power fail while
//! the others are made anew.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{Steps, Trial, line, line::Line};
use crate::{
    change::{Change, Expect, Output},
    facts::{BootEntry, BootLoader, Facts},
    intent::TrialBoot,
    rules::{
        Draft,
        stack::{edit, removal, trial as service},
    },
    text::{bls, kargs, shell, systemd_boot},
};

/// Read by kernel-install, sdbootutil, mkinitcpio and ukify.
pub(super) const CMDLINE: &str = "/etc/kernel/cmdline";
const CMDLINE_DEFAULT: &str = "/usr/lib/kernel/cmdline";
/// Options of every entry that kernelstub makes.
const KERNELSTUB: &str = "/etc/kernelstub/configuration";
/// Before the words that passthru has put on the other entries.
const RECORD: &str = "# Words of passthru on the other entries: ";
const TITLE_WITHOUT: &str = "without passthru";
const TITLE_TRIAL: &str = ", with passthru (trial)";

/// Who makes the entries, and so what has to be done beside editing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// kernel-install writes entries and copies kernels and images beside them.
    KernelInstall,
    /// Nobody: entries are written by hand.
    Hand,
    /// Entries of GRUB, kept by grubby and kernel-install's plugins.
    Grub,
    /// Unified images by kernel-install.
    UnifiedKernelInstall,
    /// Unified images by mkinitcpio's presets.
    UnifiedMkinitcpio,
    /// Unified images by dracut.
    UnifiedDracut,
    /// Pop!_OS: entries, kernels and images by kernelstub, from a configuration of its own.
    Kernelstub,
}

impl Maker {
    fn is_unified(self) -> bool {
        matches!(
            self,
            Self::UnifiedKernelInstall | Self::UnifiedMkinitcpio | Self::UnifiedDracut
        )
    }

    /// It takes the words of entries that it makes later from [`CMDLINE`].
    fn reads_cmdline(self) -> bool {
        !matches!(self, Self::Hand | Self::UnifiedDracut | Self::Kernelstub)
    }
}

/// The entries of this host.
struct Menu<'a> {
    facts: &'a Facts,
    maker: Maker,
    /// Where the loader's directories are: `/boot/efi`.
    place: String,
    /// What starts by default, and is the pattern of our entries.
    default: &'a BootEntry,
    /// Words of passthru on the entries now.
    own: String,
}

/// File names of passthru's entries. systemd-boot puts entries without a `sort-key` last, and of
/// these the one with the oldest version: a text that begins with `-` is older than all that do not,
/// and `_` does not count (`strverscmp_improved`). GRUB compares as rpm does, where `~` is older
/// than anything. So neither ever becomes the default by its place.
fn names(loader: Option<&BootLoader>) -> [&'static str; 2] {
    if loader == Some(&BootLoader::GrubBls) {
        ["~passthru-without.conf", "~passthru-trial.conf"]
    } else {
        ["_-passthru-without.conf", "_-passthru-trial.conf"]
    }
}

/// Words that passthru has put on the entries of this host: they are written into the entry
/// "… without passthru". Without that, those that can only be passthru's.
pub(super) fn own_words(facts: &Facts) -> String {
    let [without, _] = names(facts.boot.loader.value());
    let recorded = facts
        .files
        .keys()
        .filter(|path| path.ends_with(without))
        .filter_map(|path| facts.text(path))
        .find_map(|text| text.lines().find_map(|line| line.strip_prefix(RECORD)));
    match recorded {
        Some(words) => words.trim().into(),
        None => line::certain_words(facts.text(CMDLINE).unwrap_or_default()),
    }
}

/// Command lines that are configured, and where: for those who look for words of others.
pub(crate) fn cmdlines(facts: &Facts) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Some(text) = facts.text(CMDLINE) {
        found.push((CMDLINE.to_string(), text.to_string()));
    }
    for entry in facts
        .boot
        .entries
        .iter()
        .filter(|entry| !entry.is_passthrus())
    {
        if let Some(options) = entry.options.value() {
            found.push((entry.path.clone(), options.clone()));
        }
    }
    found
}

/// What the loader needs done.
pub(super) fn steps(
    draft: &mut Draft<'_>,
    words: &[String],
    trial_words: &[String],
    images: &[Change],
) -> Steps {
    let nothing = Steps {
        before: Vec::new(),
        trial: Err("the plan is refused".into()),
        keep: Vec::new(),
    };
    let Some(menu) = Menu::of(draft) else {
        return nothing;
    };
    if words.is_empty() && menu.own.is_empty() && line::off_words(draft).is_empty() {
        return nothing;
    }
    let line = Line::of(draft, &menu.own, words);
    menu.refuse_what_stays(draft);
    menu.refuse_kernelstub(draft, &line);
    let visible = draft.intent.trial == TrialBoot::Never;
    if visible {
        menu.menu_notice(draft);
    }
    menu.steps(&line, words, trial_words, images)
}

impl<'a> Menu<'a> {
    fn of(draft: &mut Draft<'a>) -> Option<Self> {
        let facts = draft.facts;
        let maker = maker(draft)?;
        let boot = &facts.boot;
        let by_default = boot
            .default_entry
            .as_ref()
            .and_then(|path| boot.entries.iter().find(|entry| entry.path == *path))
            .filter(|entry| !entry.is_passthrus());
        let first = || {
            boot.entries
                .iter()
                .filter(|entry| !entry.is_passthrus() && entry.unified == maker.is_unified())
                .find(|entry| entry.unified || entry.linux.is_some())
        };
        let usable = by_default.filter(|entry| entry.unified || entry.linux.is_some());
        let Some(default) = usable.or_else(first) else {
            draft.refuse(
                "stack.entries",
                "No boot entry of this host's Linux was found, so there is none to add words to.",
                "Mount the partition that the boot loader reads (/boot, /efi or /boot/efi), run passthru as root, and plan again.",
            );
            return None;
        };
        if default.options.value().is_none() {
            let why = default.options.why_not().unwrap_or_default().to_string();
            draft.refuse(
                "stack.entries",
                format!("The kernel command line of the entry that starts by default is not known: {why}."),
                "Run passthru as root on the host itself.",
            );
            return None;
        }
        let place = ["/loader/entries/", "/EFI/Linux/"]
            .into_iter()
            .find_map(|middle| default.path.split_once(middle))
            .map(|(place, _)| place.to_string())?;
        let conf = facts
            .text(&format!("{place}/loader/loader.conf"))
            .unwrap_or_default();
        if is_old(facts) && systemd_boot::setting(conf, "default").is_none() {
            draft.refuse(
                "stack.loader-version",
                format!("systemd-boot before 250 starts the last entry of its menu, and {place}/loader/loader.conf names no other: an entry of passthru's would become the default."),
                format!("Name the entry that starts today in {place}/loader/loader.conf (default {}), or update the boot loader (sudo bootctl update), and plan again.", default.id),
            );
            return None;
        }
        Some(Self {
            facts,
            maker,
            place,
            default,
            own: own_words(facts),
        })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/loader/entries/{name}", self.place)
    }

    fn without_name(&self) -> &'static str {
        names(self.facts.boot.loader.value())[0]
    }

    fn trial_name(&self) -> &'static str {
        names(self.facts.boot.loader.value())[1]
    }

    /// Entries that start this system normally: same root file system, no rescue entry.
    fn normal(&self) -> impl Iterator<Item = &'a BootEntry> + '_ {
        let root = |entry: &BootEntry| {
            let options = entry.options.value()?;
            kargs::last_value(options, "root")
        };
        let mine = root(self.default);
        self.facts.boot.entries.iter().filter(move |entry| {
            !entry.is_passthrus()
                && (entry.linux.is_some() || entry.unified)
                && root(entry) == mine
                && (mine.is_some() || entry.machine_id == self.default.machine_id)
                && !is_rescue(entry)
        })
    }

    /// The text of [`CMDLINE`] as it is, or as it would be without passthru.
    fn cmdline(&self) -> (Option<&'a str>, String) {
        if let Some(text) = self.facts.text(CMDLINE) {
            return (Some(text), text.into());
        }
        let source = self
            .facts
            .text(CMDLINE_DEFAULT)
            .map(str::to_string)
            .or_else(|| self.default.options.value().cloned())
            .or_else(|| line::of_running(self.facts))
            .unwrap_or_default();
        let text = Line::without(&self.own).on(source.trim());
        (None, format!("{text}\n"))
    }

    fn steps(
        &self,
        line: &Line,
        words: &[String],
        trial_words: &[String],
        made: &[Change],
    ) -> Steps {
        let images = !made.is_empty();
        // Whether entries have to be made anew to carry the words.
        let lacks: Vec<&BootEntry> = self
            .normal()
            .filter(|entry| {
                let options = entry.options.value();
                options.is_some_and(|options| !line.holds(options))
            })
            .collect();
        let rebuilds =
            (self.maker.is_unified() || self.maker == Maker::Kernelstub) && !lacks.is_empty();

        let mut before = self.way_back(words);
        let guards = images && self.can_start_once().is_ok();
        if self.maker.reads_cmdline() && self.facts.text(CMDLINE).is_none() {
            before.extend(edit(
                self.facts,
                CMDLINE,
                self.cmdline().1,
                0o644,
                "without it, an entry for a new kernel takes its words from whatever boot is running, a trial included",
            ));
        }
        if guards {
            before.push(self.start_once(
                self.without_name(),
                "until the others are made anew: a power cut now boots the untouched copy",
            ));
        }

        let mut keep = self.cmdline_change(line);
        let guards_keep =
            (rebuilds || (images && self.copies_images())) && self.can_start_once().is_ok();
        if rebuilds && guards_keep && !guards {
            keep.push(self.start_once(
                self.without_name(),
                "until the images are made anew: a power cut now boots the untouched copy",
            ));
        }
        if rebuilds || (images && self.copies_images()) {
            keep.extend(self.rebuild(words, &line.remove, made));
        } else {
            keep.extend(self.entry_edits(&lacks, line));
        }
        keep.extend(self.record_change(&before, words));
        keep.extend(self.trial_removal());
        let waits_for_ours = self.one_shot().is_some_and(|id| {
            [self.without_name(), self.trial_name()].contains(&self.file_name(id).as_str())
        });
        if guards || guards_keep || waits_for_ours {
            keep.push(self.start_once("", "the next boot is the normal one again"));
        }
        Steps {
            before,
            trial: self.trial(line, words, trial_words, made),
            keep,
        }
    }

    /// A one-shot's name as a file name: GRUB leaves the ending out.
    fn file_name(&self, id: &str) -> String {
        if self.maker == Maker::Grub && !id.ends_with(".conf") {
            format!("{id}.conf")
        } else {
            id.into()
        }
    }

    fn one_shot(&self) -> Option<&'a str> {
        self.facts.boot.one_shot.value()?.as_deref()
    }

    /// kernel-install brings kernel and image to where the loader reads them, and no hook of the
    /// generator calls it (update-initramfs and dracut run those in /etc/initramfs/post-update.d).
    fn copies_images(&self) -> bool {
        let hook = self
            .facts
            .boot
            .post_update_hooks
            .iter()
            .any(|name| name.contains("systemd-boot"));
        match self.maker {
            Maker::KernelInstall | Maker::UnifiedKernelInstall => !hook,
            Maker::Kernelstub => true,
            // Of unified images, the generator's own run makes them.
            Maker::Hand | Maker::Grub | Maker::UnifiedMkinitcpio | Maker::UnifiedDracut => false,
        }
    }

    /// The loader can start an entry once, or why not.
    fn can_start_once(&self) -> Result<(), String> {
        let boot = &self.facts.boot;
        if self.maker == Maker::Grub {
            return match boot.grubenv_read_only.value() {
                Some(None) => Ok(()),
                Some(Some(why)) => Err(format!(
                    "GRUB cannot write its environment ({why}), so an entry that is started once would be started for ever"
                )),
                None => Err(format!(
                    "whether GRUB can write its environment was not measured ({})",
                    boot.grubenv_read_only.why_not().unwrap_or_default()
                )),
            };
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
    fn start_once(&self, name: &str, why: &str) -> Change {
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
            expect: Vec::new(),
            why: why.into(),
        }
    }

    /// The entry "… without passthru", and copies for it that no tool knows.
    fn way_back(&self, words: &[String]) -> Vec<Change> {
        let path = self.path(self.without_name());
        let record = self.record(words);
        if let Some(text) = self.facts.text(&path)
            && self.starts_an_installed_kernel(text)
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
        let version = self.default.version.as_deref().unwrap_or("linux");
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
    fn record(&self, words: &[String]) -> String {
        let old = kargs::words(&self.own)
            .map(|word| word.raw)
            .filter(|old| !words.iter().any(|word| word == old));
        let all: Vec<&str> = old.chain(words.iter().map(String::as_str)).collect();
        format!("{RECORD}{}\n", all.join(" "))
    }

    /// Words that this plan takes off the entries are passthru's no longer.
    fn record_change(&self, before: &[Change], words: &[String]) -> Option<Change> {
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
    fn free_directory(&self, version: &str) -> String {
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
    fn starts_an_installed_kernel(&self, text: &str) -> bool {
        bls::value(text, "version").is_none_or(|version| {
            self.facts
                .kernel
                .installed
                .iter()
                .any(|kernel| kernel.release == version)
                || self.default.version.as_deref() == Some(version)
        })
    }

    /// A path on the partition as an entry names it.
    fn in_entry(&self, path: &str) -> String {
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

    fn without_text(&self, record: &str, copied: &[(String, String)]) -> String {
        let head = format!(
            "{record}# Written by passthru: starts this host as it was, from copies. It must stay as it\n\
             # is; passthru undo takes it away.\n"
        );
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

    fn in_partition(&self, path: &str) -> String {
        path.strip_prefix(&self.place).unwrap_or(path).into()
    }

    fn title(&self) -> &str {
        self.default.title.as_deref().unwrap_or("Linux")
    }

    /// The default entry's text with another title, without a sort key, and with the files that
    /// `file` names.
    fn copied_entry(&self, title: &str, mut file: impl FnMut(&str) -> Option<String>) -> String {
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

    /// The trial entry, and the one-shot.
    fn trial(
        &self,
        line: &Line,
        words: &[String],
        trial_words: &[String],
        made: &[Change],
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
        changes.extend(edit(
            self.facts,
            &self.path(self.trial_name()),
            text,
            0o644,
            "an entry with the change, for one boot; the default entry and all others stay as they are",
        ));
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

    fn trial_removal(&self) -> Option<Change> {
        removal(
            self.facts,
            &self.path(self.trial_name()),
            "the trial is over",
        )
    }

    /// The words for entries and images that are made from now on.
    fn cmdline_change(&self, line: &Line) -> Vec<Change> {
        if self.maker == Maker::UnifiedDracut {
            return self.dracut_change(line);
        }
        let mut changes = Vec::new();
        if self.maker.reads_cmdline() {
            let (_, text) = self.cmdline();
            let after = on_file(line, &text);
            if after != text {
                changes.push(Change::Edit {
                    path: CMDLINE.into(),
                    before: Some(text),
                    after: Some(after),
                    mode: 0o644,
                    why:
                        "puts the words on the command line of every entry that is made from now on"
                            .into(),
                });
            }
        }
        if self.maker == Maker::UnifiedMkinitcpio {
            changes.extend(self.drop_in_change(line));
        }
        changes
    }

    /// mkinitcpio takes /etc/cmdline.d, if there is any file in it, and not /etc/kernel/cmdline.
    fn drop_in_change(&self, line: &Line) -> Option<Change> {
        const DROP_IN: &str = "/etc/cmdline.d/zz-passthru.conf";
        let others = self
            .facts
            .files
            .keys()
            .any(|path| path.starts_with("/etc/cmdline.d/") && path != DROP_IN);
        if !others {
            return None;
        }
        edit(
            self.facts,
            DROP_IN,
            format!("{}\n", line.add.join(" ")),
            0o644,
            "puts the words on the command line of every image that is made from now on; a drop-in, so the other files stay yours",
        )
    }

    fn dracut_change(&self, line: &Line) -> Vec<Change> {
        edit(
            self.facts,
            "/etc/dracut.conf.d/zz-passthru-cmdline.conf",
            format!(
                "# Written by passthru. Taken away by: passthru undo\nkernel_cmdline+=\" {} \"\n",
                line.add.join(" ")
            ),
            0o644,
            "puts the words on the command line of every image that is made from now on",
        )
        .into_iter()
        .collect()
    }

    /// Edits of entries that lack the words: what kernel-install would write, without its writing
    /// over kernels and images.
    fn entry_edits(&self, lacks: &[&BootEntry], line: &Line) -> Vec<Change> {
        lacks
            .iter()
            .filter_map(|entry| {
                let text = self.facts.text(&entry.path)?;
                edit(
                    self.facts,
                    &entry.path,
                    line.on_entry(text),
                    0o644,
                    "puts the words on the kernel command line of this boot entry",
                )
            })
            .collect()
    }

    /// Makes entries or images anew by the tool that makes them.
    fn rebuild(&self, words: &[String], absent: &[String], made: &[Change]) -> Vec<Change> {
        let expect = |entry: &BootEntry| Expect::EntryWords {
            path: entry.path.clone(),
            words: words.to_vec(),
            absent: absent.to_vec(),
        };
        let output = |path: &String| Output {
            path: path.clone(),
            staged: None,
        };
        let run =
            |argv: Vec<String>, outputs: Vec<Output>, expect: Vec<Expect>, why: &str| Change::Run {
                argv,
                undo: None,
                outputs,
                family: None,
                expect,
                why: why.into(),
            };
        match self.maker {
            Maker::KernelInstall | Maker::UnifiedKernelInstall => self
                .normal()
                .filter_map(|entry| {
                    let version = entry.version.as_ref()?;
                    let image = self.facts.boot.kernel_images.get(version)?;
                    let files = core::iter::once(&entry.path)
                        .chain(&entry.linux)
                        .chain(&entry.initrds);
                    let mut argv: Vec<String> = ["kernel-install", "add", version, image]
                        .map(String::from)
                        .to_vec();
                    // Named, it is taken as it is; else a plugin may make another one.
                    argv.extend(self.initramfs(version));
                    Some(run(
                        argv,
                        files.map(output).collect(),
                        core::iter::once(expect(entry)).chain(self.image_expected(entry, made)).collect(),
                        "brings the new initramfs, and the command line, to where the boot loader reads them",
                    ))
                })
                .collect(),
            Maker::UnifiedMkinitcpio => vec![run(
                ["mkinitcpio", "-P"].map(String::from).to_vec(),
                self.normal().map(|entry| output(&entry.path)).collect(),
                self.normal().map(expect).collect(),
                "makes the unified kernel images anew, with the command line in them",
            )],
            Maker::UnifiedDracut => vec![run(
                ["dracut", "--force", "--regenerate-all"].map(String::from).to_vec(),
                self.normal().map(|entry| output(&entry.path)).collect(),
                self.normal().map(expect).collect(),
                "makes the unified kernel images anew, with the command line in them",
            )],
            Maker::Kernelstub => {
                let files = self.normal().flat_map(|entry| {
                    core::iter::once(&entry.path)
                        .chain(&entry.linux)
                        .chain(&entry.initrds)
                });
                let mut argv = vec![String::from("kernelstub")];
                if !words.is_empty() {
                    argv.extend(["--add-options".to_string(), words.join(" ")]);
                }
                let mut outputs: Vec<Output> = vec![output(&KERNELSTUB.into())];
                for file in files {
                    if !outputs.iter().any(|known| known.path == *file) {
                        outputs.push(output(file));
                    }
                }
                vec![run(
                    argv,
                    outputs,
                    self.normal().map(expect).collect(),
                    "brings the new initramfs, and the command line, to where the boot loader reads them, and keeps the words for kernels to come",
                )]
            }
            Maker::Hand | Maker::Grub => Vec::new(),
        }
    }

    /// The initramfs of a kernel, where it lies beside what the loader reads.
    fn initramfs(&self, release: &str) -> Option<String> {
        let kernels = &self.facts.kernel.installed;
        let kernel = kernels.iter().find(|kernel| kernel.release == release)?;
        let path = &kernel.image.as_ref()?.path;
        let apart = !self
            .facts
            .boot
            .entries
            .iter()
            .any(|entry| entry.path == *path || entry.initrds.contains(path));
        apart.then(|| path.clone())
    }

    /// What the generator put into the kernel's image must be in what the loader reads.
    fn image_expected(&self, entry: &BootEntry, made: &[Change]) -> Option<Expect> {
        let kernel = self
            .facts
            .kernel
            .installed
            .iter()
            .find(|kernel| Some(&kernel.release) == entry.version.as_ref())?;
        let image = kernel.image.as_ref()?;
        let holder = if entry.unified {
            Some(&entry.path)
        } else {
            entry.initrds.last()
        }?;
        made.iter()
            .filter_map(|change| match change {
                Change::Run { expect, .. } => Some(expect),
                _ => None,
            })
            .flatten()
            .find_map(|expect| match expect {
                Expect::Image {
                    path,
                    entries,
                    texts,
                } if *path == image.path => Some(Expect::Image {
                    path: holder.clone(),
                    entries: entries.clone(),
                    texts: texts.clone(),
                }),
                _ => None,
            })
    }

    /// A word that has to go and stands where no edit reaches.
    fn refuse_what_stays(&self, draft: &mut Draft<'_>) {
        let normal: Vec<&str> = self.normal().map(|entry| entry.path.as_str()).collect();
        for (place, cmdline) in cmdlines(self.facts) {
            let ours = place == CMDLINE || normal.contains(&place.as_str());
            if ours && !kargs::is_closed(&cmdline) {
                draft.refuse(
                    "stack.entries",
                    format!("The kernel command line in {place} has a quote that is not closed: a word that is added to it would be part of another."),
                    format!("Close the quote in {place}, and plan again."),
                );
            }
        }
        let running = self.facts.kernel.cmdline.value().map_or("", String::as_str);
        for word in line::off_words(draft) {
            if !kargs::has_word(running, &word) {
                continue;
            }
            let places = cmdlines(self.facts);
            if places
                .iter()
                .any(|(_, cmdline)| kargs::has_word(cmdline, &word))
            {
                continue;
            }
            let recorded = self.facts.text(&self.path(self.without_name()));
            if recorded.is_some_and(|text| kargs::has_word(&bls::options(text), &word)) {
                continue;
            }
            draft.refuse(
                "iommu.off-word",
                format!("{word} turns the IOMMU off, and it is on this boot's kernel command line, but in no boot entry and not in {CMDLINE}."),
                format!("Find where {word} comes from (an addon beside the kernel image, the boot menu's editor), remove it, reboot, and plan again."),
            );
        }
    }

    /// kernelstub takes options out by making a set of them, which loses their order (`-d`), and so
    /// passthru does not ask it to.
    fn refuse_kernelstub(&self, draft: &mut Draft<'_>, line: &Line) {
        if self.maker != Maker::Kernelstub {
            return;
        }
        let options = self.default.options.value().map_or("", String::as_str);
        let gone: Vec<&str> = kargs::words(options)
            .filter(|word| line.goes(word))
            .map(|word| word.raw)
            .collect();
        if !gone.is_empty() {
            draft.refuse(
                "stack.kernelstub",
                format!("{} has to go from the kernel command line, and kernelstub cannot take options out without changing the order of the others.", gone.join(" ")),
                format!("Edit kernel_options in {KERNELSTUB}, run: sudo kernelstub, reboot, and plan again."),
            );
        }
    }

    /// Says so if the menu, and with it the way back, does not show by itself.
    fn menu_notice(&self, draft: &mut Draft<'_>) {
        if self.maker == Maker::Grub {
            return;
        }
        let conf = self
            .facts
            .text(&format!("{}/loader/loader.conf", self.place))
            .unwrap_or_default();
        let timeout = systemd_boot::setting(conf, "timeout");
        if matches!(
            timeout.as_deref(),
            None | Some("0" | "menu-hidden" | "menu-disabled")
        ) {
            draft.notice(
                "boot.hidden-menu",
                "The boot menu of this host does not show by itself. To reach the entry \"… without passthru\", hold the space bar while the host starts, or try it once now.",
            );
        }
    }
}

/// The running systemd-boot orders entries as it did before version 250.
fn is_old(facts: &Facts) -> bool {
    let info = facts.boot.loader_info.as_deref().unwrap_or_default();
    info.strip_prefix("systemd-boot ")
        .and_then(|rest| {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse::<u32>().ok()
        })
        .is_some_and(|version| version < 250)
}

/// An entry for emergencies, which stays as it is.
fn is_rescue(entry: &BootEntry) -> bool {
    let name = format!(
        "{} {}",
        entry.id,
        entry.title.as_deref().unwrap_or_default()
    )
    .to_lowercase();
    let images = entry.initrds.iter().map(|path| path.to_lowercase());
    ["rescue", "fallback", "recovery"]
        .iter()
        .any(|word| name.contains(word) || images.clone().any(|image| image.contains(word)))
}

/// A file with a command line: blanks and line ends separate words, lines that begin with `#` are
/// comments (which not every reader knows, and which then are words).
fn on_file(line: &Line, text: &str) -> String {
    let mut pieces = Vec::new();
    let mut at = 0;
    for part in text.split_inclusive('\n') {
        let body = part.trim_end_matches(['\n', '\r']);
        if !body.trim_start().starts_with('#') && !body.trim().is_empty() {
            pieces.push(at..at + body.len());
        }
        at += part.len();
    }
    if pieces.is_empty() {
        let line_end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return format!("{text}{line_end}{}\n", line.add.join(" "));
    }
    kargs::edited_pieces(text, &pieces, &line.add, |word| line.goes(word))
}

/// Who makes the entries of this host; a refusal if that is not known.
fn maker(draft: &mut Draft<'_>) -> Option<Maker> {
    let facts = draft.facts;
    match facts.boot.loader.value()? {
        BootLoader::SystemdBootKernelInstall => Some(Maker::KernelInstall),
        BootLoader::SystemdBoot => Some(Maker::Hand),
        BootLoader::GrubBls => Some(Maker::Grub),
        BootLoader::Kernelstub => Some(Maker::Kernelstub),
        BootLoader::UnifiedKernelImage => unified_maker(draft),
        _ => None,
    }
}

fn unified_maker(draft: &mut Draft<'_>) -> Option<Maker> {
    let facts = draft.facts;
    let install = facts.files.iter().filter(|(path, _)| {
        *path == "/etc/kernel/install.conf" || path.starts_with("/etc/kernel/install.conf.d/")
    });
    let layout = shell::evaluate(install.filter_map(|(path, _)| facts.text(path)))
        .remove("layout")
        .flatten();
    let presets = facts.files.iter().any(|(path, _)| {
        path.starts_with("/etc/mkinitcpio.d/")
            && facts.text(path).is_some_and(|text| {
                shell::assignments(text)
                    .iter()
                    .any(|assignment| assignment.name.ends_with("_uki"))
            })
    });
    let dracut = facts.files.iter().any(|(path, _)| {
        path.starts_with("/etc/dracut.conf")
            && facts.text(path).is_some_and(|text| {
                shell::evaluate([text]).remove("uefi").flatten().as_deref() == Some("yes")
            })
    });
    let maker = if layout.as_deref() == Some("uki") {
        Maker::UnifiedKernelInstall
    } else if presets {
        Maker::UnifiedMkinitcpio
    } else if dracut {
        Maker::UnifiedDracut
    } else {
        draft.refuse(
            "stack.unified-image",
            "This host starts a unified kernel image, and what makes it is not known: neither kernel-install (layout=uki), nor a preset of mkinitcpio, nor dracut (uefi=yes).",
            "If a tool of your own makes the image, add the words that passthru plan shows there and make it anew.",
        );
        return None;
    };
    if !facts.boot.secure_boot.is(&false) && facts.boot.signer.is_none() {
        let state = if facts.boot.secure_boot.is(&true) {
            "Secure Boot is on"
        } else {
            "Whether Secure Boot is on was not measured"
        };
        draft.refuse(
            "stack.signed-images",
            format!("{state}, and nothing on this host signs the kernel images that it makes: one with other words would not start."),
            "Set up keys of your own (sbctl, or SecureBootPrivateKey= in /etc/kernel/uki.conf) so that kernel-install or mkinitcpio signs what it makes, or turn Secure Boot off in the firmware.",
        );
        return None;
    }
    Some(maker)
}
