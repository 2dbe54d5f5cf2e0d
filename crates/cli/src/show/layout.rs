//! Columns: measuring, truncating and wrapping text as a terminal shows it.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns a tab is counted as: where it ends depends on where it begins.
const TAB: usize = 4;

/// Columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    let tabs = text.matches('\t').count();
    clean(text).replace('\t', "").width() + tabs * TAB
}

/// `text` without control characters, which become replacement characters; tabs stay.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_unsafe(c) => clean.push(char::REPLACEMENT_CHARACTER),
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// Control characters, and those that reorder the text around them.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in at most `columns` columns; what is cut off is marked by `…`.
pub(crate) fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    let mut text = clean(text);
    if text.contains('\t') {
        text = Cow::Owned(text.replace('\t', &" ".repeat(TAB)));
    }
    if text.width() <= columns {
        return text;
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        cut.push(c);
    }
    let mut cut = cut.trim_end().to_owned();
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// `text` in lines of at most `columns` columns, broken at spaces. A word that is longer than a line
/// stays whole, so that commands and paths can be copied. Line breaks in `text` are kept.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if !line.is_empty() && width(&line) + 1 + width(word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncating_counts_columns() {
        assert_eq!(truncate("GeForce", 7), "GeForce");
        assert_eq!(truncate("GeForce", 6), "GeFor…");
        assert_eq!(truncate("显卡显卡", 5), "显卡…");
        assert_eq!(truncate("显卡显卡", 4), "显…");
        assert_eq!(truncate("abc", 0), "");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb\tc");
        assert_eq!(clean("a\u{202e}b"), "a\u{fffd}b");
    }

    #[test]
    fn wrapping_keeps_long_words_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("/a/very/long/path x", 6), ["/a/very/long/path", "x"]);
        assert_eq!(wrap("a\nb", 9), ["a", "b"]);
        assert_eq!(wrap("", 9), [""]);
    }
}
