//! Ids lists that others configured: where they stand, whether they act, and how they are taken over.
//!
//! The ids parameter does not accumulate: modprobe passes every source to the kernel, which keeps the
//! last one. So passthru's word, which comes last, holds the entries of lists that act today (their
//! functions are on vfio-pci) or name nothing here; these stay where they are. A dormant list (an
//! attempt that lost the race against another driver) would wake up in every boot entry once vfio-pci
//! is loaded early, and take whatever it names, the host's own devices included. It is taken out, its
//! entries go nowhere, and undo puts it back.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use super::{
    edit,
    fate::Fate,
    generator::rules,
    loader::{self, grub},
    trial,
};
use crate::{
    change::Change,
    facts::{Facts, Function},
    rules::{Draft, groups::is_exempt_driver},
    text::{ids, kargs, modprobe},
};

/// An ids list of somebody else.
pub(crate) struct IdsSource {
    /// Where it stands: `/etc/modprobe.d/vfio.conf line 1`.
    pub(crate) place: String,
    /// As it is written.
    pub(crate) value: String,
    /// As the kernel reads it.
    pub(crate) list: ids::List,
    /// What kind of place that is.
    pub(crate) kind: Kind,
}

/// Where an ids list stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word in a variable of the boot loader's defaults.
    Grub {
        /// The variable.
        variable: &'static str,
        /// The word as the kernel gets it.
        word: String,
    },
    /// A word of a kernel command line that is configured elsewhere.
    Line {
        /// The word as the kernel gets it.
        word: String,
    },
    /// An `options` line of modprobe.d.
    Modprobe {
        /// The file.
        path: String,
    },
    /// A line of initramfs-tools' modules.
    InitramfsModules,
    /// Somewhere else.
    Other,
}

const MODULES: &str = "/etc/initramfs-tools/modules";

/// Every configured ids list that is not passthru's: boot loader, modprobe.d, initramfs modules.
pub(crate) fn foreign_ids(facts: &Facts) -> Vec<IdsSource> {
    let mut found = Vec::new();
    let mut add = |place: String, value: &str, kind: Kind| {
        found.push(IdsSource {
            place,
            value: value.into(),
            list: ids::List::parse(value),
            kind,
        });
    };
    for (variable, path, cmdline) in grub::foreign_cmdlines(facts) {
        for word in kargs::words(&cmdline).filter(|word| word.is("vfio-pci.ids")) {
            let value = word.value().unwrap_or_default();
            let kind = Kind::Grub {
                variable,
                word: word.raw.into(),
            };
            add(format!("{path} ({variable})"), &value, kind);
        }
    }
    let own = loader::own_words(facts);
    let mut seen: Vec<String> = Vec::new();
    for (place, cmdline) in loader::cmdlines(facts) {
        for word in kargs::words(&cmdline).filter(|word| word.is("vfio-pci.ids")) {
            // The same word stands on the line of every entry.
            let known = seen.iter().any(|seen| seen == word.raw);
            if known || kargs::words(&own).any(|own| own.raw == word.raw) {
                continue;
            }
            seen.push(word.raw.into());
            let kind = Kind::Line {
                word: word.raw.into(),
            };
            add(place.clone(), &word.value().unwrap_or_default(), kind);
        }
    }
    for (path, file) in &facts.files {
        let Some(text) = file.text.value() else {
            continue;
        };
        if path.contains("/modprobe.d/")
            && path.ends_with(".conf")
            && path != rules::PATH
            && !is_shadowed(facts, path)
        {
            for (line, value) in modprobe::option_values(text, "vfio-pci", "ids") {
                let kind = Kind::Modprobe { path: path.clone() };
                add(format!("{path} line {line}"), &value, kind);
            }
        }
        if path == MODULES {
            for (number, line) in text.lines().enumerate() {
                let mut words = kargs::all_words(line);
                if words.next().is_some_and(|module| module.is("vfio-pci")) {
                    for word in words.filter(|word| word.is("ids")) {
                        let place = format!("{path} line {}", number + 1);
                        add(
                            place,
                            &word.value().unwrap_or_default(),
                            Kind::InitramfsModules,
                        );
                    }
                }
            }
        }
    }
    found
}

/// A file of the same name in a directory of higher precedence replaces it (modprobe.d(5)).
pub(in crate::rules) fn is_shadowed(facts: &Facts, path: &str) -> bool {
    let Some((_, name)) = path.rsplit_once('/') else {
        return false;
    };
    ["/etc/modprobe.d/", "/run/modprobe.d/"]
        .iter()
        .take_while(|directory| !path.starts_with(**directory))
        .any(|directory| facts.files.contains_key(&format!("{directory}{name}")))
}

