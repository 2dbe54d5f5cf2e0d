//! Taking back, action by action. Every action can be done again after a crash.

use passthru_plan::{Change, Output, Plan, text::quote};

use super::{
    Event, Failure, Reason, command,
    decide::{Action, Decision, Mode, decide},
    domain,
    engine::{Engine, Trouble},
    past::Past,
    place::locate,
    saved::{Manifest, Was, by_hand, look, look_as, restore},
};
use crate::{
    attributes::Attributes,
    journal::{self, Journal, Stamp},
    root::split,
    write::{WriteError, Writer, sha256},
};

/// What taking back works on.
pub(super) struct Back<'a, 'e> {
    pub(super) engine: &'a Engine<'e>,
    pub(super) writer: &'a Writer<'e>,
    pub(super) plan: &'a Plan,
    pub(super) manifest: &'a Manifest,
    /// The transaction's own directory.
    pub(super) directory: &'a str,
}

impl Back<'_, '_> {
    /// Directory of the saved copies.
    fn saved(&self) -> String {
        format!("{}/saved", self.directory)
    }

    /// Directory of what an undo does, and of what was before it.
    pub(super) fn undo(&self) -> String {
        format!("{}/undo", self.directory)
    }

    /// Does one action.
    pub(super) fn act(
        &self,
        journal: &mut Journal<'_>,
        action: &Action,
        notes: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let root = self.engine.root;
        match action {
            Action::Restore { entry, found } => {
                let entry = &self.manifest.entries[*entry];
                self.engine.tell(Event::Restoring { path: &entry.real });
                if let Some(found) = found {
                    let now = look(root, &entry.real)?;
                    if now != *found && now != entry.was.stamp() {
                        notes.push(format!(
                            "{} was changed meanwhile by somebody else: it is left as it is",
                            entry.real
                        ));
                        return Ok(());
                    }
                }
                restore(root, self.writer, &self.saved(), entry)
            }
            Action::Merge { path, found, text } => {
                let now = look(root, path)?;
                if now != *found {
                    if now != super::decide::stamp(text.as_deref()) {
                        notes.push(format!(
                            "{path} was changed meanwhile by somebody else: it is left as it is"
                        ));
                    }
                    return Ok(());
                }
                self.engine.tell(Event::Restoring { path });
                let Some(text) = text else {
                    return Ok(self.writer.remove(path)?);
                };
                journal.append(journal::Event::Merged {
                    path: path.clone(),
                    sha256: sha256(text.as_bytes()),
                })?;
                let file = crate::write::open(root, path)?;
                let mut attributes = Attributes::of(&file).map_err(|e| root.error(path, e))?;
                attributes.mtime = None;
                self.writer
                    .replace(path, &mut text.as_bytes(), &attributes, None)?;
                Ok(())
            }
            Action::Discard { entry, found } => {
                let entry = &self.manifest.entries[*entry];
                let now = look_as(root, &entry.real, entry.role)?;
                if now == *found {
                    self.engine.tell(Event::Restoring { path: &entry.real });
                    self.writer.remove(&entry.real)?;
                } else if now != Stamp::Absent {
                    notes.push(format!(
                        "{} was written to meanwhile: it is kept",
                        entry.real
                    ));
                }
                Ok(())
            }
            Action::Domain { name, found, text } => {
                let now = domain::now(self.engine, name)?;
                if now == *text {
                    return Ok(());
                }
                if now != *found {
                    notes.push(format!(
                        "the guest {name} was changed meanwhile by somebody else: it is left as it is"
                    ));
                    return Ok(());
                }
                self.engine.tell(Event::Domain { name });
                self.set_domain(name, found.as_deref(), text.as_deref(), notes)
            }
            Action::Rerun { step } => self.rerun(journal, *step),
            Action::Anew { step, member } => match anew(self.plan, *step, member) {
                Some((argv, output)) => self.make_again(journal, *step, &argv, &[output]),
                None => Ok(()),
            },
            Action::Reverse { step } => match self.plan.changes.get(*step) {
                Some(Change::Run {
                    undo: Some(argv), ..
                }) => self.order(journal, *step, argv),
                _ => Ok(()),
            },
            Action::RemoveDirectory { path } => {
                if !self.writer.remove_directory(path)? {
                    notes.push(format!("{path} is kept: something else is in it"));
                }
                Ok(())
            }
        }
    }

    /// Gives a domain a definition; the one it had is kept where it is not passthru's.
    fn set_domain(
        &self,
        name: &str,
        found: Option<&str>,
        text: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        domain::set(self.engine, self.writer, self.directory, name, found, text)?;
        if let Some(text) = text
            && domain::now(self.engine, name)?.as_deref() != Some(text)
        {
            notes.push(format!(
                "libvirt writes the definition of {name} differently from before; it means the same"
            ));
        }
        Ok(())
    }

