//! Kernel command lines, as `next_arg()` of the kernel reads them (lib/cmdline.c).
//!
//! Words are separated by white space; double quotes protect white space and are not part of the
//! value. Order is kept everywhere: `console=` and `hugepagesz=`/`hugepages=` depend on it.

use alloc::{string::String, vec::Vec};
use core::ops::Range;

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

/// Every quote is closed. After one that is not, the kernel takes all that follows for one word, so
/// nothing can be added there.
pub fn is_closed(text: &str) -> bool {
    text.bytes().filter(|&byte| byte == b'"').count() % 2 == 0
}

/// `text` with the words of `add` at its end, before a lone `--`, and without the words that go;
/// every other byte stays. A word that is there and counts already (no later word of its name) is
/// not added again. A text with an open quote ([`is_closed`]) stays as it is.
pub fn edited(text: &str, add: &[String], goes: impl Fn(&Word<'_>) -> bool) -> String {
    edited_pieces(text, core::slice::from_ref(&(0..text.len())), add, goes)
}

/// As [`edited`], for a command line that lies in pieces of a text, in order: only these change.
pub fn edited_pieces(
    text: &str,
    pieces: &[Range<usize>],
    add: &[String],
    goes: impl Fn(&Word<'_>) -> bool,
) -> String {
    if !pieces.iter().all(|range| is_closed(&text[range.clone()])) {
        return text.into();
    }
    let mut parsed: Vec<Piece<'_>> = pieces
        .iter()
        .map(|range| Piece::of(&text[range.clone()]))
        .collect();
    // Words for init stay, and what is added stands before them.
    let lone = parsed.iter().enumerate().find_map(|(number, piece)| {
        let at = piece.words.iter().position(|(_, word)| *word == "--")?;
        Some((number, at))
    });
    let is_kernels =
        |number: usize, at: usize| lone.is_none_or(|(piece, end)| (number, at) < (piece, end));
    let mut kept: Vec<Word<'_>> = Vec::new();
    for (number, piece) in parsed.iter().enumerate() {
        for (at, &(_, raw)) in piece.words.iter().enumerate() {
            let word = Word { raw };
            if is_kernels(number, at) && !goes(&word) {
                kept.push(word);
            }
        }
    }
    let counts = |new: &Word<'_>| {
        let Some(at) = kept.iter().rposition(|word| word.raw == new.raw) else {
            return false;
        };
        let overrules = |word: &Word<'_>| word.is(new.name()) && !add.iter().any(|a| a == word.raw);
        !kept[at + 1..].iter().any(overrules)
    };
    let added: Vec<&str> = add
        .iter()
        .map(|raw| Word { raw })
        .filter(|new| !counts(new))
        .map(|new| new.raw)
        .collect();
    for (number, piece) in parsed.iter_mut().enumerate() {
        let gap = piece.words.first().map(|(gap, _)| *gap);
        let mut at = 0;
        piece.words.retain(|(_, raw)| {
            let stays = !is_kernels(number, at) || !goes(&Word { raw });
            at += 1;
            stays
        });
        if let (Some(first), Some(gap)) = (piece.words.first_mut(), gap) {
            first.0 = gap;
        }
    }
    let target = lone.map_or(parsed.len().wrapping_sub(1), |(number, _)| number);
    if let Some(piece) = parsed.get_mut(target) {
        piece.add(&added);
    }
    let mut result = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for (range, piece) in pieces.iter().zip(&parsed) {
        result.push_str(&text[copied..range.start]);
        for (gap, word) in &piece.words {
            result.push_str(gap);
            result.push_str(word);
        }
        result.push_str(piece.tail);
        copied = range.end;
    }
    result.push_str(&text[copied..]);
    result
}

/// `text` with words of the command line that lies in `pieces` of it put in place of others: `to` says
/// what a word becomes. Words for init and every other byte stay, and so does a text with an open quote.
pub fn reworded(
    text: &str,
    pieces: &[Range<usize>],
    to: impl Fn(&Word<'_>) -> Option<String>,
) -> String {
    if !pieces.iter().all(|range| is_closed(&text[range.clone()])) {
        return text.into();
    }
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    let mut for_init = false;
    for range in pieces {
        result.push_str(&text[copied..range.start]);
        let piece = Piece::of(&text[range.clone()]);
        for (gap, raw) in &piece.words {
            for_init |= *raw == "--";
            result.push_str(gap);
            match to(&Word { raw }).filter(|_| !for_init) {
                Some(word) => result.push_str(&word),
                None => result.push_str(raw),
            }
        }
        result.push_str(piece.tail);
        copied = range.end;
    }
    result.push_str(&text[copied..]);
    result
}

/// A piece of a command line: words, each with the blanks before it, and the blanks at the end.
struct Piece<'a> {
    words: Vec<(&'a str, &'a str)>,
    tail: &'a str,
}

impl<'a> Piece<'a> {
    fn of(text: &'a str) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        for word in all_words(text) {
            let blanks = rest.len() - rest.trim_start_matches(is_space).len();
            let (gap, tail) = rest.split_at(blanks);
            words.push((gap, word.raw));
            rest = &tail[word.raw.len()..];
        }
        Self { words, tail: rest }
    }

    fn add(&mut self, added: &[&'a str]) {
        let lone = self.words.iter().position(|(_, word)| *word == "--");
        let at = lone.unwrap_or(self.words.len());
        let mut gap = " ";
        if at == 0 && !added.is_empty() {
            gap = self
                .words
                .first_mut()
                .map_or("", |first| core::mem::replace(&mut first.0, " "));
        }
        let words = added.iter().enumerate().map(|(number, &word)| {
            let gap = if number == 0 { gap } else { " " };
            (gap, word)
        });
        self.words.splice(at..at, words);
    }
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

    #[test]
    fn an_edit_keeps_what_it_does_not_name() {
        let add = [String::from("a=1"), String::from("b")];
        let gone = |word: &Word<'_>| word.is("old");
        assert_eq!(
            edited("root=1  quiet\n", &add, gone),
            "root=1  quiet a=1 b\n"
        );
        assert_eq!(
            edited("old=1 x old=2\ty -- b\n", &add, gone),
            "x\ty a=1 b -- b\n"
        );
        assert_eq!(edited("", &add, gone), "a=1 b");
        assert_eq!(edited("-- s", &add, gone), "a=1 b -- s");
        // What is there and counts is not added again; what is overruled later is.
        assert_eq!(edited("a=1 b", &add, gone), "a=1 b");
        assert_eq!(edited("a=1 a=0 b", &add, gone), "a=1 a=0 b a=1");
    }

    #[test]
    fn a_word_becomes_another_in_its_place() {
        let to = |word: &Word<'_>| (word.raw == "a=1,2").then(|| String::from("a=2"));
        let on = |text: &str| reworded(text, core::slice::from_ref(&(0..text.len())), to);
        assert_eq!(on("x  a=1,2 y\n"), "x  a=2 y\n");
        assert_eq!(on("x -- a=1,2"), "x -- a=1,2");
        assert_eq!(on("x=\"open a=1,2"), "x=\"open a=1,2");
    }

    proptest! {
        #[test]
        fn an_edit_twice_is_an_edit_once(text in "( |\n|[a-c](=[0-2])?|\"|--){0,12}", add in proptest::collection::vec("P[a-c](=[0-2])?", 0..3)) {
            let once = edited(&text, &add, |_| false);
            prop_assert_eq!(edited(&once, &add, |_| false), once.clone());
            let back = edited(&once, &[], |word| word.raw.starts_with('P'));
            let plain = |text: &str| all_words(text).map(|w| String::from(w.raw)).collect::<Vec<_>>();
            prop_assert_eq!(plain(&back), plain(&text));
            if is_closed(&text) {
                prop_assert!(add.iter().all(|word| text.contains("--") || has_word(&once, word)));
            }
            prop_assert_eq!(crate::text::merge::take_back(&text, &once, &once).text, text);
        }

        #[test]
        fn any_text_is_edited(text: String, add: Vec<String>) {
            edited(&text, &add, |word| word.is("a"));
        }

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
