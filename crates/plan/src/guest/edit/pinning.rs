//! A domain's CPUs on cores of the host: only what pins, counts and describes them is touched.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use roxmltree::Node;

use super::{
    super::{
        CoreWish, Pinning, Wanted,
        element::Element,
        existing::{self, child, children, hostdevs, number},
        pinning, xml,
    },
    Job,
};

/// What pins a thread.
const PINS: [&str; 3] = ["vcpupin", "emulatorpin", "iothreadpin"];

pub(super) fn pin(job: &mut Job<'_, '_>, cpus: Option<u32>, cores: CoreWish) {
    let Some(has) = existing::vcpus(job.domain) else {
        job.draft.refuse(
            "guest.edit.cpus",
            "How many CPUs the guest has cannot be told from its XML.",
            "Say how many it should have: --cpus N.",
        );
        return;
    };
    let wanted = cpus.unwrap_or(has);
    let near = hostdevs(job.domain)
        .into_iter()
        .map(|one| one.host)
        .find(|&host| {
            job.facts
                .function(host)
                .is_some_and(|f| f.class.is_display())
        });
    let planned = pinning::plan(
        job.facts,
        &Wanted {
            cpus: Some(wanted),
            near,
            cores,
        },
    );
    let Some(pinning) = job.draft.check(planned) else {
        return;
    };
    let cpu = child(job.domain, "cpu");
    let own_nodes = cpu.is_some_and(|cpu| child(cpu, "numa").is_some());
    if wanted != has && (own_nodes || child(job.domain, "vcpus").is_some()) {
        job.draft.refuse(
            "guest.edit.cpus.described",
            format!(
                "The guest has {has} CPUs, and its XML describes each (<numa> or <vcpus>): with \
                 {wanted} that would no longer be true."
            ),
            format!(
                "Leave out --cpus, or take that description out first: sudo virsh edit {}.",
                job.name
            ),
        );
        return;
    }
    count(job, wanted);
    tune(job, &pinning);
    memory(job, &pinning);
    describe(job, &pinning);
}

/// `<vcpu>`.
fn count(job: &mut Job<'_, '_>, cpus: u32) {
    let Some(vcpu) = child(job.domain, "vcpu") else {
        if cpus != 1 {
            job.add("vcpu", &xml::vcpu(cpus as usize));
        }
        return;
    };
    job.splices.set_text(vcpu, &cpus.to_string());
    if vcpu.attribute("placement") == Some("auto") {
        // numad would choose, and libvirt takes no pins beside it.
        job.splices.set_attribute(vcpu, "placement", "static");
    }
    if vcpu
        .attribute("current")
        .and_then(number)
        .is_some_and(|now| now != cpus)
    {
        job.splices.remove_attribute(vcpu, "current");
    }
}

/// `<cputune>`: pins alone, each where an equal one is not there yet.
fn tune(job: &mut Job<'_, '_>, pinning: &Pinning) {
    let threads = child(job.domain, "iothreads")
        .and_then(|threads| threads.text()?.trim().parse().ok())
        .unwrap_or(0_u32);
    let pins = wanted(job.domain, pinning, threads);
    let Some(tune) = child(job.domain, "cputune") else {
        let elements = pins.into_iter().map(|pin| pin.element);
        job.add("cputune", &Element::new("cputune").children(elements));
        return;
    };
    let old: Vec<Node<'_, '_>> = tune
        .children()
        .filter(|&node| PINS.iter().any(|name| existing::is(node, name)))
        .collect();
    for &node in &old {
        let same = |pin: &&Pin| existing::is(node, pin.name) && pin.id == id(node);
        match pins.iter().find(same) {
            // What pins the same CPUs in other words stays.
            Some(pin)
                if node.attribute("cpuset").and_then(existing::cpuset)
                    == existing::cpuset(&pin.cpus) => {}
            Some(pin) => job.splices.set_attribute(node, "cpuset", &pin.cpus),
            None => job.splices.remove(node),
        }
    }
    for pin in &pins {
        let there = |node: &&Node<'_, '_>| existing::is(**node, pin.name) && id(**node) == pin.id;
        if old.iter().any(|node| there(&node)) {
            continue;
        }
        let alike = old.iter().rev().find(|&&node| existing::is(node, pin.name));
        match alike.or(old.last()) {
            Some(&node) => job.splices.insert_after(node, &pin.element),
            None => job.splices.insert_in(tune, &pin.element),
        }
    }
}

