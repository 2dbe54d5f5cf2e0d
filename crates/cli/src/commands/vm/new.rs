//! `passthru vm new`: a guest with a card, shown or defined.

use passthru_host::{firmware::descriptors, input, libvirt::Libvirt};
use passthru_plan::{
    Change, Plan, Refusal,
    guest::{
        self, Capabilities, Guest, Wish, capabilities,
        define::{Making, define, with_devices},
        domain::domain,
        edit::edit,
        from_domain, leave,
        qemu::{CommandLine, Files, command_line},
    },
};
use serde::Serialize;

use super::{
    carry::{self, Done},
    files, free, network, next, wish,
};
use crate::{
    args::{
        Global,
        vm::new::{Format, New},
    },
    error::{Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show, transaction,
};

/// `vm new --json`.
#[derive(Default, Serialize)]
struct Document {
    schema: u32,
    refusals: Vec<Refusal>,
    guest: Option<Guest>,
    xml: Option<String>,
    qemu: Option<CommandLine>,
    /// What is done to make it.
    changes: Vec<Change>,
    #[serde(flatten)]
    done: Done,
}

pub(super) fn run(args: &New, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = if args.dry_run {
        host::reading(global)?
    } else {
        let host = host::writing(global, "vm new")?;
        carry::only_here(&host, global, "vm new", "look with --dry-run")?;
        host
    };
    let (wish, making) = wish::read(args)?;
    let recovered = if args.dry_run {
        None
    } else {
        transaction::recover(&host, global, out)?.map(Into::into)
    };
    let facts = host.facts(Wanted::guest());
    let mut document = Document {
        schema: 1,
        ..Document::default()
    };
    let (offered, exists) = ask(args, &host, global, out)?;
    let planned = offered
        .map_err(|refusal| vec![refusal])
        .and_then(|offered| guest::plan(&facts, &wish, offered.as_ref()));
    let plan = match (planned, making) {
        (Ok(mut guest), Ok(making)) => {
            let mut edits = super::input::usb(&args.devices.input, &host);
            edits.extend(super::input::shared(&args.devices.input));
            let edited = edit(&facts, &domain(&guest), &edits);
            document.xml = edited.as_ref().ok().map(|edited| edited.xml.clone());
            document.qemu = Some(command_line(
                &guest,
                &Files::of(&guest, &descriptors(host.root())),
            ));
            let plan = match (define(&guest, &making, exists), edited) {
                (Ok(mut plan), Ok(edited)) => {
                    with_devices(&mut plan, &mut guest, &edits, edited);
                    leave::add(&facts, &mut guest, &mut plan);
                    Ok(plan)
                }
                (plan, edited) => Err([plan.err(), edited.err()]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .collect()),
            };
            // Only what is there to stay is worth waking a disk for.
            let plan = match plan {
                Ok(plan) if !args.dry_run => last_look(&host, global, &guest, &wish, &making, plan),
                plan => plan,
            };
            document.guest = Some(guest);
            plan
        }
        (planned, making) => {
            let mut refusals = planned.err().unwrap_or_default();
            // The name is held to the same rule twice.
            for refusal in making.err().unwrap_or_default() {
                if !refusals.contains(&refusal) {
                    refusals.push(refusal);
                }
            }
            Err(refusals)
        }
    };
    let outcome = match plan {
        Err(refusals) => {
            document.done.state = "refused";
            let outcome = carry::refused(&refusals, out)?;
            document.refusals = refusals;
            outcome
        }
        Ok(plan) => {
            document.changes.clone_from(&plan.changes);
            if args.dry_run {
                document.done.state = "shown";
                print(args, &document, &plan, out)?;
                Outcome::Done
            } else {
                document.done = carry::out(&host, global, &facts, &plan, "Make it?", out)?;
                if document.done.transaction.is_some() && !out.is_json() {
                    next::show(args, &host, &wish.network, &facts, out)?;
                }
                match document.done.state {
                    "declined" => Outcome::No,
                    _ => Outcome::Done,
                }
            }
        }
    };
    document.done.recovered = recovered;
    if out.is_json() {
        out.json(&document)?;
    }
    out.unreadable(&facts)?;
    Ok(outcome)
}

/// What only this host tells, just before the guest is made: its files, its disks, its network.
fn last_look(
    host: &Host,
    global: &Global,
    guest: &Guest,
    wish: &Wish,
    making: &Making,
    mut plan: Plan,
) -> std::result::Result<Plan, Vec<Refusal>> {
    let root = host.root();
    let mut refusals = files::refusals(root, given(wish, making));
    refusals.extend(free::check(root, guest).err().into_iter().flatten());
    refusals.extend(network::refusal(root, &wish.network));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    plan.notices.extend(network::note(&libvirt, &wish.network));
    Ok(plan)
}

/// Files that are there already and are the guest's: not those that are made for it.
fn given<'a>(wish: &'a Wish, making: &Making) -> impl Iterator<Item = &'a str> {
    let made = usize::from(making.disk.is_some());
    let disks = wish.disks.iter().skip(made).map(|disk| &disk.path);
    let media = [&wish.installer, &wish.virtio_win].into_iter().flatten();
    disks.chain(media).map(String::as_str)
}

