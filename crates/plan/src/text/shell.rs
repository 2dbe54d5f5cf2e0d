//! Shell files of assignments: /etc/default/grub and its drop-ins.
//!
//! The text is never rendered from a model: assignments are found with their byte ranges, and an
//! edit replaces bytes inside one range, so every other byte stays (`render(parse(x)) == x` holds
//! because there is no render).

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::ops::Range;

/// An assignment `NAME=value` at the start of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Bytes of the value as written, quotes included.
    pub range: Range<usize>,
    /// `NAME+=value`, which only bash knows.
    pub appends: bool,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
    /// A command substitution or an expansion with operators: its value is not known here.
    Opaque,
}

impl Assignment {
    /// The value with `variables` put in; `None` if it depends on a command or on an expansion that
    /// is not plain `$NAME`.
    pub fn value(&self, variables: &BTreeMap<String, Option<String>>) -> Option<String> {
        let mut value = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Variable(name) => {
                    if let Some(known) = variables.get(name) {
                        value.push_str(known.as_deref()?);
                    }
                }
                Piece::Opaque => return None,
            }
        }
        Some(value)
    }
}

/// The assignments of a shell text, in order.
pub fn assignments(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut scanner = Scanner { text, at: 0 };
    while scanner.at < text.len() {
        scanner.blanks();
        match scanner.assignment() {
            Some(assignment) => found.push(assignment),
            None => scanner.rest_of_command(),
        }
    }
    found
}

/// Values of all variables after the shell has read `texts` one after the other, as grub-mkconfig
/// reads /etc/default/grub and its drop-ins. `None` for a variable whose value is not known.
pub fn evaluate<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Option<String>> {
    evaluate_files(texts.into_iter().map(|text| ((), text)))
        .into_iter()
        .map(|(name, (value, ()))| (name, value))
        .collect()
}

/// As [`evaluate`], and for each variable the file that set it last.
pub fn evaluate_files<'a, F: Clone>(
    files: impl IntoIterator<Item = (F, &'a str)>,
) -> BTreeMap<String, (Option<String>, F)> {
    let mut values: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut origins = BTreeMap::new();
    for (file, text) in files {
        for assignment in assignments(text) {
            let mut value = assignment.value(&values);
            if assignment.appends {
                let old = values.get(&assignment.name).cloned();
                value = old
                    .unwrap_or(Some(String::new()))
                    .zip(value)
                    .map(|(old, new)| old + &new);
            }
            origins.insert(assignment.name.clone(), file.clone());
            values.insert(assignment.name, value);
        }
    }
    origins
        .into_iter()
        .map(|(name, file)| {
            let value = values.remove(&name).flatten();
            (name, (value, file))
        })
        .collect()
}

/// `text` without the whole word `word` in any value of `name`; `None` if it is not there. One blank
/// beside the word goes with it.
pub fn remove_word(text: &str, name: &str, word: &str) -> Option<String> {
    change_word(text, name, word, |result, start, end| {
        let (mut start, mut end) = (start, end);
        if result[..start].ends_with([' ', '\t']) {
            start -= 1;
        } else if result[end..].starts_with([' ', '\t']) {
            end += 1;
        }
        result.replace_range(start..end, "");
    })
}

/// `text` with `with` in place of the whole word `word` in every value of `name`; `None` if it is not
/// there.
pub fn replace_word(text: &str, name: &str, word: &str, with: &str) -> Option<String> {
    change_word(text, name, word, |result, start, end| {
        result.replace_range(start..end, with);
    })
}

