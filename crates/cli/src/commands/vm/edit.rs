//! `passthru vm edit`: an existing guest of libvirt is changed, and undone like anything else.

use passthru_host::{
    input,
    libvirt::Libvirt,
    rom::{AppArmorRule, closed_by_apparmor},
};
use passthru_plan::{
    Change, Facts, Notice, Refusal,
    guest::{
        edit::{Edit, RomWish, Usb, edit, plan},
        passwords, spec,
    },
    text::quote,
};
use serde::Serialize;

use super::{
    carry::{self, Done},
    free, input as given,
    show::definition,
    wish::absolute,
};
use crate::{
    args::{
        Global,
        vm::edit::{Edit as Args, Usb as Which},
    },
    error::{Error, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show, transaction,
};

/// `vm edit --json`.
#[derive(Default, Serialize)]
struct Document {
    schema: u32,
    refusals: Vec<Refusal>,
    notes: Vec<Notice>,
    /// The guest as it would be.
    xml: Option<String>,
    changes: Vec<Change>,
    #[serde(flatten)]
    done: Done,
}

/// Output is kept in logs.
fn without_passwords(mut change: Change) -> Change {
    if let Change::Domain { before, after, .. } = &mut change {
        for text in [before, after].into_iter().flatten() {
            *text = passwords::hidden(text);
        }
    }
    change
}

/// What can be done with the guest of another host.
const OTHERWISE: &str = "look with --dry-run at its XML: --xml FILE";

pub(super) fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = if args.dry_run {
        host::reading(global)?
    } else {
        let host = host::writing(global, "vm edit")?;
        carry::only_here(&host, global, "vm edit", OTHERWISE)?;
        host
    };
    let edits = edits(args, &host)?;
    if edits.is_empty() {
        return Err(Error::usage("nothing is asked of the guest")
            .hint("passthru vm edit --help shows what can be"));
    }
    let recovered = if args.dry_run {
        None
    } else {
        transaction::recover(&host, global, out)?.map(Into::into)
    };
    let before = match &args.xml {
        Some(file) => input::text(file)?,
        None => definition(&host, global, "vm edit", OTHERWISE, &args.name)?,
    };
    let facts = host.facts(Wanted::guest());
    let mut document = Document {
        schema: 1,
        ..Document::default()
    };
    let edited = match running(args, &host, global)? {
        Some(refusal) => Err(vec![refusal]),
        None => edit(&facts, &before, &edits),
    };
    let edited = edited.and_then(|edited| still_free(args, &host, &edits).map(|()| edited));
    let outcome = match edited {
        Err(refusals) => {
            document.done.state = "refused";
            let outcome = carry::refused(&refusals, out)?;
            document.refusals = refusals;
            outcome
        }
        Ok(mut edited) => {
            edited.notes.extend(closed_roms(&host, &edits));
            let plan = plan(&facts, &before, &edits, &edited);
            document.changes = plan
                .changes
                .iter()
                .cloned()
                .map(without_passwords)
                .collect();
            document.notes = edited.notes;
            document.xml = Some(passwords::hidden(&edited.xml));
            if args.dry_run {
                document.done.state = "shown";
                shown(out, &facts, &plan)?;
                Outcome::Done
            } else {
                document.done = carry::out(&host, global, &facts, &plan, "Change it?", out)?;
                if document.done.transaction.is_some() && !out.is_json() {
                    out.heading("The way back, whenever you want it")?;
                    out.command(&host.verb("undo"))?;
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

/// All of it, for --dry-run.
fn shown(out: &mut Out, facts: &Facts, plan: &passthru_plan::Plan) -> Result<()> {
    if out.is_json() {
        return Ok(());
    }
    show::plan::show(out, facts, plan)?;
    if plan.changes.is_empty() {
        out.blank()?;
        out.text("Nothing to do: the guest is that way.")?;
    }
    Ok(())
}

/// A guest that runs keeps what it has until it is off, and what is shown of it would not be true.
fn running(args: &Args, host: &Host, global: &Global) -> Result<Option<Refusal>> {
    if args.dry_run {
        return Ok(None);
    }
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    let runs = libvirt
        .is_active(&args.name)
        .map_err(|e| carry::libvirt(&e))?;
    Ok(runs.then(|| Refusal {
        id: "guest.edit.running".into(),
        why: format!(
            "{} runs. It would keep what it has until it is off, and libvirt may write its \
             definition meanwhile.",
            args.name
        ),
        way_out: format!(
            "Shut it down first: sudo passthru vm stop {}",
            quote::word(&args.name)
        ),
    }))
}

/// The last look at disks that are added; what is only shown is not looked at.
fn still_free(args: &Args, host: &Host, edits: &[Edit]) -> std::result::Result<(), Vec<Refusal>> {
    if args.dry_run {
        return Ok(());
    }
    let added = edits.iter().filter_map(|edit| match edit {
        Edit::AddDisk { path, .. } => Some(path.as_str()),
        _ => None,
    });
    let busy = free::devices(host.root(), added);
    if busy.is_empty() { Ok(()) } else { Err(busy) }
}

/// ROM files that AppArmor keeps from guests. libvirt does not, and the guest would not start.
fn closed_roms(host: &Host, edits: &[Edit]) -> Vec<Notice> {
    let files = edits.iter().filter_map(|edit| match edit {
        Edit::Rom(_, RomWish::File(file)) => Some(file),
        _ => None,
    });
    files
        .filter_map(|file| Some((file, closed_by_apparmor(host.root(), file)?)))
        .map(|(file, AppArmorRule { file: local, rule })| Notice {
            id: "guest.edit.rom.apparmor".into(),
            text: format!(
                "AppArmor does not let guests of libvirt read {file}, and the guest would not start. \
                 Add this line to {local} (make the file if it is missing): {rule}"
            ),
        })
        .collect()
}

/// What is asked for: first what goes, then what comes.
fn edits(args: &Args, host: &Host) -> Result<Vec<Edit>> {
    let (card, cpus, devices) = (&args.card, &args.cpus, &args.devices);
    let mut edits = Vec::new();
    edits.extend(card.remove_gpu.iter().copied().map(Edit::RemoveCard));
    edits.extend(devices.remove_usb.iter().map(|usb| {
        Edit::RemoveUsb(match usb {
            Which::Ids(ids) => Usb::Ids(*ids),
            Which::Port(port) => Usb::Port {
                port: port.clone(),
                known: false,
            },
        })
    }));
    edits.extend(devices.remove_disk.iter().cloned().map(Edit::RemoveDisk));
    edits.extend(devices.remove_evdev.iter().cloned().map(Edit::RemoveEvdev));
    // What goes with the cards goes with the first: the others find it there.
    let mut with = Some(card.with.clone());
    edits.extend(card.add_gpu.iter().map(|&card| Edit::AddCard {
        card,
        with: with.take().unwrap_or_default(),
    }));
    edits.extend(card.no_rom.iter().copied().map(Edit::NoRom));
    for (at, file) in &card.rom {
        edits.push(Edit::Rom(*at, RomWish::File(absolute(file)?)));
    }
    edits.extend(card.rom_off.iter().map(|&at| Edit::Rom(at, RomWish::Off)));
    edits.extend(given::usb(&devices.input, host));
    let bus = spec::Bus::from(devices.disk_bus);
    let disk = |transplant| {
        move |path: &String| Edit::AddDisk {
            path: path.clone(),
            bus,
            transplant,
        }
    };
    edits.extend(devices.add_disk.iter().map(disk(false)));
    edits.extend(devices.transplant.iter().map(disk(true)));
    edits.extend(given::shared(&devices.input));
    edits.extend(cpus.no_pin.then_some(Edit::NoPin));
    edits.extend(cpus.pin.then(|| Edit::Pin {
        cpus: cpus.cpus,
        cores: (&cpus.cores).into(),
    }));
    edits.extend(cpus.no_hugepages.then_some(Edit::NoHugepages));
    edits.extend(
        cpus.pages
            .hugepages
            .map(|size| Edit::Hugepages(size.into())),
    );
    edits.extend(card.no_hide.then_some(Edit::NoHide));
    edits.extend(card.hide.then_some(Edit::Hide));
    edits.extend(card.no_screen.then_some(Edit::NoScreen));
    Ok(edits)
}