impl IdsSource {
    /// The word of a kernel command line that it is.
    fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Grub { word, .. } | Kind::Line { word } => Some(word),
            Kind::Modprobe { .. } | Kind::InitramfsModules | Kind::Other => None,
        }
    }

    /// A trial in progress found it dormant before; `None` where none tells.
    fn was_dormant(&self, facts: &Facts) -> Option<bool> {
        let (off, word) = trial::off_of(facts).zip(self.word())?;
        Some(off.iter().any(|off| off == word))
    }

    /// It names a function that another driver has: at least in part it does not act today.
    pub(crate) fn is_dormant(&self, facts: &Facts) -> bool {
        if let Some(was) = self.was_dormant(facts) {
            return was;
        }
        self.names(facts, |f| {
            f.driver
                .as_deref()
                .is_some_and(|driver| !is_exempt_driver(driver))
        })
    }

    /// It names a function that is on vfio-pci.
    pub(super) fn acts(&self, facts: &Facts) -> bool {
        self.was_dormant(facts) != Some(true) && self.names(facts, Function::is_on_vfio)
    }

    fn names(&self, facts: &Facts, is: impl Fn(&Function) -> bool) -> bool {
        self.list.entries.iter().any(|entry| {
            facts
                .functions
                .iter()
                .any(|f| entry.matches(f.ids, f.subsystem, f.class) && is(f))
        })
    }
}

/// Refuses lists that act for some functions and are dormant for others: neither leaving them nor
/// taking them out keeps the other boot entries as they are.
pub(super) fn refuse_mixed(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    for source in foreign_ids(facts) {
        let replaced = source.fate(draft) == Fate::Replaced;
        if !replaced && source.is_dormant(facts) && source.acts(facts) {
            draft.refuse(
                "binding.other-ids",
                format!(
                    "The ids list in {} ({}) acts for some of its functions and not for others, which vfio-pci would take once it is loaded early.",
                    source.place, source.value
                ),
                "Take the list out yourself, make the initramfs and the boot menu anew, reboot, and plan again: passthru then binds the whole card.",
            );
        }
    }
}

/// Why a dormant list is taken out of its place.
pub(super) const WHY: &str = "its vfio-pci ids did not act until now; with vfio-pci loaded early they would, in every boot entry. What the plan binds is in passthru's own words";

/// Edits that take dormant lists out of modprobe.d and initramfs-tools' modules. Those in the boot
/// loader's defaults are [`grub_words`].
pub(super) fn take_over(draft: &mut Draft<'_>) -> Vec<Change> {
    let facts = draft.facts;
    let mut texts: BTreeMap<String, (String, &str)> = BTreeMap::new();
    for source in foreign_ids(facts) {
        let fate = source.fate(draft);
        if fate == Fate::Stays {
            continue;
        }
        let path = match &source.kind {
            Kind::Modprobe { path } => path.clone(),
            Kind::InitramfsModules => MODULES.into(),
            Kind::Grub { .. } | Kind::Line { .. } | Kind::Other => continue,
        };
        if !path.starts_with("/etc/") {
            draft.refuse(
                "binding.other-ids",
                format!("{} sets vfio-pci ids that do not act today and would once vfio-pci is loaded early; the file is not the administrator's to edit.", source.place),
                "Remove the package that brought it, or put a file of the same name into /etc/modprobe.d without that line.",
            );
            continue;
        }
        let text = texts
            .get(&path)
            .map_or_else(|| facts.text(&path), |(text, _)| Some(text.as_str()));
        let Some(text) = text else { continue };
        let after = match source.kind {
            Kind::Modprobe { .. } => modprobe::without_option(text, "vfio-pci", "ids"),
            _ => Some(without_module_ids(text)),
        };
        if let Some(after) = after {
            texts.insert(path, (after, fate.why()));
        }
    }
    texts
        .into_iter()
        .filter_map(|(path, (after, why))| edit(facts, &path, after, 0o644, why))
        .collect()
}

/// A list in the boot loader's defaults that goes.
pub(crate) struct GrubWord {
    /// The variable it stands in.
    pub(crate) variable: &'static str,
    /// The word as the kernel gets it.
    pub(crate) word: String,
    /// It acts today.
    pub(crate) acts: bool,
    /// Why it goes.
    pub(crate) why: &'static str,
}

/// Lists in the boot loader's defaults that go.
pub(super) fn grub_words(draft: &Draft<'_>) -> Vec<GrubWord> {
    foreign_ids(draft.facts)
        .into_iter()
        .filter_map(|source| {
            let fate = source.fate(draft);
            let acts = source.acts(draft.facts);
            match source.kind {
                Kind::Grub { variable, word } if fate != Fate::Stays => Some(GrubWord {
                    variable,
                    word,
                    acts,
                    why: fate.why(),
                }),
                _ => None,
            }
        })
        .collect()
}

/// Words that are lists which do not act today, and go.
pub(super) fn dormant_words(draft: &Draft<'_>) -> Vec<String> {
    foreign_ids(draft.facts)
        .into_iter()
        .filter(|source| source.fate(draft) != Fate::Stays && source.is_dormant(draft.facts))
        .filter_map(|source| source.word().map(String::from))
        .collect()
}

/// Lists on kernel command lines that are configured elsewhere and that go.
pub(super) fn line_words(draft: &Draft<'_>) -> Vec<String> {
    foreign_ids(draft.facts)
        .into_iter()
        .filter_map(|source| {
            let goes = source.fate(draft) != Fate::Stays;
            match source.kind {
                Kind::Line { word } if goes => Some(word),
                _ => None,
            }
        })
        .collect()
}

fn without_module_ids(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let module = kargs::all_words(line).next();
            if module.is_some_and(|module| module.is("vfio-pci")) {
                modprobe::without_words(line, "ids")
            } else {
                line.into()
            }
        })
        .collect()
}
