//! Memory of a domain in huge pages.

use alloc::{format, string::String};

use super::{
    super::{
        element::Element,
        existing::{child, memory},
        hugepages::{self, PAGE_1G},
        memory::NodeShare,
        plan::refusal,
    },
    Job,
};

pub(super) fn add(job: &mut Job<'_, '_>) {
    let backing = child(job.domain, "memoryBacking");
    if backing.is_some_and(|backing| child(backing, "hugepages").is_some()) {
        return;
    }
    let Some(kib) = memory(job.domain) else {
        job.draft.refuse(
            "guest.edit.memory",
            "How much memory the guest has cannot be told from its XML.",
            "Give it a <memory> first: virsh setmaxmem NAME SIZE --config.",
        );
        return;
    };
    let page = hugepages::page(job.facts, kib).map_err(|odd| {
        // The size is the guest's own here, not an argument.
        let way_out = format!("{} virsh setmaxmem NAME SIZE --config.", odd.way_out);
        refusal(&odd.id, odd.why, way_out)
    });
    let Some(page) = job.draft.check(page) else {
        return;
    };
    let (size, unit) = if page == PAGE_1G {
        (1, "GiB")
    } else {
        (2, "MiB")
    };
    let element =
        Element::new("hugepages").child(Element::new("page").with("size", size).with("unit", unit));
    match backing {
        Some(backing) => job.splices.insert_in(backing, &element),
        None => job.add(
            "memoryBacking",
            &Element::new("memoryBacking").child(element),
        ),
    }
    let pages = hugepages::plan(job.facts, page, &[NodeShare { node: None, kib }]);
    let words: String = pages.words.join(" ");
    job.draft.note(
        "guest.edit.hugepages",
        format!(
            "The guest starts only while the host has {} free pages of {size} {unit}. These words on \
             the host's kernel command line set them aside at boot: {words}.",
            pages.count
        ),
    );
}

pub(super) fn remove(job: &mut Job<'_, '_>) {
    let Some(backing) = child(job.domain, "memoryBacking") else {
        return;
    };
    let Some(pages) = child(backing, "hugepages") else {
        return;
    };
    // What is left empty says nothing; a remark in it may.
    let others = backing
        .children()
        .any(|node| node != pages && (node.is_element() || node.is_comment()));
    job.splices.remove(if others { pages } else { backing });
}
