//! What could not be understood may belong to the card's group: no ground to act on.

use alloc::format;

use super::Draft;

pub(super) fn check(draft: &mut Draft<'_>) {
    let Some((first, more)) = draft.facts.unreadable.split_first() else {
        return;
    };
    let more = match more.len() {
        0 => "".into(),
        n => format!(", and {n} more"),
    };
    draft.refuse(
        "facts.unreadable",
        format!("Part of this host could not be read, and may belong to the card: {first}{more}."),
        "Look as root: sudo passthru devices. If it says the same, start the host once more; if it \
         stays, report that line to the makers of passthru.",
    );
}
