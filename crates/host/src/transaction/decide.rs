//! What has to be done to take a transaction back, decided before anything is done.
//!
//! A file that is as passthru left it gets its saved bytes back. A file that others changed since
//! is merged if passthru edited it, and made anew by its command if a command wrote it: the saved
//! image of a kernel whose modules were upgraded since would not boot.

use std::collections::{BTreeMap, BTreeSet};

use passthru_plan::{Change, Plan, stem, text::merge::take_back};
use serde::{Deserialize, Serialize};

use super::{
    command, domain,
    engine::{Engine, Trouble},
    past::Past,
    place::locate,
    saved::{Manifest, Saved, Was, look_as},
    surroundings,
    touch::Role,
};
use crate::{journal::Stamp, write::sha256};

/// Why a transaction is taken back, which decides whose work a changed file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It failed just now: what a command left is its work.
    Rollback,
    /// It was interrupted, perhaps long ago.
    Recover,
    /// The user wants it undone, perhaps long after.
    Undo,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Action {
    /// Make this entry of the manifest what it was, if it still is as it was found.
    Restore {
        entry: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Stamp>,
    },
    /// Give this file the merged text, or remove it if nothing of it is left.
    Merge {
        path: String,
        found: Stamp,
        text: Option<String>,
    },
    /// Remove what this entry's commands made, if it still is as it was found. Nothing is saved of it:
    /// this comes last.
    Discard { entry: usize, found: Stamp },
    /// Give this domain the definition `text`, or forget it, if it still has the one that was found.
    Domain {
        name: String,
        found: Option<String>,
        text: Option<String>,
    },
    /// Run the command of this step again, or the one that takes it back.
    Rerun { step: usize },
    /// Make this member of the family of this step's command anew.
    Anew { step: usize, member: String },
    /// Run the command that takes this step back: what it did is in no file.
    Reverse { step: usize },
    /// Remove this directory, which the transaction made, if it is empty.
    RemoveDirectory { path: String },
}

impl Action {
    /// What it removes is saved in part at most: whoever has come past it goes on.
    pub(super) const fn is_for_good(&self) -> bool {
        matches!(self, Self::Discard { .. } | Self::Domain { text: None, .. })
    }
}

/// What to do, in order, and what to tell the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decision {
    pub(super) actions: Vec<Action>,
    pub(super) notes: Vec<String>,
}

/// Decides how to take back what `past` says was done of `plan`.
pub(super) fn decide(
    engine: &Engine<'_>,
    plan: &Plan,
    manifest: &Manifest,
    directory: &str,
    past: &Past,
    mode: Mode,
) -> Result<Decision, Trouble> {
    if mode != Mode::Rollback {
        manifest.must_be_mounted(engine.root)?;
    }
    let mut decider = Decider {
        engine,
        plan,
        removed: manifest.surroundings.removed(engine.root),
        directory,
        past,
        mode,
        in_flight: past.started.difference(&past.done).last().copied(),
        foreign_hands: mode == Mode::Recover && engine.packages() != past.packages,
        boot_time: boot_time(engine, past),
        decision: Decision::default(),
        rerun: BTreeSet::new(),
        anew: BTreeMap::new(),
    };
    decider.find_new_members()?;
    decider.domains()?;
    let mut discard = Vec::new();
    let mut after_rerun = Vec::new();
    let mut found = BTreeMap::new();
    for (index, entry) in manifest.entries.iter().enumerate() {
        if past.started.contains(&entry.step) {
            found.insert(index, look_as(engine.root, &entry.real, entry.role)?);
        }
    }
    // First what makes commands necessary: restoring depends on it.
    for (index, now) in &found {
        let entry = &manifest.entries[*index];
        if entry.role == Role::Output && decider.output(entry, now) == Verdict::Foreign {
            decider.rerun.extend(decider.may_run_again(&entry.path));
        }
    }
    for (index, now) in found.into_iter().rev() {
        let entry = &manifest.entries[index];
        match entry.role {
            Role::Edit => decider.edit(index, entry, now)?,
            Role::Made => discard.extend(decider.made(index, entry, now)),
            _ => decider.written(index, entry, now, &mut after_rerun),
        }
    }
    let Decider {
        mut decision,
        rerun,
        anew,
        ..
    } = decider;
    decision
        .actions
        .extend(rerun.iter().map(|&step| Action::Rerun { step }));
    let anew = anew.into_iter();
    decision
        .actions
        .extend(anew.map(|(member, step)| Action::Anew { step, member }));
    decision.actions.extend(after_rerun);
    decision.actions.extend(reversed(plan, past));
    decision.actions.extend(discard);
    let directories = manifest.directories.iter().rev().cloned();
    decision
        .actions
        .extend(directories.map(|path| Action::RemoveDirectory { path }));
    Ok(decision)
}

