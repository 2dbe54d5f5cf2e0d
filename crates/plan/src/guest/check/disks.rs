//! Disks of the host that a domain owns.

use alloc::{format, string::String, vec::Vec};

use super::View;
use crate::{
    Selector,
    doctor::check::{NOTHING, check},
    facts::Reading,
    finding::{Finding, Severity},
    guest::{
        disk,
        existing::{child, devices},
        plan::Draft,
        spec::{Format, Os, Storage, Wish},
    },
    pci::Address,
};

pub(super) fn disks(view: &View<'_, '_>) -> Vec<Finding> {
    let paths = devices(view.domain, "disk")
        .filter(|disk| disk.attribute("type") == Some("block"))
        .filter(|disk| disk.attribute("device").is_none_or(|kind| kind == "disk"))
        .filter_map(|disk| child(disk, "source")?.attribute("dev"));
    paths.map(|path| one(view, path)).collect()
}

fn one(view: &View<'_, '_>, path: &str) -> Finding {
    let check = check(
        format!("guest.disk:{path}"),
        format!("{path} is in the host, and nothing of the host uses it"),
        Severity::Blocker,
        "Two systems that write to one disk destroy what is on it.",
    );
    if let Some(why) = view.facts.blocks.devices.why_not() {
        let again = match view.facts.reading {
            Reading::Copy => format!(
                "Run it on the host itself: sudo passthru vm check {}",
                view.name
            ),
            Reading::User => format!("Run it as root: sudo passthru vm check {}", view.name),
            Reading::Root => NOTHING.into(),
        };
        return check.unknown(why, again);
    }
    let mut draft = Draft::default();
    let mut wish = Wish::new(
        "checked",
        Os::Other,
        0,
        Selector::at(Address::new(0, 0, 0, 0)),
    );
    wish.with = view
        .owned
        .iter()
        .map(|one| Selector::at(one.host))
        .collect();
    // What is on it is the guest's; what the host has in use is not.
    let storage = Storage {
        path: path.into(),
        format: Some(Format::Raw),
        transplant: true,
        empty: false,
    };
    let block = disk::check(&mut draft, view.facts, &wish, &storage);
    match draft.finish(()) {
        Ok(()) => check.yes(block.map(|block| format!("it is {}", block.name))),
        Err(refusals) => {
            let ways: Vec<&str> = refusals.iter().map(|one| one.way_out.as_str()).collect();
            let ways: String = ways.join(" ");
            check.no(refusals.iter().map(|one| one.why.as_str()), ways)
        }
    }
}
