//! Configuration and presets of mkinitcpio: bash, of which only plain assignments are read
//! (mkinitcpio.conf(5)). Nothing is rendered; edits append a block.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use super::kargs::same_name;

/// The words of each array after the text was read: `NAME=(a b)`, and what `NAME+=(c)` adds.
/// Expansions (`$x`, commands) stay as they are written; nobody here needs their value.
pub fn arrays(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, appends, words) in assignments(text) {
        let Some(words) = words else {
            // A scalar takes the array's place.
            found.remove(&name);
            continue;
        };
        let array = found.entry(name).or_default();
        if !appends {
            array.clear();
        }
        array.extend(words);
    }
    found
}

/// `text` without the word `word` in every array `name`; `-` and `_` are the same letter. `None` if it
/// is not there. A line that held nothing else goes as a whole, and blanks beside the word go with it.
pub fn without_word(text: &str, name: &str, word: &str) -> Option<String> {
    let mut result = String::with_capacity(text.len());
    let mut inside = false;
    let mut meant = false;
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let mut at = 0;
        if !inside {
            let code = line.trim_start();
            if let Some((of, _, value)) = head(code)
                && let Some(first) = value.strip_prefix('(')
            {
                inside = true;
                meant = of == name;
                at = line.len() - first.len();
            }
        }
        let mut kept = String::from(&line[..at]);
        let mut taken = false;
        while inside {
            let rest = &line[at..];
            let gap = rest.len() - rest.trim_start().len();
            let body = &rest[gap..];
            let length = body
                .find(|c: char| c.is_whitespace() || c == ')')
                .unwrap_or(body.len());
            if body.is_empty() || body.starts_with('#') {
                break;
            }
            if length == 0 {
                inside = false;
                break;
            }
            at += gap + length;
            if meant && same_name(body[..length].trim_matches(['"', '\'']), word) {
                taken = true;
                // The first of a line leaves the blanks before it, and takes those behind.
                if kept.trim().is_empty() || kept.ends_with('(') {
                    kept.push_str(&rest[..gap]);
                    let behind = &line[at..];
                    at += behind.len() - behind.trim_start_matches([' ', '\t']).len();
                }
            } else {
                kept.push_str(&rest[..gap + length]);
            }
        }
        kept.push_str(&line[at..]);
        found |= taken;
        if !taken || !kept.trim().is_empty() {
            result.push_str(&kept);
        }
    }
    found.then_some(result)
}

/// The last plain assignment of `name` is no array: `HOOKS="base udev"`, as configurations from before
/// 2013 have it. `HOOKS+=(x)` behind that would make one word of all that stood there.
pub fn is_scalar(text: &str, name: &str) -> bool {
    assignments(text)
        .into_iter()
        .rfind(|(found, appends, _)| found == name && !appends)
        .is_some_and(|(_, _, words)| words.is_none())
}

/// Name, whether it appends, and the words; `None` for a scalar.
fn assignments(text: &str) -> Vec<(String, bool, Option<Vec<String>>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((line, after)) = cut_line(rest) {
        let before = rest;
        rest = after;
        let Some((name, appends, value)) = head(line.trim_start()) else {
            continue;
        };
        let Some(inside) = value.strip_prefix('(') else {
            found.push((name.into(), appends, None));
            continue;
        };
        // The array may go on over several lines; what stands behind it on its last line is skipped.
        let start = text.len() - after.len() - inside.len() - usize::from(has_end(line, before));
        let (words, end) = words(&text[start..]);
        found.push((name.into(), appends, Some(words)));
        rest = cut_line(&text[start + end..]).map_or("", |(_, after)| after);
    }
    found
}

