//! `passthru confirm`: keeps a trial boot, or says why not. At boot, as the service, it decides.

use std::{
    thread,
    time::{Duration, Instant},
};

use passthru_host::{transaction::Record, trial as boot};
use passthru_plan::{Facts, Finding, Status, trial as judge};
use serde::Serialize;

use crate::{
    args::{self, Global},
    cancel::Cancel,
    error::{Error, Kind, Outcome, Result},
    host::{self, Host},
    out::Out,
    show::{
        self,
        text::{Line, Style},
    },
    transaction::{self, RecoveredDocument},
};

/// How long the service waits for the boot to come to rest.
const BOOT: Duration = Duration::from_secs(300);
/// How long after that what worked before may take to work again: networks come late.
const LATE: Duration = Duration::from_secs(90);

/// How often the service tries to keep a trial that something is in the way of.
const TRIES: u32 = 6;
/// How long it waits in between.
const AGAIN: Duration = Duration::from_secs(10);

/// `confirm --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// The transaction on trial.
    trial: Option<u32>,
    state: State,
    checks: &'a [Finding],
    /// The transaction that made it permanent.
    transaction: Option<u32>,
    reboot: bool,
    recovered: Option<&'a RecoveredDocument>,
}

/// What became of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// No trial is pending.
    None,
    /// The trial has not been booted yet.
    NotBooted,
    /// The host was booted since, without the trial entry.
    BootedOtherwise,
    /// A check says no.
    NotProved,
    /// It is permanent.
    Kept,
    /// It is taken back.
    TakenBack,
}

pub(super) fn run(args: &args::Confirm, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "confirm")?;
    let wait = if args.at_boot { args.wait } else { 0 };
    let recovered = transaction::recover_after(&host, global, wait, out)?.map(Into::into);
    let recovered = recovered.as_ref();
    let Some(record) = transaction::on_trial(&host)? else {
        return nothing(recovered, out);
    };
    let trial = Trial {
        host: &host,
        global,
        record: &record,
        by_itself: args.at_boot,
        wait: args.wait,
        recovered,
    };
    let facts = host.facts_with_health(global);
    out.unreadable(&facts)?;
    let now = host.root().attribute("/proc/sys/kernel/random/boot_id");
    if !judge::is_running(&facts) {
        if record.boot.is_some() && record.boot == now {
            return trial.not_booted(out);
        }
        return if args.at_boot {
            let reason = "the trial boot did not come up: the host was started again, and another entry than the trial's was booted";
            trial.take_back(reason, &[], false, out)
        } else {
            trial.booted_otherwise(out)
        };
    }
    let (facts, checks) = if args.at_boot {
        boot::wait_for_rest(host.exec(global).as_ref(), BOOT);
        let settled = settled(&host, global, &record);
        if !trial.is_pending()? {
            return nothing(recovered, out);
        }
        settled
    } else {
        let checks = judge::judge(&facts, &record.plan);
        (facts, checks)
    };
    if !out.is_json() {
        show::doctor::show(out, &checks)?;
        out.blank()?;
    }
    if judge::proved(&checks) || args.anyway {
        if args.at_boot {
            trial.keep_or_take_back(facts, &checks, out)
        } else {
            trial.keep(&facts, &checks, out)
        }
    } else if args.at_boot {
        let reason = format!("the trial boot failed: {}", complaints(&checks));
        trial.take_back(&reason, &checks, true, out)
    } else {
        trial.not_proved(&checks, out)
    }
}

/// What the service does on a host that has come to rest, for the demo.
pub(super) fn as_the_service(host: &Host, global: &Global, out: &mut Out) -> Result<Outcome> {
    let Some(record) = transaction::on_trial(host)? else {
        return nothing(None, out);
    };
    let trial = Trial {
        host,
        global,
        record: &record,
        by_itself: true,
        wait: 0,
        recovered: None,
    };
    let facts = host.facts_with_health(global);
    let checks = judge::judge(&facts, &record.plan);
    show::doctor::summary(out, &checks)?;
    if judge::proved(&checks) {
        out.blank()?;
        trial.keep(&facts, &checks, out)
    } else {
        let reason = format!("the trial boot failed: {}", complaints(&checks));
        trial.take_back(&reason, &checks, false, out)
    }
}

