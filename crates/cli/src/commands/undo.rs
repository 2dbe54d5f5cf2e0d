//! `passthru undo`: takes a transaction back, to the byte.

use std::collections::BTreeSet;

use passthru_host::transaction::{Record, State};
use passthru_plan::{
    Change, Facts, Plan, leftover,
    text::{kargs, quote},
};
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
    /// The last one that was taken back, or was to be.
    transaction: Option<u32>,
    /// All of them, in the order in which they were taken back.
    transactions: Vec<u32>,
    state: &'static str,
    reboot: bool,
    notes: Vec<String>,
    recovered: Option<RecoveredDocument>,
}

pub(super) fn run(args: &args::Undo, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "undo")?;
    let recovered = transaction::recover(&host, global, out)?.map(Into::into);
    let records = transaction::history(&host, "undo")?;
    let todo = if args.all {
        everything(&records)
    } else {
        chosen(args.transaction, &records)?.into_iter().collect()
    };
    let mut document = Document {
        schema: 1,
        transaction: None,
        transactions: Vec::new(),
        state: "nothing-to-do",
        reboot: false,
        notes: Vec::new(),
        recovered,
    };
    if todo.is_empty() {
        if out.is_json() {
            out.json(&document)?;
        } else {
            out.text("Nothing to undo: no transaction is in force.")?;
        }
        return Ok(Outcome::Done);
    }
    if !out.is_json() {
        for number in &todo {
            preview(&records, *number, out)?;
        }
    }
    if !transaction::agreed(global, out, "Undo?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    }
    let mut plans = Vec::new();
    for number in &todo {
        let undone = transaction::undo(&host, global, *number, None, args.wait, out)?;
        document.transaction = Some(undone.number);
        document.transactions.push(undone.number);
        document.notes.extend(undone.notes);
        plans.push(undone.plan);
    }
    document.state = "undone";
    let records = transaction::history(&host, "undo")?;
    let facts = host.facts(Wanted {
        // Guests have no words in boot entries.
        host: plans.iter().any(|plan| !plan.words.is_empty()),
        ..Wanted::devices()
    })?;
    document.notes.extend(later(&facts, &records, &plans));
    document.reboot = plans.iter().any(|plan| still_running(&facts, &host, plan));
    let reboot = document.reboot;
    if out.is_json() {
        out.json(&document)?;
    } else {
        result(&document.notes, &document.transactions, reboot, out)?;
        let left = everything(&records);
        if let [latest, ..] = left[..] {
            out.blank()?;
            out.text(&format!(
                "Transaction {latest} is still in force; to take back all of them:"
            ))?;
            out.command(&host.command(&["undo".into(), "--all".into()]))?;
        }
    }
    Ok(transaction::outcome(reboot))
}

/// Boot entries that came after what was taken back and have its words, if nothing in force has them too.
fn later(facts: &Facts, records: &[Record], plans: &[Plan]) -> Vec<String> {
    let of_host = |record: &Record| record.state == State::Applied && record.plan.guest.is_none();
    if records.iter().any(of_host) {
        return Vec::new();
    }
    let words: Vec<String> = plans.iter().flat_map(|plan| plan.words.clone()).collect();
    leftover::entries(facts, &words)
}

/// Everything in force, the latest first; a trial goes with the transaction that keeps it.
fn everything(records: &[Record]) -> Vec<u32> {
    let mut covered = BTreeSet::new();
    let mut numbers = Vec::new();
    for record in records.iter().rev() {
        if record.state == State::Applied && !covered.contains(&record.number) {
            covered.extend(passthru_host::transaction::chain(records, record.number));
            numbers.push(record.number);
        }
    }
    numbers
}

/// The transaction that is meant.
fn chosen(wanted: Option<u32>, records: &[Record]) -> Result<Option<u32>> {
    let Some(number) = wanted else {
        let latest = records.iter().rfind(|r| r.state == State::Applied);
        return Ok(latest.map(|record| record.number));
    };
    let Some(record) = records.iter().find(|r| r.number == number) else {
        return Err(
            Error::usage(format!("there is no transaction {number} on this host"))
                .hint("passthru history lists them"),
        );
    };
    Ok((record.state == State::Applied).then_some(number))
}

/// What will be taken back: of a trial that was kept, both of its transactions as one.
pub(super) fn preview(records: &[Record], number: u32, out: &mut Out) -> Result<()> {
    let chain = passthru_host::transaction::chain(records, number);
    let taken = |number: &u32| records.iter().find(|record| record.number == *number);
    let records: Vec<&Record> = chain.iter().filter_map(taken).collect();
    for (i, record) in records.iter().enumerate() {
        let what = if i == 0 {
            "Take back transaction"
        } else {
            "and its trial, transaction"
        };
        out.line(
            &Line::new()
                .bold(format!("{what} {}", record.number))
                .dim(format!("  of {}", time::utc(record.begun))),
        )?;
    }
    // The latest first; what the first of them found is what comes back.
    let mut said = BTreeSet::new();
    let changes = || {
        records
            .iter()
            .flat_map(|record| record.plan.changes.iter().rev())
    };
    for change in changes() {
        if let Change::Run {
            undo: Some(undo),
            outputs,
            ..
        } = change
            && outputs.is_empty()
        {
            out.text(&format!("  run {}", quote::command(undo)))?;
        }
        if let Change::Domain { name, before, .. } = change {
            let what = match before {
                Some(_) => "put back the definition of guest",
                None => "forget guest",
            };
            out.text(&format!("  {what} {name}"))?;
        }
        for path in written(change) {
            if said.insert(path) {
                let first = changes().rfind(|change| written(change).any(|p| p == path));
                let what = match first {
                    Some(
                        Change::Edit { before: None, .. }
                        | Change::Copy { .. }
                        | Change::Disc { .. },
                    ) => "remove",
                    Some(Change::Make { .. }) => "remove, unless something was written to it:",
                    _ => "put back",
                };
                out.text(&format!("  {what} {path}"))?;
            }
        }
    }
    Ok(())
}

/// The files that a change writes.
fn written(change: &Change) -> impl Iterator<Item = &str> {
    let (one, outputs): (Option<&String>, &[_]) = match change {
        Change::Edit { path, .. }
        | Change::Copy { to: path, .. }
        | Change::Make { path, .. }
        | Change::Disc { path, .. } => (Some(path), &[]),
        Change::Domain { .. } => (None, &[]),
        Change::Run { outputs, .. } => (None, outputs),
    };
    let outputs = outputs.iter().map(|output| &output.path);
    one.into_iter().chain(outputs).map(String::as_str)
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
pub(super) fn result(notes: &[String], numbers: &[u32], reboot: bool, out: &mut Out) -> Result<()> {
    out.blank()?;
    let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let several = if names.len() == 1 { "" } else { "s" };
    let done = Line::new()
        .put(Style::Good, "Undone")
        .plain(format!(": transaction{several} {}.", names.join(", ")));
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
