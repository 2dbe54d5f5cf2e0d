//! A changed file as a unified diff.

use std::io;

use similar::{ChangeTag, TextDiff};

use super::{
    layout,
    text::{Line, Style},
};
use crate::out::Out;

/// Shows what becomes of `path`, indented.
pub(crate) fn show(
    out: &mut Out,
    path: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> io::Result<()> {
    for (style, text) in lines(path, before, after) {
        out.line(&Line::new().plain("    ").put(style, text))?;
    }
    Ok(())
}

/// Texts with more changed lines than this are not shown in short.
const FEW: usize = 6;

/// Shows the changed lines that are not remarks, if they are few, cut to the width.
pub(crate) fn show_short(
    out: &mut Out,
    before: Option<&str>,
    after: Option<&str>,
) -> io::Result<()> {
    let lines: Vec<_> = lines("", before, after)
        .into_iter()
        .skip(2)
        .filter(|(_, text)| text.starts_with(['+', '-']) && !text[1..].starts_with('#'))
        .collect();
    if lines.len() > FEW {
        let text = format!("… {} lines", lines.len());
        return out.line(&Line::new().plain("    ").dim(text));
    }
    let width = out.text_width().saturating_sub(4);
    for (style, text) in lines {
        let text = layout::truncate(&text, width).into_owned();
        out.line(&Line::new().plain("    ").put(style, text))?;
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