/// A trial that is to be decided.
struct Trial<'a> {
    host: &'a Host,
    global: &'a Global,
    record: &'a Record,
    /// The service decides: nobody is asked.
    by_itself: bool,
    /// Seconds that a package manager is waited for.
    wait: u64,
    /// What was brought to its end first.
    recovered: Option<&'a RecoveredDocument>,
}

/// The checks, once all say yes or nothing more is to be expected.
fn settled(host: &Host, global: &Global, record: &Record) -> (Facts, Vec<Finding>) {
    let until = Instant::now() + LATE;
    loop {
        let facts = host.facts_with_health(global);
        let checks = judge::judge(&facts, &record.plan);
        if judge::decided(&checks) || Instant::now() > until {
            return (facts, checks);
        }
        thread::sleep(Duration::from_secs(2));
    }
}

/// What the checks that say no have seen.
fn complaints(checks: &[Finding]) -> String {
    let bad = checks.iter().filter(|check| check.status == Status::No);
    let bad: Vec<_> = bad
        .flat_map(|check| check.evidence.iter().cloned())
        .collect();
    if bad.is_empty() {
        return "what it depends on could not be measured".into();
    }
    bad.join("; ")
}

fn nothing(recovered: Option<&RecoveredDocument>, out: &mut Out) -> Result<Outcome> {
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            trial: None,
            state: State::None,
            checks: &[],
            transaction: None,
            reboot: false,
            recovered,
        })?;
    } else {
        out.text("Nothing to confirm: no trial boot is pending.")?;
    }
    Ok(Outcome::Done)
}

