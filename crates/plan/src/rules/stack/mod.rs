//! The files and commands of the host's boot stack.
//!
//! Supported now: GRUB as Debian and Ubuntu set it up (drop-ins in /etc/default/grub.d) with
//! initramfs-tools. Everything else is recognised and refused by name.

pub(crate) mod grub;
pub(crate) mod initramfs_tools;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

pub use grub::mistakes as grub_mistakes;

use super::{Draft, binding, iommu};
use crate::{
    change::Change,
    facts::{BootLoader, Facts, Generator, InstalledKernel},
    plan::{BoundFunction, Method},
    text::{ids, kargs, modprobe},
};

/// The word that names functions by address for the script in the initramfs.
pub(crate) const BIND: &str = "passthru.bind";

/// What the stack's rules decided.
pub(super) struct Outcome {
    pub(super) words: Vec<String>,
    pub(super) changes: Vec<Change>,
}

/// Words that passthru has configured on this host, as one command line.
pub(crate) fn own_words(facts: &Facts) -> String {
    facts
        .text(grub::DROP_IN)
        .and_then(grub::words_of)
        .unwrap_or_default()
}

/// Plans the words, files and commands.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    iommu_words: &[String],
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Outcome {
    let mut words = iommu_words.to_vec();
    words.extend(binding_words(draft, bindings));
    let mut changes = Vec::new();
    if !is_supported(draft) || (draft.chosen.is_empty() && !draft.intent.iommu_only) {
        return Outcome { words, changes };
    }
    if !bindings.is_empty() {
        changes.extend(initramfs_tools::changes(draft, bindings, kernels));
    }
    changes.extend(grub::changes(draft, &words));
    Outcome { words, changes }
}

fn is_supported(draft: &mut Draft<'_>) -> bool {
    let boot = &draft.facts.boot;
    let mut ok = true;
    let later =
        "passthru devices, doctor and capture work on this host; binding at boot does not yet.";
    match boot.loader.value() {
        Some(BootLoader::Grub) if boot.grub_dropins => {}
        Some(BootLoader::Grub) => {
            ok = false;
            draft.refuse(
                "stack.loader",
                "This host's grub-mkconfig does not read /etc/default/grub.d, so there is no drop-in to put words in.",
                later,
            );
        }
        Some(loader) => {
            ok = false;
            draft.refuse(
                "stack.loader",
                format!(
                    "The boot loader is {}, which is not supported yet.",
                    loader.name()
                ),
                later,
            );
        }
        None => {
            ok = false;
            let why = boot
                .loader
                .why_not()
                .unwrap_or("no known boot loader was found")
                .to_string();
            draft.refuse(
                "stack.loader",
                format!("Which boot loader starts this host is not clear: {why}."),
                later,
            );
        }
    }
    match boot.generator.value() {
        Some(Generator::InitramfsTools) => {}
        Some(generator) => {
            ok = false;
            draft.refuse(
                "stack.initramfs",
                format!(
                    "The initramfs is made by {}, which is not supported yet.",
                    generator.name()
                ),
                later,
            );
        }
        None => {
            ok = false;
            let why = boot
                .generator
                .why_not()
                .unwrap_or("no known generator was found")
                .to_string();
            draft.refuse(
                "stack.initramfs",
                format!("What makes the initramfs is not clear: {why}."),
                later,
            );
        }
    }
    ok
}

