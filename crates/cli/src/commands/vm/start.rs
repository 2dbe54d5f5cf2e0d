//! `passthru vm start`: everything that could go wrong is looked for first; then the guest starts, or
//! the host is as it was.

use std::time::Duration;

use passthru_host::{
    confine,
    libvirt::{Libvirt, State},
    openers, pools,
};
use passthru_plan::{
    Address, Facts, Refusal,
    guest::{
        Domain,
        hugepages::HostPages,
        read::Link,
        run::{Around, Consent, Held, Ready, preflight},
    },
    text::quote::word,
};
use serde::Serialize;

use super::{
    carry, files, free, functions, guest,
    hold::{self, Hold, NotSet},
    ip,
    launch::{self, NotStarted},
};
use crate::{
    args::{Global, vm::run::Start},
    cancel::Cancel,
    error::{Error, Kind, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::{self, text::Line, text::Style},
};

/// `vm start --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'a str,
    state: &'static str,
    refusals: &'a [Refusal],
    held: Option<&'a Held>,
    reached: Option<ip::Reached>,
}

pub(super) fn run(args: &Start, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "vm start")?;
    carry::only_here(&host, global, "vm start", "")?;
    let cancel = Cancel::catch()?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), Some(cancel.flag()));
    match guest::state(&libvirt, &args.name)? {
        State::ShutOff => {}
        State::Running => return already(args, &host, &libvirt, &cancel, global, out),
        State::Paused => return Err(unfit(args, "is paused", "sudo virsh resume")),
        State::Other => {
            return Err(unfit(
                args,
                "is on its way up or down, asleep, or crashed",
                "sudo virsh domstate --reason",
            ));
        }
    }
    let store = hold::store(host.root())?;
    let mut facts = host.facts(Wanted::guest());
    let domain = definition(&libvirt, &args.name)?;
    let all = store.all().map_err(|e| hold::unread(&e))?;
    let (own, others) = hold::split(all, &domain.uuid);
    let hold = Hold::new(host.root(), exec.as_ref(), &store, &facts);
    if let Some(own) = own.filter(|own| !own.is_light()) {
        out.note(&format!(
            "{} ended by itself the last time; what it held ({}) is put back first",
            args.name,
            own.words()
        ))?;
        let left = hold.put_back(&own, &others);
        if !left.is_empty() {
            let name = &args.name;
            let error = Error::new(
                Kind::NotRolledBack,
                format!(
                    "{name} was not started: what it held the last time could not all be put back"
                ),
            );
            let error = left.into_iter().fold(error, Error::hint);
            return Err(error.hint(format!(
                "to try again: sudo passthru vm release {}",
                word(name)
            )));
        }
        // The pages that were free are the host's again.
        facts = host.facts(Wanted::guest());
    }
    let ready = match ready(args, &host, &libvirt, &facts, &domain, &others)? {
        Ok(ready) => ready,
        Err(refusals) => return refused(args, &refusals, out),
    };
    let held = match hold.set(&domain, &ready, &others) {
        Ok(held) => held,
        Err(NotSet::Refused(refusal)) => return refused(args, &[refusal], out),
        Err(NotSet::Failed(why, left)) => return Err(failed(args, &why, &left)),
    };
    launch::start(&args.name, &libvirt, exec.as_ref(), &cancel, out).map_err(|not| match not {
        NotStarted::Ended(why) => give_back(args, &host, &hold, &domain, &held, &others, why),
        NotStarted::Unclear(why) => unclear(args, &host, &why),
    })?;
    drop(store);
    started(args, &host, &libvirt, &cancel, &held, global, out)
}

/// What is known about the host, and whether the guest may start.
fn ready(
    args: &Start,
    host: &Host,
    libvirt: &Libvirt<'_>,
    facts: &Facts,
    domain: &Domain,
    others: &[Held],
) -> Result<std::result::Result<Ready, Vec<Refusal>>> {
    let root = host.root();
    let mut running = Vec::new();
    for (name, state) in libvirt.states().map_err(|e| carry::libvirt(&e))? {
        if state != State::ShutOff && name != args.name {
            running.push(guest::now(libvirt, &name)?);
        }
    }
    let networks = libvirt.networks().map_err(|e| carry::libvirt(&e))?;
    let driven: Vec<Address> = domain
        .functions()
        .filter(|address| facts.function(*address).is_some_and(|f| !f.is_on_vfio()))
        .collect();
    let openers = openers::openers(root, &driven);
    let no_disk: Vec<String> = domain
        .disks
        .iter()
        .filter(|disk| !disk.optional && !root.exists(&disk.path))
        .map(|disk| disk.path.clone())
        .collect();
    let no_rom: Vec<String> = domain
        .roms
        .iter()
        .filter(|path| !root.exists(path))
        .cloned()
        .collect();
    let barred = files::barred(root, domain);
    let no_device: Vec<String> = domain
        .interfaces
        .iter()
        .filter_map(|interface| match &interface.link {
            Link::Bridge(name) | Link::Direct(name) => Some(name.clone()),
            _ => None,
        })
        .filter(|name| !root.exists(&format!("/sys/class/net/{name}")))
        .collect();
    let mounted = pools::mounted(root);
    let around = Around {
        running: &running,
        networks: &networks,
        no_device: &no_device,
        no_disk: &no_disk,
        no_rom: &no_rom,
        barred: &barred,
        openers_known: openers.is_some(),
        openers: openers.as_deref().unwrap_or_default(),
        pages: HostPages {
            default_kib: pools::default_page(root),
            mounted: mounted.as_deref(),
        },
        held: others,
    };
    let consent = Consent {
        headless: args.headless,
        allocate: args.allocate_hugepages,
        isolate: args.isolate,
    };
    let ready = preflight(facts, domain, &around, consent);
    // What isolation takes is not only the guest's business.
    let missing = args
        .isolate
        .then(|| confine::available(root).err())
        .flatten()
        .map(|error| hold::not_here(&error));
    let there = domain
        .disks
        .iter()
        .filter(|disk| disk.device == "disk" && root.exists(&disk.path));
    let mut more = free::devices(root, there.map(|disk| disk.path.as_str()));
    more.extend(missing);
    Ok(match ready {
        ready if more.is_empty() => ready,
        ready => {
            let mut refusals = ready.err().unwrap_or_default();
            refusals.extend(more);
            Err(refusals)
        }
    })
}

