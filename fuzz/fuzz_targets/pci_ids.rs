//! The list of PCI names.
#![no_main]
use std::collections::BTreeSet;

use passthru_plan::{Ids, text::pci_ids};

libfuzzer_sys::fuzz_target!(|list: &[u8]| {
    let wanted = BTreeSet::from([Ids::new(0x10de, 0x1f08), Ids::new(0, 0)]);
    assert!(pci_ids::names(list, &wanted).len() <= wanted.len());
});
