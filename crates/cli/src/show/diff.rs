//! A changed file as a unified diff.

use std::io;

use similar::{ChangeTag, TextDiff};

use super::text::{Line, Style};
use crate::out::Out;

/// Shows what becomes of `path`, indented; no more than `limit` lines of it.
pub(crate) fn show(
    out: &mut Out,
    path: &str,
    (before, after): (Option<&str>, Option<&str>),
    limit: usize,
) -> io::Result<()> {
    let lines = lines(path, before, after);
    // A remark in place of a single line would save nothing.
    let shown = if lines.len() > limit.saturating_add(1) {
        limit
    } else {
        lines.len()
    };
    for (style, text) in &lines[..shown] {
        out.line(&Line::new().plain("    ").put(*style, text))?;
    }
    let left = lines.len() - shown;
    if left > 0 {
        let text = format!("… {left} more lines; passthru plan shows them all");
        out.line(&Line::new().plain("    ").dim(text))?;
    }
    Ok(())
}

fn lines(path: &str, before: Option<&str>, after: Option<&str>) -> Vec<(Style, String)> {
    let name = |side: Option<&str>, prefix: &str| match side {
        Some(_) => format!("{prefix}{path}"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(before.unwrap_or(""), after.unwrap_or(""));
    let mut lines = vec![
        (Style::Bold, format!("--- {}", name(before, "a"))),
        (Style::Bold, format!("+++ {}", name(after, "b"))),
    ];
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        lines.push((Style::Accent, hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Style::Bad),
                ChangeTag::Insert => ('+', Style::Good),
                ChangeTag::Equal => (' ', Style::Plain),
            };
            let text = change.value().trim_end_matches('\n');
            lines.push((style, format!("{sign}{text}")));
            if change.missing_newline() {
                lines.push((Style::Dim, "\\ No newline at end of file".to_owned()));
            }
        }
    }
    lines
}
