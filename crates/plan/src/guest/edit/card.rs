//! A card of the host in a domain: all of its functions, behind one root port of the guest.

use alloc::{format, string::String, vec::Vec};

use roxmltree::Node;

use super::{
    super::{
        assign,
        devices::{function_element, slot_elements},
        element::Element,
        existing::{self, Hostdev, devices, hostdevs, number},
        spec::{Assigned, Os, Slot, Wish},
    },
    Job,
};
use crate::{Selector, card, pci::Address};

pub(super) fn add(job: &mut Job<'_, '_>, selector: Selector, with: &[Selector]) {
    if !existing::is_q35(job.domain) {
        job.draft.refuse(
            "guest.edit.machine",
            format!(
                "The guest's machine is {:?}. A card wants PCI Express, which q35 has.",
                existing::machine(job.domain)
            ),
            "A system that is installed keeps running on q35 if it starts by UEFI: sudo passthru vm \
             new … --disk ITS-DISK makes a guest with that disk.",
        );
        return;
    }
    let owned = hostdevs(job.domain);
    allowed(job, selector, with, &owned);
    if job.draft.is_refused() {
        return;
    }
    let mut functions = card::functions_of(job.facts, selector.address);
    functions.extend(with.iter().map(|other| other.address));
    functions.sort_unstable();
    functions.dedup();
    // Where the guest sees the parts of the card that it has.
    let mut ports = Ports::of(job.domain);
    for slot in assign::by_slot(&functions) {
        let of = |host: Address| owned.iter().find(|one| one.host == host);
        let there: Vec<_> = slot
            .functions
            .iter()
            .filter_map(|one| of(one.host))
            .collect();
        if there.is_empty() {
            new_slot(job, &mut ports, &slot);
        } else if there.len() < slot.functions.len() {
            complete(job, &slot, &there);
        } else if there.len() > 1 && together(&there).is_none() {
            job.draft.note(
                "guest.edit.card.apart",
                format!(
                    "The guest has all of the card, but not in one slot; some drivers look for the \
                     other functions beside theirs. --remove-gpu {0} --add-gpu {0} puts them \
                     together.",
                    selector.address
                ),
            );
        }
    }
}

/// The rules of a new guest, with what this one has already.
fn allowed(
    job: &mut Job<'_, '_>,
    selector: Selector,
    with: &[Selector],
    owned: &[Hostdev<'_, '_>],
) {
    let mut wish = Wish::new("edited", Os::Other, 0, selector);
    let known = owned.iter().map(|one| one.host);
    wish.with = known
        .filter(|&host| {
            job.facts
                .function(host)
                .is_some_and(|f| !f.class.is_bridge())
        })
        .map(Selector::at)
        .chain(with.iter().copied())
        .collect();
    assign::slots(job.draft, job.facts, &wish);
}

fn new_slot(job: &mut Job<'_, '_>, ports: &mut Ports, slot: &Slot) {
    let (bus, fresh) = ports.take();
    if fresh {
        let port = Element::new("controller")
            .with("type", "pci")
            .with("index", bus)
            .with("model", "pcie-root-port");
        job.add_device("controller", &port);
    }
    for element in slot_elements(bus, slot) {
        job.add_device("hostdev", &element);
    }
}

/// The missing functions beside those that are there.
fn complete(job: &mut Job<'_, '_>, slot: &Slot, there: &[&Hostdev<'_, '_>]) {
    let missing: Vec<&Assigned> = slot
        .functions
        .iter()
        .filter(|one| there.iter().all(|have| have.host != one.host))
        .collect();
    let names: Vec<String> = missing.iter().map(|one| format!("{}", one.host)).collect();
    let used = places(job.domain);
    let place = together(there).filter(|place| {
        missing.iter().all(|one| {
            let mut own = *place;
            own.function = one.function;
            !used.contains(&own)
        })
    });
    let Some(place) = place else {
        job.draft.refuse(
            "guest.edit.card.apart",
            format!(
                "The guest has part of the card, without {}, and there is no place beside the parts \
                 that it has.",
                names.join(", ")
            ),
            format!(
                "Take it out and put it in again, in one go: --remove-gpu {0} --add-gpu {0}.",
                there.first().map_or(slot_of(slot), |one| one.host)
            ),
        );
        return;
    };
    for one in missing {
        let mut own = place;
        own.function = one.function;
        job.add_device("hostdev", &function_element(one.host, own, true));
    }
    // Function 0 says that there are others (PCI's header type).
    for have in there {
        if have.place.is_some_and(|place| place.function == 0)
            && let Some(address) = have.place_node()
        {
            job.splices.set_attribute(address, "multifunction", "on");
        }
    }
}

fn slot_of(slot: &Slot) -> Address {
    slot.functions
        .first()
        .map_or(Address::new(0, 0, 0, 0), |one| one.host)
}

/// The slot of the guest in which all of them are, with function 0 among them.
fn together(hostdevs: &[&Hostdev<'_, '_>]) -> Option<Address> {
    let first = hostdevs.first()?.place?;
    let places = || hostdevs.iter().map(|one| one.place);
    let one_slot = places().all(|place| place.is_some_and(|place| place.slot() == first.slot()));
    let has_zero = places().any(|place| place.is_some_and(|place| place.function == 0));
    (one_slot && has_zero).then_some(first)
}

pub(super) fn remove(job: &mut Job<'_, '_>, address: Address) {
    let functions = card::functions_of(job.facts, address);
    let of_card = |host: Address| {
        if functions.is_empty() {
            host.slot() == address.slot()
        } else {
            functions.contains(&host)
        }
    };
    let mut any = false;
    for one in hostdevs(job.domain) {
        if of_card(one.host) {
            any = true;
            job.splices.remove(one.node);
        }
    }
    if !any {
        job.draft.note(
            "guest.edit.card.absent",
            format!("The guest has nothing of the card at {address}."),
        );
    }
}

/// Places of the guest's PCI devices.
fn places(domain: Node<'_, '_>) -> Vec<Address> {
    domain
        .descendants()
        .filter(|&node| {
            // In a source it is the host's.
            existing::is(node, "address")
                && node.attribute("type") == Some("pci")
                && node
                    .parent()
                    .is_some_and(|parent| !existing::is(parent, "source"))
        })
        .filter_map(existing::address)
        .collect()
}

/// Root ports of the guest.
struct Ports {
    free: Vec<usize>,
    next: usize,
}

impl Ports {
    fn of(domain: Node<'_, '_>) -> Self {
        let index = |node: Node<'_, '_>| node.attribute("index").and_then(number);
        let buses: Vec<u32> = places(domain).iter().map(|at| u32::from(at.bus)).collect();
        let pci =
            || devices(domain, "controller").filter(|node| node.attribute("type") == Some("pci"));
        let ports = pci().filter(|node| node.attribute("model") == Some("pcie-root-port"));
        let free = ports
            .filter_map(index)
            .filter(|port| !buses.contains(port))
            .filter_map(|port| usize::try_from(port).ok());
        let last = pci().filter_map(index).chain(buses.iter().copied()).max();
        let mut free: Vec<usize> = free.collect();
        free.sort_unstable();
        free.reverse();
        Self {
            free,
            next: last.map_or(1, |last| last as usize + 1),
        }
    }

    /// The lowest free bus, or a new one.
    fn take(&mut self) -> (usize, bool) {
        if let Some(bus) = self.free.pop() {
            return (bus, false);
        }
        self.next += 1;
        (self.next - 1, true)
    }
}
