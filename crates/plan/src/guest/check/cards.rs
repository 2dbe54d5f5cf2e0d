//! The functions of the host that a domain owns.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use super::View;
use crate::{
    card,
    doctor::check::check,
    facts::Function,
    finding::{Finding, Severity},
    guest::existing,
    pci::Address,
    rules::groups::blockers,
};

impl View<'_, '_> {
    /// Functions that are in the host.
    fn present(&self) -> impl Iterator<Item = &Function> {
        self.owned
            .iter()
            .filter_map(|one| self.facts.function(one.host))
    }

    fn addresses(&self) -> Vec<Address> {
        self.owned.iter().map(|one| one.host).collect()
    }
}

pub(super) fn machine(view: &View<'_, '_>) -> Option<Finding> {
    if view.owned.is_empty() {
        return None;
    }
    let machine = existing::machine(view.domain);
    let check = check(
        "guest.machine",
        "The guest's machine has PCI Express",
        Severity::Warning,
        "On i440fx a card is a device of plain PCI, where some drivers do not start it.",
    );
    Some(if machine.is_empty() {
        check.unknown(
            "the domain names no machine, and libvirt chooses one",
            view.ask_libvirt(),
        )
    } else if existing::is_q35(view.domain) {
        check.yes([format!("machine {machine}")])
    } else {
        check.no(
            [format!("machine {machine}")],
            "passthru vm new makes a guest on q35; a system that starts by UEFI can take its disk \
             along.",
        )
    })
}

pub(super) fn functions(view: &View<'_, '_>) -> Option<Finding> {
    if view.owned.is_empty() {
        return None;
    }
    let check = check(
        "guest.functions",
        "Every function that the guest owns is in the host, and can be given away",
        Severity::Blocker,
        "libvirt does not start the guest, or takes another device from the host than was meant.",
    );
    let mut wrong = Vec::new();
    let mut good = Vec::new();
    for one in &view.owned {
        match view.facts.function(one.host) {
            None => wrong.push(format!("there is no device at {}", one.host)),
            Some(function) if function.class.is_bridge() => {
                wrong.push(format!("{} is a {}", one.host, function.class.word()));
            }
            Some(function) => good.push(format!(
                "{} is {}, {}",
                one.host,
                function.label(),
                function.class.word()
            )),
        }
    }
    let twice = view.addresses();
    let mut sorted = twice.clone();
    sorted.sort_unstable();
    let again = sorted.windows(2).filter(|two| two[0] == two[1]);
    wrong.extend(again.map(|two| format!("{} is in the domain twice", two[0])));
    Some(if wrong.is_empty() {
        check.yes(good)
    } else {
        // It was moved, or taken out.
        check.no(
            wrong,
            format!(
                "passthru devices --all shows where it is now; then sudo passthru vm edit {} \
                 --remove-gpu OLD --add-gpu NEW",
                view.name
            ),
        )
    })
}

pub(super) fn uses(view: &View<'_, '_>) -> Option<Finding> {
    view.present().next()?;
    let check = check(
        "guest.functions.unused",
        "The host needs nothing of what the guest owns",
        Severity::Blocker,
        "When the guest starts, the host loses it: its disks, its network, its keyboard.",
    );
    let used: Vec<String> = view
        .present()
        .flat_map(|function| view.facts.uses_of(function.address))
        .map(|usage| format!("{}: {}", usage.address, usage.detail))
        .collect();
    Some(if used.is_empty() {
        check.yes(["nothing of it is in use"])
    } else {
        check.no(
            used,
            format!(
                "Take what it is used for elsewhere first, or take the device out of the guest: \
                 sudo virsh edit {}. If this is another device than was meant: passthru devices \
                 --all.",
                view.name
            ),
        )
    })
}

pub(super) fn managed(view: &View<'_, '_>) -> Option<Finding> {
    view.present().next()?;
    let check = check(
        "guest.functions.managed",
        "libvirt may take each function, or it is bound to vfio-pci",
        Severity::Blocker,
        "With managed='no' libvirt leaves a function with its driver, and QEMU cannot open it.",
    );
    let wrong: Vec<String> = view
        .owned
        .iter()
        .filter(|one| !one.is_managed())
        .filter_map(|one| view.facts.function(one.host))
        .filter(|function| !function.is_on_vfio())
        .map(|function| {
            let driver = function.driver.as_deref().unwrap_or("no driver");
            format!("{} is not managed, and on {driver}", function.address)
        })
        .collect();
    Some(if wrong.is_empty() {
        check.yes(["managed='yes', or on vfio-pci"])
    } else {
        check.no(
            wrong,
            format!(
                "Say managed='yes' in its <hostdev> (sudo virsh edit {}), or bind the card at boot: \
                 sudo passthru apply --gpu ADDR",
                view.name
            ),
        )
    })
}

