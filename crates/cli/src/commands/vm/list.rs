//! `passthru vm list`: the guests of this host, and which card is whose.

use passthru_host::{
    held,
    libvirt::{Libvirt, State},
};
use passthru_plan::{
    Address, Facts,
    guest::{Domain, run::Held},
    text::{quote::word, size},
};
use serde::Serialize;

use super::{carry, guest};
use crate::{
    args::Global,
    error::{Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show::{
        table::{self, Cell, Column},
        text::Style,
    },
};

/// `vm list --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    guests: Vec<Entry>,
    left: Option<Vec<Left>>,
}

/// A guest.
#[derive(Serialize)]
struct Entry {
    name: String,
    uuid: String,
    state: State,
    vcpus: u32,
    memory_kib: u64,
    hugepages: bool,
    functions: Vec<Owned>,
    /// What it holds of the host; `null` if it holds nothing, or that cannot be read.
    held: Option<Held>,
}

/// A function of a guest.
#[derive(Serialize)]
struct Owned {
    address: Address,
    name: Option<String>,
    display: bool,
    managed: bool,
    /// The host has it.
    present: bool,
}

/// What a guest that does not run still holds.
#[derive(Serialize)]
struct Left {
    name: String,
    held: String,
}

const COLUMNS: [Column; 5] = [
    Column {
        title: "guest",
        min: 12,
        rank: 0,
    },
    Column {
        title: "state",
        min: 8,
        rank: 0,
    },
    Column {
        title: "CPUs",
        min: 4,
        rank: 3,
    },
    Column {
        title: "memory",
        min: 8,
        rank: 2,
    },
    Column {
        title: "card",
        min: 12,
        rank: 1,
    },
];

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    carry::only_here(&host, global, "vm list", "")?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    let facts = host.facts(Wanted {
        names: true,
        ..Wanted::functions()
    });
    // For root alone to read.
    let held = held::all(host.root()).ok();
    let mut guests = Vec::new();
    for (name, state) in libvirt.states().map_err(|e| carry::libvirt(&e))? {
        let domain = guest::now(&libvirt, &name)?;
        guests.push(entry(
            &facts,
            domain,
            state,
            held.as_deref().unwrap_or_default(),
        ));
    }
    let off = |one: &Held| {
        let mut guests = guests.iter();
        !one.is_light() && !guests.any(|g| g.uuid == one.uuid && g.state != State::ShutOff)
    };
    let left: Option<Vec<Left>> = held.as_ref().map(|held| {
        let left = held.iter().filter(|one| off(one));
        left.map(|one| Left {
            name: one.name.clone(),
            held: one.words(),
        })
        .collect()
    });
    let document = Document {
        schema: 1,
        guests,
        left,
    };
    if out.is_json() {
        out.json(&document)?;
    } else {
        show(&document, out)?;
    }
    Ok(Outcome::Done)
}

fn entry(facts: &Facts, domain: Domain, state: State, held: &[Held]) -> Entry {
    let functions = domain
        .hostdevs
        .iter()
        .map(|device| {
            let function = facts.function(device.address);
            Owned {
                address: device.address,
                name: function.and_then(|f| f.name.clone()),
                display: function.is_some_and(|f| f.class.is_display()),
                managed: device.managed,
                present: function.is_some(),
            }
        })
        .collect();
    Entry {
        held: held.iter().find(|one| one.uuid == domain.uuid).cloned(),
        name: domain.name,
        uuid: domain.uuid,
        state,
        vcpus: domain.vcpus,
        memory_kib: domain.memory_kib,
        hugepages: domain.hugepages.is_some(),
        functions,
    }
}

fn show(document: &Document, out: &mut Out) -> Result<()> {
    if document.guests.is_empty() {
        out.text("libvirt knows no guest on this host.")?;
    } else {
        let rows: Vec<Vec<Cell>> = document.guests.iter().map(row).collect();
        for line in table::set(&COLUMNS, &rows, 0, out.columns()) {
            out.line(&line)?;
        }
    }
    for left in document.left.iter().flatten() {
        out.note(&format!(
            "{}: {}, guest off: sudo passthru vm release {}",
            left.name,
            left.held,
            word(&left.name)
        ))?;
    }
    Ok(())
}

fn row(guest: &Entry) -> Vec<Cell> {
    let (style, state) = match guest.state {
        State::Running => (Style::Good, "running"),
        State::Paused => (Style::Warn, "paused"),
        State::ShutOff => (Style::Dim, "off"),
        State::Other => (Style::Warn, "other"),
    };
    let held = guest.held.as_ref().map(Held::words).unwrap_or_default();
    let state = if held.is_empty() {
        state.to_owned()
    } else {
        format!("{state} ({held})")
    };
    Vec::from([
        (Style::Bold, guest.name.clone()),
        (style, state),
        (Style::Plain, guest.vcpus.to_string()),
        (Style::Plain, size::kib_words(guest.memory_kib)),
        (Style::Plain, card(guest)),
    ])
}

/// Its display functions, else whatever it has of the host; what is missing is said.
fn card(guest: &Entry) -> String {
    let name = |one: &&Owned| match (&one.name, one.present) {
        (_, false) => format!("{} (not there)", one.address),
        (Some(name), _) => format!("{} {name}", one.address),
        (None, _) => one.address.to_string(),
    };
    let shown: Vec<String> = guest
        .functions
        .iter()
        .filter(|one| one.display || !one.present)
        .map(|one| name(&one))
        .collect();
    if shown.is_empty() {
        let all: Vec<String> = guest.functions.iter().map(|one| name(&one)).collect();
        return all.join(", ");
    }
    shown.join(", ")
}
