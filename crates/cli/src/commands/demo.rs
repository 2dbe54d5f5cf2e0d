//! `passthru demo`: the whole cycle on a built-in sample host, in a scratch directory.

use std::path::Path;

use passthru_plan::{Intent, Selector, doctor::doctor};

use super::{confirm, plan, undo, verify};
use crate::{
    args::{self, Global},
    demo::{reboot, sample, tree},
    error::{Error, Kind, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::{
        self,
        text::{Line, Style},
    },
    transaction,
};

/// The demo is read in a terminal of this width.
const WIDTH: usize = 80;

/// The card that is given away.
const CARD: &str = "01:00.0";

/// What passthru keeps after an undo, the journal, which is the history; and what every boot changes.
const KEPT: [&str; 2] = ["var/lib/passthru", "proc/sys/kernel/random"];

pub(super) fn run(args: &args::Demo, global: &Global, out: &mut Out) -> Result<Outcome> {
    if let Some(dir) = &args.write_sample {
        sample::write(dir).map_err(|e| at(dir, &e))?;
        return Ok(Outcome::Done);
    }
    if let Some(dir) = &args.reboot_sample {
        if !sample::is_sample(dir) {
            return Err(Error::input(format!(
                "{}: not a sample host",
                dir.display()
            )));
        }
        reboot::reboot(dir).map_err(|e| at(dir, &e))?;
        return Ok(Outcome::Done);
    }
    if out.is_json() {
        return Err(Error::usage("the demo is for reading; it has no JSON")
            .hint("every command it shows has: devices, doctor, plan, verify …"));
    }
    if global.host.is_some() || global.root.is_some() {
        return Err(Error::usage(
            "the demo brings its own host; leave out --root and --host",
        ));
    }
    let scratch = tempfile::Builder::new()
        .prefix("passthru-demo-")
        .tempdir()
        .map_err(|e| Error::input(format!("no scratch directory: {e}")))?;
    let root = scratch.path().join("host");
    let result = cycle(&root, out);
    // Removed here and not by the destructor, so that failing to is said.
    let left = scratch.path().to_owned();
    if let Err(e) = scratch.close() {
        out.note(&format!("{} is left over: {e}", left.display()))?;
    }
    result
}

fn at(path: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("{}: {error}", path.display()))
}

/// Look, plan, apply, reboot, verify, undo, compare.
fn cycle(root: &Path, out: &mut Out) -> Result<Outcome> {
    out.narrow(WIDTH);
    introduction(out)?;
    sample::write(root).map_err(|e| at(root, &e))?;
    let before = tree::print(root, &KEPT).map_err(|e| at(root, &e))?;
    let global = Global::sample(root);
    let host = host::writing(&global, "demo")?;

    step(out, 1, "Look", "passthru devices; passthru doctor")?;
    let facts = host.facts(Wanted::all());
    show::devices::show_cards(out, &facts)?;
    out.blank()?;
    let findings = doctor(&facts);
    show::doctor::summary(out, &findings)?;
    show::doctor::verdict(out, &findings)?;

    step(out, 2, "Plan", &format!("passthru plan --gpu {CARD}"))?;
    let intent = Intent {
        gpu: vec![Selector::at(passthru_plan::Address::new(0, 1, 0, 0))],
        ..Intent::default()
    };
    let (facts, plan) = plan::make(&host, &global, &intent);
    show::plan::show_short(out, &facts, &plan)?;
    if !plan.refusals.is_empty() {
        return Ok(Outcome::No);
    }

    step(
        out,
        3,
        "Apply",
        &format!("sudo passthru apply --gpu {CARD}"),
    )?;
    let applied = transaction::apply(&host, &global, &plan, 0, out)?;
    out.blank()?;
    out.paragraph(
        2,
        &format!(
            "Transaction {}. Nothing of the running system changed; the next boot will.",
            applied.number
        ),
    )?;

    step(out, 4, "Reboot: a trial", "sudo passthru confirm")?;
    restart(root, out, "once, with the trial entry")?;
    out.paragraph(
        2,
        "A service does this on a real host. If a check says no, or the boot does not come up, it \
         takes everything back instead, and the next boot is the old one.",
    )?;
    out.blank()?;
    confirm::as_the_service(&host, &global, out)?;

    step(out, 5, "Reboot again, and verify", "sudo passthru verify")?;
    restart(root, out, "as the default entry of its new boot menu says")?;
    out.blank()?;
    as_it_runs(&host, out)?;

    step(out, 6, "Undo", "sudo passthru undo")?;
    let records = transaction::history(&host, "undo")?;
    undo::preview(&records, applied.number, out)?;
    let undone = transaction::undo(&host, &global, applied.number, &[], None, 0, out)?;
    undo::result(&undone.notes, &[undone.number], out)?;
    out.blank()?;
    restart(root, out, "with the menu it had at first")?;

    step(out, 7, "Every byte is back", "")?;
    let after = tree::print(root, &KEPT).map_err(|e| at(root, &e))?;
    proof(&before, &after, out)
}

fn introduction(out: &mut Out) -> Result<()> {
    out.line(&Line::new().bold("passthru demo"))?;
    out.blank()?;
    out.paragraph(
        2,
        "A sample host in a scratch directory: a Debian 13 desktop whose processor drives the \
         monitor, with an NVIDIA card beside it. No root, no reboot; this machine is not touched.",
    )?;
    out.blank()?;
    out.paragraph(
        2,
        "The sample has no kernel and no tools. Stand-ins inside passthru play grub-mkconfig, \
         update-initramfs and the reboot; everything else is what runs on a real host.",
    )?;
    Ok(())
}

fn step(out: &mut Out, number: u32, title: &str, command: &str) -> Result<()> {
    out.blank()?;
    out.blank()?;
    let rest = if command.is_empty() {
        String::new()
    } else {
        format!("  $ {command}")
    };
    out.line(
        &Line::new()
            .put(Style::Accent, format!("{number}  "))
            .bold(title)
            .dim(rest),
    )?;
    out.blank()?;
    Ok(())
}

fn restart(root: &Path, out: &mut Out, how: &str) -> Result<()> {
    reboot::reboot(root).map_err(|e| at(root, &e))?;
    out.wrapped(
        Line::new().dim("  … "),
        Style::Dim,
        &format!("the sample host starts again (a stand-in for the reboot), {how}"),
    )?;
    Ok(())
}

fn as_it_runs(host: &Host, out: &mut Out) -> Result<()> {
    let facts = host.facts(Wanted::everything_with_images());
    let (_, verification) = verify::check(host, &facts)?;
    verify::show(host, &facts, &verification, out)
}

/// The same tree, or what to think of it if not.
fn proof(before: &tree::Print, after: &tree::Print, out: &mut Out) -> Result<Outcome> {
    for (label, print) in [("before", before), ("after", after)] {
        let hash = print.hash.get(..40).unwrap_or(&print.hash);
        out.line(
            &Line::new()
                .dim(format!("  {label:<8}"))
                .plain(format!("{} files and links  sha256 {hash}…", print.files)),
        )?;
    }
    out.blank()?;
    if before != after {
        return Err(Error::new(
            Kind::NotRolledBack,
            "the sample host is not what it was before; this is a defect of passthru",
        ));
    }
    out.wrapped(
        Line::new().put(Style::Good, "  ✓ "),
        Style::Plain,
        "The same paths, modes, links and bytes. Only the journal stays: it is the history.",
    )?;
    out.heading("Next, on this machine; looking changes nothing:")?;
    out.command("passthru")?;
    Ok(Outcome::Done)
}
