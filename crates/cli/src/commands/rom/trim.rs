//! `passthru rom trim`: a ROM alone, without what stands before and after it in a file.

use passthru_host::rom::{load, save};
use passthru_plan::{
    rom::{Chain, Start, parse},
    text::quote::command,
};
use serde::Serialize;

use super::{function, text, unwritten};
use crate::{
    args::{self, Global},
    error::{Error, Kind, Outcome, Result},
    host,
    out::Out,
};

/// `rom trim --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    file: &'a str,
    length: usize,
    cut_before: usize,
    cut_after: usize,
    start: &'a Start,
}

pub(super) fn run(args: &args::RomTrim, global: &Global, out: &mut Out) -> Result<Outcome> {
    let ids = match args.gpu {
        Some(address) => Some(function(&host::reading(global)?, address)?.ids),
        None => None,
    };
    let bytes = load(&args.file)?;
    let file = text(&args.file);
    let rom = parse(&bytes, ids).map_err(|error| {
        Error::input(format!("{file}: {error}; nothing was written"))
            .hint(command(&["passthru", "rom", "check", &file]))
    })?;
    if rom.chain != Chain::Complete {
        return Err(Error::new(
            Kind::NothingChanged,
            format!("{file}: the ROM in it is not complete, and trimming would not mend that; nothing was written"),
        )
        .hint(command(&["passthru", "rom", "check", &file])));
    }
    let range = rom.range();
    let target = text(&args.out);
    // The range lies within the file.
    let kept = bytes.get(range.clone()).unwrap_or_default();
    save(&args.out, kept, args.force).map_err(unwritten)?;
    let (before, after) = (range.start, bytes.len() - range.end);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            file: &target,
            length: kept.len(),
            cut_before: before,
            cut_after: after,
            start: &rom.start,
        })?;
        return Ok(Outcome::Done);
    }
    let cut = if rom.is_trimmed() {
        "Nothing had to be cut off, and nothing was changed.".to_owned()
    } else {
        format!(
            "Cut off: {before} bytes at the start, {after} at the end. Nothing inside the ROM was changed."
        )
    };
    out.text(&format!("Wrote {target}: {} bytes.", kept.len()))?;
    out.paragraph(0, &cut)?;
    if rom.start == Start::Searched {
        out.note(&rom.start.words(range.start))?;
    }
    out.heading("Whether a guest can use it:")?;
    let mut next = vec!["passthru", "rom", "check", &target];
    let address = args.gpu.map(|address| address.to_string());
    if let Some(address) = &address {
        next.extend(["--gpu", address]);
    }
    out.command(&command(&next))?;
    Ok(Outcome::Done)
}
