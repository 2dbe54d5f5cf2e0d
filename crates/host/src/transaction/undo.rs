//! Undoing a transaction at the user's wish: decided as a whole, saved as a whole, then done.

use std::collections::BTreeSet;

use passthru_plan::{Change, Output};

use super::{
    Failure, Options, Progress, Reason, Recovered, RecoveredEnd, Undone,
    back::{Back, anew, failure, prune, remove_flat},
    command,
    decide::{Action, Decision, Mode, decide},
    engine::{Engine, Trouble},
    history::{Record, State, plan, records},
    past::Past,
    recover::{Whose, recover_all},
    saved::{Manifest, load, restore, save},
    space,
    touch::{self, Role, Touch},
};
use crate::{
    exec::Exec,
    journal::{self, Journal, directory, read_json, write_json},
    root::Root,
};

/// Takes back the transaction `number`, or the latest one that is in force.
///
/// # Errors
/// See [`Failure`]; with [`Failure::StillInForce`] the transaction is in force as before.
pub fn undo(
    root: &Root,
    exec: &dyn Exec,
    number: Option<u32>,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Undone, Failure> {
    // Asking for what cannot be must not create a state directory.
    let known = records(root).map_err(Trouble::unchanged)?;
    let wanted = choose(&known, number, true)?;
    let mut those = known.iter().filter(|record| record.number == wanted);
    let guest = those.find_map(|record| record.plan.guest.as_deref());
    let engine = Engine::new(root, exec, options, progress);
    let mut claim = engine.claim(guest.is_none()).map_err(Trouble::unchanged)?;
    let recovered = recover_all(&engine, &mut claim, Whose::of(guest))?;
    let records = records(root).map_err(Trouble::unchanged)?;
    let number = match (&recovered, number) {
        // What was asked for has just been done. Without a number it was meant too: nobody who wants
        // the latest one gone means the one before it.
        (Some(done), asked)
            if done.end != RecoveredEnd::InForce && asked.is_none_or(|n| n == done.number) =>
        {
            return finished(records, done.clone());
        }
        _ => choose(&records, number, false)?,
    };
    let chain = chain(&records, number);
    in_order(root, &records, &chain)?;
    let mut notes = Vec::new();
    let mut last = None;
    let mut done = Vec::new();
    for number in chain {
        match take_back(&engine, number) {
            Ok(undone) => {
                done.push(number);
                notes.extend(undone.notes.iter().cloned());
                last = Some(undone);
            }
            Err(rest) if done.is_empty() || rest == Failure::Stopped => return Err(rest),
            Err(rest) => {
                return Err(Failure::PartlyUndone {
                    done,
                    notes,
                    rest: Box::new(rest),
                });
            }
        }
    }
    match last {
        Some(undone) => Ok(Undone {
            notes,
            recovered,
            ..undone
        }),
        None => Err(nothing()),
    }
}

/// What is taken back with `number`, the latest first: a trial and the transaction that made it
/// permanent go together.
pub fn chain(records: &[Record], number: u32) -> Vec<u32> {
    let applied = |record: &&Record| record.state == State::Applied;
    let continues = records
        .iter()
        .find(|record| record.number == number)
        .and_then(|record| record.plan.continues);
    let mut chain: Vec<u32> = records
        .iter()
        .filter(applied)
        .filter(|record| {
            record.number == number
                || record.plan.continues == Some(number)
                || Some(record.number) == continues
        })
        .map(|record| record.number)
        .collect();
    chain.reverse();
    chain
}

fn finished(records: Vec<Record>, done: Recovered) -> Result<Undone, Failure> {
    let record = records.into_iter().find(|r| r.number == done.number);
    match record {
        Some(record) => Ok(Undone {
            number: done.number,
            reboot: record.plan.reboot,
            plan: record.plan,
            notes: done.notes.clone(),
            recovered: Some(done),
        }),
        None => Err(nothing()),
    }
}

fn nothing() -> Failure {
    Failure::Usage(Reason::new(
        "nothing is in force that could be undone",
        "see what was done with: sudo passthru history",
    ))
}

/// The transaction to undo. With `between`, interrupted ones count, for they will be recovered.
fn choose(records: &[Record], number: Option<u32>, between: bool) -> Result<u32, Failure> {
    let can =
        |record: &&Record| record.state == State::Applied || (between && record.state.is_between());
    let Some(number) = number else {
        let latest = records.iter().rev().find(can);
        return latest.map(|record| record.number).ok_or_else(nothing);
    };
    let usage = |what: String| {
        Failure::Usage(Reason::new(
            what,
            "see what was done with: sudo passthru history",
        ))
    };
    match records.iter().find(|record| record.number == number) {
        None => Err(usage(format!("there is no transaction {number}"))),
        Some(record) if can(&record) => Ok(number),
        Some(record) if record.state == State::Undone => {
            Err(usage(format!("transaction {number} is undone already")))
        }
        Some(_) => Err(usage(format!(
            "transaction {number} is not in force: it failed and was taken back"
        ))),
    }
}

/// Later transactions that touch the same files have to be undone first.
fn in_order(root: &Root, records: &[Record], chain: &[u32]) -> Result<(), Failure> {
    let paths = |number: u32| -> Result<BTreeSet<String>, Failure> {
        let manifest = load(root, &format!("{}/saved", directory(number)))
            .map_err(|e| Trouble::from(e).unchanged())?;
        let entries = manifest.entries.into_iter();
        let record = records.iter().find(|record| record.number == number);
        let changes = record.iter().flat_map(|record| &record.plan.changes);
        // No path begins like these. A command that leaves no file works on what it finds.
        let others = changes.filter_map(|change| match change {
            Change::Domain { name, .. } => Some(format!("domain {name}")),
            Change::Run {
                argv,
                undo: Some(_),
                outputs,
                ..
            } if outputs.is_empty() => argv.first().map(|tool| format!("command {tool}")),
            _ => None,
        });
        Ok(entries
            .filter(|entry| entry.role != Role::Beside)
            .map(|entry| entry.real)
            .chain(others)
            .collect())
    };
    let mut own = BTreeSet::new();
    for &number in chain {
        own.extend(paths(number)?);
    }
    let first = chain.last().copied().unwrap_or_default();
    let mut later = Vec::new();
    for record in records.iter().rev() {
        if record.number > first
            && !chain.contains(&record.number)
            && record.state == State::Applied
            && !paths(record.number)?.is_disjoint(&own)
        {
            later.push(record.number.to_string());
        }
    }
    if later.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(Reason::new(
        format!(
            "transaction {first} cannot be undone yet: later ones changed the same files, guests or settings"
        ),
        format!("undo {} first, in this order", later.join(", ")),
    )))
}

