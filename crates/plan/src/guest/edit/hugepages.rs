//! Memory of a domain in huge pages.

use alloc::{format, string::String};

use roxmltree::Node;

use super::{
    super::{
        element::Element,
        existing::{self, child, children, memory},
        hugepages::{self, PAGE_1G, PageSize},
        node::{cells, page_kib},
        plan::refusal,
        xml,
    },
    Job,
};

pub(super) fn add(job: &mut Job<'_, '_>, wanted: PageSize) {
    let backing = child(job.domain, "memoryBacking");
    let there = backing.and_then(|backing| child(backing, "hugepages"));
    if there.is_some() && wanted == PageSize::Largest {
        return;
    }
    let Some(kib) = memory(job.domain) else {
        job.draft.refuse(
            "guest.edit.memory",
            "How much memory the guest has cannot be told from its XML.",
            format!(
                "Give it a <memory> first: sudo virsh setmaxmem {} SIZE --config.",
                job.name
            ),
        );
        return;
    };
    // Each of the guest's own nodes is whole pages.
    let parts = cells(job.domain).into_iter().fold(kib, gcd);
    let page = hugepages::page(job.facts, parts, wanted).map_err(|odd| {
        // The size is the guest's own here, not an argument.
        let more = if odd.id == "guest.memory.odd" {
            format!(" sudo virsh setmaxmem {} SIZE --config.", job.name)
        } else {
            String::new()
        };
        refusal(&odd.id, odd.why, format!("{}{more}", odd.way_out))
    });
    let Some(page) = job.draft.check(page) else {
        return;
    };
    let pages = xml::hugepages(page);
    match (backing, there) {
        (Some(backing), there) => {
            match there {
                Some(there) if is(there, page) => {}
                Some(there) => job.splices.replace(there, &pages),
                None => job.splices.insert_in(backing, &pages),
            }
            source(job, backing);
        }
        (None, _) => job.add(
            "memoryBacking",
            &Element::new("memoryBacking")
                .child(pages)
                .child(xml::memfd()),
        ),
    }
    let card = existing::hostdevs(job.domain).first().map(|one| one.host);
    job.draft.note(
        "guest.edit.hugepages",
        format!(
            "The guest starts only while the host has {} free pages of {}. At every boot it has them \
             with {}; sudo passthru vm start {} --allocate-hugepages looks for them when the guest \
             starts.",
            kib.div_ceil(page),
            if page == PAGE_1G { "1 GiB" } else { "2 MiB" },
            hugepages::set_aside(card, kib, page),
            job.name
        ),
    );
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub(super) fn remove(job: &mut Job<'_, '_>) {
    let Some(backing) = child(job.domain, "memoryBacking") else {
        return;
    };
    let Some(pages) = child(backing, "hugepages") else {
        return;
    };
    // For memory that nobody shares it is there for the pages alone.
    let source = child(backing, "source")
        .filter(|source| source.attribute("type") == Some("memfd"))
        .filter(|_| child(backing, "access").is_none());
    // What is left empty says nothing; a remark in it may.
    let others = backing.children().any(|node| {
        node != pages && Some(node) != source && (node.is_element() || node.is_comment())
    });
    if !others {
        job.splices.remove(backing);
        return;
    }
    job.splices.remove(pages);
    if let Some(source) = source {
        job.splices.remove(source);
    }
}

/// All of them are of that size.
fn is(pages: Node<'_, '_>, kib: u64) -> bool {
    let mut all = children(pages, "page");
    all.next().and_then(page_kib) == Some(kib) && all.next().is_none()
}

/// Huge pages that need no mount. A source of the user's own stays, unless no huge pages go with it.
fn source(job: &mut Job<'_, '_>, backing: Node<'_, '_>) {
    match child(backing, "source") {
        None => job.splices.insert_in(backing, &xml::memfd()),
        Some(source) if source.attribute("type") == Some("anonymous") => {
            job.splices.set_attribute(source, "type", "memfd");
        }
        Some(_) => {}
    }
}
