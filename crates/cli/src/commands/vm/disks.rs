//! `passthru vm disks`: the host's disks, and which of them a guest can have.

use passthru_plan::guest::disk_list::{self, Listed};
use serde::Serialize;

use crate::{
    args::Global,
    error::{Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show,
};

/// `vm disks --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    disks: Vec<Listed>,
    /// Why they are not known, if they are not.
    unknown: Option<String>,
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::disks());
    let document = Document {
        schema: 1,
        disks: disk_list::list(&facts),
        unknown: facts.blocks.devices.why_not().map(str::to_owned),
    };
    if out.is_json() {
        out.json(&document)?;
    } else {
        show::disks::show(out, &document.disks, document.unknown.as_deref())?;
    }
    out.unreadable(&facts)?;
    Ok(Outcome::Done)
}
