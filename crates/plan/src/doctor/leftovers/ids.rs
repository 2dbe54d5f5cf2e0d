//! The `ids` lists of vfio-pci: what is misspelt, and which ones compete.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{
    super::{View, check::check, how},
    quote,
};
use crate::{
    facts::{Facts, Generator},
    finding::{Finding, Severity},
    rules::{
        repair::{initramfs::MODULES, modprobe::is_read},
        stack::{
            self,
            foreign::{IdsSource, Kind, foreign_ids},
        },
    },
    text::{
        ids::{Entry, List, is_pair},
        kargs::{self, Word, same_name},
        modprobe,
    },
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let sources = sources(view);
    found.extend(malformed(view, &sources));
    found.extend(competing(view, &sources));
    found.extend(race(view, &sources));
}

/// The planner's list of sources, and those of boot loaders that it does not write yet.
fn sources(view: &View<'_>) -> Vec<IdsSource> {
    let mut sources = foreign_ids(view.facts);
    let mut add = |place: String, value: String| {
        sources.push(IdsSource {
            list: List::parse(&value),
            place,
            value,
            kind: Kind::Other,
        });
    };
    let hits = view.cmdlines.hits(|w| w.is("vfio-pci.ids"));
    for hit in &hits {
        let value = Word { raw: &hit.word }.value().unwrap_or_default();
        match &hit.place {
            Some(place) if !place.starts_with("/etc/default/grub") => add(place.clone(), value),
            _ => {}
        }
    }
    // Typed in the boot menu, or put there by a boot loader that was not read.
    if hits.iter().all(|hit| hit.place.is_none()) {
        for hit in &hits {
            let value = Word { raw: &hit.word }.value().unwrap_or_default();
            add(String::from("/proc/cmdline (running now)"), value);
        }
    }
    sources
}

/// Texts between commas that the kernel does not take, and ids cut off by a blank.
fn malformed(view: &View<'_>, sources: &[IdsSource]) -> Option<Finding> {
    let mut evidence = Vec::new();
    for source in sources {
        for bad in &source.list.bad {
            evidence.push(format!(
                "{}: \"{bad}\" in ids={}",
                source.place, source.value
            ));
        }
        if source.list.entries.is_empty() && source.list.bad.is_empty() {
            evidence.push(format!("{}: the list is empty", source.place));
        }
    }
    for (place, words) in view.cmdlines.each() {
        let place = place.unwrap_or("running now (/proc/cmdline)");
        for word in words.iter().filter(|word| is_pair(word)) {
            evidence.push(format!("{place}: \"{word}\" stands alone after a blank"));
        }
    }
    for (path, text) in super::texts(view.facts, is_read) {
        for directive in modprobe::directives(text)
            .iter()
            .filter(|d| d.is("options", "vfio-pci"))
        {
            for word in directive.arguments.iter().skip(1).filter(|w| is_pair(w)) {
                evidence.push(format!(
                    "{path} line {}: \"{word}\" stands alone after a blank",
                    directive.line
                ));
            }
        }
    }
    for (path, text) in super::texts(view.facts, |path| path == MODULES) {
        for (number, line) in super::code_lines(text) {
            let mut words = line.split_whitespace();
            if words
                .next()
                .is_some_and(|module| same_name(module, "vfio-pci"))
                && words.any(is_pair)
            {
                evidence.push(quote(path, number, line));
            }
        }
    }
    (!evidence.is_empty()).then(|| {
        check(
            "ids.malformed",
            "The lists of ids for vfio-pci are well formed",
            Severity::Warning,
            "A blank ends the list: what comes after it is not bound, often the card's audio function. Parts that are no ids are dropped.",
        )
        .no(
            evidence,
            format!(
                "Write the ids with commas and without blanks, like ids=10de:1f08,10de:10f9. After a change under /etc/modprobe.d or /etc/initramfs-tools run: {}. Or delete the list: passthru plan --gpu … writes its own.",
                how::rebuild_images(view.facts)
            ),
        )
    })
}

