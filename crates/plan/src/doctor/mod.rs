//! Every readiness check, in the order a person would work through them: the machine, its IOMMU,
//! the cards and their groups, the display, the kernels, the boot stack, what guides and other
//! tools left behind, and what the log says.
//!
//! A readiness check always answers. A check for a mistake speaks only if the mistake is there.
//! Where the planner decides, doctor asks the planner, so that the two never disagree.

mod boot;
mod cards;
pub(crate) mod check;
mod cmdlines;
mod display;
mod groups;
mod how;
mod iommu;
mod kernel;
mod leftovers;
mod machine;
mod reset;
mod symptoms;

use alloc::{vec, vec::Vec};

use crate::{
    card,
    facts::{Facts, Function},
    finding::Finding,
    intent::{Intent, Selector},
    pci::Address,
    plan::Plan,
    rules::{self, display::REMOTE_CONSOLES},
};
use cmdlines::Cmdlines;

/// What all checks look at.
struct View<'a> {
    facts: &'a Facts,
    cmdlines: Cmdlines,
    /// The display functions that somebody could want to give away.
    gpus: Vec<Gpu<'a>>,
    /// What the planner would do to turn the IOMMU on and no more; says which stack it knows.
    iommu_plan: Plan,
}

/// A GPU, its card, and what the planner says about giving it away.
struct Gpu<'a> {
    function: &'a Function,
    card: Vec<Address>,
    plan: Plan,
}

impl Gpu<'_> {
    /// `id:0000:01:00.0`.
    fn id(&self, id: &str) -> alloc::string::String {
        alloc::format!("{id}:{}", self.function.address)
    }

    /// `0000:01:00.0 (GeForce RTX 2060)`: the model alone where pci.ids puts it in brackets behind
    /// maker and chip.
    fn name(&self) -> alloc::string::String {
        let label = self.function.label();
        let model = label
            .strip_suffix(']')
            .and_then(|label| label.rsplit_once('['))
            .map_or(label.as_str(), |(_, model)| model);
        alloc::format!("{} ({model})", self.function.address)
    }

    /// A GPU of the processor: Intel's sits on the first bus, AMD's in one slot with functions that
    /// are no part of it.
    fn is_built_in(&self, facts: &Facts) -> bool {
        let address = self.function.address;
        let shares_its_slot = facts
            .functions
            .iter()
            .any(|f| f.address.slot() == address.slot() && !self.card.contains(&f.address));
        shares_its_slot || address.bus == 0 && self.function.ids.vendor == 0x8086
    }

    fn functions<'f>(&self, facts: &'f Facts) -> impl Iterator<Item = &'f Function> {
        self.card.iter().filter_map(|&a| facts.function(a))
    }
}

impl<'a> View<'a> {
    fn of(facts: &'a Facts) -> Self {
        // The screen of a server's management controller is nobody's gift to a guest.
        let gpus = card::gpus(facts)
            .filter(|f| !REMOTE_CONSOLES.contains(&f.ids.vendor))
            .map(|function| Gpu {
                function,
                card: card::functions_of(facts, function.address),
                plan: rules::plan(
                    facts,
                    &Intent {
                        gpu: vec![Selector::at(function.address)],
                        ..Intent::default()
                    },
                ),
            })
            .collect();
        Self {
            facts,
            cmdlines: Cmdlines::of(facts),
            gpus,
            iommu_plan: rules::plan(
                facts,
                &Intent {
                    iommu_only: true,
                    ..Intent::default()
                },
            ),
        }
    }
}

/// Answers every check about the host that `facts` describe.
pub fn doctor(facts: &Facts) -> Vec<Finding> {
    let view = View::of(facts);
    let mut found = Vec::new();
    machine::check_all(&view, &mut found);
    iommu::check_all(&view, &mut found);
    cards::present(&view, &mut found);
    for gpu in &view.gpus {
        groups::check_all(&view, gpu, &mut found);
        cards::check_all(&view, gpu, &mut found);
    }
    display::check_all(&view, &mut found);
    kernel::check_all(&view, &mut found);
    boot::check_all(&view, &mut found);
    leftovers::check_all(&view, &mut found);
    symptoms::check_all(&view, &mut found);
    found
}
