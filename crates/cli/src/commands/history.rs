//! `passthru history`: what was done when.

use passthru_host::transaction::{Record, State, TrialState};
use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host,
    out::Out,
    show::{table, text::Line, text::Style, time},
    transaction,
};

/// `history --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    transactions: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    transaction: u32,
    state: State,
    /// Where its trial boot stands.
    trial: Option<TrialState>,
    /// The transaction it makes permanent.
    continues: Option<u32>,
    begun: u64,
    since: u64,
    cards: Vec<String>,
    /// The guest it was about.
    guest: Option<&'a str>,
    reason: Option<&'a str>,
    notes: &'a [String],
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let records = transaction::history(&host, "history")?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            transactions: records.iter().map(entry).collect(),
        })?;
    } else if records.is_empty() {
        out.text("passthru has changed nothing on this host.")?;
    } else {
        show(&records, out)?;
    }
    Ok(Outcome::Done)
}

fn entry(record: &Record) -> Entry<'_> {
    Entry {
        transaction: record.number,
        state: record.state,
        trial: record.trial,
        continues: record.plan.continues,
        begun: record.begun,
        since: record.since,
        cards: record
            .plan
            .intent
            .gpu
            .iter()
            .map(ToString::to_string)
            .collect(),
        guest: record.plan.guest.as_deref(),
        reason: record.reason.as_deref(),
        notes: &record.notes,
    }
}

fn show(records: &[Record], out: &mut Out) -> Result<()> {
    let column = |title, min, rank| table::Column { title, min, rank };
    let spec = [
        column("", 2, 0),
        column("begun", 16, 2),
        column("state", 8, 0),
        column("card", 12, 1),
    ];
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let (style, state) = state(record);
            vec![
                (Style::Bold, record.number.to_string()),
                (Style::Plain, time::utc(record.begun)),
                (style, state.to_owned()),
                (Style::Plain, cards(record)),
            ]
        })
        .collect();
    let mut lines = table::set(&spec, &rows, 0, out.columns()).into_iter();
    if let Some(header) = lines.next() {
        out.line(&header)?;
    }
    for (record, line) in records.iter().zip(lines) {
        out.line(&line)?;
        if let Some(reason) = &record.reason {
            out.wrapped(Line::new().plain("    ").dim("why  "), Style::Plain, reason)?;
        }
        for note in &record.notes {
            out.wrapped(Line::new().plain("    ").dim("note "), Style::Plain, note)?;
        }
    }
    Ok(())
}

/// What a transaction was about.
fn cards(record: &Record) -> String {
    let intent = &record.plan.intent;
    if let Some(name) = &record.plan.guest {
        return format!("guest {name}");
    }
    if intent.iommu_only {
        return "IOMMU only".into();
    }
    let cards: Vec<_> = intent
        .gpu
        .iter()
        .map(|gpu| {
            let ids = gpu.ids.map_or(String::new(), |ids| format!(" {ids}"));
            format!("{}{ids}", gpu.address)
        })
        .collect();
    if cards.is_empty() {
        return "repairs".into();
    }
    cards.join(", ")
}

const fn state(record: &Record) -> (Style, &'static str) {
    match record.state {
        State::Applied => match (record.trial, record.plan.continues) {
            (Some(TrialState::Pending), _) => (Style::Warn, "on trial"),
            (Some(TrialState::Kept), _) => (Style::Good, "trial kept"),
            (None, Some(_)) => (Style::Good, "keeps trial"),
            (None, None) => (Style::Good, "applied"),
        },
        State::Undone => (Style::Plain, "undone"),
        State::RolledBack => (Style::Warn, "rolled back"),
        State::Applying => (Style::Bad, "interrupted"),
        State::RollingBack => (Style::Bad, "interrupted while rolling back"),
        State::Undoing => (Style::Bad, "interrupted while undoing"),
    }
}
