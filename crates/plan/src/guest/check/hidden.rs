//! Does the domain hide from its guest that it is one?

use alloc::{format, string::String, vec::Vec};

use super::View;
use crate::{
    doctor::check::check,
    finding::{Finding, Severity},
    guest::edit::hidden,
};

pub(super) fn hides(view: &View<'_, '_>) -> Option<Finding> {
    let found: Vec<String> = hidden(view.domain)
        .map(|(parent, node)| format!("<{}><{}>", parent.tag_name().name(), node.tag_name().name()))
        .collect();
    if found.is_empty() {
        return None;
    }
    let check = check(
        "guest.hidden",
        "Nothing hides from the guest that it is one",
        Severity::Info,
        "It was the answer to Code 43 of NVIDIA's driver for Windows. Since version 465 (2021) no driver \
         of theirs needs it, AMD's and Intel's never did, and it costs the guest its faster clock and \
         interrupts. Code 43 today has other causes: the card's ROM, or a function that is missing.",
    );
    Some(check.no(
        found,
        format!(
            "sudo passthru vm edit {} --no-hide, unless the guest's NVIDIA driver is older than 465",
            view.name
        ),
    ))
}
