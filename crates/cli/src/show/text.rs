//! Styled text: what it is, not which escape sequence that takes.

use super::layout;

/// What a span of text is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Running text.
    Plain,
    /// What to read first.
    Bold,
    /// What can be skipped.
    Dim,
    /// Well.
    Good,
    /// Mind this.
    Warn,
    /// Not well.
    Bad,
    /// Commands, and names to look for.
    Accent,
}

impl Style {
    /// The escape sequence that begins it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Warn => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
            Self::Accent => "\u{1b}[36m",
        }
    }
}

/// A line of styled spans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// With one more span.
    #[must_use]
    pub(crate) fn put(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// With running text.
    #[must_use]
    pub(crate) fn plain(self, text: impl Into<String>) -> Self {
        self.put(Style::Plain, text)
    }

    /// With text to read first.
    #[must_use]
    pub(crate) fn bold(self, text: impl Into<String>) -> Self {
        self.put(Style::Bold, text)
    }

    /// With text that can be skipped.
    #[must_use]
    pub(crate) fn dim(self, text: impl Into<String>) -> Self {
        self.put(Style::Dim, text)
    }

    /// The spans.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (Style, &str)> {
        self.0.iter().map(|(style, text)| (*style, text.as_str()))
    }

    /// Columns it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| layout::width(text)).sum()
    }
}