/// One `<…pin>`.
struct Pin {
    name: &'static str,
    id: Option<u32>,
    cpus: String,
    element: Element,
}

fn id(node: Node<'_, '_>) -> Option<u32> {
    let id = node
        .attribute("vcpu")
        .or_else(|| node.attribute("iothread"));
    id.and_then(number)
}

/// Every virtual CPU, QEMU itself, and the I/O threads that the domain has.
fn wanted(domain: Node<'_, '_>, pinning: &Pinning, threads: u32) -> Vec<Pin> {
    let pin = |name, of: Option<(&'static str, u32)>, cpus: String| {
        let mut element = Element::new(name);
        if let Some((attribute, id)) = of {
            element = element.with(attribute, id);
        }
        Pin {
            name,
            id: of.map(|(_, id)| id),
            element: element.with("cpuset", &cpus),
            cpus,
        }
    };
    let mut pins: Vec<Pin> = (0_u32..)
        .zip(&pinning.vcpus)
        .map(|(vcpu, cpu)| pin("vcpupin", Some(("vcpu", vcpu)), cpu.to_string()))
        .collect();
    pins.push(pin("emulatorpin", None, pinning.emulator.to_string()));
    // Threads may have numbers of their own.
    let named: Vec<u32> = child(domain, "iothreadids")
        .into_iter()
        .flat_map(|ids| children(ids, "iothread"))
        .filter_map(|thread| thread.attribute("id").and_then(number))
        .collect();
    let ids = if named.is_empty() {
        (1..=threads).collect()
    } else {
        named
    };
    for id in ids {
        pins.push(pin(
            "iothreadpin",
            Some(("iothread", id)),
            pinning.io.to_string(),
        ));
    }
    pins
}

/// `<numatune>`: memory beside the CPUs, on a host with several nodes.
fn memory(job: &mut Job<'_, '_>, pinning: &Pinning) {
    let Some(element) = xml::numatune(pinning, None) else {
        return;
    };
    let nodes: Vec<String> = pinning
        .nodes
        .iter()
        .map(|node| node.node.to_string())
        .collect();
    let nodes = nodes.join(",");
    let Some(tune) = child(job.domain, "numatune") else {
        job.add("numatune", &element);
        return;
    };
    let Some(memory) = child(tune, "memory") else {
        // Only the guest's own nodes are bound, which stays.
        return;
    };
    let mode = memory.attribute("mode").unwrap_or("strict");
    if mode == "interleave" || mode == "strict" && !holds(job, pinning) {
        job.draft.note(
            "guest.edit.pin.memory",
            "Where the guest's memory lies is left as it is (<numatune>): it is spread over nodes on \
             purpose, or the nodes of its CPUs alone do not hold it. virsh edit changes it.",
        );
        return;
    }
    if memory.attribute("placement") == Some("auto") {
        job.splices.remove_attribute(memory, "placement");
        job.splices.set_attribute(memory, "nodeset", &nodes);
    } else if memory.attribute("nodeset").and_then(existing::cpuset) != existing::cpuset(&nodes) {
        job.splices.set_attribute(memory, "nodeset", &nodes);
    }
}

/// The nodes of the CPUs hold the guest's memory, and that is certain.
fn holds(job: &Job<'_, '_>, pinning: &Pinning) -> bool {
    let total = |id| job.facts.topology.node(id)?.total_kib.value().copied();
    let all: Option<Vec<u64>> = pinning.nodes.iter().map(|node| total(node.node)).collect();
    let needed = existing::memory(job.domain);
    all.zip(needed)
        .is_some_and(|(all, needed)| needed <= all.iter().sum())
}

