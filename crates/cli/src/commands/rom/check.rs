//! `passthru rom check`: what is in a ROM file, and whether a guest can use it.

use passthru_host::rom::load;
use passthru_plan::{
    Address, Finding, Verdict,
    rom::{judge, no_rom, parse},
};
use serde::Serialize;

use super::{Body, function, sha256, text};
use crate::{
    args::{self, Global},
    error::{Outcome, Result},
    host,
    out::Out,
    show,
};

/// `rom check --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    file: &'a str,
    size: usize,
    sha256: &'a str,
    function: Option<Address>,
    verdict: Verdict,
    rom: Option<Body<'a>>,
    findings: &'a [Finding],
}

pub(super) fn run(args: &args::RomCheck, global: &Global, out: &mut Out) -> Result<Outcome> {
    let function = match args.gpu {
        Some(address) => Some(function(&host::reading(global)?, address)?),
        None => None,
    };
    let bytes = load(&args.file)?;
    let file = text(&args.file);
    let rom = parse(&bytes, function.as_ref().map(|f| f.ids));
    let findings = match &rom {
        Ok(rom) => judge(rom, function.as_ref()),
        Err(error) => Vec::from([no_rom(error)]),
    };
    let rom = rom.ok();
    let verdict = Verdict::of(&findings);
    let sha256 = sha256(&bytes);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            file: &file,
            size: bytes.len(),
            sha256: &sha256,
            function: function.as_ref().map(|f| f.address),
            verdict,
            rom: rom.as_ref().map(Body::new),
            findings: &findings,
        })?;
    } else {
        out.text(&format!("{file}: {} bytes", bytes.len()))?;
        if out.is_verbose() {
            out.text(&format!("sha256 {sha256}"))?;
        }
        if let Some(rom) = &rom {
            show::rom::images(out, rom)?;
        }
        out.blank()?;
        show::rom::findings(out, &findings)?;
        out.blank()?;
        show::rom::verdict(out, &findings)?;
    }
    Ok(match verdict {
        Verdict::Blocked => Outcome::No,
        Verdict::Ready | Verdict::Unknown => Outcome::Done,
    })
}
