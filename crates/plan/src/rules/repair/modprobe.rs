//! Files of modprobe.d: blacklists, a list of ids that a blank cut, devices kept for pci-stub, and
//! files that nothing reads.

use alloc::{format, string::String, vec::Vec};

use super::{
    Texts,
    blacklists::{self, Needs, Verdict},
};
use crate::{
    facts::Facts,
    rules::stack::foreign::is_shadowed,
    text::modprobe::{self, Edit},
};

const DIRECTORY: &str = "/etc/modprobe.d/";

/// modprobe reads the file (modprobe.d(5)).
pub(crate) fn is_read(path: &str) -> bool {
    path.contains("/modprobe.d/") && path.ends_with(".conf")
}

/// The file is about vfio, and modprobe does not read it for its name. Names by which people and
/// package managers set files aside are no mistake.
pub(crate) fn is_unread(path: &str, text: &str) -> bool {
    path.starts_with(DIRECTORY)
        && !path.ends_with(".conf")
        && !is_set_aside(path)
        && text.contains("vfio")
}

/// Names of copies: editors', package managers', and those that people give.
pub(super) fn is_set_aside(path: &str) -> bool {
    const ENDINGS: [&str; 9] = [
        "~",
        ".bak",
        ".backup",
        ".old",
        ".orig",
        ".save",
        ".rpmnew",
        ".rpmsave",
        ".disabled",
    ];
    let name = path.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
        || [".dpkg-", ".ucf-", ".pacnew", ".pacsave"]
            .iter()
            .any(|mark| name.contains(mark))
}

const BLACKLIST: &str =
    "a blacklist works for all devices of a driver, and the host needs this one";
const BLANK: &str = "a blank ends the list of ids, and what stood behind it was not bound";
const STUB: &str = "pci-stub takes every device with these ids at boot, before vfio-pci can";

/// Repairs every file that is read. What stands in files outside /etc is said, not changed.
pub(super) fn repair(facts: &Facts, needs: &Needs, texts: &mut Texts<'_>) {
    for (path, file) in &facts.files {
        let Some(text) = file.text.value().filter(|_| is_read(path)) else {
            continue;
        };
        let (after, why) = repaired(path, text, needs, &mut |module| texts.spare(path, module));
        if path.starts_with("/etc/") {
            texts.set(path, after, &why, true);
        } else if after != *text && !is_shadowed(facts, path) {
            texts.foreign(path);
        }
    }
}

/// The text as it should be, and what was done.
fn repaired(
    path: &str,
    text: &str,
    needs: &Needs,
    spare: &mut dyn FnMut(&str),
) -> (String, Vec<String>) {
    let mut why: Vec<String> = Vec::new();
    let mut say = |reason: String| {
        if !why.contains(&reason) {
            why.push(reason);
        }
    };
    let parsed = modprobe::directives(text);
    let mut gone: Vec<usize> = Vec::new();
    for directive in &parsed {
        let Some(kept) = blacklists::by_directive(directive) else {
            continue;
        };
        match needs.verdict(kept.module, Some(path)) {
            Verdict::Goes => {
                gone.push(directive.line);
                say(format!("{}: {BLACKLIST}", kept.module));
            }
            Verdict::Spare => spare(kept.module),
            Verdict::Stays => {}
        }
    }
    let mut after = modprobe::edited(text, |directive, raw| {
        if gone.contains(&directive.line) {
            return Edit::Goes;
        }
        match modprobe::joined_ids(raw).filter(|_| directive.is("options", "vfio-pci")) {
            Some(joined) => Edit::Becomes(joined),
            None => Edit::Stays,
        }
    });
    if parsed.iter().any(|directive| {
        directive.is("options", "vfio-pci") && directive.arguments.windows(2).any(is_cut)
    }) {
        say(BLANK.into());
    }
    if let Some(without) = modprobe::without_option(&after, "pci_stub", "ids") {
        after = without;
        say(STUB.into());
    }
    (after, why)
}

/// A list of ids, and an id pair behind a blank.
fn is_cut(pair: &[String]) -> bool {
    use crate::text::{ids, kargs::same_name};
    let [list, next] = pair else { return false };
    let is_list = list
        .split_once('=')
        .is_some_and(|(name, _)| same_name(name, "ids"));
    is_list && ids::is_pair(next)
}

/// Takes away files about vfio that nothing reads: for a plan that does what they were written for.
pub(super) fn without_unread(facts: &Facts, texts: &mut Texts<'_>) {
    for (path, file) in &facts.files {
        if file.text.value().is_some_and(|text| is_unread(path, text)) {
            texts.remove(
                path,
                "its name does not end in .conf, so modprobe never read it; what it was written for is done by this plan",
            );
        }
    }
}

/// Files about vfio that nothing reads.
pub(super) fn unread(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.files.iter().filter_map(|(path, file)| {
        let text = file.text.value()?;
        is_unread(path, text).then_some(path.as_str())
    })
}
