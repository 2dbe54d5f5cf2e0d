//! `passthru vm stop`: a guest shuts down, and its card comes back.

use std::time::Duration;

use passthru_host::libvirt::{Libvirt, State, Way};
use passthru_plan::{
    guest::{Domain, read::Agent},
    text::quote::word,
};
use serde::Serialize;

use super::{
    carry,
    functions::{self, After},
    guest::{self, Waited},
    hold::{self, Hold},
};
use crate::{
    args::{Global, vm::run::Stop},
    cancel::Cancel,
    error::{Error, Kind, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::text::{Line, Style},
    transaction,
};

/// `vm stop --json`.
#[derive(Default, Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'a str,
    state: &'static str,
    /// How it ended: `agent`, `acpi` or `force`.
    by: Option<&'static str>,
    functions: Vec<After>,
    /// What could not be put back.
    notes: Vec<String>,
}

/// How long libvirt has to end a guest whose power was cut.
const CUT: Duration = Duration::from_secs(60);

pub(super) fn run(args: &Stop, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "vm stop")?;
    carry::only_here(&host, global, "vm stop", "")?;
    let cancel = Cancel::catch()?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), Some(cancel.flag()));
    let state = guest::state(&libvirt, &args.name)?;
    let domain = guest::now(&libvirt, &args.name)?;
    let mut document = Document {
        schema: 1,
        name: &args.name,
        ..Document::default()
    };
    if state == State::ShutOff {
        document.state = "already-off";
        // Of a guest that has long been off nothing is written down, and nothing is waited for.
        (document.functions, document.notes) = put_back(&host, global, &domain, true)?;
        return finish(&document, out);
    }
    if args.force {
        if !global.yes && (out.is_json() || !out.can_ask()) {
            return Err(Error::usage(format!(
                "cutting the power of {} loses what it has not written, and nobody can be asked here; nothing was done",
                args.name
            ))
            .hint(host.command(
                &["vm", "stop", &args.name, "--force", "--yes"].map(str::to_owned),
            )));
        }
        let question = format!(
            "Cut the power of {}? It loses what it has not written to its disks.",
            args.name
        );
        if !transaction::agreed(global, out, &question)? {
            document.state = "declined";
            return finish(&document, out);
        }
        libvirt
            .destroy(&args.name)
            .map_err(|e| carry::unwilling(&e))?;
        document.by = Some("force");
    } else {
        if state == State::Paused {
            return Err(Error::new(
                Kind::NothingChanged,
                format!(
                    "{} is paused and hears nothing; nothing was changed",
                    args.name
                ),
            )
            .hint(format!("sudo virsh resume {}", word(&args.name)))
            .hint(force(args, &host)));
        }
        document.by = Some(ask(&libvirt, &domain)?);
    }
    let patience = if args.force {
        CUT
    } else {
        Duration::from_secs(args.timeout)
    };
    let what = format!("waiting for {} to shut down", args.name);
    let waited = guest::wait(patience, what, Some(&cancel), out, &mut || {
        libvirt.is_active(&args.name).map(|active| !active)
    })?;
    match waited {
        Waited::Yes => {}
        Waited::Deadline | Waited::Cancelled => {
            document.state = "still-running";
            return still(args, &host, &document, waited, out);
        }
    }
    let (functions, notes) = put_back(&host, global, &domain, false)?;
    document.state = "stopped";
    document.functions = functions;
    document.notes = notes;
    finish(&document, out)
}

/// Asks the guest, by its agent if that answers, else by its power button.
fn ask(libvirt: &Libvirt<'_>, domain: &Domain) -> Result<&'static str> {
    if domain.agent == Some(Agent::Connected) && libvirt.shutdown(&domain.name, Way::Agent).is_ok()
    {
        return Ok("agent");
    }
    libvirt
        .shutdown(&domain.name, Way::Acpi)
        .map_err(|e| carry::unwilling(&e))?;
    Ok("acpi")
}

/// Sees the functions come back, and puts back what the guest held of the host. With `noted` only if
/// something was written down when it started.
fn put_back(
    host: &Host,
    global: &Global,
    domain: &Domain,
    noted: bool,
) -> Result<(Vec<After>, Vec<String>)> {
    let root = host.root();
    let exec = host.exec(global);
    let store = hold::store_later(root, &domain.name)?;
    let all = store.all().map_err(|e| hold::unread(&e))?;
    let (own, others) = hold::split(all, &domain.uuid);
    if noted && own.is_none() {
        return Ok((Vec::new(), Vec::new()));
    }
    let known = own.as_ref().map(|held| &held.functions[..]);
    let functions = functions::back(root, domain, known);
    let Some(own) = own else {
        return Ok((functions, Vec::new()));
    };
    let facts = host.facts(Wanted {
        cpus: true,
        ..Wanted::functions()
    });
    let hold = Hold::new(root, exec.as_ref(), &store, &facts);
    Ok((functions, hold.put_back(&own, &others)))
}

fn force(args: &Stop, host: &Host) -> String {
    let words = ["vm", "stop", &args.name, "--force"];
    host.command(&words.map(str::to_owned))
}

/// It did not shut down in time, or nobody wants to wait any longer.
fn still(
    args: &Stop,
    host: &Host,
    document: &Document<'_>,
    waited: Waited,
    out: &mut Out,
) -> Result<Outcome> {
    if out.is_json() {
        out.json(document)?;
        return Ok(Outcome::No);
    }
    let name = &args.name;
    let text = if waited == Waited::Cancelled {
        format!("{name} was asked to shut down and may still do so; nothing else was done.")
    } else {
        format!(
            "{name} still runs after {} s: it does not listen to its power button, is at work (updates), or asks something on its screen. Nothing else was done.",
            args.timeout
        )
    };
    out.wrapped(Line::new(), Style::Warn, &text)?;
    if waited == Waited::Deadline {
        out.paragraph(
            0,
            "Look at its screen or console and shut it down there, or wait longer with --timeout; qemu-guest-agent in the guest makes it listen.",
        )?;
    }
    out.paragraph(0, "To cut its power, which loses what it has not written:")?;
    out.command(&force(args, host))?;
    out.paragraph(
        0,
        "When it has ended, this sees its card come back and puts back what it held:",
    )?;
    let words = ["vm", "stop", name].map(str::to_owned);
    out.command(&host.command(&words))?;
    Ok(Outcome::No)
}

fn finish(document: &Document<'_>, out: &mut Out) -> Result<Outcome> {
    let good = document.notes.is_empty() && document.functions.iter().all(|one| one.ok);
    if out.is_json() {
        out.json(document)?;
    } else {
        let name = document.name;
        match document.state {
            "declined" => out.text("Nothing was changed.")?,
            "already-off" => out.text(&format!("{name} is shut off."))?,
            _ => {
                let line = Line::new().put(Style::Good, "✓ ");
                out.line(&line.plain(format!("{name} is shut off.")))?;
            }
        }
        functions::show(&document.functions, out)?;
        for note in &document.notes {
            out.wrapped(Line::new().put(Style::Bad, "✗ "), Style::Plain, note)?;
        }
    }
    Ok(if good && document.state != "declined" {
        Outcome::Done
    } else {
        Outcome::No
    })
}
