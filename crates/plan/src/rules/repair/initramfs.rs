//! Files that say what goes into the initramfs, and what is loaded at boot: modules that do not exist,
//! lines that belong elsewhere, and files that nothing reads.

use alloc::{string::String, vec::Vec};

use super::{Texts, modprobe::is_set_aside};
use crate::{
    facts::{Facts, Generator},
    text::{
        ids,
        kargs::{self, same_name},
        mkinitcpio, modprobe, shell,
    },
};

/// initramfs-tools: a module on each line, with its arguments (initramfs.conf(5)).
pub(crate) const MODULES: &str = "/etc/initramfs-tools/modules";
const VIRQFD: &str = "vfio_virqfd";
/// Directives of modprobe.d, which are no names of modules.
const DIRECTIVES: [&str; 5] = ["options", "softdep", "blacklist", "install", "alias"];
/// Lists of modules in dracut's files (dracut.conf(5)).
const DRACUT: [&str; 3] = ["add_drivers", "force_drivers", "omit_drivers"];

/// Modules that systemd loads, one on each line (modules-load.d(5)).
pub(crate) fn loads_modules(path: &str) -> bool {
    path == "/etc/modules" || path.starts_with("/etc/modules-load.d/")
}

/// A file of dracut's directory, read or not.
pub(crate) fn is_dracut(path: &str) -> bool {
    path == "/etc/dracut.conf" || path.starts_with("/etc/dracut.conf.d/")
}

/// Configuration of mkinitcpio.
pub(crate) fn is_mkinitcpio(path: &str) -> bool {
    path == "/etc/mkinitcpio.conf" || path.starts_with("/etc/mkinitcpio.conf.d/")
}

/// A line of initramfs-tools' modules that is one of modprobe.d: it asks for a module `options`.
pub(crate) fn is_directive(line: &str) -> bool {
    line.split_whitespace()
        .next()
        .is_some_and(|word| DIRECTIVES.contains(&word))
}

/// The line asks for vfio_virqfd, which is part of vfio since Linux 6.2 (drivers/vfio/Makefile).
pub(crate) fn asks_for_virqfd(line: &str) -> bool {
    line.contains(VIRQFD) || line.contains("vfio-virqfd")
}

/// No installed kernel has the module. Where one has it, it may be needed there.
pub(super) fn virqfd_is_gone(facts: &Facts) -> bool {
    let kernels = &facts.kernel.installed;
    !kernels.is_empty() && kernels.iter().all(|kernel| !kernel.has_vfio_virqfd)
}

/// dracut does not read the file for its name (dracut.conf(5)).
pub(crate) fn is_unread(path: &str) -> bool {
    path.starts_with("/etc/dracut.conf.d/")
        && !path.ends_with(".conf")
        && !path.to_ascii_lowercase().ends_with("/readme")
        && !is_set_aside(path)
}

const NO_MODULE: &str =
    "vfio_virqfd became part of vfio in Linux 6.2, and no kernel of this host has it as a module";
const NOT_A_MODULE: &str =
    "each line names a module, and \"options\" is none: the line did nothing";
const BLANK: &str = "a blank ends the list of ids, and what stood behind it was not bound";

/// Repairs every file that is read.
pub(super) fn repair(facts: &Facts, texts: &mut Texts<'_>) {
    let gone = virqfd_is_gone(facts);
    let generator = facts.boot.generator.value();
    for (path, file) in &facts.files {
        let Some(text) = file.text.value() else {
            continue;
        };
        let mut why = Vec::new();
        let mut after = text.clone();
        let mut step = |now: &mut String, next: Option<String>, reason: &str| {
            if let Some(next) = next.filter(|next| next != now) {
                *now = next;
                why.push(String::from(reason));
            }
        };
        let in_image = if path == MODULES {
            let without = without_lines(&after, |line| is_directive(line) && line.contains("vfio"));
            step(&mut after, Some(without), NOT_A_MODULE);
            let joined = with_joined_ids(&after);
            step(&mut after, Some(joined), BLANK);
            if gone {
                let without = without_lines(&after, names_virqfd);
                step(&mut after, Some(without), NO_MODULE);
            }
            generator == Some(&Generator::InitramfsTools)
        } else if !gone {
            continue;
        } else if loads_modules(path) {
            let without = without_lines(&after, names_virqfd);
            step(&mut after, Some(without), NO_MODULE);
            generator == Some(&Generator::Dracut)
        } else if is_dracut(path) && path.ends_with(".conf") {
            for name in DRACUT {
                for word in [VIRQFD, "vfio-virqfd"] {
                    let without = shell::remove_word(&after, name, word);
                    step(&mut after, without, NO_MODULE);
                }
            }
            generator == Some(&Generator::Dracut)
        } else if is_mkinitcpio(path) {
            let without = mkinitcpio::without_word(&after, "MODULES", VIRQFD);
            step(&mut after, without, NO_MODULE);
            for word in [VIRQFD, "vfio-virqfd"] {
                let without = shell::remove_word(&after, "MODULES", word);
                step(&mut after, without, NO_MODULE);
            }
            generator == Some(&Generator::Mkinitcpio)
        } else {
            continue;
        };
        why.dedup();
        texts.set(path, after, &why, in_image);
    }
}

/// Takes away dracut's files about vfio that nothing reads: for a plan that does what they were
/// written for.
pub(super) fn without_unread(facts: &Facts, texts: &mut Texts<'_>) {
    for path in unread(facts) {
        texts.remove(
            path,
            "its name does not end in .conf, so dracut never read it; what it was written for is done by this plan",
        );
    }
}

/// dracut's files about vfio that nothing reads.
pub(super) fn unread(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.files.iter().filter_map(|(path, file)| {
        let text = file.text.value()?;
        (is_unread(path) && text.contains("vfio")).then_some(path.as_str())
    })
}

/// The line's first word is the module.
fn names_virqfd(line: &str) -> bool {
    line.split_whitespace()
        .next()
        .is_some_and(|word| same_name(word, VIRQFD))
}

/// `text` without lines that go. Comments and all other lines keep their bytes.
fn without_lines(text: &str, goes: impl Fn(&str) -> bool) -> String {
    text.split_inclusive('\n')
        .filter(|line| !goes(line))
        .collect()
}

/// Lines `vfio-pci ids=a b` with a comma in place of the blank.
fn with_joined_ids(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let mut words = kargs::all_words(line).map(|word| word.raw);
            let vfio = words.next().is_some_and(|word| same_name(word, "vfio-pci"));
            let cut = words.any(ids::is_pair);
            (vfio && cut)
                .then(|| modprobe::joined_ids(line))
                .flatten()
                .unwrap_or_else(|| line.into())
        })
        .collect()
}
