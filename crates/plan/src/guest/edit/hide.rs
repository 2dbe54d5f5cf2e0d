//! Hiding from a guest that it is one (`<kvm><hidden>` and `<hyperv><vendor_id>`), and no longer.
//!
//! NVIDIA's driver for Windows stopped with Code 43 where it saw a guest, until version 465 (March
//! 2021); AMD's and Intel's never looked. The rest of the guest is slower for it.

use roxmltree::Node;

use super::{
    super::{
        element::Element,
        existing::{child, children},
        hyperv::VENDOR,
    },
    Job,
};

pub(super) fn add(job: &mut Job<'_, '_>) {
    let Some(features) = child(job.domain, "features") else {
        let features = Element::new("features").child(kvm());
        job.add("features", &features);
        return;
    };
    let on = |job: &mut Job<'_, '_>, parent: Node<'_, '_>, element: &Element, name| match child(
        parent, name,
    ) {
        Some(node) => job.splices.set_attribute(node, "state", "on"),
        None => job.splices.insert_in(parent, element),
    };
    match child(features, "kvm") {
        Some(node) => on(job, node, &hidden(), "hidden"),
        None => job.splices.insert_in(features, &kvm()),
    }
    // Without enlightenments nobody asks for their vendor.
    if let Some(hyperv) = child(features, "hyperv") {
        let vendor = Element::new("vendor_id")
            .with("state", "on")
            .with("value", VENDOR);
        on(job, hyperv, &vendor, "vendor_id");
        if let Some(node) = child(hyperv, "vendor_id").filter(|node| !node.has_attribute("value")) {
            job.splices.set_attribute(node, "value", VENDOR);
        }
    }
}

fn hidden() -> Element {
    Element::new("hidden").with("state", "on")
}

fn kvm() -> Element {
    Element::new("kvm").child(hidden())
}

pub(super) fn remove(job: &mut Job<'_, '_>) {
    for (parent, node) in found(job.domain) {
        // What is left empty says nothing; a remark or an attribute in it may.
        let others = parent
            .children()
            .any(|other| other != node && (other.is_element() || other.is_comment()));
        if others || parent.attributes().next().is_some() {
            job.splices.remove(node);
        } else {
            job.splices.remove(parent);
        }
    }
}

/// What hides something: the element, and the one that it is in.
pub(in super::super) fn found<'a, 'i>(
    domain: Node<'a, 'i>,
) -> impl Iterator<Item = (Node<'a, 'i>, Node<'a, 'i>)> {
    [("kvm", "hidden"), ("hyperv", "vendor_id")]
        .into_iter()
        .flat_map(move |(parent, name)| {
            let features = children(domain, "features");
            let parents = features.flat_map(move |features| children(features, parent));
            parents.flat_map(move |parent| children(parent, name).map(move |node| (parent, node)))
        })
        .filter(|(_, node)| node.attribute("state") != Some("off"))
}
