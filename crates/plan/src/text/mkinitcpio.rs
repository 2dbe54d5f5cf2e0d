//! Configuration and presets of mkinitcpio: bash, of which only plain assignments are read
//! (mkinitcpio.conf(5)). Nothing is rendered; edits append a block.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

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
    fn an_array_without_an_end_is_read_to_the_end() {
        assert_eq!(arrays("A=(x y\nB=(z")["A"], ["x", "y", "B=(z"]);
        assert_eq!(arrays("A=(")["A"], [""; 0]);
        assert_eq!(arrays("A=(ä 'ö\nü')")["A"], ["ä", "ö\nü"]);
    }
}
