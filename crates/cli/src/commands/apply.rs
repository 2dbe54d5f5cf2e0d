//! `passthru apply`: a plan, carried out as one transaction.

use passthru_plan::{Facts, Plan, Refusal, verify::State};
use serde::Serialize;

use super::plan;
use crate::{
    args::{self, Global},
    error::{Outcome, Result},
    host::{self, Host},
    out::Out,
    show::{self, text::Line, text::Style},
    transaction::{self, RecoveredDocument},
};

/// `apply --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    transaction: Option<u32>,
    state: &'static str,
    reboot: bool,
    refusals: &'a [Refusal],
    recovered: Option<RecoveredDocument>,
}

pub(super) fn run(args: &args::Apply, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "apply")?;
    let intent = plan::intent(&args.want)?;
    let recovered = transaction::recover(&host, global, out)?.map(Into::into);
    let (facts, plan) = plan::make(&host, global, &intent);
    if !out.is_json() {
        show::plan::show(out, &facts, &plan)?;
    }
    let mut document = Document {
        schema: 1,
        transaction: None,
        state: "refused",
        reboot: false,
        refusals: &plan.refusals,
        recovered,
    };
    let outcome = if !plan.refusals.is_empty() {
        Outcome::No.about(&facts)
    } else if plan.changes.is_empty() {
        document.state = "nothing-to-do";
        document.reboot = waits_for_reboot(&facts, &plan);
        transaction::outcome(document.reboot)
    } else if !transaction::agreed(global, out, "Apply?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    } else {
        let mut applied = carry_out(&host, global, &plan, args.wait, out)?;
        document.state = "applied";
        document.transaction = Some(applied.number);
        document.reboot = applied.reboot;
        if let Some(recovered) = applied.recovered.take() {
            document.recovered = Some(recovered.into());
        }
        if !out.is_json() {
            what_now(&host, &plan, &applied, out)?;
        }
        transaction::outcome(applied.reboot)
    };
    if out.is_json() {
        out.json(&document)?;
    } else if document.transaction.is_none() {
        match document.state {
            "refused" => out.text("Nothing was changed.")?,
            _ => nothing_to_do(&host, document.reboot, out)?,
        }
    }
    Ok(outcome)
}

/// The plan has no changes; `reboot`: those of an earlier one wait for the next boot.
pub(super) fn nothing_to_do(host: &Host, reboot: bool, out: &mut Out) -> Result<()> {
    out.blank()?;
    out.text("Nothing to do: this host is set up that way.")?;
    if reboot {
        out.text("It takes effect at the next boot. Reboot, then:")?;
        out.command(&host.verb("verify"))?;
    }
    Ok(())
}

/// Everything is configured, and the running system was booted without it.
pub(super) fn waits_for_reboot(facts: &Facts, plan: &Plan) -> bool {
    passthru_plan::verify(facts, &plan.intent).state == State::RebootNeeded
}

/// Carries a plan out that was shown and agreed to.
pub(super) fn carry_out(
    host: &Host,
    global: &Global,
    plan: &Plan,
    wait: u64,
    out: &mut Out,
) -> Result<transaction::Applied> {
    if !out.is_json() {
        out.heading("Applying")?;
    }
    transaction::apply(host, global, plan, wait, out)
}

/// What to do after it, and how to get back.
pub(super) fn what_now(
    host: &Host,
    plan: &Plan,
    applied: &transaction::Applied,
    out: &mut Out,
) -> Result<()> {
    out.blank()?;
    let number = applied.number;
    let done = Line::new()
        .put(Style::Good, "Done")
        .plain(format!(": transaction {number}."));
    out.line(&done)?;
    if let Some(trial) = &plan.trial {
        out.heading("Next: reboot. That boot is a trial")?;
        out.paragraph(
            2,
            &format!(
                "The entry \"{}\" is started once; the default entry is as it was. A service then \
                 checks that what works now works then, and keeps the change. If anything fails, or \
                 the boot hangs and you press reset, the next boot is the one from before, and the \
                 change is taken back by itself. To see how it went:",
                trial.entry
            ),
        )?;
        out.command(&host.verb("verify"))?;
        out.command(&host.verb("history"))?;
    } else if applied.reboot {
        out.heading("Next: reboot, then see that it worked")?;
        out.command(&host.verb("verify"))?;
    }
    out.heading("The way back, whenever you want it")?;
    out.command(&host.verb("undo"))?;
    if let (Some(way_back), None) = (&plan.way_back, &plan.trial) {
        out.paragraph(2, &format!("or {}", way_back.choice))?;
    }
    Ok(())
}
