//! `passthru verify`: is it as planned? If not, which device, which driver, why.

use passthru_host::transaction::{Record, State as Stands, TrialState};
use passthru_plan::{Facts, Verification, guest::hugepages::PageSize, verify::State};
use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::{
        table,
        text::{Line, Style},
    },
    transaction,
};

/// `verify --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    transactions: &'a [u32],
    /// The transaction whose trial boot is not decided yet.
    trial: Option<u32>,
    #[serde(flatten)]
    verification: &'a Verification,
    unreadable: &'a [String],
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::everything_with_images());
    let (numbers, verification) = check(&host, &facts)?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            transactions: &numbers,
            trial: transaction::on_trial(&host)?.map(|record| record.number),
            verification: &verification,
            unreadable: &facts.unreadable,
        })?;
    } else {
        show(&host, &facts, &verification, out)?;
    }
    out.unreadable(&facts)?;
    let outcome = match verification.state {
        // Nothing was planned, so nothing is out of plan.
        State::Done | State::NothingApplied => Outcome::Done,
        State::RebootNeeded => Outcome::RebootNeeded,
        State::Drifted => Outcome::No,
    };
    Ok(outcome.about(&facts))
}

/// Every transaction in force, and the state of them all: as bad as the worst.
pub(super) fn check(host: &Host, facts: &Facts) -> Result<(Vec<u32>, Verification)> {
    let records = transaction::history(host, "verify")?;
    let mut sum = Verification {
        state: State::NothingApplied,
        devices: Vec::new(),
        drift: Vec::new(),
        not_measured: Vec::new(),
    };
    let mut numbers = Vec::new();
    let in_force = |record: &&Record| record.state == Stands::Applied;
    // Huge pages are one setting of the host: the latest that says something of them decides.
    let speaks_of_pages = |record: &Record| {
        let intent = &record.plan.intent;
        intent.hugepages_kib.is_some() || intent.no_hugepages
    };
    let mut last = records.iter().rev().filter(in_force);
    let decides = last.find(|record| speaks_of_pages(record));
    let decides = decides.map(|record| record.number);
    for record in records.iter().filter(in_force) {
        numbers.push(record.number);
        if record.trial == Some(TrialState::Kept) || record.plan.guest.is_some() {
            // The transaction that keeps it says the same; guests have `vm check`.
            continue;
        }
        let mut intent = record.plan.intent.clone();
        if decides.is_some_and(|number| record.number < number) {
            intent.hugepages_kib = None;
            intent.hugepage_size = PageSize::default();
            intent.no_hugepages = false;
        }
        let one = passthru_plan::verify(facts, &intent);
        sum.state = worse(sum.state, one.state);
        merge(&mut sum.drift, one.drift, |a, b| a == b);
        merge(&mut sum.not_measured, one.not_measured, |a, b| a == b);
        merge(&mut sum.devices, one.devices, |a, b| a.address == b.address);
    }
    for record in records.iter().filter(|r| r.state.is_between()) {
        sum.state = State::Drifted;
        sum.drift.push(format!(
            "Transaction {} was interrupted; sudo passthru recover brings it to its end.",
            record.number
        ));
    }
    Ok((numbers, sum))
}

fn worse(a: State, b: State) -> State {
    let weight = |state| match state {
        State::NothingApplied => 0,
        State::Done => 1,
        State::RebootNeeded => 2,
        State::Drifted => 3,
    };
    if weight(a) >= weight(b) { a } else { b }
}

fn merge<T>(into: &mut Vec<T>, from: Vec<T>, same: impl Fn(&T, &T) -> bool) {
    for item in from {
        if !into.iter().any(|known| same(known, &item)) {
            into.push(item);
        }
    }
}

/// The answer in a line, then each function, then what differs.
pub(super) fn show(
    host: &Host,
    facts: &Facts,
    verification: &Verification,
    out: &mut Out,
) -> Result<()> {
    let (style, word, rest) = match verification.state {
        State::Done => (Style::Good, "Done", "configured and running as planned."),
        State::RebootNeeded => (
            Style::Warn,
            "Reboot needed",
            "configured; the running system was booted without it.",
        ),
        State::Drifted => (Style::Bad, "Drifted", "not as planned."),
        State::NothingApplied => (
            Style::Plain,
            "Nothing applied",
            "passthru has nothing in force on this host.",
        ),
    };
    out.line(&Line::new().put(style, word).plain(format!(": {rest}")))?;
    devices(facts, verification, out)?;
    for drift in &verification.drift {
        out.wrapped(Line::new().put(Style::Bad, "  ✗ "), Style::Plain, drift)?;
    }
    for missing in &verification.not_measured {
        let lead = Line::new().put(Style::Warn, "  ? not measured  ");
        out.wrapped(lead, Style::Plain, missing)?;
    }
    match verification.state {
        State::Done if passthru_plan::trial::is_running(facts) => {
            out.blank()?;
            out.paragraph(
                0,
                "This is the trial boot. The service passthru-confirm checks the rest of the host \
                 and keeps the change, or takes it back; to do the same by hand:",
            )?;
            out.command(&host.verb("confirm"))?;
        }
        State::Done => {}
        State::RebootNeeded => {
            out.heading("Next: reboot, then")?;
            out.command(&host.verb("verify"))?;
        }
        State::Drifted => {
            out.heading("Next: apply again with the same flags, or take it back")?;
            out.command(&host.verb("undo"))?;
        }
        State::NothingApplied => {
            out.heading("Next")?;
            out.command(&host.verb("setup"))?;
        }
    }
    Ok(())
}

fn devices(facts: &Facts, verification: &Verification, out: &mut Out) -> Result<()> {
    let waits = verification.state == State::RebootNeeded;
    let rows: Vec<_> = verification
        .devices
        .iter()
        .map(|device| {
            let function = facts.function(device.address);
            let (style, mark) = if device.ok {
                (Style::Good, "✓")
            } else if waits {
                (Style::Warn, "·")
            } else {
                (Style::Bad, "✗")
            };
            vec![
                (style, mark.to_owned()),
                (Style::Accent, device.address.to_string()),
                (
                    style,
                    device.driver.clone().unwrap_or_else(|| "no driver".into()),
                ),
                (
                    Style::Plain,
                    device
                        .why
                        .clone()
                        .or_else(|| function.map(|f| f.class.word().to_owned()))
                        .unwrap_or_default(),
                ),
            ]
        })
        .collect();
    let column = |min, rank| table::Column {
        title: "",
        min,
        rank,
    };
    let spec = [column(1, 0), column(12, 0), column(8, 0), column(12, 1)];
    for line in table::set(&spec, &rows, 2, out.columns()) {
        out.line(&line)?;
    }
    Ok(())
}