/// What the guest sees of its CPUs: `<cpu>`.
fn describe(job: &mut Job<'_, '_>, pinning: &Pinning) {
    let vendor = job.facts.machine.cpu.vendor;
    let Some(cpu) = child(job.domain, "cpu") else {
        let element = xml::cpu(xml::Cpu::pinned(pinning, None, vendor));
        job.add("cpu", &element);
        return;
    };
    let t = pinning.topology;
    let parts = [
        ("sockets", t.sockets),
        ("dies", t.dies),
        ("cores", t.cores),
        ("threads", t.threads),
    ];
    match child(cpu, "topology") {
        Some(old) => {
            for (name, n) in parts {
                let has = old.attribute(name).and_then(number);
                // Without dies there is one.
                if has.unwrap_or(1) != n || (has.is_none() && name != "dies") {
                    job.splices.set_attribute(old, name, &n.to_string());
                }
            }
            if old
                .attribute("clusters")
                .and_then(number)
                .is_some_and(|n| n != 1)
            {
                job.splices.set_attribute(old, "clusters", "1");
            }
        }
        None => {
            let with = |element: Element, (name, n): (&'static str, u32)| element.with(name, n);
            let element = parts.into_iter().fold(Element::new("topology"), with);
            in_cpu(job, cpu, &["model", "vendor"], &element);
        }
    }
    if cpu.attribute("mode") != Some("host-passthrough") {
        job.draft.note(
            "guest.edit.cpu.model",
            "The guest sees another processor than the host's (its <cpu> is not host-passthrough), \
             so nothing is said of caches.",
        );
        return;
    }
    let cache = pinning.cache.element();
    match child(cpu, "cache") {
        Some(old) if old.attribute("mode") == Some(pinning.cache.mode()) => {}
        Some(old) => job.splices.replace(old, &cache),
        None => in_cpu(job, cpu, &["model", "vendor", "topology"], &cache),
    }
    if xml::topoext(t, vendor) {
        let mut features = children(cpu, "feature");
        match features.find(|feature| feature.attribute("name") == Some("topoext")) {
            Some(feature) => job.splices.set_attribute(feature, "policy", "require"),
            None => {
                let order = [
                    "model",
                    "vendor",
                    "topology",
                    "cache",
                    "maxphysaddr",
                    "feature",
                ];
                let feature = Element::new("feature")
                    .with("policy", "require")
                    .with("name", "topoext");
                in_cpu(job, cpu, &order, &feature);
            }
        }
    }
}

/// Into `<cpu>`, behind the elements that libvirt's schema wants before it.
fn in_cpu(job: &mut Job<'_, '_>, cpu: Node<'_, '_>, before: &[&str], element: &Element) {
    let earlier = cpu
        .children()
        .rfind(|&node| before.iter().any(|name| existing::is(node, name)));
    match (earlier, cpu.first_element_child()) {
        (Some(earlier), _) => job.splices.insert_after(earlier, element),
        (None, Some(first)) => job.splices.insert_before(first, element),
        (None, None) => job.splices.insert_in(cpu, element),
    }
}

pub(super) fn unpin(job: &mut Job<'_, '_>) {
    if let Some(tune) = child(job.domain, "cputune") {
        let is_pin = |node: Node<'_, '_>| PINS.iter().any(|name| existing::is(node, name));
        // What is left empty says nothing; a remark in it may.
        let others = tune
            .children()
            .any(|node| (node.is_element() && !is_pin(node)) || node.is_comment());
        if others {
            for node in tune.children().filter(|&node| is_pin(node)) {
                job.splices.remove(node);
            }
        } else {
            job.splices.remove(tune);
        }
    }
    if let Some(vcpu) = child(job.domain, "vcpu") {
        job.splices.remove_attribute(vcpu, "cpuset");
    }
}
