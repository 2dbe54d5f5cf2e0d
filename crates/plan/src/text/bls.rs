//! Entries of the Boot Loader Specification, type 1
//! (<https://uapi-group.org/specifications/specs/boot_loader_specification/>).

use alloc::{format, string::String, vec::Vec};

use super::kargs;

/// The kernel command line of an entry: all its `options` lines, in order.
pub fn options(text: &str) -> String {
    let lines = text.lines().filter_map(|line| {
        let (key, value) = line.trim_start().split_once([' ', '\t'])?;
        (key == "options").then(|| value.trim())
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// What is wrong with a command line that should have `words` and none of `absent`.
pub fn mistakes(cmdline: &str, words: &[String], absent: &[String]) -> Vec<String> {
    let lacks = words
        .iter()
        .filter(|word| !kargs::has_word(cmdline, word))
        .map(|word| format!("its kernel command line lacks {word}"));
    let must_not = absent
        .iter()
        .filter(|word| kargs::has_word(cmdline, word))
        .map(|word| format!("its kernel command line must not carry {word}"));
    lacks.chain(must_not).collect()
}