/// The document alone on standard output, what to know beside it.
fn print(args: &New, document: &Document, plan: &Plan, out: &mut Out) -> Result<()> {
    let (Some(guest), Some(xml), Some(qemu), false) = (
        &document.guest,
        &document.xml,
        &document.qemu,
        out.is_json(),
    ) else {
        return Ok(());
    };
    // Nothing in it can steer a terminal: control characters are refused.
    match args.format {
        Format::Libvirt => out.raw(xml.as_bytes())?,
        Format::Qemu => out.raw(qemu.script().as_bytes())?,
    }
    if args.format == Format::Qemu {
        // The devices that it was given beside its card.
        for left in from_domain::read(xml)
            .into_iter()
            .flat_map(|(_, left)| left)
        {
            out.note(&format!("left out: {left}"))?;
        }
    }
    for note in &plan.notices {
        out.note(&note.text)?;
    }
    for change in &plan.changes {
        if matches!(
            change,
            Change::Make { .. } | Change::Disc { .. } | Change::Edit { .. }
        ) {
            out.note(&format!("to be done first: {}", show::plan::brief(change)))?;
        }
    }
    if guest.autostart && args.format == Format::Libvirt {
        out.note("that it starts with the host is no part of the XML: sudo virsh autostart")?;
    }
    Ok(())
}

/// libvirt's schema of processors, which tells what this version of it can be told.
const SCHEMA: &str = "/usr/share/libvirt/schemas/cputypes.rng";

/// What libvirt offers, from a file or from this host if it is this machine, and whether it has a
/// guest of that name.
#[allow(clippy::type_complexity)]
fn ask(
    args: &New,
    host: &Host,
    global: &Global,
    out: &mut Out,
) -> Result<(std::result::Result<Option<Capabilities>, Refusal>, bool)> {
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    let exists = if args.dry_run {
        false
    } else {
        let names = libvirt.domains().map_err(|e| carry::libvirt(&e))?;
        names.contains(&args.name)
    };
    if let Some(file) = &args.capabilities {
        let text = input::text(file)?;
        return Ok((Capabilities::parse(&text).map(Some), exists));
    }
    if !host.is_live() && !global.sample_tools {
        return Ok((Ok(None), exists));
    }
    match libvirt.ask(&capabilities::QUESTION) {
        Ok(text) => {
            let schema = host.root().text(SCHEMA).unwrap_or_default();
            let offered = Capabilities::parse(&text).map(|offered| offered.with_schema(&schema));
            Ok((offered.map(Some), exists))
        }
        Err(error) if args.dry_run => {
            out.note(&format!("{error}, so what it offers is not known"))?;
            Ok((Ok(None), exists))
        }
        Err(error) => Err(carry::libvirt(&error)),
    }
}
