//! The transaction engine as the commands use it: options, questions, and what went wrong in words.

use std::time::Duration;

use passthru_host::transaction::{self, Failure, Options, Record, Recovered, RecoveredEnd};
use passthru_plan::Plan;
use serde::Serialize;

use crate::{
    args::Global,
    cancel::Cancel,
    error::{Error, Kind, Outcome, Result},
    host::Host,
    out::Out,
    show::{
        progress::Shown,
        text::{Line, Style},
    },
};

/// A plan that was carried out.
pub(crate) struct Applied {
    /// The transaction's number.
    pub(crate) number: u32,
    /// It takes effect at the next boot.
    pub(crate) reboot: bool,
    /// What was brought to its end first.
    pub(crate) recovered: Option<Recovered>,
}

/// Carries `plan` out, showing how it goes.
pub(crate) fn apply(
    host: &Host,
    global: &Global,
    plan: &Plan,
    wait: u64,
    out: &mut Out,
) -> Result<Applied> {
    let cancel = Cancel::catch()?;
    let options = options(wait, Some(&cancel));
    let exec = host.exec(global);
    let mut shown = Shown::new(out, Some(&cancel));
    transaction::apply(host.root(), exec.as_ref(), plan, &options, &mut shown)
        .map(|applied| Applied {
            number: applied.number,
            reboot: applied.reboot,
            recovered: applied.recovered,
        })
        .map_err(|rest| failed(host, &[], rest))
}

/// Takes transaction `number` back, showing how it goes; `reason` says why, if nobody asked for it.
/// `done` are undone already by the same call: an error must not sound as if nothing had happened.
pub(crate) fn undo(
    host: &Host,
    global: &Global,
    number: u32,
    done: &[u32],
    reason: Option<&str>,
    wait: u64,
    out: &mut Out,
) -> Result<transaction::Undone> {
    let cancel = Cancel::catch()?;
    let options = Options {
        reason,
        ..options(wait, Some(&cancel))
    };
    let exec = host.exec(global);
    let mut shown = Shown::new(out, Some(&cancel));
    transaction::undo(
        host.root(),
        exec.as_ref(),
        Some(number),
        &options,
        &mut shown,
    )
    .map_err(|rest| failed(host, done, rest))
}

/// Brings an interrupted transaction to one of its two ends, if there is one, and says so.
pub(crate) fn recover(host: &Host, global: &Global, out: &mut Out) -> Result<Option<Recovered>> {
    recover_with(host, global, options(0, None), out)
}

/// The same, once package managers are done, within `wait` seconds, and past guests that libvirt does not
/// let go on.
pub(crate) fn recover_after(
    host: &Host,
    global: &Global,
    wait: u64,
    out: &mut Out,
) -> Result<Option<Recovered>> {
    let options = Options {
        past_guests: true,
        ..options(wait, None)
    };
    recover_with(host, global, options, out)
}

fn recover_with(
    host: &Host,
    global: &Global,
    options: Options<'_>,
    out: &mut Out,
) -> Result<Option<Recovered>> {
    let exec = host.exec(global);
    let recovered = {
        let mut shown = Shown::new(out, None);
        transaction::recover(host.root(), exec.as_ref(), &options, &mut shown)
            .map_err(|rest| failed(host, &[], rest))?
    };
    if let (Some(recovered), false) = (&recovered, out.is_json()) {
        let lead = Line::new().put(Style::Warn, "recovered  ");
        out.wrapped(lead, Style::Plain, &end(recovered))?;
        for note in &recovered.notes {
            out.wrapped(Line::new().plain("  - "), Style::Plain, note)?;
        }
        out.blank()?;
    }
    Ok(recovered)
}

/// What became of an interrupted transaction, in a sentence.
fn end(recovered: &Recovered) -> String {
    let number = recovered.number;
    match recovered.end {
        RecoveredEnd::RolledBack => {
            format!("Transaction {number} had been interrupted; everything is as before it.")
        }
        RecoveredEnd::Undone => {
            format!("The undo of transaction {number} had been interrupted; it is undone now.")
        }
        RecoveredEnd::InForce => format!(
            "The undo of transaction {number} had been interrupted; the transaction is in force, as before."
        ),
    }
}

/// An interrupted transaction in JSON.
#[derive(Serialize)]
pub(crate) struct RecoveredDocument {
    transaction: u32,
    state: &'static str,
    notes: Vec<String>,
}

impl From<Recovered> for RecoveredDocument {
    fn from(recovered: Recovered) -> Self {
        Self {
            transaction: recovered.number,
            state: match recovered.end {
                RecoveredEnd::RolledBack => "rolled-back",
                RecoveredEnd::Undone => "undone",
                RecoveredEnd::InForce => "applied",
            },
            notes: recovered.notes,
        }
    }
}

/// All transactions of the host, the oldest first.
pub(crate) fn history(host: &Host, verb: &str) -> Result<Vec<Record>> {
    let denied = host
        .root()
        .list(passthru_host::journal::STATE)
        .is_err_and(|e| e.source.kind() == std::io::ErrorKind::PermissionDenied);
    if denied {
        return Err(Error::new(
            Kind::NeedsRoot,
            format!(
                "passthru {verb} reads {}, and that needs root",
                host.root().display(passthru_host::journal::STATE).display()
            ),
        )
        .hint(crate::host::sudo()));
    }
    transaction::history(host.root()).map_err(failure)
}

