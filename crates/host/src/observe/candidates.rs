//! Modules that would bind each function: the aliases of every installed kernel.

use std::collections::{BTreeMap, BTreeSet};

use passthru_plan::{
    Facts, Ids,
    facts::Candidate,
    text::modules::{self, Alias, PciId},
};

use crate::root::Root;

/// Devices that no alias can tell apart are looked up once: a rack of equal cards costs one card.
struct Wanted {
    /// Distinct devices in order, each with its modalias and what was found.
    devices: BTreeMap<PciId, (String, BTreeMap<String, bool>)>,
    /// Vendors that occur.
    vendors: BTreeSet<u32>,
}

impl Wanted {
    fn take(&mut self, alias: &Alias<'_>, builtin: bool) {
        let offer = |modalias: &str, found: &mut BTreeMap<String, bool>| {
            if alias.matches(modalias) {
                *found.entry(alias.module_name()).or_default() |= builtin;
            }
        };
        match alias.vendor() {
            // Nearly every alias names a vendor, and nearly every vendor is absent.
            Some(vendor) => {
                let Ok(vendor) = u16::try_from(vendor) else {
                    return;
                };
                if !self.vendors.contains(&vendor.into()) {
                    return;
                }
                let from = PciId {
                    ids: Ids::new(vendor, 0),
                    subsystem: Ids::new(0, 0),
                    class: passthru_plan::pci::Class(0),
                };
                for (_, (modalias, found)) in self
                    .devices
                    .range_mut(from..)
                    .take_while(|(id, _)| id.ids.vendor == vendor)
                {
                    offer(modalias, found);
                }
            }
            None => {
                for (modalias, found) in self.devices.values_mut() {
                    offer(modalias, found);
                }
            }
        }
    }
}

/// Fills `candidates` of every function.
pub(super) fn fill(root: &Root, facts: &mut Facts) {
    let id = |f: &passthru_plan::facts::Function| PciId {
        ids: f.ids,
        subsystem: f.subsystem.unwrap_or(Ids::new(0, 0)),
        class: f.class,
    };
    let mut wanted = Wanted {
        devices: facts
            .functions
            .iter()
            .map(id)
            .map(|id| (id, (id.modalias(), BTreeMap::new())))
            .collect(),
        vendors: facts
            .functions
            .iter()
            .map(|f| f.ids.vendor.into())
            .collect(),
    };
    for kernel in &facts.kernel.installed {
        let dir = format!("{}/{}", super::kernel::MODULES, kernel.release);
        if let Ok(index) = root.read(&format!("{dir}/modules.alias")) {
            for alias in modules::aliases(&index) {
                wanted.take(&alias, false);
            }
        }
        // Built-in drivers have no line in modules.alias (depmod(8) knows files only).
        if let Ok(index) = root.read(&format!("{dir}/modules.builtin.modinfo")) {
            for alias in modules::builtin_aliases(&index) {
                wanted.take(&alias, true);
            }
        }
    }
    for function in &mut facts.functions {
        if let Some((_, found)) = wanted.devices.get(&id(function)) {
            function.candidates = found
                .iter()
                .map(|(module, &builtin)| Candidate {
                    module: module.clone(),
                    builtin,
                })
                .collect();
        }
    }
}
