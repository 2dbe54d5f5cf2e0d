//! `passthru vm check`: a guest of libvirt held to the host.

use passthru_host::{input, pools, rom::load_from};
use passthru_plan::{
    Finding, Severity, Status, Verdict,
    guest::{
        Domain,
        check::{RomFiles, check, rom_files},
        hugepages::HostPages,
        reach::Barred,
    },
};
use serde::Serialize;

use super::{
    files,
    show::{XML, definition},
};
use crate::{
    args::{Global, vm::check::Check},
    error::{Error, Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show::{self, text::Line, text::Style},
};

/// `vm check --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    verdict: Verdict,
    findings: &'a [Finding],
}

pub(super) fn run(args: &Check, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let xml = match &args.xml {
        Some(file) => input::text(file)?,
        None => definition(&host, global, "vm check", XML, &args.name)?,
    };
    let refused = |refusal: passthru_plan::Refusal| Error::input(refusal.why).hint(refusal.way_out);
    let named = rom_files(&xml).map_err(refused)?;
    let roms: RomFiles = named
        .into_iter()
        .map(|path| (path.clone(), load_from(host.root(), &path)))
        .collect();
    let facts = host.facts(Wanted::guest());
    let mounted = pools::mounted(host.root());
    let pages = HostPages {
        default_kib: pools::default_page(host.root()),
        mounted: mounted.as_deref(),
    };
    let mut findings = check(&facts, &xml, &roms, pages).map_err(refused)?;
    if let Ok(domain) = Domain::parse(&xml) {
        let barred = files::barred(host.root(), &domain);
        findings.extend(barred.iter().map(Barred::finding));
    }
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            verdict: Verdict::of(&findings),
            findings: &findings,
        })?;
    } else {
        show::doctor::show_as(out, &findings, "Needed for the guest to start")?;
        out.blank()?;
        verdict(out, &findings)?;
    }
    out.unreadable(&facts)?;
    Ok(if wrong(&findings) == 0 {
        Outcome::Done
    } else {
        Outcome::No
    })
}

/// What is not as it should be, and matters.
fn wrong(findings: &[Finding]) -> usize {
    let matters = |f: &&Finding| f.status == Status::No && f.severity != Severity::Info;
    findings.iter().filter(matters).count()
}

fn verdict(out: &mut Out, findings: &[Finding]) -> Result<()> {
    let starts = Verdict::of(findings) != Verdict::Blocked;
    let line = match (wrong(findings), starts) {
        (0, _) => Line::new()
            .put(Style::Good, "Good")
            .plain(": the guest fits this host."),
        (n, true) => Line::new()
            .put(Style::Warn, "It starts")
            .plain(format!(": {n} of these can be better.")),
        (_, false) => Line::new()
            .put(Style::Bad, "Not ready")
            .plain(": the guest will not start, or it would take from the host what it needs."),
    };
    Ok(out.line(&line)?)
}
