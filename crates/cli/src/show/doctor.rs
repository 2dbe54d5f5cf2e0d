//! Findings as text: what is not so first, what is so in one line each.

use std::io;

use passthru_plan::{Finding, Severity, Status, Verdict};

use super::text::{Line, Style};
use crate::out::Out;

/// Findings by weight, the gravest first.
pub(crate) fn show(out: &mut Out, findings: &[Finding]) -> io::Result<()> {
    show_as(out, findings, "Needed for passthrough")
}

/// The same, with a title for the gravest.
pub(crate) fn show_as(out: &mut Out, findings: &[Finding], needed: &str) -> io::Result<()> {
    let groups = [
        (Severity::Blocker, needed),
        (Severity::Warning, "Worth a look"),
        (Severity::Info, "Good to know"),
    ];
    let mut first = true;
    for (severity, title) in groups {
        let mut group: Vec<&Finding> = findings.iter().filter(|f| f.severity == severity).collect();
        if group.is_empty() {
            continue;
        }
        // Stable: within an answer, the order a person would work through them stays.
        group.sort_by_key(|f| match f.status {
            Status::No => 0,
            Status::Unknown => 1,
            Status::Yes => 2,
        });
        if !std::mem::take(&mut first) {
            out.blank()?;
        }
        out.line(&Line::new().bold(title))?;
        for finding in group {
            one(out, finding)?;
        }
    }
    Ok(())
}

/// The answer as a symbol, a word and a style.
fn answer(finding: &Finding) -> (&'static str, &'static str, Style) {
    match (finding.status, finding.severity) {
        (Status::Yes, _) => ("✓", "yes", Style::Good),
        (Status::Unknown, _) => ("?", "not measured", Style::Warn),
        (Status::No, Severity::Blocker) => ("✗", "no", Style::Bad),
        (Status::No, Severity::Warning) => ("✗", "no", Style::Warn),
        (Status::No, Severity::Info) => ("✗", "no", Style::Plain),
    }
}

fn one(out: &mut Out, finding: &Finding) -> io::Result<()> {
    let (symbol, word, style) = answer(finding);
    let lead = Line::new()
        .plain("  ")
        .put(style, format!("{symbol} {word}"))
        .plain("  ");
    let quiet = finding.status == Status::Yes && !out.is_verbose();
    let title = if quiet { Style::Plain } else { Style::Bold };
    out.wrapped(lead, title, &finding.title)?;
    if quiet {
        return Ok(());
    }
    let label = |text: &str| Line::new().plain("      ").dim(format!("{text:<5}"));
    for (i, evidence) in finding.evidence.iter().enumerate() {
        out.wrapped(
            label(if i == 0 { "seen" } else { "" }),
            Style::Plain,
            evidence,
        )?;
    }
    if finding.status != Status::Yes && !finding.why.is_empty() {
        out.wrapped(label("why"), Style::Plain, &finding.why)?;
    }
    if let Some(remedy) = &finding.remedy {
        out.wrapped(label("do"), Style::Plain, remedy)?;
    }
    if out.is_verbose() {
        out.wrapped(label("id"), Style::Dim, &finding.id)?;
    }
    Ok(())
}

/// The sum of all findings in one line.
pub(crate) fn verdict(out: &mut Out, findings: &[Finding]) -> io::Result<()> {
    let (word, style, rest) = match Verdict::of(findings) {
        Verdict::Ready => ("Ready", Style::Good, "nothing stands in the way".to_owned()),
        Verdict::Blocked => {
            let n = count(findings, Status::No);
            (
                "Not ready",
                Style::Bad,
                things(n, "stands in the way", "stand in the way"),
            )
        }
        Verdict::Unknown => {
            let n = count(findings, Status::Unknown);
            (
                "Unknown",
                Style::Warn,
                things(n, "was not measured", "were not measured"),
            )
        }
    };
    out.line(&Line::new().put(style, word).plain(format!(": {rest}.")))
}

/// What is not so and matters, and how many checks there were.
pub(crate) fn summary(out: &mut Out, findings: &[Finding]) -> io::Result<()> {
    let matters = |f: &&Finding| f.status != Status::Yes && f.severity != Severity::Info;
    for finding in findings.iter().filter(matters) {
        let (symbol, word, style) = answer(finding);
        let lead = Line::new()
            .plain("  ")
            .put(style, format!("{symbol} {word}"))
            .plain("  ");
        out.wrapped(lead, Style::Plain, &finding.title)?;
    }
    let yes = findings.iter().filter(|f| f.status == Status::Yes).count();
    if yes > 0 {
        let lead = Line::new().plain("  ").put(Style::Good, "✓ yes");
        out.line(&lead.plain(format!(
            "  {}",
            things(yes, "is as it should be", "are as they should be")
        )))?;
    }
    Ok(())
}

fn count(findings: &[Finding], status: Status) -> usize {
    findings
        .iter()
        .filter(|f| f.severity == Severity::Blocker && f.status == status)
        .count()
}

fn things(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 thing {one}"),
        n => format!("{n} things {many}"),
    }
}
