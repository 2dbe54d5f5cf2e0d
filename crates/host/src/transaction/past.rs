//! What a journal says has happened.

use std::collections::{BTreeMap, BTreeSet};

use super::history::State;
use crate::journal::{Event, Line, Stamp};

/// A journal, read.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// When it began and in which boot.
    pub(super) begun: u64,
    pub(super) boot: Option<String>,
    pub(super) packages: Option<String>,
    /// Steps that were begun.
    pub(super) started: BTreeSet<usize>,
    /// When the last one was begun.
    pub(super) last_intent: u64,
    /// Steps that were done.
    pub(super) done: BTreeSet<usize>,
    /// How the steps left files, by path; later steps win.
    pub(super) after: BTreeMap<String, Stamp>,
    /// Members of a command's family after it, by step.
    pub(super) family: BTreeMap<usize, Vec<String>>,
    /// What merging made of files.
    pub(super) merged: BTreeMap<String, String>,
    /// The command that was last seen running: process and its start.
    pub(super) running: Option<(u32, Option<u64>)>,
    pub(super) state: Option<State>,
    /// When it came into that state.
    pub(super) since: u64,
    pub(super) reason: Option<String>,
    pub(super) notes: Vec<String>,
}

impl Past {
    pub(super) fn of(lines: &[Line]) -> Self {
        let mut past = Self::default();
        for line in lines {
            past.take(line);
        }
        past
    }

    fn take(&mut self, line: &Line) {
        let mut enter = |state| {
            self.state = Some(state);
            self.since = line.time;
        };
        match &line.event {
            Event::Begin { boot, packages } => {
                enter(State::Applying);
                self.begun = line.time;
                self.boot.clone_from(boot);
                self.packages.clone_from(packages);
            }
            Event::Intent { step } => {
                self.started.insert(*step);
                self.last_intent = line.time;
            }
            Event::Running { pid, start, .. } => self.running = Some((*pid, *start)),
            Event::Done {
                step,
                after,
                family,
            } => {
                self.done.insert(*step);
                for after in after {
                    self.after.insert(after.path.clone(), after.stamp.clone());
                }
                self.family.insert(*step, family.clone());
                self.running = None;
            }
            Event::Commit => enter(State::Applied),
            Event::RollingBack { reason } => {
                enter(State::RollingBack);
                self.reason = Some(reason.clone());
            }
            Event::Merged { path, sha256 } => {
                self.merged.insert(path.clone(), sha256.clone());
            }
            Event::RolledBack { reason, notes } => {
                enter(State::RolledBack);
                self.reason = Some(reason.clone());
                self.notes.clone_from(notes);
            }
            Event::RollbackFailed { reason } => {
                enter(State::RollingBack);
                self.reason.get_or_insert_with(|| reason.clone());
            }
            Event::UndoBegin { reason } => {
                enter(State::Undoing);
                if reason.is_some() {
                    self.reason.clone_from(reason);
                }
            }
            Event::UndoStep { .. } => self.running = None,
            Event::Undone { notes } => {
                enter(State::Undone);
                self.notes.clone_from(notes);
            }
            Event::Reboot => {}
            Event::UndoFailed { reason } => {
                enter(State::Applied);
                self.reason = Some(reason.clone());
                self.running = None;
            }
        }
    }
}
