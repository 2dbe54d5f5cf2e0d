//! Carrying out a plan about a guest: shown, agreed to, done as one transaction.

use passthru_host::libvirt::LibvirtError;
use passthru_plan::{Facts, Plan, Refusal};

use crate::{
    args::Global,
    error::{Error, Kind, Outcome, Result},
    host::Host,
    out::Out,
    show::{self, text::Line, text::Style},
    transaction::{self, RecoveredDocument},
};

/// What became of a plan about a guest, in JSON.
#[derive(Default, serde::Serialize)]
pub(super) struct Done {
    /// `shown`, `refused`, `nothing-to-do`, `declined` or `applied`.
    pub(super) state: &'static str,
    pub(super) transaction: Option<u32>,
    pub(super) recovered: Option<RecoveredDocument>,
}

/// Only where libvirt is the one of this machine; `instead` is what else `verb` can do, as an option.
pub(super) fn only_here(host: &Host, global: &Global, verb: &str, instead: &str) -> Result<()> {
    if host.is_live() || global.sample_tools {
        return Ok(());
    }
    let flag = host.flag().unwrap_or("--root");
    let error = Error::usage(format!(
        "passthru {verb} asks libvirt, and libvirt of another root directory does not run"
    ));
    Err(if instead.is_empty() {
        error.hint(format!("leave out {flag}"))
    } else {
        error.hint(format!("leave out {flag}, or {instead}"))
    })
}

/// libvirt's answer to a question, as an error.
pub(super) fn libvirt(error: &LibvirtError) -> Error {
    Error::input(error).hint(error.way_out())
}

/// libvirt does not do what it was told to.
pub(super) fn unwilling(error: &LibvirtError) -> Error {
    Error::new(
        Kind::NothingChanged,
        format!("{error}; nothing was changed"),
    )
    .hint(error.way_out())
}

/// Shows `plan`, asks, and carries it out. Without changes there is nothing to do.
pub(super) fn out(
    host: &Host,
    global: &Global,
    facts: &Facts,
    plan: &Plan,
    question: &str,
    out: &mut Out,
) -> Result<Done> {
    if !out.is_json() {
        if out.is_verbose() {
            show::plan::show(out, facts, plan)?;
        } else {
            show::plan::show_short(out, facts, plan)?;
        }
        if !out.is_verbose() {
            out.wrapped(
                Line::new().plain("    "),
                Style::Dim,
                "with -v all of it is shown, with --dry-run it is shown and not done",
            )?;
        }
        if !plan.outcome.is_empty() && !out.is_verbose() {
            out.heading("Afterwards")?;
            for statement in &plan.outcome {
                out.wrapped(Line::new().plain("  - "), Style::Plain, statement)?;
            }
        }
    }
    if plan.changes.is_empty() {
        if !out.is_json() {
            out.blank()?;
            out.text("Nothing to do: the guest is that way.")?;
        }
        return Ok(Done {
            state: "nothing-to-do",
            ..Done::default()
        });
    }
    if !transaction::agreed(global, out, question)? {
        // Nobody can be asked in JSON.
        out.text("Nothing was changed.")?;
        return Ok(Done {
            state: "declined",
            ..Done::default()
        });
    }
    if !out.is_json() {
        out.heading("Applying")?;
    }
    let applied = transaction::apply(host, global, plan, 0, out)?;
    if !out.is_json() {
        out.blank()?;
        let done = Line::new()
            .put(Style::Good, "Done")
            .plain(format!(": transaction {}.", applied.number));
        out.line(&done)?;
    }
    Ok(Done {
        state: "applied",
        transaction: Some(applied.number),
        recovered: None,
    })
}

/// Refusals, shown.
pub(super) fn refused(refusals: &[Refusal], out: &mut Out) -> Result<Outcome> {
    if !out.is_json() {
        show::plan::refusals(out, refusals)?;
        out.text("Nothing was changed.")?;
    }
    Ok(Outcome::No)
}
