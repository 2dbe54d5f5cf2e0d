//! What guides and other tools left behind, put right when asked (`--repair`). What is a mistake is
//! decided here, for doctor and for the plan; doctor says why it matters.
//!
//! Texts of files are changed before anything else is planned, and the rest of the plan is made for
//! the host with these texts. Words of the kernel command line are the boot loader's rules to change,
//! for they go onto a trial entry first. Lists of ids are those of [`super::stack::foreign`].

pub(crate) mod blacklists;
pub(crate) mod initramfs;
pub(crate) mod modprobe;
pub(crate) mod words;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::Draft;
use crate::{
    change::Change,
    facts::{ConfigFile, Facts},
    intent::Intent,
    measured::Measured,
    pci::Address,
    plan::Plan,
    rules::stack::loader,
    text::kargs,
};
use blacklists::Needs;
pub(crate) use words::Fix;

/// Texts as they will be.
struct Texts<'a> {
    facts: &'a Facts,
    edits: BTreeMap<String, Edit>,
    /// Files outside /etc with a mistake in them.
    foreign: BTreeSet<String>,
    /// Blacklists that strand only cards of guests: file and module.
    spare: BTreeSet<(String, String)>,
}

struct Edit {
    after: Option<String>,
    why: String,
    in_image: bool,
}

impl Texts<'_> {
    fn set(&mut self, path: &str, after: String, why: &[String], in_image: bool) {
        if self.facts.text(path) != Some(after.as_str()) {
            let edit = Edit {
                after: Some(after),
                why: why.join("; "),
                in_image,
            };
            self.edits.insert(path.into(), edit);
        }
    }

    fn remove(&mut self, path: &str, why: &str) {
        let edit = Edit {
            after: None,
            why: why.into(),
            in_image: false,
        };
        self.edits.insert(path.into(), edit);
    }

    fn foreign(&mut self, path: &str) {
        self.foreign.insert(path.into());
    }

    fn spare(&mut self, path: &str, module: &str) {
        self.spare.insert((path.into(), module.into()));
    }
}

/// Repairs of files: what is edited, and whether the initramfs has to be made anew for it.
#[derive(Default)]
pub(super) struct Repairs {
    /// Edits, by path.
    pub(super) changes: Vec<Change>,
    /// One of these files is part of the initramfs.
    pub(super) in_image: bool,
}

/// Functions that the plan gives to vfio-pci.
fn bound<'a>(draft: &'a Draft<'_>) -> &'a [Address] {
    if draft.intent.iommu_only {
        &[]
    } else {
        &draft.chosen
    }
}

fn needs(draft: &Draft<'_>) -> Needs {
    let kept = words::kept_modules(draft.facts);
    Needs::of(draft.facts, &kept, bound(draft))
}

/// Repairs of files, if they are asked for. The user is told of what is left alone.
pub(super) fn files(draft: &mut Draft<'_>) -> Repairs {
    if !draft.intent.repair {
        return Repairs::default();
    }
    let facts = draft.facts;
    let needs = needs(draft);
    let binds = !bound(draft).is_empty();
    let mut texts = Texts {
        facts,
        edits: BTreeMap::new(),
        foreign: BTreeSet::new(),
        spare: BTreeSet::new(),
    };
    modprobe::repair(facts, &needs, &mut texts);
    initramfs::repair(facts, &mut texts);
    if !loader::is_by_grub_defaults(facts) {
        for path in loader::grub::sources(facts) {
            if let Some(text) = facts.text(&path) {
                let (after, why) = words::in_defaults(facts, &needs, text);
                texts.set(&path, after, &why, false);
            }
        }
    }
    if binds {
        modprobe::without_unread(facts, &mut texts);
        initramfs::without_unread(facts, &mut texts);
    }
    let Texts {
        edits,
        foreign,
        spare,
        ..
    } = texts;
    notices(draft, &foreign, &spare, binds);
    Repairs {
        in_image: edits.values().any(|edit| edit.in_image),
        changes: edits
            .into_iter()
            .map(|(path, edit)| Change::Edit {
                before: facts.text(&path).map(String::from),
                mode: facts.files.get(&path).map_or(0o644, |file| file.mode),
                path,
                after: edit.after,
                why: edit.why,
            })
            .collect(),
    }
}