/// A guest that may be running keeps what it holds.
fn unclear(args: &Start, host: &Host, why: &str) -> Error {
    let name = &args.name;
    let stop = ["vm", "stop", name].map(str::to_owned);
    Error::new(
        Kind::NotRolledBack,
        format!("{name} may be running: {why}; what it needs of the host is left to it"),
    )
    .hint(format!("sudo virsh domstate {}", word(name)))
    .hint(format!(
        "{} ends it if it runs, and puts back what it holds",
        host.command(&stop)
    ))
}

/// A guest that did not start: everything goes back.
fn give_back(
    args: &Start,
    host: &Host,
    hold: &Hold<'_>,
    domain: &Domain,
    held: &Held,
    others: &[Held],
    why: String,
) -> Error {
    let mut left = hold.put_back(held, others);
    let after = functions::back(host.root(), domain, Some(&held.functions));
    left.extend(after.into_iter().filter_map(|one| one.problem));
    failed(args, &why, &left)
}

fn failed(args: &Start, why: &str, left: &[String]) -> Error {
    let name = &args.name;
    if left.is_empty() {
        return Error::new(
            Kind::RolledBack,
            format!("{name} did not start: {why}; the host is as before"),
        )
        .hint("passthru doctor looks for known reasons in libvirt's and the kernel's logs");
    }
    left.iter().fold(
        Error::new(
            Kind::NotRolledBack,
            format!("{name} did not start: {why}; and not everything is as before"),
        ),
        Error::hint,
    )
}

fn definition(libvirt: &Libvirt<'_>, name: &str) -> Result<Domain> {
    let xml = libvirt.definition(name).map_err(|e| carry::libvirt(&e))?;
    let Some(xml) = xml else {
        return Err(Error::new(
            Kind::NothingChanged,
            format!("{name} has no definition that lasts; it cannot be started again"),
        ));
    };
    guest::parse(name, &xml)
}

fn unfit(args: &Start, is: &str, command: &str) -> Error {
    Error::new(
        Kind::NothingChanged,
        format!("{} {is}; nothing was changed", args.name),
    )
    .hint(format!("{command} {}", word(&args.name)))
}

fn refused(args: &Start, refusals: &[Refusal], out: &mut Out) -> Result<Outcome> {
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            name: &args.name,
            state: "refused",
            refusals,
            held: None,
            reached: None,
        })?;
    } else {
        show::plan::refusals(out, refusals)?;
        out.text(&format!(
            "{} was not started; nothing was changed.",
            args.name
        ))?;
    }
    Ok(Outcome::No)
}

fn already(
    args: &Start,
    host: &Host,
    libvirt: &Libvirt<'_>,
    cancel: &Cancel,
    global: &Global,
    out: &mut Out,
) -> Result<Outcome> {
    let reached = reached(args, host, libvirt, cancel, global, out)?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            name: &args.name,
            state: "already-running",
            refusals: &[],
            held: None,
            reached,
        })?;
    } else {
        out.text(&format!("{} runs already.", args.name))?;
        reached.map_or(Ok(()), |reached| reached.show(out))?;
    }
    Ok(Outcome::Done)
}

fn reached(
    args: &Start,
    host: &Host,
    libvirt: &Libvirt<'_>,
    cancel: &Cancel,
    global: &Global,
    out: &mut Out,
) -> Result<Option<ip::Reached>> {
    if args.wait == 0 {
        return Ok(None);
    }
    let exec = host.exec(global);
    let looked = ip::look(
        &args.name,
        Duration::from_secs(args.wait),
        &ip::Where {
            libvirt,
            root: host.root(),
            exec: exec.as_ref(),
            cancel: Some(cancel),
            probe: false,
        },
        out,
    );
    looked.map(Some)
}

/// It runs; whatever happens from here on, it goes on running.
fn started(
    args: &Start,
    host: &Host,
    libvirt: &Libvirt<'_>,
    cancel: &Cancel,
    held: &Held,
    global: &Global,
    out: &mut Out,
) -> Result<Outcome> {
    let name = word(&args.name);
    if !out.is_json() {
        let line = Line::new().put(Style::Good, "✓ ");
        out.line(&line.plain(format!("{} runs.", args.name)))?;
        if !held.is_light() {
            out.paragraph(
                2,
                &format!(
                    "It holds of the host: {}. sudo passthru vm stop {name} puts that back. If the guest shuts down by itself, sudo passthru vm release {name} does.",
                    held.words()
                ),
            )?;
        }
        out.flush()?;
    }
    let reached = reached(args, host, libvirt, cancel, global, out)?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            name: &args.name,
            state: "started",
            refusals: &[],
            held: Some(held),
            reached,
        })?;
    } else if let Some(reached) = reached {
        reached.show(out)?;
    } else {
        out.paragraph(2, "Its address, and how to reach it:")?;
        out.command(&host.command(&["vm".into(), "ip".into(), args.name.clone()]))?;
    }
    Ok(Outcome::Done)
}