    /// Makes domains again what they were before an undo that failed.
    pub(super) fn put_back_domains(&self, actions: &[Action]) -> Vec<Result<(), Trouble>> {
        let mut results = Vec::new();
        for action in actions.iter().rev() {
            if let Action::Domain { name, found, text } = action {
                results.push(domain::now(self.engine, name).and_then(|now| {
                    if now == *found {
                        return Ok(());
                    }
                    let (now, found) = (text.as_deref(), found.as_deref());
                    self.set_domain(name, now, found, &mut Vec::new())?;
                    match (now, found) {
                        (None, Some(found)) => {
                            domain::give_back(self.engine, self.writer, self.directory, found)
                        }
                        _ => Ok(()),
                    }
                }));
            }
        }
        results
    }

    /// Does again what an undo that failed has reversed by a command.
    pub(super) fn do_again(
        &self,
        journal: &mut Journal<'_>,
        action: &Action,
    ) -> Result<(), Trouble> {
        if let Action::Reverse { step } = action
            && let Some(Change::Run { argv, .. }) = self.plan.changes.get(*step)
        {
            return self.order(journal, *step, argv);
        }
        Ok(())
    }

    /// Runs a command that leaves no file.
    fn order(
        &self,
        journal: &mut Journal<'_>,
        step: usize,
        argv: &[String],
    ) -> Result<(), Trouble> {
        self.engine.tell(Event::Rerunning { argv });
        command::run(self.engine, journal, step, argv)
    }

    fn rerun(&self, journal: &mut Journal<'_>, step: usize) -> Result<(), Trouble> {
        let Some(Change::Run {
            argv,
            undo,
            outputs,
            ..
        }) = self.plan.changes.get(step)
        else {
            return Ok(());
        };
        self.make_again(journal, step, undo.as_ref().unwrap_or(argv), outputs)
    }

    /// Runs a command that has these outputs.
    fn make_again(
        &self,
        journal: &mut Journal<'_>,
        step: usize,
        argv: &[String],
        outputs: &[Output],
    ) -> Result<(), Trouble> {
        self.engine.tell(Event::Rerunning { argv });
        for staged in outputs.iter().filter_map(|output| output.staged.as_ref()) {
            let real = locate(self.engine.root, staged)?.real;
            if look(self.engine.root, &real)? != Stamp::Absent {
                self.writer.remove(&real)?;
            }
        }
        command::run(self.engine, journal, step, argv)?;
        command::finish(self.engine, self.writer, argv, outputs, &[], false)
    }

    /// What to do by hand instead of `action`.
    fn by_hand(&self, action: &Action) -> String {
        let root = self.engine.root;
        match action {
            Action::Restore { entry, .. } => {
                by_hand(root, &self.saved(), &self.manifest.entries[*entry])
            }
            Action::Discard { entry, .. } => {
                format!("remove {}", self.manifest.entries[*entry].real)
            }
            Action::Domain { name, text, .. } => match text {
                Some(_) => format!(
                    "virsh edit {}, with the plan beside the journal",
                    quote::word(name)
                ),
                None => format!("virsh undefine --nvram {}", quote::word(name)),
            },
            Action::Merge { path, text, .. } => match text {
                Some(_) => format!("take passthru's lines out of {path}"),
                None => format!("remove {path}"),
            },
            Action::Rerun { step } | Action::Reverse { step } => {
                match self.plan.changes.get(*step) {
                    Some(Change::Run { argv, undo, .. }) => {
                        format!("run {}", undo.as_ref().unwrap_or(argv).join(" "))
                    }
                    _ => String::new(),
                }
            }
            Action::Anew { step, member } => {
                anew(self.plan, *step, member).map_or(String::new(), |(argv, output)| {
                    let staged = output.staged.unwrap_or_default();
                    let [staged, member] = [&staged, member].map(|path| quote::word(path));
                    format!("run {} && mv {staged} {member}", quote::command(&argv))
                })
            }
            Action::RemoveDirectory { path } => {
                format!("remove {} if it is empty", root.display(path).display())
            }
        }
    }

    /// Removes temporary files that a crash left beside the files of the manifest.
    pub(super) fn sweep(&self) -> Result<(), Trouble> {
        let mut parents: Vec<&str> = self
            .manifest
            .entries
            .iter()
            .map(|entry| split(&entry.real).0)
            .collect();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            self.writer.sweep(parent)?;
        }
        Ok(())
    }
}

/// The command that makes this member of the family of a step's command, and what it writes.
pub(super) fn anew(plan: &Plan, step: usize, member: &str) -> Option<(Vec<String>, Output)> {
    match plan.changes.get(step)? {
        Change::Run {
            family: Some(family),
            anew: Some(anew),
            ..
        } => anew.of(family, member),
        _ => None,
    }
}

/// Takes a begun transaction back and says so in its journal. Returns what there is to know, or
/// what could not be taken back.
pub(super) fn roll_back(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    past: &Past,
    mode: Mode,
    reason: &Reason,
) -> Result<Result<Vec<String>, Vec<Reason>>, Trouble> {
    back.engine
        .to_the_end(|| roll_all_back(back, journal, past, mode, reason))
}