fn take_back(engine: &Engine<'_>, number: u32) -> Result<Undone, Failure> {
    let root = engine.root;
    let directory = directory(number);
    let points = &engine.options.failpoints;
    let open = || -> Result<_, Trouble> {
        let plan = plan(root, &directory)?;
        let manifest = load(root, &format!("{directory}/saved"))?;
        let lines = journal::read(root, &directory)?.unwrap_or_default();
        let journal = Journal::open(root, points, &directory)?;
        Ok((plan, manifest, Past::of(&lines), journal))
    };
    let (plan, manifest, past, mut journal) = open().map_err(Trouble::unchanged)?;
    let writer = engine.writer(&manifest.token);
    let back = Back {
        engine,
        writer: &writer,
        plan: &plan,
        manifest: &manifest,
        directory: &directory,
    };
    let begin = || -> Result<_, Trouble> {
        engine.point("undo.begin")?;
        engine.go_on()?;
        clear(&back)?;
        let decision = decide(engine, &plan, &manifest, &directory, &past, Mode::Undo)?;
        let before = prepare(&back, &decision)?;
        Ok((decision, before))
    };
    let (decision, before) = begin().map_err(Trouble::unchanged)?;
    let notes = act(&back, &mut journal, number, &decision, &before, true)?;
    Ok(Undone {
        number,
        reboot: plan.reboot,
        plan,
        notes,
        recovered: None,
    })
}

