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
    let (facts, plan) = plan::make(&host, &intent)?;
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
        Outcome::No
    } else if plan.changes.is_empty() {
        document.state = "nothing-to-do";
        document.reboot = waits_for_reboot(&facts, &plan);
        transaction::outcome(document.reboot)
    } else if !transaction::agreed(global, out, "Apply?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    } else {
        let applied = carry_out(&host, global, &plan, args.wait, out)?;
        document.state = "applied";
        document.transaction = Some(applied.number);
        document.reboot = applied.reboot;
        if !out.is_json() {
            what_now(&host, &applied, out)?;
        }
        transaction::outcome(applied.reboot)
    };
    if out.is_json() {
        out.json(&document)?;
    } else if document.transaction.is_none() {
        nothing(&document, out)?;
    }
    Ok(outcome)
}

fn nothing(document: &Document<'_>, out: &mut Out) -> Result<()> {
    if document.state == "refused" {
        out.text("Nothing was changed.")?;
        return Ok(());
    }
    out.blank()?;
    out.text("Nothing to do: this host is set up that way.")?;
    if document.reboot {
        out.text("It takes effect at the next boot. Reboot, then:")?;
        out.command("passthru verify")?;
    }
    Ok(())
}

/// Everything is configured, and the running system was booted without it.
fn waits_for_reboot(facts: &Facts, plan: &Plan) -> bool {
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
pub(super) fn what_now(host: &Host, applied: &transaction::Applied, out: &mut Out) -> Result<()> {
    out.blank()?;
    let number = applied.number;
    let done = Line::new()
        .put(Style::Good, "Done")
        .plain(format!(": transaction {number}."));
    out.line(&done)?;
    if applied.reboot {
        out.heading("Next: reboot, then see that it worked")?;
        out.command(&host.verb("verify"))?;
    }
    out.heading("The way back, whenever you want it")?;
    out.command(&host.verb("undo"))?;
    out.paragraph(
        2,
        "or, in the boot menu, the entry whose title contains \"without passthru\"",
    )?;
    Ok(())
}
