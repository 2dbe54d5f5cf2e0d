//! May the functions of a guest be taken from the host now?

use alloc::{format, string::String, vec::Vec};

use super::preflight::{Around, Consent};
use crate::{
    Address, card,
    facts::{DrmCard, Facts, Function, Use, UseKind},
    guest::{
        plan::refusal,
        read::{Domain, HostDev},
    },
    plan::Refusal,
    rules::{
        describe,
        display::{REMOTE_CONSOLES, Role, role},
        groups::{blockers, is_exempt_driver},
    },
};

/// Everything that keeps a function of `domain` from being given to it.
pub(super) fn check(
    facts: &Facts,
    domain: &Domain,
    around: &Around<'_>,
    consent: Consent,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut found = Vec::new();
    for device in &domain.hostdevs {
        match facts.function(device.address) {
            Some(function) => found.push((*device, function)),
            None => refusals.push(gone(domain, device.address)),
        }
    }
    for (device, function) in &found {
        refusals.extend(taken(device.address, around));
        refusals.extend(unbinding(facts, *device, function, around, consent));
    }
    refusals.extend(picture(facts, &found, consent));
    refusals.extend(groups(facts, &found));
    refusals
}

fn gone(domain: &Domain, address: Address) -> Refusal {
    refusal(
        "guest.start.function.gone",
        format!(
            "{} owns the function {address}, and the host has none there.",
            domain.name
        ),
        format!(
            "Addresses change when cards or settings of the firmware do: passthru devices shows where it is now, sudo virsh edit {} corrects it. A card that vanished after a guest ended comes back when the host is switched off and on.",
            domain.name
        ),
    )
}

/// A running guest owns it.
fn taken(address: Address, around: &Around<'_>) -> Option<Refusal> {
    let mut others = around.running.iter();
    let owner = others.find(|other| other.functions().any(|one| one == address))?;
    Some(refusal(
        "guest.start.function.taken",
        format!("{address} belongs to the guest {}, which runs.", owner.name),
        format!(
            "sudo passthru vm stop {}",
            crate::text::quote::word(&owner.name)
        ),
    ))
}

/// The host drives it, and what it would lose.
fn unbinding(
    facts: &Facts,
    device: HostDev,
    function: &Function,
    around: &Around<'_>,
    consent: Consent,
) -> Vec<Refusal> {
    let address = device.address;
    let driver = match function.driver.as_deref() {
        Some(driver) if !is_exempt_driver(driver) => driver,
        _ if device.managed || function.is_on_vfio() => return Vec::new(),
        _ => {
            return [refusal(
                "guest.start.function.unbound",
                format!(
                    "{} is not bound to vfio-pci, and the guest says managed='no': libvirt will not bind it.",
                    describe(function)
                ),
                bind(address),
            )]
            .into();
        }
    };
    if !device.managed {
        return [refusal(
            "guest.start.function.driven",
            format!(
                "{} is with the host's driver {driver}, and the guest says managed='no': libvirt will not take it.",
                describe(function)
            ),
            bind(address),
        )]
        .into();
    }
    let mut refusals = Vec::new();
    let users: Vec<String> = around
        .openers
        .iter()
        .filter(|opener| opener.function == address)
        .map(|opener| format!("{} (process {})", opener.name, opener.process))
        .collect();
    if !users.is_empty() {
        refusals.push(refusal(
            "guest.start.function.open",
            format!(
                "{} is in use by {}: taking it from {driver} now hangs or crashes the host's desktop, and often its kernel.",
                describe(function),
                users.join(", ")
            ),
            format!(
                "Bind it at boot, so that nothing of the host ever opens it: {}. Or end what uses it, such as the desktop (sudo systemctl stop display-manager).",
                bind(address)
            ),
        ));
    } else if function.class.is_display() && !around.openers_known && !consent.headless {
        refusals.push(refusal(
            "guest.start.function.not-measured",
            format!(
                "Whether a program uses {} could not be read, and taking it from {driver} while one does hangs the host.",
                describe(function)
            ),
            format!("Bind it at boot, so that nothing of the host ever opens it: {}", bind(address)),
        ));
    }
    let needed: Vec<&Use> = facts
        .uses_of(address)
        .filter(|usage| !matches!(usage.kind, UseKind::Keyboard | UseKind::Mouse))
        .collect();
    if !needed.is_empty() {
        let what: Vec<&str> = needed.iter().map(|usage| usage.detail.as_str()).collect();
        refusals.push(refusal(
            "guest.start.function.needed",
            format!("The host itself needs {}: {}.", describe(function), what.join(", ")),
            "Unmount it, or move the host's network to another device; or take the function out of the guest (sudo virsh edit).",
        ));
    }
    refusals
}

/// The only picture of the host.
fn picture(facts: &Facts, found: &[(HostDev, &Function)], consent: Consent) -> Option<Refusal> {
    let taken = |address: Address| found.iter().any(|(device, _)| device.address == address);
    let (_, showing) = found.iter().find(|(_, f)| {
        f.class.is_display() && f.driver.is_some() && role(facts, f) == Role::Shows
    })?;
    let monitor = |f: &Function| {
        let mut cards = facts.display.cards.iter();
        let card = cards.find(|card| card.function == Some(f.address));
        REMOTE_CONSOLES.contains(&f.ids.vendor) || card.is_none_or(DrmCard::may_have_monitor)
    };
    let stays = card::gpus(facts).any(|f| {
        !taken(f.address) && f.driver.is_some() && role(facts, f) == Role::Shows && monitor(f)
    });
    if stays || consent.headless {
        return None;
    }
    Some(refusal(
        "guest.start.display",
        format!(
            "{} is the only display that shows the host's picture.",
            describe(showing)
        ),
        "If you reach this host over the network and can do without its picture while the guest runs, say --headless. Otherwise connect a monitor to another card and make that one the primary display in the firmware.",
    ))
}

/// The kernel gives a group away whole, or not at all.
fn groups(facts: &Facts, found: &[(HostDev, &Function)]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut seen = Vec::new();
    // Whatever is wrong with a function of the guest itself was said before.
    let own: Vec<Address> = found.iter().map(|(device, _)| device.address).collect();
    for (device, function) in found {
        let Some(group) = function.group.and_then(|id| facts.group(id)) else {
            refusals.push(refusal(
                "guest.start.group.none",
                format!(
                    "{} is in no IOMMU group: the IOMMU is off, or leaves it out.",
                    describe(function)
                ),
                "passthru doctor says what to do; passthru plan --iommu-only turns it on.",
            ));
            continue;
        };
        if seen.contains(&group.id) {
            continue;
        }
        seen.push(group.id);
        let others = blockers(facts, group, &own);
        if others.is_empty() {
            continue;
        }
        let names: Vec<String> = others.iter().map(|b| describe(b.function)).collect();
        let flags: Vec<String> = others
            .iter()
            .filter(|blocker| blocker.may_travel)
            .map(|blocker| format!(" --with {}", blocker.function.address))
            .collect();
        refusals.push(refusal(
            "guest.start.group",
            format!(
                "Group {} of {} is not viable: it also holds {}, which the host drives.",
                group.id,
                device.address,
                names.join(", ")
            ),
            if flags.len() == others.len() {
                format!(
                    "A group is given away whole: sudo passthru apply --gpu {}{}, or add it to the guest as well (sudo virsh edit).",
                    device.address,
                    flags.concat()
                )
            } else {
                "The host needs it: move the card to another slot, or look for ACS options in the firmware.".into()
            },
        ));
    }
    refusals
}

fn bind(address: Address) -> String {
    format!("sudo passthru apply --gpu {address}")
}
