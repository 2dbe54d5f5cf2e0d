//! `passthru recover`: brings what was interrupted to one of its two ends.

use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host,
    out::Out,
    transaction::{self, RecoveredDocument},
};

/// `recover --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    recovered: Option<RecoveredDocument>,
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "recover")?;
    let recovered = transaction::recover(&host, global, out)?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            recovered: recovered.map(Into::into),
        })?;
    } else if recovered.is_none() {
        out.text("Nothing to recover: no transaction was interrupted.")?;
    }
    Ok(Outcome::Done)
}
