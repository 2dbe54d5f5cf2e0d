//! What the plan does with lists of ids that are not passthru's: they stay, are taken out, or are
//! replaced by passthru's own word where repairs are asked for.

use alloc::{format, string::String, vec::Vec};

use super::{
    foreign::{IdsSource, Kind, WHY, foreign_ids},
    own_words,
};
use crate::{
    facts::{Facts, Function},
    rules::Draft,
    text::{ids, kargs},
};

/// What the plan does with a list of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays where it is.
    Stays,
    /// It never acted, and is taken out.
    Dormant,
    /// Asked to repair: passthru's own word does what it did.
    Replaced,
}

impl IdsSource {
    pub(super) fn fate(&self, draft: &Draft<'_>) -> Fate {
        let binds = !draft.chosen.is_empty() && !draft.intent.iommu_only;
        if self.is_replaced(draft, binds) {
            Fate::Replaced
        } else if binds && self.is_dormant(draft.facts) {
            Fate::Dormant
        } else {
            Fate::Stays
        }
    }

    /// What it does is done by passthru's own word: of a plan that binds, each entry names only
    /// functions of the plan, or none that is here or on another driver; else the word that is there
    /// has all of its entries.
    fn is_replaced(&self, draft: &Draft<'_>, binds: bool) -> bool {
        if !draft.intent.repair || self.kind == Kind::Other || self.list.entries.is_empty() {
            return false;
        }
        if let Kind::Modprobe { path } = &self.kind
            && !path.starts_with("/etc/")
        {
            return false;
        }
        let facts = draft.facts;
        if !binds {
            let own = own_entries(facts);
            return self.list.entries.iter().all(|entry| own.contains(entry));
        }
        self.list.entries.iter().all(|entry| {
            let named = || facts.functions.iter().filter(|f| takes(entry, f));
            let planned = named().filter(|f| draft.is_chosen(f.address)).count();
            let others_act = named().all(|f| f.driver.is_none() || f.is_on_vfio());
            planned == named().count() || planned == 0 && others_act
        })
    }
}

fn takes(entry: &ids::Entry, f: &Function) -> bool {
    entry.matches(f.ids, f.subsystem, f.class)
}

/// Entries of passthru's own word.
fn own_entries(facts: &Facts) -> Vec<ids::Entry> {
    kargs::values(&own_words(facts), "vfio-pci.ids")
        .iter()
        .flat_map(|value| ids::List::parse(value).entries)
        .collect()
}

/// Entries of others' lists that passthru's own word takes over. Those of lists that are replaced
/// leave out what the plan binds itself.
pub(super) fn taken_over(draft: &Draft<'_>) -> Vec<(String, Vec<ids::Entry>)> {
    foreign_ids(draft.facts)
        .into_iter()
        .filter_map(|source| {
            let mut entries = source.list.entries.clone();
            match source.fate(draft) {
                Fate::Dormant => return None,
                Fate::Stays if source.is_dormant(draft.facts) => return None,
                Fate::Stays => {}
                Fate::Replaced => entries.retain(|entry| {
                    let mut chosen = draft.chosen_functions();
                    !chosen.any(|f| takes(entry, f))
                }),
            }
            Some((source.place, entries))
        })
        .collect()
}

/// A list that is replaced has entries that only passthru's word will have.
pub(super) fn needs_word(draft: &Draft<'_>) -> bool {
    let replaced = |source: &IdsSource| source.fate(draft) == Fate::Replaced;
    foreign_ids(draft.facts).iter().any(replaced)
        && taken_over(draft)
            .iter()
            .any(|(_, entries)| !entries.is_empty())
}

/// Lists that compete and that nothing replaces.
pub(in crate::rules) fn notice(draft: &mut Draft<'_>) {
    let lists = foreign_ids(draft.facts);
    let left: Vec<String> = lists
        .iter()
        .filter(|source| source.fate(draft) == Fate::Stays)
        .map(|source| source.place.clone())
        .collect();
    let own = usize::from(!own_entries(draft.facts).is_empty());
    if left.is_empty() || lists.len() + own < 2 {
        return;
    }
    let why = if draft.intent.is_repair_only() {
        "With --gpu, the plan's own list holds what they name, and the others go; by themselves they are left alone."
    } else {
        "They name functions that this plan does not bind, or passthru may not edit them."
    };
    draft.notice(
        "repair.ids-left",
        format!(
            "The kernel keeps only the last list of vfio-pci ids, and these stay: {}. {why}",
            left.join(", ")
        ),
    );
}

/// Why a list is taken out of its place that passthru's own word replaces.
const WHY_REPLACED: &str =
    "lists of ids do not add up, the last one counts; what this one did is in passthru's own word";

impl Fate {
    /// Why the list is taken out of its place.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Replaced => WHY_REPLACED,
            Self::Dormant | Self::Stays => WHY,
        }
    }
}
