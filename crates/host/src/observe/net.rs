//! Network interfaces and the PCI functions below them.

use std::collections::BTreeSet;

use passthru_plan::{Address, text::procfs};

use crate::root::Root;

const NET: &str = "/sys/class/net";

/// Interfaces that carry a default route, without repeats.
pub(super) fn default_routes(root: &Root) -> Vec<String> {
    let read = |path| root.read(path).map(super::lossy).unwrap_or_default();
    let (v4, v6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let mut found = Vec::new();
    for name in procfs::default_routes_v4(&v4)
        .into_iter()
        .chain(procfs::default_routes_v6(&v6))
    {
        if !found.iter().any(|other| other == name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Interfaces with a device of their own and a carrier: a cable is plugged in, a station associated.
pub(super) fn with_carrier(root: &Root) -> Vec<String> {
    let mut names = root.list(NET).unwrap_or_default();
    names.retain(|name| {
        !own(root, name).is_empty()
            && root
                .attribute(&format!("{NET}/{name}/carrier"))
                .is_some_and(|text| text == "1")
    });
    names
}

/// The functions below an interface with the physical interface each belongs to: bridges, bonds and
/// VLANs are followed to their ports.
pub(super) fn functions(root: &Root, name: &str) -> BTreeSet<(Address, String)> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    descend(root, name, &mut found, &mut seen);
    found
}

fn descend(
    root: &Root,
    name: &str,
    found: &mut BTreeSet<(Address, String)>,
    seen: &mut BTreeSet<String>,
) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let own = own(root, name);
    if !own.is_empty() {
        found.extend(own.into_iter().map(|address| (address, name.to_owned())));
        return;
    }
    // Every stacked interface has a link `lower_X` for each one below it (net/core/dev.c).
    for entry in root.list(&format!("{NET}/{name}")).unwrap_or_default() {
        if let Some(lower) = entry.strip_prefix("lower_") {
            descend(root, lower, found, seen);
        }
    }
    for port in root.list(&format!("{NET}/{name}/brif")).unwrap_or_default() {
        descend(root, &port, found, seen);
    }
    let bonded = root.attribute(&format!("{NET}/{name}/bonding/slaves"));
    for port in bonded.unwrap_or_default().split_whitespace() {
        descend(root, port, found, seen);
    }
}

fn own(root: &Root, name: &str) -> Vec<Address> {
    let place = root.link(&format!("{NET}/{name}")).unwrap_or_default();
    super::block::endpoints(&place)
}
