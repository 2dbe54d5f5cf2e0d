//! Kernel command lines, as `next_arg()` of the kernel reads them (lib/cmdline.c).
//!
//! Words are separated by white space; double quotes protect white space and are not part of the
//! value. Order is kept everywhere: `console=` and `hugepagesz=`/`hugepages=` depend on it.

use alloc::{string::String, vec::Vec};

/// One word of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word as it is written, quotes included.
    pub raw: &'a str,
}

impl<'a> Word<'a> {
    /// The parameter's name: what stands before the first `=`.
    pub fn name(self) -> &'a str {
        let name = self.raw.split_once('=').map_or(self.raw, |(name, _)| name);
        name.trim_matches('"')
    }

    /// The value without its quotes, if there is a `=`.
    pub fn value(self) -> Option<String> {
        let (name, value) = self.raw.split_once('=')?;
        // `"name=two words"` is quoted as a whole, `name="two words"` in its value only.
        let value = if name.starts_with('"') {
            value.trim_end_matches('"')
        } else {
            value
        };
        Some(value.chars().filter(|c| *c != '"').collect())
    }

    /// The parameter is `name`; `-` and `_` are the same in names (kernel-parameters.rst).
    pub fn is(self, name: &str) -> bool {
        same_name(self.name(), name)
    }
}

/// `-` and `_` are the same letter in parameter and module names.
pub fn same_name(a: &str, b: &str) -> bool {
    let fold = |b: u8| if b == b'-' { b'_' } else { b };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

/// The words of `text` for the kernel: those before a lone `--`, after which all goes to init.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    all_words(text).take_while(|word| word.raw != "--")
}

/// All words of `text`, those for init included.
pub fn all_words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = text;
    core::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_space);
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|&(_, c)| {
                quoted ^= c == '"';
                !quoted && is_space(c)
            })
            .map_or(rest.len(), |(i, _)| i);
        let (raw, tail) = rest.split_at(end);
        rest = tail;
        Some(Word { raw })
    })
}

// The kernel's isspace(): ASCII blanks only (and Latin-1 no-break space, which no loader writes).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Values of every occurrence of the parameter `name`, in order; a bare word gives an empty value.
pub fn values(text: &str, name: &str) -> Vec<String> {
    words(text)
        .filter(|word| word.is(name))
        .map(|word| word.value().unwrap_or_default())
        .collect()
}

/// The last value of the parameter `name`, which is the one that counts for most parameters.
pub fn last_value(text: &str, name: &str) -> Option<String> {
    values(text, name).pop()
}

/// `word` stands on the command line, whole; `-` and `_` are equal in its name.
pub fn has_word(text: &str, word: &str) -> bool {
    let wanted = Word { raw: word };
    words(text).any(|found| found.is(wanted.name()) && found.value() == wanted.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_protect_blanks() {
        let text = r#"root=UUID=1 dyndbg="file a +p; file b +p" "quiet=a b" ro"#;
        let found: Vec<_> = words(text).map(|w| w.raw).collect();
        assert_eq!(
            found,
            [
                "root=UUID=1",
                r#"dyndbg="file a +p; file b +p""#,
                r#""quiet=a b""#,
                "ro"
            ]
        );
        assert_eq!(
            last_value(text, "dyndbg").as_deref(),
            Some("file a +p; file b +p")
        );
        assert_eq!(last_value(text, "quiet").as_deref(), Some("a b"));
    }

    #[test]
    fn names_fold_dashes_but_values_do_not() {
        assert!(has_word("vfio_pci.ids=a-b", "vfio-pci.ids=a-b"));
        assert!(!has_word("vfio_pci.ids=a_b", "vfio-pci.ids=a-b"));
        assert!(!has_word("quiet -- single", "single"));
    }

    #[test]
    fn the_last_value_counts() {
        assert_eq!(
            last_value("intel_iommu=off quiet intel_iommu=on", "intel_iommu").as_deref(),
            Some("on")
        );
        assert_eq!(values("nointremap", "nointremap"), [""]);
    }

    proptest! {
        #[test]
        fn words_are_the_text_without_its_blanks(text in "[ a-z=\"\\-\t]{0,60}") {
            let mut rest = text.as_str();
            for word in all_words(&text) {
                let at = rest.find(word.raw).expect("words come in order");
                prop_assert!(rest[..at].chars().all(is_space));
                rest = &rest[at + word.raw.len()..];
            }
            prop_assert!(rest.chars().all(is_space));
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            for word in all_words(&text) {
                let _ = (word.name(), word.value());
            }
        }
    }
}
