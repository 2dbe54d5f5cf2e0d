//! `passthru doctor`: every readiness check, with evidence and remedy.

use passthru_plan::{Finding, Status, Verdict, doctor::doctor};
use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show,
};

/// `doctor --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    verdict: Verdict,
    findings: &'a [Finding],
    unreadable: &'a [String],
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::all());
    let findings = doctor(&facts);
    let verdict = Verdict::of(&findings);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            verdict,
            findings: &findings,
            unreadable: &facts.unreadable,
        })?;
    } else {
        show::doctor::show(out, &findings)?;
        out.blank()?;
        show::doctor::verdict(out, &findings)?;
        if let Some(next) = next(&findings, verdict, &host) {
            out.paragraph(0, &next)?;
        }
    }
    out.unreadable(&facts)?;
    let outcome = match verdict {
        Verdict::Blocked => Outcome::No,
        Verdict::Ready | Verdict::Unknown => Outcome::Done,
    };
    Ok(outcome.about(&facts))
}

/// The one next step.
fn next(findings: &[Finding], verdict: Verdict, host: &host::Host) -> Option<String> {
    let unknown = findings.iter().any(|f| f.status == Status::Unknown);
    match verdict {
        Verdict::Blocked => Some(
            "Next: follow the remedies above, from the top; then passthru doctor again.".into(),
        ),
        _ if unknown && host.is_live() && !host::is_root() => {
            Some("Next: sudo passthru doctor measures what this run could not.".into())
        }
        Verdict::Unknown => None,
        Verdict::Ready => Some(format!(
            "Next: {}, or {}.",
            host.verb("setup"),
            host.command(&["plan", "--gpu", "ADDR"].map(str::to_owned))
        )),
    }
}
