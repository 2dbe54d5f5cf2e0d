//! Carrying out a plan, and taking it back.
//!
//! ```text
//! apply    lock, recover, check, save ─> begin ─> (intent ─> change ─> done)* ─> commit
//! undo     lock, recover, decide, save ─> undo-begin ─> action* ─> undone
//! recover  begun without commit: take back;  undo begun: finish it
//! ```
//!
//! Everything that will be touched is saved before the first change, and each line of the journal
//! is on the disk before what it announces is done, so that at any moment the directory of the
//! transaction tells the way back. See [`crate::journal`] for its files.

mod apply;
mod back;
mod check;
mod command;
mod decide;
mod domain;
mod engine;
mod history;
mod past;
mod place;
mod precheck;
mod recover;
mod saved;
mod space;
mod surroundings;
mod touch;
mod undo;

use std::{fmt, sync::atomic::AtomicBool, time::Duration};

use passthru_plan::{Change, Plan};
use thiserror::Error;

pub use self::{
    apply::apply,
    check::{Inspect, Opener},
    history::{Record, State, TrialState, history, in_force, on_trial},
    recover::recover,
    undo::{chain, undo},
};
use crate::failpoint::Points;

/// How a transaction is carried out.
#[derive(Debug)]
pub struct Options<'a> {
    /// A command that runs longer is ended, and the transaction taken back.
    pub deadline: Duration,
    /// Between asking a command to end and killing it.
    pub grace: Duration,
    /// How long to wait for a package manager that is running.
    pub patience: Duration,
    /// Becomes true when the user wants no more of it (Ctrl-C).
    pub cancel: Option<&'a AtomicBool>,
    /// Recovery leaves a guest's transaction as it is if that cannot be brought to an end: the host's
    /// boot does not wait for libvirt.
    pub past_guests: bool,
    /// Why an undo is done, if nobody asked for it.
    pub reason: Option<&'a str>,
    /// Reads what commands produced.
    pub inspect: &'a dyn Inspect,
    /// Faults to inject.
    pub failpoints: Points,
}

impl Default for Options<'_> {
    /// Half an hour for a command, no waiting for package managers, failpoints of the environment.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(10),
            patience: Duration::ZERO,
            cancel: None,
            past_guests: false,
            reason: None,
            inspect: &Opener,
            failpoints: Points::from_env(),
        }
    }
}

/// Hears how a transaction goes.
pub trait Progress {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _: Event<'_>) {}
}

/// What happens in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A package manager is waited for.
    Waiting {
        /// Who, in words.
        whom: &'a str,
        /// For this long at most.
        left: Duration,
    },
    /// What an interrupted transaction left is being taken back or finished.
    Recovering {
        /// The transaction.
        number: u32,
    },
    /// A guest's transaction that was interrupted is left as it is for now.
    LeftBetween {
        /// The transaction.
        number: u32,
        /// Why it could not be brought to an end.
        reason: &'a str,
    },
    /// Files are saved before the first change.
    Saving {
        /// How many.
        files: usize,
        /// How large together.
        bytes: u64,
    },
    /// A step of the plan begins.
    Step {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// What it is.
        change: &'a Change,
    },
    /// It is done.
    StepDone {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        of: usize,
    },
    /// The running command said this.
    Said(&'a str),
    /// The running command still runs.
    Alive(Duration),
    /// What a command made is being looked into.
    Checking {
        /// The file.
        path: &'a str,
    },
    /// A checked file becomes the live one.
    Activating {
        /// The file.
        path: &'a str,
    },
    /// The transaction is being taken back.
    RollingBack {
        /// Why.
        reason: &'a str,
    },
    /// A file gets back what it was.
    Restoring {
        /// The file.
        path: &'a str,
    },
    /// A guest gets its former definition, or is forgotten.
    Domain {
        /// The guest.
        name: &'a str,
    },
    /// A command is run again because its inputs are what they were.
    Rerunning {
        /// Program and arguments.
        argv: &'a [String],
    },
}

/// What happened and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What, and where.
    pub what: String,
    /// The way out.
    pub way_out: String,
}

impl Reason {
    pub(crate) fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            way_out: way_out.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Why a transaction did not come to its end, and in which state the host is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// What was asked for makes no sense here. Nothing was changed.
    #[error("{0}")]
    Usage(Reason),
    /// Something stood in the way before the first change. Nothing was changed.
    #[error("{0}")]
    Unchanged(Reason),
    /// It failed and everything is as before.
    #[error("{reason}")]
    RolledBack {
        /// The transaction.
        number: u32,
        /// Why it failed.
        reason: Reason,
        /// What there is to know about how it was taken back.
        notes: Vec<String>,
    },
    /// An undo failed, and its transaction is in force as before.
    #[error("{reason}")]
    StillInForce {
        /// The transaction.
        number: u32,
        /// Why it failed.
        reason: Reason,
        /// What there is to know about how it was put back.
        notes: Vec<String>,
    },
    /// Of several transactions that belong together some are undone, and another one is not.
    #[error("{rest}")]
    PartlyUndone {
        /// The ones that are undone, in this order.
        done: Vec<u32>,
        /// What there is to know about these.
        notes: Vec<String>,
        /// What became of the next one.
        rest: Box<Failure>,
    },
    /// It failed, and not everything could be taken back.
    #[error("{reason}")]
    NotRolledBack {
        /// The transaction.
        number: u32,
        /// Why it failed.
        reason: Reason,
        /// What is still changed, and what to do by hand, for each.
        stuck: Vec<Reason>,
    },
    /// A failpoint stopped the engine, which left everything as a crash would.
    #[error("stopped by a failpoint")]
    Stopped,
}

impl Failure {
    /// The exit status that design.md gives it: 1 nothing changed, 2 usage, 4 failed and rolled
    /// back, 5 failed and not rolled back.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Unchanged(_) => 1,
            Self::Usage(_) => 2,
            Self::RolledBack { .. } | Self::StillInForce { .. } => 4,
            Self::NotRolledBack { .. } | Self::PartlyUndone { .. } | Self::Stopped => 5,
        }
    }

    /// What happened and the way out, for all but [`Failure::Stopped`].
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Usage(reason)
            | Self::Unchanged(reason)
            | Self::RolledBack { reason, .. }
            | Self::StillInForce { reason, .. }
            | Self::NotRolledBack { reason, .. } => Some(reason),
            Self::PartlyUndone { rest, .. } => rest.reason(),
            Self::Stopped => None,
        }
    }
}

/// A plan that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The transaction.
    pub number: u32,
    /// It takes effect at the next boot.
    pub reboot: bool,
    /// An interrupted transaction that was dealt with first.
    pub recovered: Option<Recovered>,
}

/// A transaction that was taken back at the user's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The transaction.
    pub number: u32,
    /// The plan it had carried out.
    pub plan: Plan,
    /// It takes effect at the next boot.
    pub reboot: bool,
    /// What was merged, what was left, and why.
    pub notes: Vec<String>,
    /// An interrupted transaction that was dealt with first.
    pub recovered: Option<Recovered>,
}

/// An interrupted transaction that was brought to one of its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The transaction.
    pub number: u32,
    /// What became of it.
    pub end: RecoveredEnd,
    /// What was merged, what was left, and why.
    pub notes: Vec<String>,
}

/// What became of an interrupted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveredEnd {
    /// It was being applied and is taken back.
    RolledBack,
    /// It was being undone and is undone.
    Undone,
    /// It was being undone, that failed, and it is in force as before.
    InForce,
}
