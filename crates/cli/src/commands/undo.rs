//! `passthru undo`: takes a transaction back, to the byte.

use passthru_host::transaction::{Record, State};
use passthru_plan::{Change, Facts, Plan, text::kargs};
use serde::Serialize;

use crate::{
    args::{self, Global},
    error::{Error, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::{text::Line, text::Style, time},
    transaction::{self, RecoveredDocument},
};

/// `undo --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    transaction: Option<u32>,
    state: &'static str,
    reboot: bool,
    notes: Vec<String>,
    recovered: Option<RecoveredDocument>,
}

pub(super) fn run(args: &args::Undo, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "undo")?;
    let recovered = transaction::recover(&host, global, out)?.map(Into::into);
    let records = transaction::history(&host, "undo")?;
    let Some(record) = chosen(args.transaction, records)? else {
        if out.is_json() {
            out.json(&Document {
                schema: 1,
                transaction: None,
                state: "nothing-to-do",
                reboot: false,
                notes: Vec::new(),
                recovered,
            })?;
        } else {
            out.text("Nothing to undo: no transaction is in force.")?;
        }
        return Ok(Outcome::Done);
    };
    if !out.is_json() {
        preview(&record, out)?;
    }
    if !transaction::agreed(global, out, "Undo?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    }
    let undone = transaction::undo(&host, global, record.number, None, args.wait, out)?;
    let reboot = still_running(&host.facts(Wanted::devices())?, &host, &undone.plan);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            transaction: Some(undone.number),
            state: "undone",
            reboot,
            notes: undone.notes,
            recovered,
        })?;
    } else {
        result(&undone.notes, undone.number, reboot, out)?;
    }
    Ok(transaction::outcome(reboot))
}

/// The transaction that is meant.
fn chosen(wanted: Option<u32>, mut records: Vec<Record>) -> Result<Option<Record>> {
    let Some(number) = wanted else {
        let latest = records.iter().rposition(|r| r.state == State::Applied);
        return Ok(latest.map(|at| records.swap_remove(at)));
    };
    let Some(at) = records.iter().position(|r| r.number == number) else {
        return Err(
            Error::usage(format!("there is no transaction {number} on this host"))
                .hint("passthru history lists them"),
        );
    };
    let record = records.swap_remove(at);
    if record.state == State::Applied {
        return Ok(Some(record));
    }
    Ok(None)
}

/// What will be taken back.
pub(super) fn preview(record: &Record, out: &mut Out) -> Result<()> {
    out.line(
        &Line::new()
            .bold(format!("Take back transaction {}", record.number))
            .dim(format!("  of {}", time::utc(record.begun))),
    )?;
    for change in record.plan.changes.iter().rev() {
        match change {
            Change::Edit { path, before, .. } => {
                let what = if before.is_none() {
                    "remove "
                } else {
                    "put back "
                };
                out.text(&format!("  {what}{path}"))?;
            }
            Change::Copy { to, .. } => out.text(&format!("  remove {to}"))?,
            Change::Run { undo, outputs, .. } => {
                if let (Some(undo), true) = (undo, outputs.is_empty()) {
                    let shown = crate::show::plan::command(undo);
                    out.text(&format!("  run {shown}"))?;
                }
                for output in outputs {
                    out.text(&format!("  put back {}", output.path))?;
                }
            }
        }
    }
    Ok(())
}

/// The running system still has what was taken back from the next boot on.
pub(super) fn still_running(facts: &Facts, host: &Host, plan: &Plan) -> bool {
    let bound = plan
        .bindings
        .iter()
        .filter_map(|bound| facts.function(bound.function.address))
        .any(passthru_plan::facts::Function::is_on_vfio);
    let cmdline = host.root().attribute("/proc/cmdline").unwrap_or_default();
    bound
        || plan
            .words
            .iter()
            .any(|word| kargs::has_word(&cmdline, word))
}

/// What became of it.
pub(super) fn result(notes: &[String], number: u32, reboot: bool, out: &mut Out) -> Result<()> {
    out.blank()?;
    let done = Line::new()
        .put(Style::Good, "Undone")
        .plain(format!(": transaction {number}."));
    out.line(&done)?;
    for note in notes {
        out.wrapped(Line::new().plain("  - "), Style::Plain, note)?;
    }
    if notes.is_empty() {
        out.text("Every file is as it was before.")?;
    }
    if reboot {
        out.paragraph(
            0,
            "Reboot to give the card back to its drivers; until then it stays with vfio-pci.",
        )?;
    }
    Ok(())
}
