//! The device list: groups and functions in the shape other programs rely on (`devices --json`).

use alloc::vec::Vec;
use serde::Serialize;

use crate::facts::{Facts, Function};

/// Functions by group.
#[derive(Debug, Serialize)]
pub struct Devices<'a> {
    /// Version of this shape.
    pub schema: u32,
    /// Groups in numeric order.
    pub groups: Vec<GroupOf<'a>>,
    /// Functions that are in no group.
    pub ungrouped: Vec<Flat<'a>>,
    /// What could not be understood, and is missing here.
    pub unreadable: &'a [alloc::string::String],
}

/// A group with its functions in address order.
#[derive(Debug, Serialize)]
pub struct GroupOf<'a> {
    /// Group number.
    pub id: u32,
    /// Domain type, if known.
    #[serde(rename = "type")]
    pub kind: Option<&'a str>,
    /// Members.
    pub functions: Vec<Flat<'a>>,
}

/// A function as one flat object.
#[derive(Debug, Serialize)]
pub struct Flat<'a> {
    address: crate::pci::Address,
    class: crate::pci::Class,
    vendor: alloc::string::String,
    device: alloc::string::String,
    subsystem: Option<crate::pci::Ids>,
    revision: Option<alloc::string::String>,
    driver: Option<&'a str>,
    modules: Vec<&'a str>,
    name: Option<&'a str>,
    boot_vga: Option<bool>,
    numa_node: Option<u32>,
    reset_methods: Option<&'a [alloc::string::String]>,
    rom: bool,
    power_state: Option<&'a str>,
    bars: &'a [crate::facts::Bar],
    sriov: Option<crate::facts::Sriov>,
    physfn: Option<crate::pci::Address>,
    uses: Vec<&'a str>,
}

impl<'a> Flat<'a> {
    fn of(facts: &'a Facts, f: &'a Function) -> Self {
        Self {
            address: f.address,
            class: f.class,
            vendor: alloc::format!("{:04x}", f.ids.vendor),
            device: alloc::format!("{:04x}", f.ids.device),
            subsystem: f.subsystem,
            revision: f.revision.map(|r| alloc::format!("{r:02x}")),
            driver: f.driver.as_deref(),
            modules: f.candidates.iter().map(|c| c.module.as_str()).collect(),
            name: f.name.as_deref(),
            boot_vga: f.boot_vga,
            numa_node: f.numa_node,
            reset_methods: f.reset_methods.as_deref(),
            rom: f.rom,
            power_state: f.power_state.as_deref(),
            bars: &f.bars,
            sriov: f.sriov,
            physfn: f.physfn,
            uses: facts
                .uses_of(f.address)
                .map(|u| u.detail.as_str())
                .collect(),
        }
    }
}

/// The device list of a host.
pub fn devices(facts: &Facts) -> Devices<'_> {
    let mut groups: Vec<GroupOf<'_>> = facts
        .groups
        .iter()
        .map(|group| GroupOf {
            id: group.id,
            kind: group.kind.as_deref(),
            functions: Vec::new(),
        })
        .collect();
    let mut ungrouped = Vec::new();
    // Functions are in address order, so every list they are dealt out to is.
    for f in &facts.functions {
        let group = f
            .group
            .and_then(|id| groups.binary_search_by_key(&id, |group| group.id).ok());
        match group {
            Some(i) => groups[i].functions.push(Flat::of(facts, f)),
            None => ungrouped.push(Flat::of(facts, f)),
        }
    }
    Devices {
        schema: 1,
        groups,
        ungrouped,
        unreadable: &facts.unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Group;
    use alloc::vec;

    fn group(id: u32) -> Group {
        Group {
            id,
            kind: None,
            reserved: Vec::new(),
            functions: Vec::new(),
        }
    }

    #[test]
    fn every_function_is_listed_once() {
        let function = |text: &str, group| Function {
            group,
            ..crate::facts::Function::new(text.parse().unwrap())
        };
        let facts = Facts {
            functions: vec![
                function("0000:00:01.0", Some(7)),
                function("0000:00:02.0", None),
                function("0000:00:03.0", Some(2)),
                function("0000:00:04.0", Some(7)),
                // A group that the host does not list must not swallow its functions.
                function("0000:00:05.0", Some(9)),
            ],
            groups: vec![group(2), group(7)],
            ..Facts::default()
        };
        let list = devices(&facts);
        let of = |flat: &[Flat<'_>]| flat.iter().map(|f| f.address.device).collect::<Vec<_>>();
        assert_eq!(of(&list.groups[0].functions), [3]);
        assert_eq!(of(&list.groups[1].functions), [1, 4]);
        assert_eq!(of(&list.ungrouped), [2, 5]);
    }
}
