//! Carrying out a plan.

use std::collections::BTreeMap;

use passthru_plan::{Change, Plan, guest::iso9660};

use super::{
    Applied, Event, Failure, Options, Progress, Reason,
    back::{Back, failure, remove_flat, roll_back},
    command,
    decide::{Mode, stamp},
    domain,
    engine::{Engine, Trouble},
    history::PlanFile,
    past::Past,
    place::locate,
    precheck::{absent, expect_text, unchanged_since_planned},
    recover::{Whose, recover_all},
    saved::{self, Manifest, look, look_as, save},
    space,
    touch::{self, Touch},
};
use crate::{
    attributes::Attributes,
    exec::Exec,
    journal::{self, After, Journal, SCHEMA, directory, write_json},
    root::Root,
    write::Writer,
};

/// Carries out `plan` on the host at `root`: all of it, or nothing.
///
/// # Errors
/// See [`Failure`]; what an interrupted transaction left is dealt with first.
pub fn apply(
    root: &Root,
    exec: &dyn Exec,
    plan: &Plan,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Applied, Failure> {
    let engine = Engine::new(root, exec, options, progress);
    if let Some(refusal) = plan.refusals.first() {
        return Err(Failure::Usage(Reason::new(
            format!("the plan is refused: {}", refusal.why),
            refusal.way_out.clone(),
        )));
    }
    if plan.changes.is_empty() {
        return Err(Failure::Usage(Reason::new(
            "the plan changes nothing",
            "nothing needs to be done",
        )));
    }
    // A guest has nothing to do with the host's packages.
    let mut claim = engine
        .claim(plan.guest.is_none())
        .map_err(Trouble::unchanged)?;
    let recovered = recover_all(&engine, &mut claim, Whose::of(plan.guest.as_deref()))?;
    no_other_trial(root, plan)?;
    let mut transaction = Transaction::prepare(&engine, plan).map_err(Trouble::unchanged)?;
    match transaction.carry_out() {
        Ok(()) => Ok(Applied {
            number: transaction.number,
            reboot: plan.reboot,
            recovered,
        }),
        Err(Trouble::Stopped) => Err(Failure::Stopped),
        Err(Trouble::Failed(reason)) => Err(transaction.take_back(reason)),
    }
}

/// Two trials at once could not be told apart. Guests are nothing that a boot tries.
fn no_other_trial(root: &Root, plan: &Plan) -> Result<(), Failure> {
    if plan.guest.is_some() {
        return Ok(());
    }
    match super::on_trial(root)? {
        Some(record) if plan.continues != Some(record.number) => {
            Err(Failure::Unchanged(Reason::new(
                format!("transaction {} is on trial", record.number),
                "reboot to try it, or take it back first: sudo passthru undo",
            )))
        }
        _ => Ok(()),
    }
}

/// A transaction that has begun.
struct Transaction<'a, 'e> {
    engine: &'a Engine<'e>,
    plan: &'a Plan,
    number: u32,
    directory: String,
    writer: Writer<'e>,
    manifest: Manifest,
    journal: Journal<'e>,
}

impl<'a, 'e> Transaction<'a, 'e> {
    /// Checks everything that can be checked before, saves everything that will be touched, and
    /// begins the journal.
    fn prepare(engine: &'a Engine<'e>, plan: &'a Plan) -> Result<Self, Trouble> {
        let root = engine.root;
        engine.point("apply.begin")?;
        engine.go_on()?;
        let (touches, directories) = touch::all(root, &plan.changes)?;
        unchanged_since_planned(root, &plan.changes)?;
        domain::unchanged_since_planned(engine, &plan.changes)?;
        let token = Writer::token().map_err(|e| root.error(journal::STATE, e))?;
        let writer = engine.writer(&token);
        let file = PlanFile {
            schema: SCHEMA,
            plan,
        };
        let text = serde_json::to_vec(&file).map_err(|e| root.error(journal::STATE, e))?;
        space::check(
            engine,
            &plan.changes,
            &touches,
            2 * text.len() as u64 + (256 << 10),
        )?;
        let number = journal::numbers(root)?.last().map_or(1, |last| last + 1);
        let directory = directory(number);
        let begun = Self::begin(
            engine,
            &writer,
            &directory,
            &token,
            &touches,
            directories,
            &file,
        );
        match begun {
            Ok((manifest, journal)) => Ok(Self {
                engine,
                plan,
                number,
                directory,
                writer,
                manifest,
                journal,
            }),
            Err(Trouble::Stopped) => Err(Trouble::Stopped),
            Err(trouble) => {
                // Nothing on the host was changed; a directory without a journal is nothing.
                super::back::forgive_trouble(forget(engine, &writer, &directory))?;
                Err(trouble)
            }
        }
    }

    fn begin(
        engine: &'a Engine<'e>,
        writer: &Writer<'e>,
        directory: &str,
        token: &str,
        touches: &[Touch],
        directories: Vec<String>,
        file: &PlanFile<&Plan>,
    ) -> Result<(Manifest, Journal<'e>), Trouble> {
        let root = engine.root;
        let saved = format!("{directory}/saved");
        writer.make_directory(directory, 0o700)?;
        writer.make_directory(&saved, 0o700)?;
        let sizes = touches.iter().filter_map(|t| root.meta(&t.real).ok());
        let (files, bytes) = sizes.fold((0, 0), |(n, b), meta| (n + 1, b + meta.size));
        engine.tell(Event::Saving { files, bytes });
        let manifest = save(engine, writer, &saved, token, touches, directories)?;
        write_json(writer, root, &format!("{directory}/plan.json"), file)?;
        // Saving took a while: what was saved must still be what was planned for.
        unchanged_since_planned(root, &file.plan.changes)?;
        let event = journal::Event::Begin {
            boot: engine.boot(),
            packages: engine.packages(),
        };
        let points = &engine.options.failpoints;
        let journal = Journal::begin(root, points, writer, directory, event)?;
        Ok((manifest, journal))
    }

    fn carry_out(&mut self) -> Result<(), Trouble> {
        let engine = self.engine;
        engine.point("apply.journal-written")?;
        let of = self.plan.changes.len();
        for (step, change) in self.plan.changes.iter().enumerate() {
            engine.go_on()?;
            engine.tell(Event::Step {
                number: step + 1,
                of,
                change,
            });
            engine.point(format_args!("apply.step.{step}.before"))?;
            self.journal.append(journal::Event::Intent { step })?;
            let family = self.change(step, change)?;
            engine.point(format_args!("apply.step.{step}.after"))?;
            let after = self.after(step, change)?;
            self.journal.append(journal::Event::Done {
                step,
                after,
                family,
            })?;
            engine.point(format_args!("apply.step.{step}.journaled"))?;
            engine.tell(Event::StepDone {
                number: step + 1,
                of,
            });
        }
        engine.point("apply.checks")?;
        self.edits_hold()?;
        engine.go_on()?;
        engine.point("apply.commit")?;
        Ok(self.journal.append(journal::Event::Commit)?)
    }

    /// Makes one change. Returns the members of its family, if it is a command that has one.
    fn change(&mut self, step: usize, change: &Change) -> Result<Vec<String>, Trouble> {
        let root = self.engine.root;
        match change {
            Change::Edit {
                path,
                before,
                after,
                mode,
                ..
            } => {
                let real = locate(root, path)?.real;
                expect_text(root, path, &real, before.as_deref())?;
                match after {
                    None if before.is_none() => {}
                    None => self.writer.remove(&real)?,
                    Some(after) => {
                        self.make_directories(&real)?;
                        let attributes = if before.is_some() {
                            let file = crate::write::open(root, &real)?;
                            let old = Attributes::of(&file).map_err(|e| root.error(&real, e))?;
                            Attributes { mtime: None, ..old }
                        } else {
                            Attributes::new(*mode)
                        };
                        self.writer
                            .replace(&real, &mut after.as_bytes(), &attributes, None)?;
                    }
                }
                Ok(Vec::new())
            }
            Change::Copy { from, to, .. } => {
                let from = locate(root, from)?.real;
                let to = locate(root, to)?.real;
                self.make_directories(&to)?;
                let mut file = crate::write::open(root, &from)?;
                self.writer
                    .replace(&to, &mut file, &Attributes::new(0o644), None)?;
                Ok(Vec::new())
            }
            Change::Make { path, argv, .. } => {
                absent(root, path)?;
                let real = locate(root, path)?.real;
                self.make_directories(&real)?;
                for argv in argv {
                    command::run(self.engine, &mut self.journal, step, argv)?;
                }
                if !root.meta(&real).is_ok_and(|meta| meta.is_file()) {
                    return Err(Reason::new(
                        format!("nothing made {path}, though every command ended well"),
                        "run them by hand and look at what they say",
                    )
                    .into());
                }
                self.writer.settle(&real)?;
                Ok(Vec::new())
            }
            Change::Disc {
                path,
                volume,
                files,
                ..
            } => {
                absent(root, path)?;
                let real = locate(root, path)?.real;
                self.make_directories(&real)?;
                let files: Vec<(&str, &[u8])> = files
                    .iter()
                    .map(|(name, text)| (name.as_str(), text.as_bytes()))
                    .collect();
                let image = iso9660::image(volume, &files);
                let private = Attributes::new(0o600);
                self.writer
                    .replace(&real, &mut image.as_slice(), &private, None)?;
                Ok(Vec::new())
            }
            Change::Domain {
                name,
                before,
                after,
                ..
            } => {
                domain::expect(self.engine, name, before.as_deref())?;
                domain::set(
                    self.engine,
                    &self.writer,
                    &self.directory,
                    name,
                    before.as_deref(),
                    after.as_deref(),
                )?;
                domain::keep(self.engine, &self.writer, &self.directory, step, name)?;
                Ok(Vec::new())
            }
            Change::Run {
                argv,
                outputs,
                family,
                expect,
                ..
            } => {
                command::run(self.engine, &mut self.journal, step, argv)?;
                command::finish(self.engine, &self.writer, argv, outputs, expect, true)?;
                self.remove_leftovers(step)?;
                Ok(match family {
                    Some(pattern) => command::members(root, pattern)?,
                    None => Vec::new(),
                })
            }
        }
    }

    /// Makes the directories on the way to `real` that the transaction has to make.
    fn make_directories(&self, real: &str) -> Result<(), Trouble> {
        for directory in &self.manifest.directories {
            if real.starts_with(&format!("{directory}/")) {
                self.writer.make_directory(directory, 0o755)?;
            }
        }
        Ok(())
    }

    /// Removes half-written files that a command left beside its outputs.
    fn remove_leftovers(&self, step: usize) -> Result<(), Trouble> {
        for entry in &self.manifest.entries {
            if entry.step == step
                && entry.role == touch::Role::Beside
                && entry.was == saved::Was::Absent
                && entry.real.ends_with(".new")
                && look(self.engine.root, &entry.real)? != journal::Stamp::Absent
            {
                self.writer.remove(&entry.real)?;
            }
        }
        Ok(())
    }

    /// How `step` left every file it touches.
    fn after(&self, step: usize, change: &Change) -> Result<Vec<After>, Trouble> {
        let outputs: &[_] = match change {
            Change::Run { outputs, .. } => outputs,
            _ => &[],
        };
        let mut list = Vec::new();
        for entry in &self.manifest.entries {
            let own = matches!(change, Change::Edit { path, .. } | Change::Copy { to: path, .. } | Change::Make { path, .. } | Change::Disc { path, .. } if *path == entry.path);
            if own || entry.step == step || outputs.iter().any(|o| o.path == entry.path) {
                list.push(After {
                    path: entry.real.clone(),
                    stamp: look_as(self.engine.root, &entry.real, entry.role)?,
                });
            }
        }
        Ok(list)
    }

    /// Every edited file is as its last edit left it: no command, and nobody else, wrote over it.
    fn edits_hold(&self) -> Result<(), Trouble> {
        let mut last = BTreeMap::new();
        for change in &self.plan.changes {
            match change {
                Change::Edit { path, after, .. } => {
                    last.insert(path, after);
                }
                Change::Copy { .. }
                | Change::Make { .. }
                | Change::Disc { .. }
                | Change::Domain { .. } => {}
                // A command may rewrite what it lists.
                Change::Run { outputs, .. } => {
                    for output in outputs {
                        last.remove(&output.path);
                    }
                }
            }
        }
        for (path, after) in last {
            let real = locate(self.engine.root, path)?.real;
            if look(self.engine.root, &real)? != stamp(after.as_deref()) {
                return Err(Reason::new(
                    format!("{path} was changed by somebody else while the plan was carried out"),
                    "plan again",
                )
                .into());
            }
        }
        Ok(())
    }

    fn take_back(&mut self, reason: Reason) -> Failure {
        let lines = match journal::read(self.engine.root, &self.directory) {
            Ok(lines) => lines.unwrap_or_default(),
            Err(e) => return failure(self.number, reason, Err(e.into())),
        };
        let back = Back {
            engine: self.engine,
            writer: &self.writer,
            plan: self.plan,
            manifest: &self.manifest,
            directory: &self.directory,
        };
        let past = Past::of(&lines);
        let outcome = roll_back(&back, &mut self.journal, &past, Mode::Rollback, &reason);
        failure(self.number, reason, outcome)
    }
}

/// Removes the directory of a transaction that never began.
pub(super) fn forget(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    directory: &str,
) -> Result<(), Trouble> {
    // First of all what would make a transaction of it.
    let journal = format!("{directory}/journal");
    if engine.root.exists(&journal) {
        writer.remove(&journal)?;
    }
    remove_flat(engine, writer, &format!("{directory}/saved"))?;
    remove_flat(engine, writer, directory)
}
