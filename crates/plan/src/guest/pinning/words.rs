//! Sizes, numbers and kinds of cores in words.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};

use super::{Ask, cores::Class};
use crate::{
    facts::CoreKind,
    text::{cpulist::CpuSet, size},
};

/// The lowest online CPU, whose core is always the host's.
pub(super) fn boot(ask: &Ask<'_>) -> u32 {
    let core = ask.cores.all.iter().find(|core| core.boot);
    core.and_then(|core| core.cpus.first().copied())
        .unwrap_or(0)
}

/// A size such as `96 MiB` or `1280 KiB`.
pub(super) fn kib_text(kib: u64) -> String {
    match kib {
        0 => "unknown size".to_owned(),
        kib => size::kib_words(kib),
    }
}

pub(super) const fn word(kind: CoreKind) -> &'static str {
    match kind {
        CoreKind::Performance => "performance",
        CoreKind::Efficiency => "efficiency",
    }
}

pub(super) fn core_word(class: Class) -> String {
    class
        .kind
        .map_or("core".to_owned(), |kind| format!("{} core", word(kind)))
}

pub(super) fn core_word_threads(class: Class) -> String {
    match class.kind {
        Some(kind) => format!("{} core", word(kind)),
        None => format!("{}-thread core", class.threads),
    }
}

/// `1 core`, `2 cores`.
pub(super) fn plural(n: usize, word: &str) -> String {
    let n_text = n.to_string();
    format!("{n_text} {word}{}", if n == 1 { "" } else { "s" })
}

/// `CPU 0`, `CPUs 0-3`.
pub(super) fn cpus(set: &CpuSet) -> String {
    format!("CPU{} {set}", if set.len() == 1 { "" } else { "s" })
}