/// The first line without its end, and what follows.
fn cut_line(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() {
        return None;
    }
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// `line`, the first of `text`, ends with a newline.
fn has_end(line: &str, text: &str) -> bool {
    text.len() > line.len()
}

/// `NAME=` or `NAME+=` at the start of a line.
fn head(code: &str) -> Option<(&str, bool, &str)> {
    let (name, value) = code.split_once('=')?;
    let (name, appends) = match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let valid = !name.is_empty()
        && name.chars().all(fits)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    valid.then_some((name, appends, value))
}

/// The words up to the closing parenthesis, and the bytes read with it. Without one, all is read.
fn words(text: &str) -> (Vec<String>, usize) {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.char_indices();
    let mut quote = None;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some('"') | None, '\\') => {
                if let Some((_, next)) = chars.next()
                    && next != '\n'
                {
                    word.get_or_insert_default().push(next);
                }
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => {
                for (_, c) in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            (None, ')') => {
                words.extend(word);
                return (words, at + 1);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (words, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arrays_over_lines_with_comments_and_quotes() {
        let text = "# HOOKS=(no)\nMODULES=(btrfs 'a b')\nHOOKS=(\n  base # first\n  \"udev\"\n  autodetect)\nHOOKS+=(passthru)\nCOMPRESSION=\"zstd\"\n";
        let arrays = arrays(text);
        assert_eq!(arrays["MODULES"], ["btrfs", "a b"]);
        assert_eq!(arrays["HOOKS"], ["base", "udev", "autodetect", "passthru"]);
        assert!(!arrays.contains_key("COMPRESSION"));
    }

    #[test]
    fn the_last_word_counts() {
        assert!(is_scalar("HOOKS=(base)\nHOOKS=\"base udev\"\n", "HOOKS"));
        assert!(!is_scalar("HOOKS=\"base udev\"\nHOOKS=(base)", "HOOKS"));
        assert!(!is_scalar("MODULES=\"\"\n", "HOOKS"));
        assert_eq!(arrays("A=(x)\nA=y\n"), BTreeMap::new());
    }

    #[test]
    fn a_word_goes_and_the_rest_keeps_its_bytes() {
        for (text, after) in [
            (
                "MODULES=(vfio vfio_virqfd vfio_pci)\n",
                "MODULES=(vfio vfio_pci)\n",
            ),
            ("MODULES=(vfio_virqfd vfio)", "MODULES=(vfio)"),
            ("MODULES=(vfio-virqfd)\n", "MODULES=()\n"),
            (
                "MODULES+=( vfio vfio_virqfd ) # x\n",
                "MODULES+=( vfio ) # x\n",
            ),
            (
                "MODULES=(\n  vfio # a\n  vfio_virqfd\n  # vfio_virqfd\n)\nHOOKS=(base)\n",
                "MODULES=(\n  vfio # a\n  # vfio_virqfd\n)\nHOOKS=(base)\n",
            ),
        ] {
            let found = without_word(text, "MODULES", "vfio_virqfd");
            assert_eq!(found.as_deref(), Some(after));
        }
        for other in [
            "# MODULES=(vfio_virqfd)\n",
            "HOOKS=(vfio_virqfd)\n",
            "MODULES=(a) # vfio_virqfd\n",
        ] {
            assert_eq!(without_word(other, "MODULES", "vfio_virqfd"), None);
        }
    }

    proptest! {
        #[test]
        fn what_goes_is_gone_and_the_others_are_as_they_were(text in "(MODULES=\\(|HOOKS=\\(|\\)|[ab]|gone| |\n|#){0,20}") {
            let rest = |text: &str| {
                let mut arrays = arrays(text);
                if let Some(words) = arrays.get_mut("MODULES") {
                    words.retain(|word| word != "gone");
                }
                arrays
            };
            let after = without_word(&text, "MODULES", "gone").unwrap_or_else(|| text.clone());
            prop_assert_eq!(rest(&after), rest(&text));
            prop_assert_eq!(without_word(&after, "MODULES", "gone"), None);
        }
    }

    #[test]
    fn an_array_without_an_end_is_read_to_the_end() {
        assert_eq!(arrays("A=(x y\nB=(z")["A"], ["x", "y", "B=(z"]);
        assert_eq!(arrays("A=(")["A"], [""; 0]);
        assert_eq!(arrays("A=(ä 'ö\nü')")["A"], ["ä", "ö\nü"]);
    }
}