/// `ids` does not accumulate: modprobe hands over every source, and the kernel keeps the last
/// (kernel/params.c, a plain string parameter).
fn competing(view: &View<'_>, sources: &[IdsSource]) -> Option<Finding> {
    let set =
        |source: &IdsSource| -> BTreeSet<Entry> { source.list.entries.iter().copied().collect() };
    if sources.len() < 2 {
        return None;
    }
    let differ = sources
        .windows(2)
        .any(|pair| set(&pair[0]) != set(&pair[1]));
    let merged = !kargs::values(&stack::own_words(view.facts), "vfio-pci.ids").is_empty();
    let (severity, remedy) = match (differ, merged) {
        (true, false) => (
            Severity::Warning,
            "Keep one list with all the ids and delete the others. sudo passthru apply --repair --gpu … writes one that holds the ids of all of them, and takes the others away.",
        ),
        (true, true) => (
            Severity::Info,
            "passthru's own list comes last and holds the ids of all of them. The others can be deleted.",
        ),
        (false, _) => (
            Severity::Info,
            "They say the same, so nothing is lost. Delete all but one, so that a later change is made in one place.",
        ),
    };
    Some(
        check(
            "ids.competing",
            "There is one list of ids for vfio-pci",
            severity,
            "Lists do not add up: the kernel keeps only the last one it is given. Cards that stand only in the others stay with their host drivers.",
        )
        .no(
            sources
                .iter()
                .map(|source| format!("{}: ids={}", source.place, source.value)),
            remedy,
        ),
    )
}

/// Ids are configured, but a host driver may be there first: in initramfs-tools udev loads drivers
/// before the listed modules are loaded (initramfs-tools(7)).
fn race(view: &View<'_>, sources: &[IdsSource]) -> Option<Finding> {
    let facts = view.facts;
    if sources.is_empty() || !facts.boot.generator.is(&Generator::InitramfsTools) {
        return None;
    }
    let safe = held_back(facts);
    let mut evidence = Vec::new();
    let mut drivers = BTreeSet::new();
    let mut all_bound = true;
    for function in &facts.functions {
        let Some(source) = sources.iter().find(|source| {
            let list = &source.list.entries;
            list.iter()
                .any(|e| e.matches(function.ids, function.subsystem, function.class))
        }) else {
            continue;
        };
        for candidate in function
            .candidates
            .iter()
            .filter(|c| !c.builtin && !c.module.contains("vfio"))
            .filter(|c| !safe.iter().any(|module| same_name(module, &c.module)))
        {
            evidence.push(format!(
                "{} is in the list of {}; {} may take it first",
                function.address, source.place, candidate.module
            ));
            drivers.insert(candidate.module.clone());
            all_bound &= function.is_on_vfio();
        }
    }
    let lines: Vec<String> = drivers
        .iter()
        .map(|driver| format!("\"softdep {driver} pre: vfio-pci\""))
        .collect();
    (!evidence.is_empty()).then(|| {
        check(
            "modprobe.softdep-missing",
            "vfio-pci is loaded before the drivers of the cards it is to take",
            if all_bound { Severity::Info } else { Severity::Warning },
            "Which driver comes first decides who gets the card. Without this rule it is a race, and an update can turn it around.",
        )
        .no(
            evidence,
            format!(
                "Add to the file in /etc/modprobe.d that sets up vfio-pci: {}. Then run: sudo update-initramfs -u -k all, and reboot. Or let passthru plan --gpu … do it.",
                lines.join(", ")
            ),
        )
    })
}

/// Modules that wait for vfio-pci, or are not loaded by themselves at all.
fn held_back(facts: &Facts) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for (_, text) in super::texts(facts, is_read) {
        for directive in modprobe::directives(text) {
            let Some(module) = directive.arguments.first() else {
                continue;
            };
            let waits = directive.keyword == "softdep"
                && directive
                    .arguments
                    .iter()
                    .skip_while(|word| *word != "pre:")
                    .take_while(|word| *word != "post:")
                    .any(|word| same_name(word, "vfio-pci"));
            if waits || directive.keyword == "blacklist" || directive.keyword == "install" {
                held.insert(module.clone());
            }
        }
    }
    held
}
