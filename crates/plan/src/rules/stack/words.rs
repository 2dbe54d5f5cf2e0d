//! The words on the kernel command line that make everything act, and what is already there.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{fate, foreign, loader, trial};
use crate::{
    facts::Facts,
    plan::{BoundFunction, Method},
    rules::{Draft, binding},
    text::{ids, kargs},
};

/// The word that makes the script in the initramfs load vfio-pci before udev. Ids alone do not: they
/// may be somebody else's, in entries that passthru has nothing to do with.
pub(crate) const LOAD: &str = "passthru.load";
/// The word that names functions by address for the script in the initramfs.
pub(crate) const BIND: &str = "passthru.bind";
/// The word that marks a trial boot.
pub(crate) const TRIAL: &str = "passthru.trial";

/// Words that passthru has configured on this host, as one command line: on every normal entry, and
/// those of a trial.
pub(crate) fn own_words(facts: &Facts) -> String {
    let mut words = loader::own_words(facts);
    for word in trial::words_of(facts).unwrap_or_default() {
        if !kargs::has_word(&words, &word) {
            words.push(' ');
            words.push_str(&word);
        }
    }
    words
}

/// `cmdline` with `words` at its end, before a lone `--`. What they replace goes (an earlier decision
/// of passthru's, the same word), and so do words of `without`; all others stay as they are, in their
/// order.
pub(crate) fn merged(cmdline: &str, words: &[String], without: &[&str]) -> String {
    let ours = kargs::words(cmdline).any(|word| word.is(LOAD));
    let goes = |word: &kargs::Word<'_>| {
        word.name().starts_with("passthru.")
            || (ours && word.is("vfio-pci.ids"))
            || words.iter().any(|new| new == word.raw)
            || without.contains(&word.raw)
    };
    let mut found: Vec<&str> = Vec::new();
    let mut rest: Vec<&str> = Vec::new();
    let mut for_init = false;
    for word in kargs::all_words(cmdline) {
        for_init |= word.raw == "--";
        if for_init {
            rest.push(word.raw);
        } else if !goes(&word) {
            found.push(word.raw);
        }
    }
    found.extend(words.iter().map(String::as_str));
    found.extend(rest);
    found.join(" ")
}

/// `vfio-pci.ids=`, `passthru.load=` and `passthru.bind=` for the bindings. What an earlier plan put
/// there stays, in its order.
pub(super) fn binding_words(draft: &mut Draft<'_>, bindings: &[BoundFunction]) -> Vec<String> {
    let facts = draft.facts;
    let ours = own_words(facts);
    if bindings.is_empty() {
        let of_binding =
            |word: &kargs::Word<'_>| word.is("vfio-pci.ids") || word.is(LOAD) || word.is(BIND);
        return kargs::words(&ours)
            .filter(of_binding)
            .map(|word| word.raw.into())
            .collect();
    }
    foreign::refuse_mixed(draft);
    let mut words = Vec::new();
    words.extend(ids_word(draft, &ours, bindings));
    words.push(format!("{LOAD}=1"));
    words.extend(bind_word(draft, &ours, bindings));
    words
}

/// Bindings by `method`.
fn by(bindings: &[BoundFunction], method: Method) -> impl Iterator<Item = &BoundFunction> {
    bindings.iter().filter(move |bound| bound.method == method)
}

/// `vfio-pci.ids=`: passthru's entries in `ours`, those of lists that act, and those of `bindings`.
fn ids_word(draft: &mut Draft<'_>, ours: &str, bindings: &[BoundFunction]) -> Option<String> {
    let facts = draft.facts;
    let wanted: Vec<ids::Entry> = by(bindings, Method::Ids)
        .filter_map(|bound| facts.function(bound.function.address))
        .map(|function| binding::entry_for(draft, function))
        .collect();
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
    let foreign = fate::taken_over(draft);
    let is_foreign =
        |entry: &ids::Entry| foreign.iter().any(|(_, entries)| entries.contains(entry));
    // Earlier entries for planned functions are decided anew; all others stay.
    for value in kargs::values(ours, "vfio-pci.ids") {
        ids::List::parse(&value)
            .entries
            .into_iter()
            .filter(|entry| !is_planned(entry) || wanted.contains(entry) || is_foreign(entry))
            .for_each(&mut add);
    }
    for (_, list) in &foreign {
        list.iter().copied().for_each(&mut add);
    }
    wanted.iter().copied().for_each(&mut add);

    let needs_word = !wanted.is_empty()
        || !kargs::values(ours, "vfio-pci.ids").is_empty()
        || fate::needs_word(draft);
    if !needs_word {
        return None;
    }
    if !foreign.is_empty() {
        let places: Vec<_> = foreign.iter().map(|(place, _)| place.as_str()).collect();
        draft.notice(
            "binding.other-ids",
            format!(
                "vfio-pci.ids is already set in {}. Only the last list counts for the kernel, so the new word holds those entries too.",
                places.join(" and ")
            ),
        );
    }
    if entries.is_empty() {
        return None;
    }
    let list = ids::List::render(&entries);
    if list.len() > ids::LIMIT {
        draft.refuse(
            "binding.too-many-ids",
            format!(
                "The ids list would be {} characters long; the kernel keeps {}.",
                list.len(),
                ids::LIMIT
            ),
            "Remove entries you no longer need from the other sources that passthru doctor names.",
        );
    }
    Some(format!("vfio-pci.ids={list}"))
}

/// `passthru.bind=`: passthru's entries in `ours` and those of `bindings`.
fn bind_word(draft: &Draft<'_>, ours: &str, bindings: &[BoundFunction]) -> Option<String> {
    let planned: Vec<String> = by(bindings, Method::ByAddress)
        .map(|bound| bound.function.to_string())
        .collect();
    let mut entries: Vec<String> = Vec::new();
    for value in kargs::values(ours, BIND) {
        for entry in value.split(',') {
            let selector = entry.parse::<crate::intent::Selector>();
            let stays = selector.is_ok_and(|selector| !draft.is_chosen(selector.address));
            if stays || planned.iter().any(|p| p == entry) {
                entries.push(entry.into());
            }
        }
    }
    for entry in planned {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    (!entries.is_empty()).then(|| format!("{BIND}={}", entries.join(",")))
}
