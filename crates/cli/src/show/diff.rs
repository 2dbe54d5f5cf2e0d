//! A changed file as a unified diff.

use std::io;

use similar::{ChangeTag, TextDiff};

use super::text::{Line, Style};
use crate::out::Out;

/// Shows what becomes of `path`, indented.
pub(crate) fn show(
    out: &mut Out,
    path: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> io::Result<()> {
    let name = |side: Option<&str>, prefix: &str| match side {
        Some(_) => format!("{prefix}{path}"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(before.unwrap_or(""), after.unwrap_or(""));
    let line = |style, text: String| Line::new().plain("    ").put(style, text);
    out.line(&line(Style::Bold, format!("--- {}", name(before, "a"))))?;
    out.line(&line(Style::Bold, format!("+++ {}", name(after, "b"))))?;
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        out.line(&line(Style::Accent, hunk.header().to_string()))?;
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Style::Bad),
                ChangeTag::Insert => ('+', Style::Good),
                ChangeTag::Equal => (' ', Style::Plain),
            };
            let text = change.value();
            out.line(&line(style, format!("{sign}{}", text.trim_end_matches('\n'))))?;
            if change.missing_newline() {
                out.line(&line(Style::Dim, "\\ No newline at end of file".to_owned()))?;
            }
        }
    }
    Ok(())
}