pub(super) fn groups(view: &View<'_, '_>) -> Option<Finding> {
    view.present().next()?;
    let check = check(
        "guest.groups",
        "The IOMMU groups of what the guest owns can be given away",
        Severity::Blocker,
        "A group is opened whole: while a driver of the host has a member of it, vfio gives none away.",
    );
    if view.facts.groups.is_empty() {
        return Some(check.unknown(
            "there are no IOMMU groups",
            "passthru doctor tells whether the IOMMU is on, and how to turn it on.",
        ));
    }
    let chosen = view.addresses();
    let mut wrong = Vec::new();
    let mut good = Vec::new();
    for function in view.present() {
        let Some(group) = function.group.and_then(|id| view.facts.group(id)) else {
            wrong.push(format!("{} is in no group", function.address));
            continue;
        };
        for blocker in blockers(view.facts, group, &chosen) {
            let other = blocker.function;
            let line = format!(
                "group {}: {} ({}) is on {}",
                group.id,
                other.address,
                other.label(),
                other.driver.as_deref().unwrap_or("no driver")
            );
            if !wrong.contains(&line) {
                wrong.push(line);
            }
        }
        let line = format!("group {}", group.id);
        if !good.contains(&line) {
            good.push(line);
        }
    }
    Some(if wrong.is_empty() {
        check.yes(good)
    } else {
        check.no(
            wrong,
            format!(
                "What belongs to the card goes with it: sudo passthru vm edit {} --add-gpu ADDR, and \
                 --with ADDR for others of its group. passthru plan --gpu ADDR tells whether they \
                 can go.",
                view.name
            ),
        )
    })
}

/// Cards of which the guest has a part, each with its functions.
fn cards(view: &View<'_, '_>) -> BTreeMap<Address, Vec<Address>> {
    let mut cards = BTreeMap::new();
    for function in view.present() {
        let whole = card::functions_of(view.facts, function.address);
        let display = |&&at: &&Address| {
            view.facts
                .function(at)
                .is_some_and(|f| f.class.is_display())
        };
        if let Some(&first) = whole.iter().find(display) {
            cards.insert(first, whole);
        }
    }
    cards
}

pub(super) fn whole(view: &View<'_, '_>) -> Vec<Finding> {
    let owned = view.addresses();
    let finding = |(card, functions): (Address, Vec<Address>)| {
        let check = check(
            format!("guest.card.whole:{card}"),
            format!("The guest has all functions of the card at {card}"),
            Severity::Warning,
            "A function that stays behind keeps a driver of the host on the card, which can stop its \
             reset and with it the guest's next start.",
        );
        let missing = functions.iter().filter(|at| !owned.contains(at));
        let missing: Vec<String> = missing
            .filter_map(|&at| view.facts.function(at))
            .map(|f| format!("{} ({}) is not in the domain", f.address, f.class.word()))
            .collect();
        if missing.is_empty() {
            check.yes([format!("{} functions", functions.len())])
        } else {
            check.no(
                missing,
                format!("sudo passthru vm edit {} --add-gpu {card}", view.name),
            )
        }
    };
    cards(view).into_iter().map(finding).collect()
}

pub(super) fn together(view: &View<'_, '_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (card, functions) in cards(view) {
        // What is in one slot of the host is in one slot of the guest; a card's own switch has more.
        let parts: Vec<_> = view
            .owned
            .iter()
            .filter(|one| functions.contains(&one.host) && one.host.slot() == card.slot())
            .collect();
        if parts.len() < 2 {
            continue;
        }
        let check = check(
            format!("guest.card.together:{card}"),
            format!("The functions of the card at {card} are one device of the guest"),
            Severity::Warning,
            "Drivers look for the other functions beside theirs, and a card in several slots is \
             reset in parts.",
        );
        let again = format!(
            "sudo passthru vm edit {} --remove-gpu {card} --add-gpu {card}",
            view.name
        );
        let places: Vec<Address> = parts.iter().filter_map(|one| one.place).collect();
        let seen = parts.iter().map(|one| match one.place {
            Some(place) => format!("{} is at {place} in the guest", one.host),
            None => format!(
                "{} has no address in the guest: libvirt gives it a slot of its own",
                one.host
            ),
        });
        let seen: Vec<String> = seen.collect();
        let Some(&first) = places.first() else {
            findings.push(check.no(seen, again));
            continue;
        };
        let one_slot =
            places.len() == parts.len() && places.iter().all(|place| place.slot() == first.slot());
        let zero = parts.iter().find(|one| {
            one.place
                .is_some_and(|place| place.slot() == first.slot() && place.function == 0)
        });
        let several = zero
            .and_then(|one| one.place_node())
            .is_some_and(|node| node.attribute("multifunction") == Some("on"));
        findings.push(if one_slot && several {
            check.yes(seen)
        } else if one_slot && zero.is_some() {
            let mut seen = seen;
            seen.push("function 0 does not say multifunction='on'".into());
            check.no(seen, again)
        } else {
            check.no(seen, again)
        });
    }
    findings
}
