//! `passthru rom dump`: a card's ROM into a file.

use std::path::PathBuf;

use passthru_host::rom::{
    AppArmorRule, Dump, DumpError, Source, Stage, apparmor_rule, dump, dump_vfct, install, save,
};
use passthru_plan::{
    Address, Finding, Verdict,
    facts::Function,
    rom::{file_name, judge, parse},
    text::quote::word,
};
use serde::Serialize;

use super::{Body, function, sha256, text, unwritten};
use crate::{
    args::{self, Global},
    cancel::Cancel,
    error::{Error, Kind, Outcome, Result},
    host::{self, Host},
    out::Out,
    show,
};

/// `rom dump --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    function: Address,
    source: &'static str,
    file: &'a str,
    size: usize,
    sha256: &'a str,
    verdict: Verdict,
    rom: Body<'a>,
    findings: &'a [Finding],
    apparmor: Option<Rule>,
}

/// What AppArmor has to be told.
#[derive(Serialize)]
pub(super) struct Rule {
    file: &'static str,
    rule: String,
}

impl From<AppArmorRule> for Rule {
    fn from(AppArmorRule { file, rule }: AppArmorRule) -> Self {
        Self { file, rule }
    }
}

pub(super) fn run(args: &args::RomDump, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "rom dump")?;
    let function = function(&host, args.function)?;
    // Switched on for a moment: a signal in between must not leave it so.
    let _cancel = Cancel::catch()?;
    let read = if args.from_vfct { dump_vfct } else { dump };
    let dump = read(host.root(), &function).map_err(failed)?;
    let rom = parse(&dump.bytes, Some(function.ids)).map_err(|error| {
        let message = format!(
            "what {} gives is no option ROM: {error}; nothing was written",
            from(dump.source, &function)
        );
        Error::new(Kind::NothingChanged, message)
            .hint("the card may have to be reset first: shut the host down, not only reboot it, and try again")
    })?;
    let findings = judge(&rom, Some(&function));
    let verdict = Verdict::of(&findings);
    let file = write(args, &host, &function, &dump)?;
    let rule = args.install.then(|| apparmor_rule(host.root())).flatten();
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            function: function.address,
            source: source(dump.source),
            file: &file,
            size: dump.bytes.len(),
            sha256: &sha256(&dump.bytes),
            verdict,
            rom: Body::new(&rom),
            findings: &findings,
            apparmor: rule.map(Into::into),
        })?;
    } else {
        out.text(&format!("Wrote {file}: {} bytes.", dump.bytes.len()))?;
        out.paragraph(0, &format!("Read from {}.", from(dump.source, &function)))?;
        out.text(&format!("sha256 {}", sha256(&dump.bytes)))?;
        show::rom::images(out, &rom)?;
        out.blank()?;
        show::rom::findings(out, &findings)?;
        out.blank()?;
        show::rom::verdict(out, &findings)?;
        if args.install {
            guest(out, Some(function.address), &file, rule)?;
        }
    }
    Ok(match verdict {
        Verdict::Blocked => Outcome::No,
        Verdict::Ready | Verdict::Unknown => Outcome::Done,
    })
}

/// Writes the ROM where it was asked for; gives the place.
fn write(args: &args::RomDump, host: &Host, function: &Function, dump: &Dump) -> Result<String> {
    let name = file_name(function);
    if args.install {
        let installed = install(host.root(), &name, &dump.bytes, args.force);
        return Ok(installed.map_err(unwritten)?.0);
    }
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(name));
    save(&path, &dump.bytes, args.force).map_err(unwritten)?;
    Ok(text(&path))
}

/// How a guest gets it.
pub(super) fn guest(
    out: &mut Out,
    function: Option<Address>,
    file: &str,
    rule: Option<AppArmorRule>,
) -> Result<()> {
    let function = function.map_or_else(|| "ADDR".into(), |function| function.to_string());
    out.heading("A guest of libvirt that owns the card gets it with:")?;
    let rom = word(&format!("{function}={file}"));
    out.command(&format!("sudo passthru vm edit NAME --rom {rom}"))?;
    out.heading("By hand, in its domain, for this function's hostdev only:")?;
    out.command(&format!("<rom file='{file}'/>"))?;
    if let Some(AppArmorRule { file, rule }) = rule {
        out.heading(
            "AppArmor confines the guests of libvirt here, and does not let them read it yet.",
        )?;
        out.paragraph(
            0,
            &format!("Add this line to {file} (make the file if it is missing); it counts from the guest's next start:"),
        )?;
        out.command(&rule)?;
    }
    Ok(())
}

/// Where it was read, for a sentence.
fn from(source: Source, function: &Function) -> String {
    let card = format!("{} ({})", function.address, function.label());
    match source {
        Source::Function => card,
        Source::Vfct => format!("the ACPI table VFCT for {card}"),
        Source::VfctElsewhere => format!(
            "the ACPI table VFCT for {card}; it stands there under another address, as the only one with these ids"
        ),
    }
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Function => "function",
        Source::Vfct => "vfct",
        Source::VfctElsewhere => "vfct-other-address",
    }
}

fn failed(error: DumpError) -> Error {
    let kind = match error.stage {
        Stage::Before => Kind::NothingChanged,
        Stage::Restored => Kind::RolledBack,
        Stage::Left => Kind::NotRolledBack,
    };
    error
        .hints
        .iter()
        .fold(Error::new(kind, &error), Error::hint)
}
