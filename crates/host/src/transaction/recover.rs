//! What a crash left is brought to one of the two ends.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    Event, Failure, Options, Progress, Reason, Recovered, RecoveredEnd,
    apply::forget,
    back::{Back, failure, roll_back},
    command::start_of,
    decide::Mode,
    engine::{Claim, Engine, Trouble},
    history::{State, plan, records},
    past::Past,
    saved::load,
    undo,
};
use crate::{
    exec::Exec,
    journal::{self, Journal, directory},
    root::Root,
    write::Writer,
};

/// Brings an interrupted transaction to its end: one that was being applied is taken back, one that
/// was being undone is undone. `None` if there was none. Changes nothing then, and does not need
/// root if the state directory can be read.
///
/// # Errors
/// See [`Failure`].
pub fn recover(
    root: &Root,
    exec: &dyn Exec,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Option<Recovered>, Failure> {
    let records = records(root).map_err(Trouble::unchanged)?;
    let between: Vec<_> = records.iter().filter(|r| r.state.is_between()).collect();
    if between.is_empty() {
        return Ok(None);
    }
    let packages = between.iter().any(|record| record.plan.guest.is_none());
    let engine = Engine::new(root, exec, options, progress);
    let mut claim = engine.claim(packages).map_err(Trouble::unchanged)?;
    let whose = if options.past_guests {
        Whose::Host
    } else {
        Whose::All
    };
    recover_all(&engine, &mut claim, whose)
}

/// Which interrupted transactions must be brought to an end. Others are, if that can be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// All of them.
    All,
    /// Those of the host itself.
    Host,
    /// Those of the host itself and of this guest.
    Guest(&'a str),
}

impl<'a> Whose<'a> {
    /// What matters to a transaction of `guest`, or of the host.
    pub(super) fn of(guest: Option<&'a str>) -> Self {
        guest.map_or(Self::Host, Self::Guest)
    }

    fn may_wait(self, guest: Option<&str>) -> bool {
        match (self, guest) {
            (Self::All, _) | (_, None) => false,
            (Self::Host, Some(_)) => true,
            (Self::Guest(mine), Some(guest)) => mine != guest,
        }
    }
}

/// As [`recover`], with the locks held.
pub(super) fn recover_all(
    engine: &Engine<'_>,
    claim: &mut Claim,
    whose: Whose<'_>,
) -> Result<Option<Recovered>, Failure> {
    let mut last = None;
    for number in journal::numbers(engine.root).map_err(|e| Trouble::from(e).unchanged())? {
        let failure = match recover_one(engine, claim, number) {
            Ok(recovered) => {
                last = recovered.or(last);
                continue;
            }
            Err(failure) => failure,
        };
        let of = plan(engine.root, &directory(number)).ok();
        let guest = of.as_ref().and_then(|plan| plan.guest.as_deref());
        match failure.reason() {
            Some(reason) if whose.may_wait(guest) => engine.tell(Event::LeftBetween {
                number,
                reason: &reason.what,
            }),
            _ => return Err(failure),
        }
    }
    Ok(last)
}

fn recover_one(
    engine: &Engine<'_>,
    claim: &mut Claim,
    number: u32,
) -> Result<Option<Recovered>, Failure> {
    let directory = directory(number);
    let lines = journal::read(engine.root, &directory).map_err(|e| Trouble::from(e).unchanged())?;
    let Some(lines) = lines.filter(|lines| !lines.is_empty()) else {
        let writer = engine.writer("");
        forget(engine, &writer, &directory).map_err(Trouble::unchanged)?;
        return Ok(None);
    };
    let past = Past::of(&lines);
    if !past.state.is_some_and(State::is_between) {
        return Ok(None);
    }
    engine.tell(Event::Recovering { number });
    // Whoever was interrupted may have left a tool running, and a package manager may run now.
    end_orphan(engine, &past);
    claim.keep_packages(engine).map_err(Trouble::unchanged)?;
    finish(engine, number, &directory, &past).map(Some)
}

fn finish(
    engine: &Engine<'_>,
    number: u32,
    directory: &str,
    past: &Past,
) -> Result<Recovered, Failure> {
    let begin = || -> Result<_, Trouble> {
        let plan = plan(engine.root, directory)?;
        let manifest = load(engine.root, &format!("{directory}/saved"))?;
        let points = &engine.options.failpoints;
        let journal = Journal::open(engine.root, points, directory)?;
        Ok((plan, manifest, journal))
    };
    let reason = Reason::new(
        past.reason
            .clone()
            .unwrap_or_else(|| format!("transaction {number} was interrupted")),
        "nothing is left to do",
    );
    let (plan, manifest, mut journal) = match begin() {
        Ok(all) => all,
        Err(trouble) => return Err(failure(number, reason, Err(trouble))),
    };
    let writer: Writer<'_> = engine.writer(&manifest.token);
    let back = Back {
        engine,
        writer: &writer,
        plan: &plan,
        manifest: &manifest,
        directory,
    };
    if past.state == Some(State::Undoing) {
        return undo::carry_on(&back, &mut journal, number);
    }
    match roll_back(&back, &mut journal, past, Mode::Recover, &reason) {
        Ok(Ok(notes)) => Ok(Recovered {
            number,
            end: RecoveredEnd::RolledBack,
            notes,
        }),
        other => Err(failure(number, reason, other)),
    }
}

/// Ends a command that outlived the passthru that had started it: it must not go on writing while
/// its files are put back.
fn end_orphan(engine: &Engine<'_>, past: &Past) {
    let Some((pid, Some(start))) = past.running else {
        return;
    };
    let same_boot = past.boot.is_none() || past.boot == engine.boot();
    let alive = || same_boot && start_of(pid) == Some(start);
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let begun = Instant::now();
    let mut signal = Signal::TERM;
    while alive() && begun.elapsed() < engine.options.grace + Duration::from_secs(5) {
        // ESRCH: it is gone, which is what is wanted.
        let _ = kill_process_group(group, signal);
        if begun.elapsed() >= engine.options.grace {
            signal = Signal::KILL;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
