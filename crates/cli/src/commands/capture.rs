//! `passthru capture`: this host as a file that can be shared.

use std::{collections::BTreeMap, io::ErrorKind};

use passthru_host::capture::{CaptureError, capture_to};
use passthru_plan::text::quote::command;
use serde::Serialize;

use crate::{
    args::{self, Global},
    error::{Error, Outcome, Result},
    host,
    out::Out,
};

/// `capture --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    file: &'a str,
    entries: usize,
    masked: &'a BTreeMap<&'static str, usize>,
    denied: &'a [String],
}

pub(super) fn run(args: &args::Capture, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let file = args.file.display().to_string();
    let report = capture_to(host.root(), &args.file).map_err(|error| match &error {
        CaptureError::Host(path) if path.source.kind() == ErrorKind::AlreadyExists => {
            Error::input(format!("{file}: exists already; it is left as it is"))
                .hint("choose another name")
        }
        _ => Error::input(error),
    })?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            file: &file,
            entries: report.entries,
            masked: &report.masked,
            denied: &report.denied,
        })?;
        return Ok(Outcome::Done);
    }
    out.text(&format!(
        "Wrote {file}: {} files, links and directories.",
        report.entries
    ))?;
    let masked: Vec<String> = report
        .masked
        .iter()
        .map(|(kind, count)| format!("{kind} ({count})"))
        .collect();
    if masked.is_empty() {
        out.text("Nothing in it had to be masked.")?;
    } else {
        out.paragraph(0, &format!("Masked in it: {}.", masked.join(", ")))?;
    }
    if !report.denied.is_empty() {
        let count = report.denied.len();
        let text = format!("{count} could not be read and are missing; with root they are not:");
        out.paragraph(0, &text)?;
        let shown = if out.is_verbose() { count } else { 5 };
        for path in report.denied.iter().take(shown) {
            out.text(&format!("  {path}"))?;
        }
        if count > shown {
            out.text(&format!("  and {} more (-v names them)", count - shown))?;
        }
    }
    out.heading("Look at it before you share it. Every reading command takes it:")?;
    out.command(&command(&["passthru", "doctor", "--host", &file]))?;
    Ok(Outcome::Done)
}
