//! `passthru rom trim`: a ROM alone, without what stands before and after it in a file.

use std::path::Path;

use passthru_host::rom::{apparmor_rule, install, load, save};
use passthru_plan::{
    rom::{Chain, Start, parse},
    text::quote::command,
};
use serde::Serialize;

use super::{
    dump::{Rule, guest},
    function, text, unwritten,
};
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
    /// What AppArmor has to be told, with --install.
    apparmor: Option<Rule>,
}

pub(super) fn run(args: &args::RomTrim, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = match (args.install, args.gpu) {
        (true, _) => Some(host::writing(global, "rom trim")?),
        (false, Some(_)) => Some(host::reading(global)?),
        (false, None) => None,
    };
    let ids = match (&host, args.gpu) {
        (Some(host), Some(address)) => Some(function(host, address)?.ids),
        _ => None,
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
    // The range lies within the file.
    let kept = bytes.get(range.clone()).unwrap_or_default();
    let target = match (&args.out, &host) {
        (Some(out), _) => {
            save(out, kept, args.force).map_err(unwritten)?;
            text(out)
        }
        (None, Some(host)) => {
            let installed = install(host.root(), &name(&args.file), kept, args.force);
            installed.map_err(unwritten)?.0
        }
        (None, None) => return Err(Error::usage("where should the ROM go?")),
    };
    let rule = host
        .as_ref()
        .filter(|_| args.install)
        .and_then(|host| apparmor_rule(host.root()));
    let (before, after) = (range.start, bytes.len() - range.end);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            file: &target,
            length: kept.len(),
            cut_before: before,
            cut_after: after,
            start: &rom.start,
            apparmor: rule.map(Into::into),
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
    if args.install {
        guest(out, args.gpu, &target, rule)?;
    }
    Ok(Outcome::Done)
}

/// The file's name, with the ending that AppArmor's rule is about.
fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}.rom")
}
