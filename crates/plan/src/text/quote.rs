//! Words for a shell: written so that it reads back the same words, and so that people can, too.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// A word as a POSIX shell reads it back, in quotes only where it needs them.
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// An argument vector as a person would type it.
pub fn command<T: AsRef<str>>(argv: &[T]) -> String {
    argv.iter()
        .map(|one| word(one.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The same over several lines: a line for each word that begins with a dash, with what follows it.
pub fn lines<T: AsRef<str>>(argv: &[T]) -> String {
    let mut text = String::new();
    for (i, one) in argv.iter().enumerate() {
        if i > 0 {
            text.push_str(if one.as_ref().starts_with('-') {
                " \\\n  "
            } else {
                " "
            });
        }
        text.push_str(&word(one.as_ref()));
    }
    text
}