/// `vfio-pci.ids=` and `passthru.bind=` for the bindings.
///
/// The ids parameter does not accumulate: modprobe passes every source to the kernel, which keeps
/// the last one. So the word, which comes last, holds the entries of all other sources too.
fn binding_words(draft: &mut Draft<'_>, bindings: &[BoundFunction]) -> Vec<String> {
    let facts = draft.facts;
    if bindings.is_empty() {
        return Vec::new();
    }
    let ours = own_words(facts);
    let is_planned = |entry: &ids::Entry| {
        draft
            .chosen_functions()
            .any(|f| entry.matches(f.ids, f.subsystem, f.class))
    };

    let mut entries: Vec<ids::Entry> = Vec::new();
    let mut add = |entry| {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    };
    let foreign = foreign_ids(facts);
    for list in foreign.iter().map(|source| &source.list) {
        list.entries.iter().copied().for_each(&mut add);
    }
    // Our own earlier entries for other cards stay; for planned functions they are decided anew.
    for value in kargs::values(&ours, "vfio-pci.ids") {
        ids::List::parse(&value)
            .entries
            .into_iter()
            .filter(|entry| !is_planned(entry))
            .for_each(&mut add);
    }
    let by = |method| bindings.iter().filter(move |bound| bound.method == method);
    for bound in by(Method::Ids) {
        if let Some(function) = facts.function(bound.function.address) {
            add(binding::entry_for(draft, function));
        }
    }
    let mut words = Vec::new();
    let needs_word =
        by(Method::Ids).next().is_some() || !kargs::values(&ours, "vfio-pci.ids").is_empty();
    if needs_word && !entries.is_empty() {
        let list = ids::List::render(&entries);
        if list.len() > ids::LIMIT {
            draft.refuse(
                "binding.too-many-ids",
                format!("The ids list would be {} characters long; the kernel keeps {}.", list.len(), ids::LIMIT),
                "Remove entries you no longer need from the other sources that passthru doctor names.",
            );
        }
        words.push(format!("vfio-pci.ids={list}"));
    }
    if !foreign.is_empty() && needs_word {
        let places: Vec<_> = foreign.iter().map(|source| source.place.as_str()).collect();
        draft.notice(
            "binding.other-ids",
            format!(
                "vfio-pci.ids is already set in {}. Only the last list counts for the kernel, so the new word holds those entries too; they stay where they are.",
                places.join(" and ")
            ),
        );
    }

    let mut bind: Vec<String> = kargs::values(&ours, BIND)
        .iter()
        .flat_map(|value| value.split(',').map(String::from).collect::<Vec<_>>())
        .filter(|entry| {
            let selector = entry.parse::<crate::intent::Selector>();
            selector.is_ok_and(|selector| !draft.is_chosen(selector.address))
        })
        .collect();
    bind.extend(by(Method::ByAddress).map(|bound| bound.function.to_string()));
    if !bind.is_empty() {
        words.push(format!("{BIND}={}", bind.join(",")));
    }
    words
}

/// An ids list of somebody else.
pub(crate) struct IdsSource {
    /// Where it stands: `/etc/modprobe.d/vfio.conf line 1`.
    pub(crate) place: String,
    /// As it is written.
    pub(crate) value: String,
    /// As the kernel reads it.
    pub(crate) list: ids::List,
}

/// Every configured ids list that is not passthru's: boot loader, modprobe.d, initramfs modules.
pub(crate) fn foreign_ids(facts: &Facts) -> Vec<IdsSource> {
    let mut found = Vec::new();
    let mut add = |place: String, value: &str| {
        found.push(IdsSource {
            place,
            value: value.into(),
            list: ids::List::parse(value),
        });
    };
    for (path, cmdline) in grub::foreign_cmdlines(facts) {
        for value in kargs::values(&cmdline, "vfio-pci.ids") {
            add(path.clone(), &value);
        }
    }
    for (path, file) in &facts.files {
        let Some(text) = file.text.value() else {
            continue;
        };
        if path.contains("/modprobe.d/") && path != initramfs_tools::MODPROBE {
            for (line, value) in modprobe::option_values(text, "vfio-pci", "ids") {
                add(format!("{path} line {line}"), &value);
            }
        }
        if path == "/etc/initramfs-tools/modules" {
            for (number, line) in text.lines().enumerate() {
                let mut words = kargs::all_words(line);
                if words.next().is_some_and(|module| module.is("vfio-pci")) {
                    for word in words.filter(|word| word.is("ids")) {
                        add(
                            format!("{path} line {}", number + 1),
                            &word.value().unwrap_or_default(),
                        );
                    }
                }
            }
        }
    }
    found
}

/// Words that turn the IOMMU off for good and where they stand, for removal.
pub(super) fn words_to_remove(draft: &Draft<'_>) -> impl Iterator<Item = &'static str> {
    let active = iommu::is_active(draft.facts);
    iommu::OFF_FOR_GOOD.into_iter().filter(move |_| !active)
}

/// An edit of `path` to `after`, unless it has that text already.
fn edit(facts: &Facts, path: &str, after: String, mode: u32, why: &str) -> Option<Change> {
    let before = facts.text(path);
    (before != Some(after.as_str())).then(|| Change::Edit {
        path: path.into(),
        before: before.map(String::from),
        after: Some(after),
        mode,
        why: why.into(),
    })
}
