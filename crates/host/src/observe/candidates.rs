//! Modules that would bind each function: the aliases of every installed kernel.

use std::collections::{BTreeMap, BTreeSet};

use passthru_plan::{
    Facts, Ids,
    facts::{Candidate, Function},
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
    let id = |f: &Function| PciId {
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
    let bound: BTreeSet<String> = facts.functions.iter().filter_map(bound_module).collect();
    let mut builtin: BTreeSet<String> = BTreeSet::new();
    for kernel in &facts.kernel.installed {
        let dir = format!("{}/{}", super::kernel::MODULES, kernel.release);
        if let Ok(index) = root.read(&format!("{dir}/modules.alias")) {
            for alias in modules::aliases(&index) {
                wanted.take(&alias, false);
            }
        }
        // Built-in drivers have no line in modules.alias (depmod(8) knows files only). Kernels say
        // since 6.18 which devices they take; of older ones only what is bound now is known.
        if let Ok(index) = root.read(&format!("{dir}/modules.builtin.modinfo")) {
            for alias in modules::builtin_aliases(&index) {
                wanted.take(&alias, true);
            }
        }
        if let Ok(index) = root.read(&format!("{dir}/modules.builtin")) {
            let index = super::lossy(index);
            builtin.extend(
                bound
                    .iter()
                    .filter(|module| modules::lists(&index, module))
                    .cloned(),
            );
        }
    }
    for function in &mut facts.functions {
        let mut found = wanted
            .devices
            .get(&id(function))
            .map(|(_, found)| found.clone())
            .unwrap_or_default();
        if let Some(module) = bound_module(function).filter(|module| builtin.contains(module)) {
            found.insert(module, true);
        }
        function.candidates = found
            .into_iter()
            .map(|(module, builtin)| Candidate { module, builtin })
            .collect();
    }
}

/// The module of the bound driver, if that driver would come back by itself: vfio-pci and pci-stub
/// take what they are told to, and a bridge's driver is nobody's rival.
fn bound_module(function: &Function) -> Option<String> {
    if function.class.is_pci_bridge() {
        return None;
    }
    let module = function
        .driver_module
        .as_ref()
        .or(function.driver.as_ref())?;
    let module = modules::name(module);
    (!matches!(module.as_str(), "vfio_pci" | "pci_stub")).then_some(module)
}
