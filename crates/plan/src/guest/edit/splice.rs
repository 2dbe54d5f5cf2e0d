//! An XML text that is changed in places: every byte outside of them stays, be it a comment, an odd
//! indentation or a carriage return.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use roxmltree::Node;

use super::super::element::{Element, Escaped};

/// A text and what becomes of parts of it. Nodes handed in are of a document read from this text.
pub(super) struct Splices<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
    /// Edits that open an empty element, and how many bytes of each close it again.
    opened: Vec<(usize, usize)>,
}

/// Where an element goes: on lines of its own, or between two others of one line.
enum Place {
    Line { at: usize, indent: String },
    Inline { at: usize },
}

impl<'t> Splices<'t> {
    /// No change yet.
    pub(super) const fn new(text: &'t str) -> Self {
        Self {
            text,
            edits: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// The text with its changes. Where one lies within another, the outer one counts.
    pub(super) fn finish(mut self) -> String {
        // Stable: what is put at one place stays in the order in which it was asked for; what is put
        // in comes before what is taken out behind it.
        self.edits
            .sort_by_key(|(range, _)| (range.start, core::cmp::Reverse(range.is_empty())));
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in &self.edits {
            if range.start < at {
                continue;
            }
            out.push_str(self.text.get(at..range.start).unwrap_or_default());
            out.push_str(new);
            at = range.end;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }

    /// Takes an element out; with its line, if it has one for itself.
    pub(super) fn remove(&mut self, node: Node<'_, '_>) {
        let range = node.range();
        let whole = self.lines_of(&range).unwrap_or(range);
        self.edits.push((whole, String::new()));
    }

    /// Writes `element` in the place of `node`.
    pub(super) fn replace(&mut self, node: Node<'_, '_>, element: &Element) {
        let range = node.range();
        let text = if self.lines_of(&range).is_some() {
            let indent = self.indent(range.start);
            let step = self.step_of(node.parent_element(), &indent);
            let lines = lines(element, &indent, &step, self.newline(range.start));
            lines.trim_start().trim_end_matches(['\r', '\n']).to_owned()
        } else {
            inline(element)
        };
        self.edits.push((range, text));
    }

    /// Puts `element` behind `node`, or behind what stands on its line as a remark.
    pub(super) fn insert_after(&mut self, node: Node<'_, '_>, element: &Element) {
        let place = match self.line_behind(node.range().end) {
            Some(at) => Place::Line {
                at,
                indent: self.indent(node.range().start),
            },
            None => Place::Inline {
                at: node.range().end,
            },
        };
        self.put(&place, node.parent_element(), element);
    }

    /// Puts `element` before `node`.
    pub(super) fn insert_before(&mut self, node: Node<'_, '_>, element: &Element) {
        let start = node.range().start;
        let line = self.line_start(start);
        let indent = self.text.get(line..start).unwrap_or_default();
        let place = if line > 0 && is_blank(indent) {
            Place::Line {
                at: line,
                indent: indent.into(),
            }
        } else {
            Place::Inline { at: start }
        };
        self.put(&place, node.parent_element(), element);
    }

    /// Puts `element` into `parent`, behind its other elements.
    pub(super) fn insert_in(&mut self, parent: Node<'_, '_>, element: &Element) {
        if let Some(last) = parent.last_element_child() {
            return self.insert_after(last, element);
        }
        let (open, empty) = self.open_end(parent);
        let range = parent.range();
        let own = self.indent(range.start);
        let step = self.step_of(parent.parent_element(), &own);
        if empty {
            let start = open - 2;
            let blanks = self.text.get(..start).unwrap_or_default();
            let start = blanks.trim_end().len();
            let (inner, head, tail) = if self.lines_of(&range).is_some() {
                let newline = self.newline(range.start);
                let inner = lines(element, &format!("{own}{step}"), &step, newline);
                (inner, format!(">{newline}"), own)
            } else {
                (inline(element), ">".into(), String::new())
            };
            // Another one may be in it already.
            let at = start..open;
            let before = self
                .opened
                .iter()
                .find(|(edit, _)| self.edits[*edit].0 == at);
            if let Some(&(edit, tail)) = before {
                let text = &mut self.edits[edit].1;
                text.insert_str(text.len() - tail, &inner);
                return;
            }
            let tail = format!("{tail}</{}>", self.name(parent));
            self.opened.push((self.edits.len(), tail.len()));
            self.edits.push((at, format!("{head}{inner}{tail}")));
            return;
        }
        let close = self.close_start(parent);
        let line = self.line_start(close);
        let alone = line >= open && self.text.get(line..close).is_some_and(is_blank);
        let place = if alone {
            Place::Line {
                at: line,
                indent: format!("{own}{step}"),
            }
        } else {
            Place::Inline { at: close }
        };
        self.put(&place, Some(parent), element);
    }

    /// Gives `node` this attribute, or the one that it has this value.
    pub(super) fn set_attribute(&mut self, node: Node<'_, '_>, name: &str, value: &str) {
        match node.attribute_node(name) {
            Some(old) if old.value() == value => {}
            Some(old) => {
                let new = Escaped(value).to_string();
                self.edits.push((old.range_value(), new));
            }
            None => {
                let (end, empty) = self.open_end(node);
                let end = end - if empty { 2 } else { 1 };
                let at = self.text.get(..end).unwrap_or_default().trim_end().len();
                self.edits
                    .push((at..at, format!(" {name}='{}'", Escaped(value))));
            }
        }
    }

    /// Takes an attribute from `node`.
    pub(super) fn remove_attribute(&mut self, node: Node<'_, '_>, name: &str) {
        if let Some(old) = node.attribute_node(name) {
            let Range { start, end } = old.range();
            let start = self.text.get(..start).unwrap_or_default().trim_end().len();
            self.edits.push((start..end, String::new()));
        }
    }

    /// Writes `value` in the place of the text of `node`; blanks around it stay.
    pub(super) fn set_text(&mut self, node: Node<'_, '_>, value: &str) {
        if node.text().map(str::trim) == Some(value) {
            return;
        }
        let (open, empty) = self.open_end(node);
        if empty {
            let name = self.name(node);
            let text = format!(">{}</{name}>", Escaped(value));
            self.edits.push((open - 2..open, text));
            return;
        }
        let range = open..self.close_start(node).max(open);
        let old = self.text.get(range.clone()).unwrap_or_default();
        let inner = old.trim();
        let range = if inner.is_empty() || inner.contains(['<', '&']) {
            range
        } else {
            let start = range.start + old.len() - old.trim_start().len();
            start..start + inner.len()
        };
        self.edits.push((range, Escaped(value).to_string()));
    }

    fn put(&mut self, place: &Place, parent: Option<Node<'_, '_>>, element: &Element) {
        let (at, text) = match place {
            Place::Line { at, indent } => {
                let step = self.step_of(parent, indent);
                (*at, lines(element, indent, &step, self.newline(*at)))
            }
            Place::Inline { at } => (*at, inline(element)),
        };
        self.edits.push((at..at, text));
    }

    /// The lines that `range` fills alone, blanks apart.
    fn lines_of(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let start = self.line_start(range.start);
        let before = self.text.get(start..range.start)?;
        let rest = self.text.get(range.end..)?;
        let (behind, _) = rest.split_once('\n')?;
        (is_blank(before) && is_blank(behind)).then(|| start..range.end + behind.len() + 1)
    }

    /// The beginning of the first line behind `at`, if nothing but blanks and remarks stand before it.
    fn line_behind(&self, mut at: usize) -> Option<usize> {
        loop {
            let rest = self.text.get(at..)?;
            if let Some(comment) = rest.strip_prefix("<!--") {
                at += 4 + comment.find("-->")? + 3;
            } else if let Some(instruction) = rest.strip_prefix("<?") {
                at += 2 + instruction.find("?>")? + 2;
            } else {
                match rest.chars().next()? {
                    '\n' => return Some(at + 1),
                    ' ' | '\t' | '\r' => at += 1,
                    _ => return None,
                }
            }
        }
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The blanks at the beginning of the line of `at`.
    fn indent(&self, at: usize) -> String {
        let line = self.text.get(self.line_start(at)..at).unwrap_or_default();
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        line.get(..blanks).unwrap_or_default().to_owned()
    }

    /// What an element is indented by more than the one around it; two blanks, if that cannot be seen.
    fn step_of(&self, parent: Option<Node<'_, '_>>, indent: &str) -> String {
        let outer = parent.map(|parent| self.indent(parent.range().start));
        let step = outer.and_then(|outer| indent.strip_prefix(outer.as_str()).map(str::to_owned));
        step.filter(|step| !step.is_empty())
            .unwrap_or_else(|| "  ".into())
    }

    /// How the line before `at`, or else the first line, ends.
    fn newline(&self, at: usize) -> &'static str {
        let before = self.text.get(..at).unwrap_or_default();
        let line = match before.rfind('\n') {
            Some(end) => before.get(..end),
            None => self.text.split('\n').next(),
        };
        if line.is_some_and(|line| line.ends_with('\r')) {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// The end of the opening tag, and whether it is the closing one too.
    fn open_end(&self, node: Node<'_, '_>) -> (usize, bool) {
        let range = node.range();
        let text = self.text.get(range.clone()).unwrap_or_default();
        let mut quote = None;
        for (at, c) in text.char_indices() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '>') => {
                    let empty = text.get(..at).is_some_and(|tag| tag.ends_with('/'));
                    return (range.start + at + 1, empty);
                }
                _ => {}
            }
        }
        (range.end, false)
    }

    fn close_start(&self, node: Node<'_, '_>) -> usize {
        let range = node.range();
        let text = self.text.get(range.clone()).unwrap_or_default();
        range.start + text.rfind("</").unwrap_or(text.len())
    }

    /// The name as the text has it, with its prefix.
    fn name(&self, node: Node<'_, '_>) -> &'t str {
        let text = self.text.get(node.range().start + 1..).unwrap_or_default();
        let end = text.find([' ', '\t', '\r', '\n', '/', '>']);
        text.get(..end.unwrap_or(0)).unwrap_or_default()
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| matches!(c, ' ' | '\t' | '\r'))
}

/// The element on lines of its own. No text in it holds a line break: they are written as numbers.
fn lines(element: &Element, indent: &str, step: &str, newline: &str) -> String {
    let mut out = String::new();
    for line in element.to_string().lines() {
        let inner = line.trim_start_matches(' ');
        out.push_str(indent);
        for _ in 0..(line.len() - inner.len()) / 2 {
            out.push_str(step);
        }
        out.push_str(inner);
        out.push_str(newline);
    }
    out
}

/// The element without line breaks.
fn inline(element: &Element) -> String {
    let text = element.to_string();
    text.lines().map(str::trim_start).collect()
}
