//! One decision per file, and the order in which they are made.
//!
//! ```text
//! select   which functions are meant, and are they what they were?
//! claims   does the host need any of them?
//! groups   can their IOMMU groups be given away?
//! display  does the host keep a picture?
//! repair   what do guides and other tools leave that has to go?
//! preflight would the next boot fail for another reason?
//! iommu    is translation on, and what turns it on?
//! hugepages is memory set aside for guests?
//! kernels  which kernels can do it?
//! binding  ids or address, for each function
//! stack    the files and commands of this boot stack
//! ```

mod binding;
mod claims;
pub(crate) mod display;
pub(crate) mod groups;
mod hugepages;
pub(crate) mod iommu;
mod kernels;
mod preflight;
pub(crate) mod repair;
mod select;
pub(crate) mod stack;
mod unreadable;
mod verify;

use alloc::{format, string::String, vec::Vec};

use crate::{
    change::folded,
    facts::{Facts, Function},
    intent::{Intent, Selector},
    pci::Address,
    plan::{Notice, Plan, Refusal, Trial, WayBack},
    text::kargs,
};

pub use groups::{Blocker, blockers, is_exempt_driver};
pub use iommu::is_active as iommu_is_active;
use stack::Stage;
pub use stack::grub_mistakes;
pub(crate) use stack::trial::is_running as trial_is_running;
pub(crate) use verify::{verify, way_back_is_stale};

/// What the decisions are made from, and what they add to.
struct Draft<'a> {
    facts: &'a Facts,
    intent: &'a Intent,
    /// Functions that will belong to vfio-pci, in address order.
    chosen: Vec<Address>,
    refusals: Vec<Refusal>,
    notices: Vec<Notice>,
}

impl<'a> Draft<'a> {
    fn refuse(&mut self, id: &str, why: impl Into<String>, way_out: impl Into<String>) {
        self.refusals.push(Refusal {
            id: id.into(),
            why: why.into(),
            way_out: way_out.into(),
        });
    }

    fn notice(&mut self, id: &str, text: impl Into<String>) {
        self.notices.push(Notice {
            id: id.into(),
            text: text.into(),
        });
    }

