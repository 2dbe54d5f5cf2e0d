//! Entries of the Boot Loader Specification, type 1
//! (<https://uapi-group.org/specifications/specs/boot_loader_specification/>).
//!
//! An entry is never rendered from a model: an edit replaces words inside its `options` lines, and
//! every other byte stays.

use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use super::kargs;

/// The values of `key`, in order.
pub fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    ranges(text, key).map(|range| text[range].trim())
}

/// The last value of `key` that says something: what the loader keeps of a key that may stand once.
pub fn value<'a>(text: &'a str, key: &'a str) -> Option<&'a str> {
    values(text, key).filter(|value| !value.is_empty()).last()
}

/// The kernel command line of an entry: all its `options` lines, in order.
pub fn options(text: &str) -> String {
    values(text, "options").collect::<Vec<_>>().join(" ")
}

/// Byte ranges of the values of `key`.
fn ranges<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut at = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let body = line.trim_end_matches(['\n', '\r']);
        let rest = body.trim_start().strip_prefix(key)?;
        rest.starts_with([' ', '\t']).then(|| {
            let end = start + body.len();
            end - rest.len() + 1..end
        })
    })
}

/// The entry with `add` on its kernel command line, and without the words that go (see
/// [`kargs::edited`]).
pub fn with_words(text: &str, add: &[String], goes: impl Fn(&kargs::Word<'_>) -> bool) -> String {
    let pieces: Vec<Range<usize>> = ranges(text, "options").collect();
    if !pieces.is_empty() {
        return kargs::edited_pieces(text, &pieces, add, goes);
    }
    if add.is_empty() {
        return text.into();
    }
    let line_end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{line_end}options {}\n", add.join(" "))
}

/// The entry with words of its kernel command line put in place of others (see [`kargs::reworded`]).
pub fn reworded(text: &str, to: impl Fn(&kargs::Word<'_>) -> Option<String>) -> String {
    let pieces: Vec<Range<usize>> = ranges(text, "options").collect();
    kargs::reworded(text, &pieces, to)
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const ENTRY: &str = "# made by kernel-install\ntitle      Debian\noptions    root=UUID=1 ro\nlinux      /t/6.12/linux\ninitrd     /ucode\ninitrd\t/t/6.12/initrd\noptions\tquiet  splash\n";

    #[test]
    fn keys_and_values() {
        assert_eq!(value(ENTRY, "title"), Some("Debian"));
        assert_eq!(
            values(ENTRY, "initrd").collect::<Vec<_>>(),
            ["/ucode", "/t/6.12/initrd"]
        );
        assert_eq!(options(ENTRY), "root=UUID=1 ro quiet  splash");
        assert_eq!(value(ENTRY, "lin"), None);
    }

    #[test]
    fn words_come_last_and_nothing_else_moves() {
        let add = [String::from("a=1")];
        let with = with_words(ENTRY, &add, |word| word.is("ro"));
        assert_eq!(
            with,
            ENTRY
                .replace("UUID=1 ro", "UUID=1")
                .replace("splash", "splash a=1")
        );
        assert_eq!(
            with_words("title x", &add, |_| false),
            "title x\noptions a=1\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            options(&text);
            with_words(&text, &["a".into()], |_| false);
        }

        #[test]
        fn other_lines_stay_and_twice_is_once(
            lines in proptest::collection::vec("(title|linux|options|#|sort-key)( |\t)[a-z=,0-9]{0,8}( [a-z]{1,3}){0,3}\r?", 0..6),
            ends in any::<bool>(),
        ) {
            let mut text = lines.join("\n");
            if ends { text.push('\n'); }
            let add = vec![String::from("P.a=1"), String::from("P.b")];
            let once = with_words(&text, &add, |_| false);
            prop_assert_eq!(with_words(&once, &add, |_| false), once.clone());
            for word in &add {
                prop_assert!(kargs::has_word(&options(&once), word), "{}", once);
            }
            let others = |text: &str| -> Vec<String> {
                text.split_inclusive('\n').filter(|l| !l.starts_with("options")).map(|l| l.trim_end_matches('\n').into()).collect()
            };
            prop_assert_eq!(others(&once), others(&text));
            // What was added is taken out again, and nothing else.
            let back = with_words(&once, &[], |word| word.raw.starts_with("P."));
            if lines.iter().any(|line| line.starts_with("options")) {
                let words = |text: &str| -> Vec<String> {
                    kargs::all_words(&options(text)).map(|word| word.raw.into()).collect()
                };
                prop_assert_eq!(words(&back), words(&text));
            }
            let merged = crate::text::merge::take_back(&text, &once, &once);
            prop_assert_eq!(merged.text, text);
        }
    }
}