fn change_word(
    text: &str,
    name: &str,
    word: &str,
    change: impl Fn(&mut String, usize, usize),
) -> Option<String> {
    let mut result = String::from(text);
    let mut changed = false;
    // Backwards, so that earlier ranges stay valid.
    for assignment in assignments(text)
        .into_iter()
        .rev()
        .filter(|a| a.name == name)
    {
        let value = &text[assignment.range.clone()];
        let inside = |c: char| !(c == ' ' || c == '\t' || c == '"' || c == '\'' || c == '\n');
        let mut from = 0;
        let mut hits = Vec::new();
        while let Some(at) = value[from..].find(word).map(|i| i + from) {
            let end = at + word.len();
            let starts = !value[..at].ends_with(inside);
            let ends = !value[end..].starts_with(inside);
            if starts && ends {
                hits.push(at..end);
            }
            from = end;
        }
        for hit in hits.into_iter().rev() {
            let start = assignment.range.start;
            change(&mut result, start + hit.start, start + hit.end);
            changed = true;
        }
    }
    changed.then_some(result)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|c| c.is_whitespace() || c == ';') {
            self.next();
        }
    }

    fn name(&mut self) -> &str {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            self.next();
        }
        &self.text[start..self.at]
    }

    /// An assignment here, or nothing and the position unchanged.
    fn assignment(&mut self) -> Option<Assignment> {
        let start = self.at;
        let found = self.try_assignment();
        if found.is_none() {
            self.at = start;
        }
        found
    }

    fn try_assignment(&mut self) -> Option<Assignment> {
        if self.text[self.at..].starts_with("export ") {
            self.at += "export ".len();
            self.blanks();
        }
        let name = String::from(self.name());
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let appends = self.peek() == Some('+');
        if appends {
            self.next();
        }
        if self.next() != Some('=') {
            return None;
        }
        let start = self.at;
        let pieces = self.value();
        let range = start..self.at;
        // `A=b command` sets A for that command alone.
        while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
            self.next();
        }
        let alone = self
            .peek()
            .is_none_or(|c| matches!(c, '\n' | '\r' | ';' | '#'));
        alone.then_some(Assignment {
            name,
            range,
            appends,
            pieces,
        })
    }

    fn value(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => break,
                ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.next();
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        text.push(c);
                    }
                }
                '"' => {
                    self.next();
                    self.double_quoted(&mut text, &mut pieces);
                }
                '\\' => {
                    self.next();
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        text.push(c);
                    }
                }
                '$' | '`' => self.expansion(&mut text, &mut pieces),
                c => {
                    self.next();
                    text.push(c);
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces
    }

    fn double_quoted(&mut self, text: &mut String, pieces: &mut Vec<Piece>) {
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.next();
                    return;
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                    }
                }
                '$' | '`' => self.expansion(text, pieces),
                c => {
                    self.next();
                    text.push(c);
                }
            }
        }
    }

    /// `$NAME`, `${NAME}`, or anything else that begins with `$` or a back quote.
    fn expansion(&mut self, text: &mut String, pieces: &mut Vec<Piece>) {
        let opener = self.next();
        if opener == Some('$') && !matches!(self.peek(), Some('(' | '{')) {
            let name = String::from(self.name());
            if name.is_empty() {
                text.push('$');
                return;
            }
            pieces.push(Piece::Text(core::mem::take(text)));
            pieces.push(Piece::Variable(name));
            return;
        }
        pieces.push(Piece::Text(core::mem::take(text)));
        let close = match (opener, self.next()) {
            (Some('$'), Some('{')) => {
                let name = String::from(self.name());
                if self.peek() == Some('}') {
                    self.next();
                    pieces.push(Piece::Variable(name));
                    return;
                }
                '}'
            }
            (Some('$'), _) => ')',
            _ => '`',
        };
        pieces.push(Piece::Opaque);
        let open = if close == '}' { '{' } else { '(' };
        let mut depth = 1;
        while let Some(c) = self.next() {
            if c == close {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            } else if c == open && close != '`' {
                depth += 1;
            }
        }
    }

    /// Skips a command that is no assignment, to the end of its line; quotes may span lines.
    fn rest_of_command(&mut self) {
        let mut quote = None;
        let mut before = ' ';
        while let Some(c) = self.next() {
            match (quote, c) {
                (None, '\n') => return,
                (None, '#') if before.is_whitespace() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (Some('"') | None, '\\') => {
                    self.next();
                }
                _ => {}
            }
            before = c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    const DEBIAN: &str = "# If you change this file, run 'update-grub' afterwards to update\n\
        GRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\n\
        GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX='intel_iommu=off console=tty0'\n";

    #[test]
    fn quotes_of_every_kind() {
        let values = evaluate([
            DEBIAN,
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT a=b\"\nX=un\\ quoted\n",
        ]);
        let get = |name: &str| values[name].as_deref();
        assert_eq!(get("GRUB_CMDLINE_LINUX_DEFAULT"), Some("quiet splash a=b"));
        assert_eq!(
            get("GRUB_CMDLINE_LINUX"),
            Some("intel_iommu=off console=tty0")
        );
        assert_eq!(get("GRUB_DISTRIBUTOR"), None);
        assert_eq!(get("X"), Some("un quoted"));
    }

    #[test]
    fn a_word_is_removed_and_every_other_byte_stays() {
        let after =
            remove_word(DEBIAN, "GRUB_CMDLINE_LINUX", "intel_iommu=off").expect("it is there");
        assert_eq!(after, DEBIAN.replace("intel_iommu=off ", ""));
        assert_eq!(
            remove_word(DEBIAN, "GRUB_CMDLINE_LINUX", "intel_iommu"),
            None
        );
        assert_eq!(
            remove_word("A=\"x y\"\n", "A", "y").as_deref(),
            Some("A=\"x\"\n")
        );
        assert_eq!(remove_word("A=y\n", "A", "y").as_deref(), Some("A=\n"));
        assert_eq!(
            replace_word("A='x=1,2 y'\nB=x=1,2\n", "A", "x=1,2", "x=2").as_deref(),
            Some("A='x=2 y'\nB=x=1,2\n")
        );
    }

    #[test]
    fn comments_and_commands_are_no_assignments() {
        let text = "#A=1\nif true; then\n  echo 'B=2\nC=3'\nfi\nD=4 # E=5\nF=6 env\n";
        let names: Vec<_> = assignments(text).into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["D"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            for assignment in assignments(&text) {
                prop_assert!(text.get(assignment.range).is_some());
            }
        }

        #[test]
        fn any_shell_like_text_is_read(text in "[A-C=\"'$`(){}\\\\ \n;#+]{0,40}") {
            for assignment in assignments(&text) {
                prop_assert!(text.get(assignment.range).is_some());
            }
        }

        #[test]
        fn a_removed_word_is_gone_and_the_rest_is_as_it_was(
            before in prop::collection::vec("[a-z]{1,5}=[0-9]{1,3}", 0..5),
            after in prop::collection::vec("[a-z]{1,5}=[0-9]{1,3}", 0..5),
            quote in prop::sample::select(&["\"", "'"][..]),
        ) {
            let words: Vec<_> = before.iter().map(String::as_str).chain(["WORD=1"]).chain(after.iter().map(String::as_str)).collect();
            let text = format!("X=1\nGRUB={quote}{}{quote}\n# end\n", words.join(" "));
            let without: Vec<_> = before.iter().chain(&after).map(String::as_str).collect();
            let expected = format!("X=1\nGRUB={quote}{}{quote}\n# end\n", without.join(" "));
            prop_assert_eq!(remove_word(&text, "GRUB", "WORD=1"), Some(expected));
        }
    }
}