    /// The same question, with what is said to the user apart.
    fn quiet(&self) -> Self {
        Draft {
            facts: self.facts,
            intent: self.intent,
            chosen: self.chosen.clone(),
            refusals: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn is_chosen(&self, address: Address) -> bool {
        self.chosen.binary_search(&address).is_ok()
    }

    fn chosen_functions(&self) -> impl Iterator<Item = &'a Function> + use<'a, '_> {
        let facts = self.facts;
        self.chosen
            .iter()
            .filter_map(move |&address| facts.function(address))
    }
}

/// `0000:01:00.0 (GeForce RTX 2060, nouveau)`: how a function is named in sentences.
pub(crate) fn describe(function: &Function) -> String {
    let driver = function.driver.as_deref().unwrap_or("no driver");
    format!(
        "{} ({}, {}, {driver})",
        function.address,
        function.class.word(),
        function.label()
    )
}

pub(crate) fn plan(facts: &Facts, intent: &Intent) -> Plan {
    staged(facts, intent, Stage::Apply)
}

/// What makes a change permanent that has proved itself in a trial boot.
pub(crate) fn keep(facts: &Facts, intent: &Intent) -> Plan {
    staged(facts, intent, Stage::Keep)
}

fn staged(facts: &Facts, intent: &Intent, stage: Stage) -> Plan {
    let mut draft = Draft {
        facts,
        intent,
        chosen: Vec::new(),
        refusals: Vec::new(),
        notices: Vec::new(),
    };
    if stage == Stage::Apply {
        unreadable::check(&mut draft);
    }
    let resolved = select::select(&mut draft);
    // The rest is planned for the host with these files put right.
    let repairs = repair::files(&mut draft);
    let repaired;
    if !repairs.changes.is_empty() {
        repaired = repair::repaired(facts, &repairs);
        draft.facts = &repaired;
    }
    if intent.repair {
        stack::ids_notice(&mut draft);
    }
    if intent.is_repair_only() && !stack::has_repairs(&draft, &repairs, stage) {
        return nothing_to_repair(draft, resolved);
    }
    claims::check(&mut draft);
    groups::check(&mut draft);
    display::check(&mut draft);
    preflight::check(&mut draft);
    let host_words = if intent.is_repair_only() {
        Vec::new()
    } else {
        let mut words = iommu::words(&mut draft);
        words.extend(hugepages::words(&mut draft));
        words
    };
    let kernels = kernels::check(&mut draft);
    let bindings = if intent.iommu_only || intent.is_repair_only() {
        Vec::new()
    } else {
        binding::methods(&mut draft)
    };
    let outcome = if intent.is_repair_only() {
        stack::repairs(&mut draft, repairs, &kernels, stage)
    } else {
        stack::changes(&mut draft, repairs, &host_words, &bindings, &kernels, stage)
    };

    let refused = !draft.refusals.is_empty();
    let stack::Outcome {
        words,
        changes,
        trial,
    } = if refused {
        stack::Outcome::default()
    } else {
        outcome
    };
    let changes = folded(changes);
    // Nothing left to do: a trial that is under way is none to come.
    let trial = trial.filter(|_| !changes.is_empty());
    // What a trial boot runs already needs no other one.
    let runs_already = stage == Stage::Keep && stack::trial::is_running(facts);
    let reboot = !changes.is_empty() && !runs_already;
    let way_back = (!words.is_empty()).then(|| match &trial {
        // What a trial does leaves the default entry alone.
        Some(_) => WayBack {
            choice: "choose the default entry in the boot menu".into(),
            stays: "The default entry of the boot menu stays as it is.".into(),
        },
        None => stack::loader::way_back(draft.facts),
    });
    let statements = if refused {
        Vec::new()
    } else {
        outcome_of(&draft, &bindings, &words, trial.as_ref())
    };
    Plan {
        intent: resolved,
        refusals: draft.refusals,
        notices: draft.notices,
        bindings,
        words,
        changes,
        reboot,
        trial,
        continues: None,
        way_back: way_back.filter(|_| !refused),
        guest: None,
        outcome: statements,
    }
}

/// What is asked for is so already; what could not be done is said.
fn nothing_to_repair(draft: Draft<'_>, intent: Intent) -> Plan {
    let words = stack::own_words(draft.facts);
    Plan {
        intent,
        refusals: draft.refusals,
        notices: draft.notices,
        bindings: Vec::new(),
        words: kargs::words(&words).map(|word| word.raw.into()).collect(),
        changes: Vec::new(),
        reboot: false,
        trial: None,
        continues: None,
        way_back: None,
        guest: None,
        outcome: Vec::new(),
    }
}

/// What will be true after the reboot, in sentences.
fn outcome_of(
    draft: &Draft<'_>,
    bindings: &[crate::plan::BoundFunction],
    words: &[String],
    trial: Option<&Trial>,
) -> Vec<String> {
    let mut outcome = Vec::new();
    if let Some(trial) = trial {
        outcome.push(format!(
            "The next boot is a trial: the entry \"{}\" is started once, and the default entry stays as it is. If everything that works now works then, the change is kept; else it is taken back, and the host reboots once into the entry from before.",
            trial.entry
        ));
    }
    if draft.intent.iommu_only {
        outcome.push(String::from(
            "The IOMMU translates, and every function has a group. Nothing is bound to vfio-pci.",
        ));
    }
    if draft.intent.repair {
        outcome.push(String::from(
            "Every leftover that is shown above is gone. Repaired files count for every boot entry; all of their other lines stay as they are, and passthru undo brings every byte back.",
        ));
    }
    for bound in bindings {
        let address = bound.function.address;
        let label = draft
            .facts
            .function(address)
            .map_or_else(String::new, |f| format!(" ({})", f.label()));
        outcome.push(format!(
            "{address}{label} belongs to vfio-pci from the start of every normal boot."
        ));
    }
    if !words.is_empty() {
        let way_back = stack::loader::way_back(draft.facts);
        outcome.push(way_back.stays);
    }
    outcome
}

/// A selector with everything known about the function filled in.
pub(crate) fn identity(function: &Function) -> Selector {
    Selector {
        address: function.address,
        ids: Some(function.ids),
        subsystem: function.subsystem,
    }
}