fn roll_all_back(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    past: &Past,
    mode: Mode,
    reason: &Reason,
) -> Result<Result<Vec<String>, Vec<Reason>>, Trouble> {
    let engine = back.engine;
    engine.tell(Event::RollingBack {
        reason: &reason.what,
    });
    // A full disk must not keep us from taking back: that it was begun is only for the history.
    forgive(journal.append(journal::Event::RollingBack {
        reason: reason.what.clone(),
    }))?;
    engine.point("rollback.begin")?;
    let Decision { actions, mut notes } =
        match decide(engine, back.plan, back.manifest, back.directory, past, mode) {
            Ok(decision) => decision,
            Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            Err(Trouble::Failed(why)) => return Ok(Err(vec![why])),
        };
    forgive_trouble(back.sweep())?;
    // Directories last of all: only then can they be empty.
    let is_directory = |action: &&Action| matches!(action, Action::RemoveDirectory { .. });
    let files = actions.iter().filter(|action| !is_directory(action));
    let directories = actions.iter().filter(is_directory);
    let mut todo: Vec<&Action> = files.collect();
    // Twice: what the first pass removes may be the room that was lacking.
    let mut stuck = Vec::new();
    for _ in 0..2 {
        stuck.clear();
        todo = try_all(back, journal, &todo, &mut notes, &mut stuck)?;
    }
    if stuck.is_empty() {
        try_all(
            back,
            journal,
            &directories.collect::<Vec<_>>(),
            &mut notes,
            &mut stuck,
        )?;
    }
    if !stuck.is_empty() {
        forgive(journal.append(journal::Event::RollbackFailed {
            reason: reason.what.clone(),
        }))?;
        return Ok(Err(stuck));
    }
    engine.point("rollback.end")?;
    match journal.append(journal::Event::RolledBack {
        reason: reason.what.clone(),
        notes: notes.clone(),
    }) {
        Ok(()) => prune(back)?,
        Err(WriteError::Stopped) => return Err(Trouble::Stopped),
        // Everything is back. Recovery will find nothing to do, and say then that it is.
        Err(WriteError::Failed(_)) => {}
    }
    Ok(Ok(notes))
}

/// Does all of `actions` that can be done; returns the others, and says in `stuck` why.
fn try_all<'a>(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    actions: &[&'a Action],
    notes: &mut Vec<String>,
    stuck: &mut Vec<Reason>,
) -> Result<Vec<&'a Action>, Trouble> {
    let mut failed = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        let done = back
            .engine
            .point(format_args!("rollback.step.{index}"))
            .and_then(|()| back.act(journal, action, notes));
        match done {
            Ok(()) => {}
            Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            Err(Trouble::Failed(why)) => {
                stuck.push(Reason::new(why.what, back.by_hand(action)));
                failed.push(*action);
            }
        }
    }
    Ok(failed)
}

/// As the failure that a call returns.
pub(super) fn failure(
    number: u32,
    reason: Reason,
    outcome: Result<Result<Vec<String>, Vec<Reason>>, Trouble>,
) -> Failure {
    match outcome {
        Ok(Ok(notes)) => Failure::RolledBack {
            number,
            reason,
            notes,
        },
        Ok(Err(stuck)) => Failure::NotRolledBack {
            number,
            reason,
            stuck,
        },
        Err(Trouble::Stopped) => Failure::Stopped,
        Err(Trouble::Failed(why)) => Failure::NotRolledBack {
            number,
            reason,
            stuck: vec![why],
        },
    }
}

/// Lets an error pass, but not a stop.
fn forgive(result: Result<(), WriteError>) -> Result<(), Trouble> {
    forgive_trouble(result.map_err(Trouble::from))
}

pub(super) fn forgive_trouble(result: Result<(), Trouble>) -> Result<(), Trouble> {
    match result {
        Err(Trouble::Stopped) => Err(Trouble::Stopped),
        _ => Ok(()),
    }
}

/// Saved copies larger than this go when the transaction is over: boot images, which nobody will
/// want back. The small ones stay, for whoever wants to see what was there.
const KEEP: u64 = 1 << 20;

/// Makes room once a transaction is taken back. Failing to is no failure.
pub(super) fn prune(back: &Back<'_, '_>) -> Result<(), Trouble> {
    for entry in &back.manifest.entries {
        if let Was::File(file) = &entry.was
            && file.size > KEEP
        {
            let copy = format!("{}/{}", back.saved(), file.copy);
            forgive(back.writer.remove(&copy))?;
        }
    }
    forgive_trouble(remove_flat(back.engine, back.writer, &back.undo()))
}

/// Removes the directory `path` and the files in it, if it is there.
pub(super) fn remove_flat(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    path: &str,
) -> Result<(), Trouble> {
    let names = match engine.root.list(path) {
        Err(e) if e.is_missing() => return Ok(()),
        other => other?,
    };
    for name in names {
        writer.remove(&format!("{path}/{name}"))?;
    }
    writer.remove_directory(path)?;
    Ok(())
}