/// What commands did outside of files is taken back once the files are: until then, a one-shot may be
/// what starts a copy that nobody is writing to.
fn reversed(plan: &Plan, past: &Past) -> impl Iterator<Item = Action> {
    let outside = |change: &Change| matches!(change, Change::Run { undo: Some(_), outputs, .. } if outputs.is_empty());
    let steps = plan.changes.iter().enumerate().rev();
    steps
        .filter(move |(step, change)| outside(change) && past.started.contains(step))
        .map(|(step, _)| Action::Reverse { step })
}

/// Whose work a file is that a command wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// As it was before, or as the transaction left it.
    Known,
    /// Gone, and rightly so.
    Gone,
    /// Somebody else wrote it since.
    Foreign,
}

struct Decider<'a, 'e> {
    engine: &'a Engine<'e>,
    plan: &'a Plan,
    /// Releases of kernels that were removed since.
    removed: BTreeSet<String>,
    /// The transaction's own directory.
    directory: &'a str,
    past: &'a Past,
    mode: Mode,
    /// The step that was begun and not done.
    in_flight: Option<usize>,
    /// Packages changed since the transaction began.
    foreign_hands: bool,
    /// When this boot began, if it is another than that of the transaction.
    boot_time: Option<i64>,
    decision: Decision,
    /// Steps whose command has to run again.
    rerun: BTreeSet<usize>,
    /// Files that have to be made anew, by the command of this step.
    anew: BTreeMap<String, usize>,
}

impl Decider<'_, '_> {
    /// Commands whose family has grown since (a kernel was installed) must run again.
    fn find_new_members(&mut self) -> Result<(), Trouble> {
        if self.mode == Mode::Rollback {
            return Ok(());
        }
        for (step, change) in self.plan.changes.iter().enumerate() {
            let Change::Run {
                family: Some(family),
                anew,
                outputs,
                ..
            } = change
            else {
                continue;
            };
            let Some(known) = self.past.family.get(&step) else {
                continue;
            };
            for member in command::members(self.engine.root, family)? {
                if known.contains(&member)
                    || outputs.iter().any(|o| o.path == member)
                    || self.anew.contains_key(&member)
                {
                    continue;
                }
                // Not a copy that somebody keeps, nor an image for kdump.
                let of_a_kernel = || {
                    let release = stem(family, &member);
                    release.is_some_and(|r| surroundings::is_installed(self.engine.root, r))
                };
                if anew.is_some() && !of_a_kernel() {
                    continue;
                }
                self.decision
                    .notes
                    .push(format!("{member} was made since: its command is run again"));
                if anew.is_some() {
                    self.anew.insert(member, step);
                } else {
                    self.rerun.insert(step);
                }
            }
        }
        Ok(())
    }

    /// The steps, among those begun, whose command writes `path`.
    fn writer_of(&self, path: &str) -> Vec<usize> {
        self.plan
            .changes
            .iter()
            .enumerate()
            .filter(|(step, change)| {
                self.past.started.contains(step)
                    && matches!(change, Change::Run { outputs, .. }
                        if outputs.iter().any(|o| o.path == path))
            })
            .map(|(step, _)| step)
            .collect()
    }

    /// Of [`Self::writer_of`] those whose command means the same as then.
    fn may_run_again(&self, path: &str) -> Vec<usize> {
        let once = |step: &usize| {
            let change = &self.plan.changes[*step];
            matches!(change, Change::Run { once: true, .. })
        };
        let mut steps = self.writer_of(path);
        steps.retain(|step| !once(step));
        steps
    }