/// The transaction whose trial boot is not decided yet.
pub(crate) fn on_trial(host: &Host) -> Result<Option<Record>> {
    transaction::on_trial(host.root()).map_err(failure)
}

/// Asks before something is written, unless `--yes` was given.
pub(crate) fn agreed(global: &Global, out: &mut Out, question: &str) -> Result<bool> {
    if global.yes {
        return Ok(true);
    }
    if out.is_json() || !out.can_ask() {
        return Err(Error::usage(
            "nobody can be asked here (not a terminal), and --yes was not given; nothing was done",
        )
        .hint("look at the plan first, then say --yes"));
    }
    out.blank()?;
    Ok(out.confirm(question)?)
}

/// For a command after which the host may have to be rebooted.
pub(crate) const fn outcome(reboot: bool) -> Outcome {
    if reboot {
        Outcome::RebootNeeded
    } else {
        Outcome::Done
    }
}

fn options(wait: u64, cancel: Option<&Cancel>) -> Options<'_> {
    Options {
        patience: Duration::from_secs(wait),
        cancel: cancel.map(Cancel::flag),
        ..Options::default()
    }
}

/// What went wrong on `host` after the transactions `done` were undone; and if one is left halfway, how
/// to start the host all the same.
fn failed(host: &Host, done: &[u32], failure: Failure) -> Error {
    let halfway = halfway(&failure);
    let error = partly_undone(done.to_vec(), failure);
    let records = halfway.and_then(|_| transaction::history(host.root()).ok());
    let record = records
        .iter()
        .flatten()
        .find(|record| Some(record.number) == halfway);
    match record.and_then(|record| record.plan.way_back.as_ref()) {
        Some(way_back) => error.hint(format!(
            "until then, should the host not start: {}",
            way_back.choice
        )),
        None => error,
    }
}

/// The transaction that could not be taken back entirely.
fn halfway(failure: &Failure) -> Option<u32> {
    match failure {
        Failure::NotRolledBack { number, .. } => Some(*number),
        Failure::PartlyUndone { rest, .. } => halfway(rest),
        _ => None,
    }
}

/// What went wrong after the transactions `done` were undone.
fn partly_undone(mut done: Vec<u32>, rest: Failure) -> Error {
    if done.is_empty() {
        return failure(rest);
    }
    let error = match rest {
        Failure::PartlyUndone {
            done: more,
            notes,
            rest,
        } => {
            done.extend(more);
            return notes
                .into_iter()
                .fold(partly_undone(done, *rest), Error::hint);
        }
        // That nothing was changed would not be true.
        Failure::Usage(reason) | Failure::Unchanged(reason) => {
            Error::new(Kind::NotRolledBack, &reason).hint(reason.way_out)
        }
        other => failure(other),
    };
    but_undone(error, &done)
}

/// An error of one transaction, while others were undone.
pub(crate) fn but_undone(error: Error, done: &[u32]) -> Error {
    if done.is_empty() {
        return error;
    }
    let numbers: Vec<String> = done.iter().map(u32::to_string).collect();
    let which = if done.len() == 1 {
        "transaction"
    } else {
        "transactions"
    };
    error
        .partly(&format!("undone: {which} {}", numbers.join(", ")))
        .hint("sudo passthru undo --all goes on from here")
}

/// What went wrong, and in which state the host is.
fn failure(failure: Failure) -> Error {
    match failure {
        Failure::Usage(reason) => Error::usage(&reason).hint(reason.way_out),
        Failure::Unchanged(reason) => Error::new(
            Kind::NothingChanged,
            format!("{reason}; nothing was changed"),
        )
        .hint(reason.way_out),
        Failure::RolledBack {
            number,
            reason,
            notes,
        } => {
            let message = format!(
                "{reason}; transaction {number} was taken back, and everything is as before"
            );
            let error = Error::new(Kind::RolledBack, message).hint(reason.way_out);
            notes.into_iter().fold(error, Error::hint)
        }
        Failure::StillInForce {
            number,
            reason,
            notes,
        } => {
            let message =
                format!("{reason}; transaction {number} was not undone, and is in force as before");
            let error = Error::new(Kind::RolledBack, message).hint(reason.way_out);
            notes.into_iter().fold(error, Error::hint)
        }
        Failure::PartlyUndone { done, notes, rest } => notes
            .into_iter()
            .fold(partly_undone(done, *rest), Error::hint),
        Failure::NotRolledBack {
            number,
            reason,
            stuck,
        } => {
            let message =
                format!("{reason}; and transaction {number} could not be taken back entirely");
            let error = Error::new(Kind::NotRolledBack, message);
            stuck
                .into_iter()
                .fold(error, |error, stuck| {
                    error.hint(format!("{}: {}", stuck.what, stuck.way_out))
                })
                .hint("sudo passthru recover tries again")
        }
        Failure::Stopped => {
            Error::new(Kind::NotRolledBack, "stopped by a failpoint, as by a crash")
                .hint("sudo passthru recover brings the host to before or after")
        }
    }
}