/// Saves what the undo will touch and what it will do.
fn prepare(back: &Back<'_, '_>, decision: &Decision) -> Result<Manifest, Trouble> {
    let engine = back.engine;
    let touches = touches(back, decision)?;
    space::check(engine, &[], &touches, 256 << 10)?;
    let undo = back.undo();
    back.writer.make_directory(&undo, 0o700)?;
    let token = &back.manifest.token;
    let before = save(engine, back.writer, &undo, token, &touches, Vec::new())?;
    write_json(
        back.writer,
        engine.root,
        &format!("{undo}/actions.json"),
        decision,
    )?;
    Ok(before)
}

/// Everything that the actions will touch.
fn touches(back: &Back<'_, '_>, decision: &Decision) -> Result<Vec<Touch>, Trouble> {
    let root = back.engine.root;
    let mut touches: Vec<Touch> = Vec::new();
    for action in &decision.actions {
        match action {
            Action::Restore { entry, .. } => {
                let entry = &back.manifest.entries[*entry];
                touches.push(Touch {
                    path: entry.path.clone(),
                    real: entry.real.clone(),
                    role: entry.role,
                    step: entry.step,
                });
            }
            Action::Merge { path, .. } => touches.push(Touch {
                path: path.clone(),
                real: path.clone(),
                role: Role::Edit,
                step: 0,
            }),
            Action::Rerun { step } => {
                if let Some(Change::Run {
                    outputs, family, ..
                }) = back.plan.changes.get(*step)
                {
                    let mut paths: BTreeSet<String> =
                        outputs.iter().flat_map(written_by).cloned().collect();
                    if let Some(family) = family {
                        paths.extend(command::members(root, family)?);
                    }
                    let paths = paths.iter().map(String::as_str);
                    touches.extend(touch::outputs(root, paths, *step)?);
                }
            }
            Action::Anew { step, member } => {
                if let Some((_, output)) = anew(back.plan, *step, member) {
                    let paths = written_by(&output).map(String::as_str);
                    touches.extend(touch::outputs(root, paths, *step)?);
                }
            }
            Action::Discard { .. }
            | Action::Domain { .. }
            | Action::Reverse { .. }
            | Action::RemoveDirectory { .. } => {}
        }
    }
    let mut seen = BTreeSet::new();
    touches.retain(|touch| seen.insert(touch.real.clone()));
    Ok(touches)
}

fn written_by(output: &Output) -> impl Iterator<Item = &String> {
    std::iter::once(&output.path).chain(output.staged.as_ref())
}

/// Removes what an undo left that did not come to its begin, or that is over.
fn clear(back: &Back<'_, '_>) -> Result<(), Trouble> {
    remove_flat(back.engine, back.writer, &back.undo())
}

/// Does the actions, and if `begin` says in the journal first that it will. If anything fails,
/// makes everything what it was before the undo.
fn act(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    number: u32,
    decision: &Decision,
    before: &Manifest,
    begin: bool,
) -> Result<Vec<String>, Failure> {
    let engine = back.engine;
    let mut notes = decision.notes.clone();
    // Of an undo that goes on, anything may have been begun before.
    let mut begun = if begin { 0 } else { decision.actions.len() };
    let mut work = || -> Result<(), Trouble> {
        if begin {
            journal.append(journal::Event::UndoBegin {
                reason: engine.options.reason.map(str::to_owned),
            })?;
        }
        let mut only_forward = false;
        for (step, action) in decision.actions.iter().enumerate() {
            let mut one = || -> Result<(), Trouble> {
                engine.go_on()?;
                begun = begun.max(step + 1);
                engine.point(format_args!("undo.step.{step}"))?;
                back.act(journal, action, &mut notes)?;
                Ok(journal.append(journal::Event::UndoStep { step })?)
            };
            if only_forward {
                engine.to_the_end(one)?;
            } else {
                one()?;
            }
            only_forward |= action.is_for_good();
        }
        engine.point("undo.commit")?;
        Ok(journal.append(journal::Event::Undone {
            notes: notes.clone(),
        })?)
    };
    match work() {
        Ok(()) => {
            prune(back).map_err(Trouble::unchanged)?;
            Ok(notes)
        }
        Err(Trouble::Stopped) => Err(Failure::Stopped),
        Err(Trouble::Failed(reason)) => Err(still_in_force(failure(
            number,
            reason.clone(),
            engine.to_the_end(|| {
                put_back(back, journal, before, &decision.actions[..begun], &reason)
            }),
        ))),
    }
}

