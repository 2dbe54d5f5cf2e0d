//! `passthru undo`: takes a transaction back, to the byte.

use std::collections::BTreeSet;

use passthru_host::transaction::{Record, Recovered, RecoveredEnd, State};
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
    let recovered = transaction::recover_after(&host, global, 0, out)?;
    let records = transaction::history(&host, "undo")?;
    let ended = recovered
        .as_ref()
        .filter(|recovered| !args.all && is_what_was_meant(args, recovered))
        .and_then(|recovered| records.iter().find(|r| r.number == recovered.number));
    let todo = if ended.is_some() {
        Vec::new()
    } else if args.all {
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
        recovered: recovered.map(Into::into),
    };
    let mut plans = Vec::new();
    if let Some(record) = ended {
        document.transaction = Some(record.number);
        document.transactions.push(record.number);
        plans.push(record.plan.clone());
    } else if todo.is_empty() {
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
    if !todo.is_empty() && !transaction::agreed(global, out, "Undo?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    }
    let mut failed = None;
    for number in &todo {
        let done = &document.transactions;
        let undone = match transaction::undo(&host, global, *number, done, None, args.wait, out) {
            Ok(undone) => undone,
            // What a guest needs (libvirt, no snapshot) must not keep the host's boot as it is.
            Err(error) if args.all && is_of_guest(&records, *number) => {
                failed.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
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
    });
    document.notes.extend(later(&facts, &records, &plans));
    let running = StillRunning::of(&facts, &host, &plans);
    document.reboot = running.needs_reboot();
    if let Some(error) = failed {
        let done = &document.transactions;
        if !out.is_json() && !done.is_empty() {
            result(&document.notes, done, out)?;
            say_running(running, out)?;
        }
        return Err(transaction::but_undone(error, done));
    }
    if out.is_json() {
        out.json(&document)?;
    } else {
        // What recovery did has been said.
        if !todo.is_empty() {
            result(&document.notes, &document.transactions, out)?;
        }
        say_running(running, out)?;
        let left = everything(&records);
        if let [latest, ..] = left[..] {
            out.blank()?;
            out.text(&format!(
                "Transaction {latest} is still in force; to take back all of them:"
            ))?;
            out.command(&host.command(&["undo".into(), "--all".into()]))?;
        }
    }
    Ok(transaction::outcome(running.needs_reboot()))
}

/// Recovery has just taken back what was asked for. Without a number it was meant too: nobody who runs an
/// undo again that was interrupted means the transaction before it.
fn is_what_was_meant(args: &args::Undo, recovered: &Recovered) -> bool {
    recovered.end != RecoveredEnd::InForce
        && args
            .transaction
            .is_none_or(|number| number == recovered.number)
}

fn say_running(running: StillRunning, out: &mut Out) -> Result<()> {
    if let Some(advice) = running.advice() {
        out.paragraph(0, advice)?;
    }
    Ok(())
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

fn is_of_guest(records: &[Record], number: u32) -> bool {
    let mut of = records.iter().filter(|record| record.number == number);
    of.any(|record| record.plan.guest.is_some())
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

/// What the running system still has of what was taken back from the next boot on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StillRunning {
    /// A function is with vfio-pci.
    bound: bool,
    /// Words are on the command line.
    words: bool,
}

impl StillRunning {
    /// Of these plans.
    pub(super) fn of(facts: &Facts, host: &Host, plans: &[Plan]) -> Self {
        let mut bound = plans.iter().flat_map(|plan| &plan.bindings);
        let mut words = plans.iter().flat_map(|plan| &plan.words);
        let cmdline = host.root().attribute("/proc/cmdline").unwrap_or_default();
        Self {
            bound: bound.any(|bound| {
                let function = facts.function(bound.function.address);
                function.is_some_and(passthru_plan::facts::Function::is_on_vfio)
            }),
            words: words.any(|word| kargs::has_word(&cmdline, word)),
        }
    }

    /// Only a reboot ends it.
    pub(super) const fn needs_reboot(self) -> bool {
        self.bound || self.words
    }

    const fn advice(self) -> Option<&'static str> {
        match self {
            Self { bound: true, .. } => Some(
                "Reboot to give the card back to its drivers; until then it stays with vfio-pci.",
            ),
            Self { words: true, .. } => Some(
                "Reboot when it suits you: this boot still runs with the kernel command line of before.",
            ),
            Self { .. } => None,
        }
    }
}

/// What became of it.
pub(super) fn result(notes: &[String], numbers: &[u32], out: &mut Out) -> Result<()> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_spoken_of_where_one_is_bound() {
        let advice = |bound, words| StillRunning { bound, words }.advice();
        assert!(advice(true, true).is_some_and(|text| text.contains("vfio-pci")));
        assert!(advice(false, true).is_some_and(|text| !text.contains("card")));
        assert_eq!(advice(false, false), None);
    }
}