impl Trial<'_> {
    fn not_booted(&self, out: &mut Out) -> Result<Outcome> {
        self.answer(out, State::NotBooted, &[], None, true)?;
        if !out.is_json() {
            out.paragraph(
            0,
            &format!(
                "Transaction {} is on trial, and its trial boot is still to come: reboot. It is \
                 checked and kept, or taken back, by itself.",
                self.record.number
            ),
        )?;
        }
        Ok(Outcome::RebootNeeded)
    }

    fn booted_otherwise(&self, out: &mut Out) -> Result<Outcome> {
        self.answer(out, State::BootedOtherwise, &[], None, false)?;
        if !out.is_json() {
            out.paragraph(
            0,
            &format!(
                "Transaction {} is on trial, and this boot is not the trial: it did not come up, or \
                 another entry was chosen. There is nothing to keep. To take it back:",
                self.record.number
            ),
        )?;
            out.command(&self.host.verb("undo"))?;
        }
        Ok(Outcome::No)
    }

    fn not_proved(&self, checks: &[Finding], out: &mut Out) -> Result<Outcome> {
        self.answer(out, State::NotProved, checks, None, false)?;
        if !out.is_json() {
            out.line(&Line::new().put(Style::Bad, "Not kept").plain(format!(
                ": transaction {} has not proved itself.",
                self.record.number
            )))?;
            out.heading("Take it back, or keep it all the same")?;
            out.command(&self.host.verb("undo"))?;
            out.command(&self.host.command(&["confirm".into(), "--anyway".into()]))?;
        }
        Ok(Outcome::No)
    }

    /// It is still undecided: its owner may have kept it, or taken it back, meanwhile.
    fn is_pending(&self) -> Result<bool> {
        let now = transaction::on_trial(self.host)?;
        Ok(now.is_some_and(|record| record.number == self.record.number))
    }

    /// Makes the change permanent, or takes it back if that fails. What stands in the way before
    /// anything is changed (another passthru at work) is given time to go.
    fn keep_or_take_back(
        &self,
        mut facts: Facts,
        checks: &[Finding],
        out: &mut Out,
    ) -> Result<Outcome> {
        let stop = Cancel::catch()?;
        let mut left = TRIES;
        loop {
            let error = match self.keep(&facts, checks, out) {
                Err(error) => error,
                kept => return kept,
            };
            if !self.is_pending()? {
                return nothing(self.recovered, out);
            }
            // The host goes down: the next boot decides.
            if stop.asked() {
                return Err(error);
            }
            left -= 1;
            if left == 0 || !error.nothing_changed() {
                let reason = format!("it could not be made permanent: {}", error.message());
                return self.take_back(&reason, checks, true, out);
            }
            thread::sleep(AGAIN);
            facts = self.host.facts_with_health(self.global);
        }
    }

    /// Makes the change permanent.
    fn keep(&self, facts: &Facts, checks: &[Finding], out: &mut Out) -> Result<Outcome> {
        let (host, record) = (self.host, self.record);
        let plan = passthru_plan::plan::keep(facts, &record.plan, record.number);
        if let Some(refusal) = plan.refusals.first() {
            let message = format!("{}; nothing was changed", refusal.why);
            return Err(Error::new(Kind::Refused, message).hint(refusal.way_out.clone()));
        }
        if !self.by_itself {
            if !out.is_json() {
                show::plan::show_short(out, facts, &plan)?;
            }
            if !transaction::agreed(self.global, out, "Keep it?")? {
                out.text("Nothing was changed.")?;
                return Ok(Outcome::No);
            }
        }
        let applied = transaction::apply(host, self.global, &plan, self.wait, out)?;
        let (number, reboot) = (applied.number, applied.reboot);
        self.answer(out, State::Kept, checks, Some(number), reboot)?;
        if !out.is_json() {
            out.line(&Line::new().put(Style::Good, "Kept").plain(format!(
                ": transaction {} has proved itself; {number} makes it permanent.",
                record.number
            )))?;
            if !self.by_itself {
                out.heading("The way back, whenever you want it")?;
                out.command(&host.verb("undo"))?;
            }
        }
        Ok(transaction::outcome(reboot))
    }

    /// Takes the transaction back, and with `reboot` leads the host back into the entry from before.
    fn take_back(
        &self,
        reason: &str,
        checks: &[Finding],
        reboot: bool,
        out: &mut Out,
    ) -> Result<Outcome> {
        let number = self.record.number;
        let why = Some(reason);
        let undone =
            match transaction::undo(self.host, self.global, number, &[], why, self.wait, out) {
                // Somebody is at work on the host. It stays up: its default entry is the one from before.
                Err(error) if error.nothing_changed() => {
                    return if self.is_pending()? {
                        Err(error)
                    } else {
                        nothing(self.recovered, out)
                    };
                }
                other => other,
            };
        if !out.is_json() && undone.is_ok() {
            out.line(
                &Line::new()
                    .put(Style::Warn, "Taken back")
                    .plain(format!(": transaction {number}. {reason}")),
            )?;
        }
        let mut rebooting = false;
        if reboot {
            // Also if taking back failed: the default entry is the one from before.
            let exec = self.host.exec(self.global);
            match boot::reboot_once(self.host.root(), exec.as_ref(), number) {
                Ok(first) => rebooting = first,
                Err(error) => out.note(&format!("not rebooted: {error}"))?,
            }
        }
        undone?;
        self.answer(out, State::TakenBack, checks, None, reboot)?;
        if rebooting && !out.is_json() {
            out.text("Rebooting into the entry from before.")?;
        }
        // The service did what it is there for; its failure would be one more thing to look into.
        Ok(Outcome::Done)
    }

    fn answer(
        &self,
        out: &mut Out,
        state: State,
        checks: &[Finding],
        transaction: Option<u32>,
        reboot: bool,
    ) -> Result<()> {
        if !out.is_json() {
            return Ok(());
        }
        Ok(out.json(&Document {
            schema: 1,
            trial: Some(self.record.number),
            state,
            checks,
            transaction,
            reboot,
            recovered: self.recovered,
        })?)
    }
}
