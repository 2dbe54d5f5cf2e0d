//! modprobe.d rules: vfio-pci before any driver of the card, wherever that driver is loaded.

use alloc::{collections::BTreeSet, format, string::String};

use crate::{plan::BoundFunction, rules::Draft, text::modprobe};

/// The file.
pub(crate) const PATH: &str = "/etc/modprobe.d/passthru.conf";
/// Why it is written.
pub(super) const WHY: &str = "loads vfio-pci before any driver of the card, wherever that driver is loaded; by itself that binds nothing";

/// One softdep line for each driver that could bind a chosen function; lines for other cards that
/// an earlier plan wrote stay.
pub(super) fn text(draft: &Draft<'_>, bindings: &[BoundFunction]) -> String {
    let facts = draft.facts;
    let mut drivers: BTreeSet<String> = bindings
        .iter()
        .filter_map(|bound| facts.function(bound.function.address))
        .flat_map(|function| &function.candidates)
        .filter(|candidate| !candidate.builtin && !candidate.module.contains("vfio"))
        .map(|candidate| candidate.module.clone())
        .collect();
    for directive in facts
        .text(PATH)
        .map(modprobe::directives)
        .unwrap_or_default()
    {
        if directive.keyword == "softdep" {
            drivers.extend(directive.arguments.first().cloned());
        }
    }
    let mut text = String::from(
        "# Written by passthru: vfio-pci is loaded before these drivers. It binds only what the\n\
         # kernel command line names. Taken away by: passthru undo\n",
    );
    for driver in drivers {
        text.push_str(&format!("softdep {driver} pre: vfio-pci\n"));
    }
    text
}