    fn went_with_its_kernel(&self, entry: &Saved) -> bool {
        let mut removed = self.removed.iter();
        removed.any(|release| surroundings::names(&entry.path, release))
    }

    fn output(&self, entry: &Saved, now: &Stamp) -> Verdict {
        if *now == entry.was.stamp() || self.past.after.get(&entry.real) == Some(now) {
            return Verdict::Known;
        }
        let writers = self.writer_of(&entry.path);
        match self.mode {
            Mode::Rollback => Verdict::Known,
            Mode::Recover => {
                let in_flight = self
                    .in_flight
                    .is_some_and(|s| s == entry.step || writers.contains(&s));
                let since_boot = self.boot_time.is_some_and(|boot| {
                    let meta = self.engine.root.meta(&entry.real);
                    meta.is_ok_and(|meta| meta.mtime.0 >= boot)
                });
                if in_flight && !self.foreign_hands && !since_boot {
                    Verdict::Known
                } else if *now != Stamp::Absent {
                    Verdict::Foreign
                } else if self.foreign_hands || self.went_with_its_kernel(entry) {
                    Verdict::Gone
                } else {
                    Verdict::Known
                }
            }
            Mode::Undo if *now != Stamp::Absent => Verdict::Foreign,
            // What belongs to a kernel goes with it; anything else should be there.
            Mode::Undo => {
                let is_member = |step: &usize| {
                    matches!(&self.plan.changes[*step], Change::Run { family: Some(family), .. }
                        if command::is_member(family, &entry.path))
                };
                if writers.iter().any(is_member) || self.went_with_its_kernel(entry) {
                    Verdict::Gone
                } else {
                    Verdict::Known
                }
            }
        }
    }

    /// Decides about a file that a command wrote, or may have left.
    fn written(&mut self, index: usize, entry: &Saved, now: Stamp, after_rerun: &mut Vec<Action>) {
        let verdict = self.output(entry, &now);
        let again = match entry.role {
            Role::Output => self
                .writer_of(&entry.path)
                .iter()
                .any(|step| self.rerun.contains(step)),
            _ => self.rerun.contains(&entry.step),
        };
        match verdict {
            Verdict::Known if again => after_rerun.push(Action::Restore {
                entry: index,
                found: None,
            }),
            Verdict::Known => self.decision.actions.push(Action::Restore {
                entry: index,
                found: Some(now),
            }),
            Verdict::Gone if entry.was == Was::Absent => {}
            Verdict::Gone => self.decision.notes.push(format!(
                "{} is gone since, with its kernel: it is not brought back",
                entry.path
            )),
            Verdict::Foreign => match entry.role {
                Role::Output if !self.may_run_again(&entry.path).is_empty() => {
                    self.decision.notes.push(format!(
                        "{} was made anew since: its command is run again",
                        entry.path
                    ));
                }
                _ if now == Stamp::Absent => {}
                _ => self.decision.notes.push(format!(
                    "{} was changed since by somebody else: it is left as it is",
                    entry.real
                )),
            },
        }
    }

    /// Decides about a file that commands made for the user.
    fn made(&mut self, index: usize, entry: &Saved, now: Stamp) -> Option<Action> {
        if now == Stamp::Absent {
            return None;
        }
        let unfinished = self.mode != Mode::Undo && !self.past.done.contains(&entry.step);
        if self.mode == Mode::Rollback
            || unfinished
            || self.past.after.get(&entry.real) == Some(&now)
        {
            return Some(Action::Discard {
                entry: index,
                found: now,
            });
        }
        self.decision.notes.push(format!(
            "{} is kept: something was written to it since. Remove it when nobody needs it",
            entry.path
        ));
        None
    }

