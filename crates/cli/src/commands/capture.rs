//! `passthru capture`: this host as a file that can be shared.

use serde::Serialize;

use crate::{
    args::{self, Global},
    error::{Error, Outcome, Result},
    host,
    out::Out,
};

/// `capture --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    file: String,
    not_measured: bool,
}

pub(super) fn run(args: &args::Capture, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let file = args.file.display().to_string();
    if args.file.exists() {
        return Err(
            Error::input(format!("{file}: exists already; it is left as it is"))
                .hint("choose another name"),
        );
    }
    host.capture(&args.file)?;
    let partly = host.is_live() && !host::is_root();
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            file,
            not_measured: partly,
        })?;
        return Ok(Outcome::Done);
    }
    out.text(&format!(
        "Wrote {file}; serial numbers and addresses of network devices are masked."
    ))?;
    if partly {
        out.paragraph(
            0,
            "Without root some facts were not measured; sudo passthru capture has all.",
        )?;
    }
    out.text("Every reading command takes it:")?;
    out.command(&show_words(&file))?;
    Ok(Outcome::Done)
}

fn show_words(file: &str) -> String {
    crate::show::plan::command(&["passthru", "doctor", "--host", file])
}