fn notices(
    draft: &mut Draft<'_>,
    foreign: &BTreeSet<String>,
    spare: &BTreeSet<(String, String)>,
    binds: bool,
) {
    let facts = draft.facts;
    for path in foreign {
        let owner = package_query(facts, path);
        let name = path.rsplit('/').next().unwrap_or_default();
        draft.notice(
            "repair.not-ours",
            format!("{path} holds a mistake that passthru doctor names, and it is not the administrator's file: {owner} says whose it is. A file /etc/modprobe.d/{name} takes its place, if the package cannot be removed."),
        );
    }
    for (path, module) in spare {
        draft.notice(
            "repair.blacklist-left",
            format!("{path} keeps {module} from loading. Only cards that belong to vfio-pci would need it, so it is left alone; delete it if the host is to use such a card again."),
        );
    }
    if !binds {
        let unread: Vec<&str> = modprobe::unread(facts)
            .chain(initramfs::unread(facts))
            .collect();
        if !unread.is_empty() {
            draft.notice(
                "repair.unread-left",
                format!("Nothing reads {}, for the name does not end in .conf. With --gpu, the plan does what such a file is for, and takes it away; by itself it is left alone.", unread.join(" and ")),
            );
        }
    }
    let configured = fixes(draft);
    let waits = taken_out(draft);
    let left: Vec<String> = words::running(facts, &needs(draft))
        .into_iter()
        .map(|fix| fix.word)
        .filter(|word| !configured.iter().any(|fix| fix.word == *word) && !waits.contains(word))
        .collect();
    if !left.is_empty() {
        draft.notice(
            "repair.word-elsewhere",
            format!("{} is on this boot's kernel command line and in no configuration that passthru edits; passthru doctor says where it stands, or that it was not found.", left.join(" ")),
        );
    }
}

/// How the host's package manager says whose a file is.
fn package_query(facts: &Facts, path: &str) -> String {
    let of = |tool: &str| format!("\"{tool} {path}\"");
    let Some(distribution) = &facts.machine.distribution else {
        return "the package manager".into();
    };
    if distribution.is_like("debian") {
        of("dpkg -S")
    } else if distribution.is_like("arch") {
        of("pacman -Qo")
    } else {
        of("rpm -qf")
    }
}

/// The host with these texts. Images that were made from others are out of date.
pub(super) fn repaired(facts: &Facts, repairs: &Repairs) -> Facts {
    let mut facts = facts.clone();
    for change in &repairs.changes {
        if let Change::Edit {
            path, after, mode, ..
        } = change
        {
            match after {
                Some(text) => {
                    let file = ConfigFile {
                        text: Measured::Value(text.clone()),
                        mode: *mode,
                    };
                    facts.files.insert(path.clone(), file);
                }
                None => {
                    facts.files.remove(path);
                }
            }
        }
    }
    if repairs.in_image {
        let images = facts.kernel.installed.iter_mut();
        for image in images.filter_map(|kernel| kernel.image.as_mut()) {
            image.damage = Some("it was made before its configuration was repaired".into());
        }
    }
    facts
}

/// Words of the kernel command line that are put right, if that is asked for.
pub(super) fn fixes(draft: &Draft<'_>) -> Vec<Fix> {
    if draft.intent.repair {
        words::fixes(draft.facts, &needs(draft))
    } else {
        Vec::new()
    }
}

/// Words that earlier repairs took out, as the entries "… without passthru" keep them.
fn taken_out(draft: &Draft<'_>) -> Vec<String> {
    let kept = loader::kept_words(draft.facts);
    kargs::words(&kept).map(|word| word.raw.into()).collect()
}

/// Words of the running command line that the next boot will not have any more.
pub(super) fn waits_for_reboot(facts: &Facts, intent: &Intent) -> bool {
    if !intent.repair {
        return false;
    }
    let bound: Vec<Address> = intent
        .gpu
        .iter()
        .chain(&intent.with)
        .map(|s| s.address)
        .collect();
    let kept = words::kept_modules(facts);
    let needs = Needs::of(facts, &kept, if intent.iommu_only { &[] } else { &bound });
    let configured = words::fixes(facts, &needs);
    let taken = loader::kept_words(facts);
    words::running(facts, &needs).iter().any(|fix| {
        kargs::has_word(&taken, &fix.word) || configured.iter().any(|other| other.word == fix.word)
    })
}

/// The host after the edits of `plan` and a reboot, as far as files and its command line tell; nothing
/// if the plan does nothing.
pub(crate) fn imagined(facts: &Facts, plan: &Plan) -> Option<Facts> {
    if plan.changes.is_empty() {
        return None;
    }
    let needs = Needs::of(facts, &words::kept_modules(facts), &[]);
    let fixes = words::fixes(facts, &needs);
    let repairs = Repairs {
        changes: plan.changes.clone(),
        in_image: false,
    };
    let mut after = repaired(facts, &repairs);
    let on = |cmdline: &mut Measured<String>| {
        if let Measured::Value(text) = cmdline {
            let fixed: Vec<String> = kargs::all_words(text)
                .filter_map(|word| match fixes.iter().find(|fix| fix.word == word.raw) {
                    Some(fix) => fix.becomes.clone(),
                    None => Some(word.raw.into()),
                })
                .collect();
            *text = fixed.join(" ");
        }
    };
    on(&mut after.kernel.cmdline);
    after
        .boot
        .entries
        .iter_mut()
        .for_each(|entry| on(&mut entry.options));
    Some(after)
}
