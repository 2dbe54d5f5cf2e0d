//! `passthru vm release`: what the host gave a guest that ended without `vm stop` is put back.

use passthru_host::libvirt::{Libvirt, State};
use passthru_plan::guest::run::Held;
use serde::Serialize;

use super::{
    carry,
    functions::{self, After},
    hold::{self, Hold},
};
use crate::{
    args::{Global, vm::run::Release},
    error::{Error, Kind, Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show::text::{Line, Style},
};

/// `vm release --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'a str,
    state: &'static str,
    functions: Vec<After>,
    /// What could not be put back.
    notes: Vec<String>,
}

pub(super) fn run(args: &Release, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::writing(global, "vm release")?;
    carry::only_here(&host, global, "vm release", "")?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    let states = libvirt.states().map_err(|e| carry::libvirt(&e))?;
    let runs = |(name, state): &(String, State)| *name == args.name && *state != State::ShutOff;
    if states.iter().any(runs) {
        return Err(Error::new(
            Kind::NothingChanged,
            format!(
                "{} runs, and needs what it holds; nothing was changed",
                args.name
            ),
        )
        .hint(host.command(&["vm", "stop", &args.name].map(str::to_owned))));
    }
    let store = hold::store(host.root())?;
    let all = store.all().map_err(|e| hold::unread(&e))?;
    // By name: the guest itself may be gone by now.
    let (own, others): (Vec<Held>, Vec<Held>) =
        all.into_iter().partition(|held| held.name == args.name);
    let mut document = Document {
        schema: 1,
        name: &args.name,
        state: if own.is_empty() {
            "nothing-to-do"
        } else {
            "released"
        },
        functions: Vec::new(),
        notes: Vec::new(),
    };
    if !own.is_empty() {
        let facts = host.facts(Wanted {
            cpus: true,
            ..Wanted::functions()
        });
        let hold = Hold::new(host.root(), exec.as_ref(), &store, &facts);
        let notes = own.iter().flat_map(|held| hold.put_back(held, &others));
        document.notes = notes.collect();
        let back = own
            .iter()
            .flat_map(|held| functions::noted_back(host.root(), &held.functions));
        document.functions = back.collect();
    }
    let good = document.notes.is_empty() && document.functions.iter().all(|one| one.ok);
    if out.is_json() {
        out.json(&document)?;
    } else {
        for note in &document.notes {
            out.wrapped(Line::new().put(Style::Bad, "✗ "), Style::Plain, note)?;
        }
        let words: Vec<String> = own.iter().map(Held::words).collect();
        match &words[..] {
            [] => out.text(&format!("{} holds nothing of the host.", args.name))?,
            _ if !good => {}
            words if words.iter().all(String::is_empty) => {
                out.text(&format!("{} held nothing of the host.", args.name))?;
            }
            words => out.text(&format!("Put back: {}.", words.join(", ")))?,
        }
        functions::show(&document.functions, out)?;
    }
    Ok(if good { Outcome::Done } else { Outcome::No })
}