/// What was rolled back is the undo.
fn still_in_force(failure: Failure) -> Failure {
    match failure {
        Failure::RolledBack {
            number,
            reason,
            notes,
        } => Failure::StillInForce {
            number,
            reason,
            notes,
        },
        other => other,
    }
}

/// Makes everything what it was before the undo: the transaction stays in force. `actions` are those that
/// were begun.
fn put_back(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    before: &Manifest,
    actions: &[Action],
    reason: &Reason,
) -> Result<Result<Vec<String>, Vec<Reason>>, Trouble> {
    let engine = back.engine;
    let undo = back.undo();
    engine.tell(super::Event::RollingBack {
        reason: &reason.what,
    });
    super::back::forgive_trouble(back.sweep())?;
    let mut stuck = Vec::new();
    for path in &back.manifest.directories {
        // Removed again by the undo, perhaps.
        let used = before
            .entries
            .iter()
            .any(|e| e.real.starts_with(&format!("{path}/")) && e.was != super::saved::Was::Absent);
        if used && let Err(trouble) = back.writer.make_directory(path, 0o755) {
            stuck.push(reason_of(trouble.into())?);
        }
    }
    for entry in before.entries.iter().rev() {
        if let Err(trouble) = restore(engine.root, back.writer, &undo, entry) {
            let why = reason_of(trouble)?;
            let way_out = super::saved::by_hand(engine.root, &undo, entry);
            stuck.push(Reason::new(why.what, way_out));
        }
    }
    // Once their files are there again.
    for result in back.put_back_domains(actions) {
        if let Err(trouble) = result {
            stuck.push(reason_of(trouble)?);
        }
    }
    for action in actions.iter().rev() {
        if let Err(trouble) = back.do_again(journal, action) {
            stuck.push(reason_of(trouble)?);
        }
    }
    if !stuck.is_empty() {
        return Ok(Err(stuck));
    }
    journal.append(journal::Event::UndoFailed {
        reason: reason.what.clone(),
    })?;
    super::back::forgive_trouble(clear(back))?;
    Ok(Ok(Vec::new()))
}

fn reason_of(trouble: Trouble) -> Result<Reason, Trouble> {
    match trouble {
        Trouble::Stopped => Err(Trouble::Stopped),
        Trouble::Failed(reason) => Ok(reason),
    }
}

/// Finishes an undo that was interrupted.
pub(super) fn carry_on(
    back: &Back<'_, '_>,
    journal: &mut Journal<'_>,
    number: u32,
) -> Result<Recovered, Failure> {
    let undo = back.undo();
    let load = || -> Result<(Decision, Manifest), Trouble> {
        back.manifest.must_be_mounted(back.engine.root)?;
        back.sweep()?;
        let actions = read_json(back.engine.root, &format!("{undo}/actions.json"))?;
        Ok((actions, load(back.engine.root, &undo)?))
    };
    let (decision, before) = match load() {
        Ok(both) => both,
        Err(trouble) => {
            let reason = Reason::new(
                format!("the undo of transaction {number} was interrupted"),
                "repair its directory and run passthru again",
            );
            return Err(failure(number, reason, Err(trouble)));
        }
    };
    // To the end: how far it had come, and what of it was for good, is not asked.
    let engine = back.engine;
    match engine.to_the_end(|| act(back, journal, number, &decision, &before, false)) {
        Ok(notes) => Ok(Recovered {
            number,
            end: RecoveredEnd::Undone,
            notes,
        }),
        Err(Failure::StillInForce { notes, reason, .. }) => {
            let mut notes = notes;
            notes.insert(0, format!("the undo failed: {reason}"));
            Ok(Recovered {
                number,
                end: RecoveredEnd::InForce,
                notes,
            })
        }
        Err(other) => Err(other),
    }
}
