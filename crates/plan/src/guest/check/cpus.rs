//! A domain's CPUs, against what the host has.

use alloc::{format, vec::Vec};

use super::View;
use crate::{
    doctor::check::check,
    finding::{Finding, Severity},
    guest::existing,
};

pub(super) fn number(view: &View<'_, '_>) -> Finding {
    let check = check(
        "guest.cpus",
        "The host has a CPU for each of the guest's, and one for itself",
        Severity::Warning,
        "CPUs of the guest wait for each other, and the host for the guest.",
    );
    let Some(guest) = existing::vcpus(view.domain) else {
        return check.unknown(
            "the domain does not say how many it has",
            view.ask_libvirt(),
        );
    };
    let Some(host) = view.facts.topology.cpus.value().map(Vec::len) else {
        return check.unknown(
            view.facts.topology.cpus.why_not().unwrap_or_default(),
            view.on_host(),
        );
    };
    let seen = [
        format!("the guest has {guest}"),
        format!("the host has {host}"),
    ];
    if (guest as usize) < host {
        check.yes(seen)
    } else {
        check.no(
            seen,
            format!(
                "Give it fewer: sudo passthru vm edit {} --pin --cpus N",
                view.name
            ),
        )
    }
}
