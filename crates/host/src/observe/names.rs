//! Names of functions, from the host's own pci.ids.

use std::collections::BTreeSet;

use passthru_plan::{facts::Function, text::pci_ids};

use crate::root::Root;

/// Where distributions keep the list: Debian and Arch, then Fedora and openSUSE.
const LISTS: [&str; 3] = [
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
];

/// Fills `name` of every function that a list knows. Without a list the ids have to do.
pub(super) fn fill(root: &Root, functions: &mut [Function]) {
    let Some(list) = LISTS.iter().find_map(|path| root.read(path).ok()) else {
        return;
    };
    let wanted: BTreeSet<_> = functions.iter().map(|function| function.ids).collect();
    let names = pci_ids::names(&list, &wanted);
    for function in functions {
        function.name = names.get(&function.ids).cloned();
    }
}
