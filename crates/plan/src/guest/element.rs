//! XML as text: the one place where elements are written and where text is escaped.

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Display, Write as _};

/// An element with attributes, and either text or elements in it. `Display` writes it indented by
/// two blanks a level, each element on a line of its own, attributes in single quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            text: String::new(),
            children: Vec::new(),
        }
    }

    /// With an attribute more. Any text will do as its value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((name, alloc::format!("{value}")));
        self
    }

    /// With this text in it, in place of elements.
    #[must_use]
    pub fn text(mut self, text: impl Display) -> Self {
        self.text = alloc::format!("{text}");
        self
    }

    /// With an element more.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With these elements more.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Writes it `depth` levels deep.
    ///
    /// # Errors
    /// As the writer.
    pub fn write(&self, out: &mut impl fmt::Write, depth: usize) -> fmt::Result {
        let indent = |out: &mut _| (0..depth).try_for_each(|_| fmt::Write::write_str(out, "  "));
        indent(out)?;
        write!(out, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(out, " {name}='{}'", Escaped(value))?;
        }
        if self.children.is_empty() && self.text.is_empty() {
            return out.write_str("/>\n");
        }
        out.write_char('>')?;
        if self.children.is_empty() {
            write!(out, "{}", Escaped(&self.text))?;
        } else {
            out.write_char('\n')?;
            for child in &self.children {
                child.write(out, depth + 1)?;
            }
            indent(out)?;
        }
        writeln!(out, "</{}>", self.name)
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// Text as it may stand in an element or in a quoted attribute.
///
/// Blanks other than the space are written as numbers, for a reader makes spaces of them in
/// attributes (<https://www.w3.org/TR/xml/#AVNormalize>). Characters that XML cannot hold at all
/// become U+FFFD: the document stays one, and [`is_legal`] tells beforehand.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '\'' => f.write_str("&apos;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(c))?,
                c if is_legal(c) => f.write_char(c)?,
                _ => f.write_char(char::REPLACEMENT_CHARACTER)?,
            }
        }
        Ok(())
    }
}

/// XML 1.0 can hold this character (<https://www.w3.org/TR/xml/#charsets>).
pub const fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
