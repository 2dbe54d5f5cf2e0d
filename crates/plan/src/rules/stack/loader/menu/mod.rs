//! Loaders whose entries are files of their own: systemd-boot (entries by kernel-install or by hand),
//! unified kernel images, and GRUB with entries of the Boot Loader Specification.
//!
//! The partition is FAT as a rule: no rename is atomic there, and kernel-install and the generators
//! write over kernels and images in place. So the way back comes first: copies of what starts today,
//! under names of our own, and an entry for them that is started once should the power fail while
//! the others are made anew.

mod make;
mod maker;
mod refuse;
mod trial;
mod way_back;

pub(in crate::rules::stack) use maker::is_layout_uki;
pub(crate) use maker::{BY_DRACUT, BY_KERNEL_INSTALL, unified_command};
use maker::{Maker, maker};
pub(crate) use way_back::way_back_entry;

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
        stack::{edit, generator::Images, removal, trial as service},
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

/// The words of the entry "… without passthru".
pub(super) fn kept_words(facts: &Facts) -> String {
    let [without, _] = names(facts.boot.loader.value());
    let mut texts = facts.files.keys().filter(|path| path.ends_with(without));
    texts
        .find_map(|path| facts.text(path))
        .map(bls::options)
        .unwrap_or_default()
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
    images: &Images,
) -> Steps {
    let nothing = Steps {
        before: Vec::new(),
        trial: Err("the plan is refused".into()),
        keep: Vec::new(),
    };
    let Some(menu) = Menu::of(draft) else {
        return nothing;
    };
    let line = Line::of(draft, &menu.own, words);
    let over = menu.trial_removal().is_none();
    if words.is_empty() && line.is_nothing() && images.is_empty() && over {
        return nothing;
    }
    menu.refuse_what_stays(draft);
    menu.refuse_kernelstub(draft, &line);
    let visible = draft.intent.trial == TrialBoot::Never;
    let steps = menu.steps(&line, words, trial_words, images);
    menu.fallback_notice(draft, words);
    if visible || steps.trial.is_err() {
        menu.menu_notice(draft);
    }
    steps
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
                && !entry.is_for_emergencies()
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

    fn steps(&self, line: &Line, words: &[String], trial_words: &[String], made: &Images) -> Steps {
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
            keep.extend(self.rebuild(words, &line.absent(), made));
        } else {
            keep.extend(self.entry_edits(&lacks, line));
        }
        keep.extend(self.rescue_edits(&line.repairs()));
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

    fn title(&self) -> &str {
        self.default.title.as_deref().unwrap_or("Linux")
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
