//! `passthru confirm`: keep a trial boot.

use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host,
    out::Out,
};

/// `confirm --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    trial: Option<u64>,
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    host::no_capture(global, "confirm")?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            trial: None,
        })?;
    } else {
        out.paragraph(
            0,
            "Nothing to confirm: no trial boot is pending. On this boot stack passthru makes no \
             trial boots yet; what was applied stays until passthru undo.",
        )?;
    }
    Ok(Outcome::Done)
}