    /// Decides about domains: before their files go.
    fn domains(&mut self) -> Result<(), Trouble> {
        for (step, change) in self.plan.changes.iter().enumerate().rev() {
            if let Change::Domain { name, before, .. } = change
                && self.past.started.contains(&step)
            {
                let now = domain::now(self.engine, name)?;
                // Without a word that it was done it cannot be anybody else's.
                let left = self.past.done.contains(&step).then_some(step);
                let left = match (self.mode, left) {
                    (Mode::Rollback, _) | (_, None) => now.clone(),
                    (_, Some(step)) => domain::left(self.engine, self.directory, step)?,
                };
                let back = domain::back(
                    self.directory,
                    name,
                    before.as_deref(),
                    left.as_deref(),
                    now.as_deref(),
                );
                self.decision.notes.extend(back.notes);
                if back.text != now {
                    domain::may_change(self.engine, name)?;
                    self.decision.actions.push(Action::Domain {
                        name: name.clone(),
                        found: now,
                        text: back.text,
                    });
                }
            }
        }
        Ok(())
    }

    /// Decides about a file that was edited.
    fn edit(&mut self, index: usize, entry: &Saved, now: Stamp) -> Result<(), Trouble> {
        let edits: Vec<(&Option<String>, &Option<String>)> = self
            .plan
            .changes
            .iter()
            .enumerate()
            .filter(|(step, _)| self.past.started.contains(step))
            .filter_map(|(_, change)| match change {
                Change::Edit {
                    path,
                    before,
                    after,
                    ..
                } if *path == entry.path => Some((before, after)),
                _ => None,
            })
            .collect();
        let ours = now == entry.was.stamp()
            || self.past.after.get(&entry.real) == Some(&now)
            || edits
                .iter()
                .any(|(_, after)| now == stamp(after.as_deref()));
        if ours {
            self.decision.actions.push(Action::Restore {
                entry: index,
                found: Some(now),
            });
            return Ok(());
        }
        if let Stamp::File { sha256 } = &now
            && self.past.merged.get(&entry.real) == Some(sha256)
        {
            // Merged already, before a crash.
            return Ok(());
        }
        let before = edits.first().and_then(|(before, _)| before.as_deref());
        let after = edits.last().and_then(|(_, after)| after.as_deref());
        self.merge(entry, now, before, after)
    }

    fn merge(
        &mut self,
        entry: &Saved,
        now: Stamp,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Result<(), Trouble> {
        let root = self.engine.root;
        if now == Stamp::Absent {
            self.decision
                .notes
                .push(format!("{} was removed since: it stays so", entry.path));
            return Ok(());
        }
        let Some(after) = after else {
            self.decision.notes.push(format!(
                "{} was removed by this transaction and made anew since: it is left as it is",
                entry.path
            ));
            return Ok(());
        };
        // It may have become a link meanwhile: the file it leads to is the one that counts.
        let current = locate(root, &entry.path)
            .ok()
            .and_then(|place| Some((root.text(&place.real).ok()?, place.real)));
        let Some((current, real)) = current else {
            self.decision.notes.push(format!(
                "{} is no text file any more: it is left as it is",
                entry.path
            ));
            return Ok(());
        };
        let merged = take_back(before.unwrap_or_default(), after, &current);
        for left in &merged.left {
            self.decision.notes.push(format!("{}: {left}", entry.path));
        }
        let text = (before.is_some() || !merged.text.trim().is_empty()).then_some(merged.text);
        if text.as_ref() == Some(&current) {
            return Ok(());
        }
        self.decision.notes.push(match &text {
            Some(_) => format!(
                "{} was changed since: what this transaction put in was taken out, the rest kept",
                entry.path
            ),
            None => format!(
                "{} was changed since, and held nothing else: removed",
                entry.path
            ),
        });
        self.decision.actions.push(Action::Merge {
            path: real,
            found: Stamp::File {
                sha256: sha256(current.as_bytes()),
            },
            text,
        });
        Ok(())
    }
}

/// What a file with this text would be taken for.
pub(super) fn stamp(text: Option<&str>) -> Stamp {
    match text {
        Some(text) => Stamp::File {
            sha256: sha256(text.as_bytes()),
        },
        None => Stamp::Absent,
    }
}

/// When this boot began (proc_stat(5), `btime`), if it is another than that of the transaction.
fn boot_time(engine: &Engine<'_>, past: &Past) -> Option<i64> {
    let now = engine.boot()?;
    if past.boot.as_ref() == Some(&now) {
        return None;
    }
    engine
        .root
        .attribute("/proc/stat")?
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}
