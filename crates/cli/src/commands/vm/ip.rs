//! `passthru vm ip`: where a guest is reached, and who says so.

use std::time::Duration;

use passthru_host::{
    Exec, Root,
    libvirt::{Libvirt, State},
    neighbours::{answers, neighbours},
};
use passthru_plan::guest::{
    Domain,
    read::{Agent, Link},
    run::address::{self, Found, Nothing, Reach, Source},
};
use serde::Serialize;

use super::{carry, guest};
use crate::{
    args::{Global, vm::run::Ip},
    cancel::Cancel,
    error::{Outcome, Result},
    host,
    out::Out,
    show::text::{Line, Style},
};

/// How long a port has to answer.
const PROBE: Duration = Duration::from_secs(2);

/// Where a guest is reached, or why that is not known; also a part of `vm start --json`.
#[derive(Debug, Serialize)]
pub(super) struct Reached {
    addresses: Vec<Found>,
    reach: Vec<Port>,
    nothing: Option<Nothing>,
}

/// A way to use the guest.
#[derive(Debug, Serialize)]
struct Port {
    #[serde(flatten)]
    reach: Reach,
    /// It answered; `null` without `--probe`.
    answers: Option<bool>,
}

/// `vm ip --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'a str,
    running: bool,
    #[serde(flatten)]
    reached: &'a Reached,
}

/// Whom to ask.
pub(super) struct Where<'a> {
    pub(super) libvirt: &'a Libvirt<'a>,
    pub(super) root: &'a Root,
    pub(super) exec: &'a dyn Exec,
    pub(super) cancel: Option<&'a Cancel>,
    /// Connect to the ports.
    pub(super) probe: bool,
}

pub(super) fn run(args: &Ip, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    carry::only_here(&host, global, "vm ip", "")?;
    let cancel = Cancel::catch()?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), Some(cancel.flag()));
    let running = guest::state(&libvirt, &args.name)? == State::Running;
    let whom = Where {
        libvirt: &libvirt,
        root: host.root(),
        exec: exec.as_ref(),
        cancel: Some(&cancel),
        probe: args.probe,
    };
    let reached = if running {
        look(&args.name, Duration::from_secs(args.wait), &whom, out)?
    } else {
        let domain = guest::now(&libvirt, &args.name)?;
        Reached {
            addresses: Vec::new(),
            reach: Vec::new(),
            nothing: Some(address::nothing(&domain, false)),
        }
    };
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            name: &args.name,
            running,
            reached: &reached,
        })?;
    } else {
        reached.show(out)?;
    }
    Ok(if reached.addresses.is_empty() {
        Outcome::No
    } else {
        Outcome::Done
    })
}

/// Looks for the addresses of a running guest, for `patience`, as long as waiting can help.
pub(super) fn look(
    name: &str,
    patience: Duration,
    whom: &Where<'_>,
    out: &mut Out,
) -> Result<Reached> {
    let mut addresses = Vec::new();
    let mut domain = guest::now(whom.libvirt, name)?;
    let later = address::nothing(&domain, true).later;
    let patience = if later { patience } else { Duration::ZERO };
    let what = format!("waiting for the address of {name}");
    guest::wait(patience, what, whom.cancel, out, &mut || {
        addresses = ask(&domain, whom);
        if addresses.is_empty() && domain.agent == Some(Agent::Silent) {
            // The agent may have come up meanwhile.
            let xml = whom.libvirt.now(name)?;
            domain = Domain::parse(&xml).unwrap_or_else(|_| domain.clone());
        }
        Ok(!addresses.is_empty())
    })?;
    let best = addresses.first().map(|found| found.address.as_str());
    let ways = best.map_or_else(Vec::new, |best| address::reach(domain.os, best));
    let reach = ways
        .into_iter()
        .map(|reach| Port {
            answers: best
                .filter(|_| whom.probe)
                .map(|best| answers(best, reach.port, PROBE)),
            reach,
        })
        .collect();
    let nothing = addresses
        .is_empty()
        .then(|| address::nothing(&domain, true));
    Ok(Reached {
        addresses,
        reach,
        nothing,
    })
}

/// Each source in its turn; the first that knows something is enough.
fn ask(domain: &Domain, whom: &Where<'_>) -> Vec<Found> {
    let name = &domain.name;
    // A guest that ended meanwhile, or an agent that does not answer, knows no address.
    let of = |source| whom.libvirt.addresses(name, source).unwrap_or_default();
    let mut links = domain.interfaces.iter().map(|one| &one.link);
    if links.any(|link| matches!(link, Link::Network(_))) {
        let found = address::useful(domain, of(Source::Lease));
        if !found.is_empty() {
            return found;
        }
    }
    if domain.agent == Some(Agent::Connected) {
        let found = address::useful(domain, of(Source::Agent));
        if !found.is_empty() {
            return found;
        }
    }
    if domain.interfaces.is_empty() {
        return Vec::new();
    }
    address::useful(domain, neighbours(whom.root, whom.exec))
}

impl Reached {
    /// For a person.
    pub(super) fn show(&self, out: &mut Out) -> Result<()> {
        for found in &self.addresses {
            let line = Line::new().put(Style::Bold, found.address.as_str());
            out.line(&line.dim(format!("  ({})", found.source.words())))?;
        }
        for port in &self.reach {
            match port.answers {
                Some(false) => out.line(&Line::new().dim(format!(
                    "  port {} does not answer: {}",
                    port.reach.port, port.reach.how
                )))?,
                Some(true) | None => out.command(&port.reach.how)?,
            }
            // Who answers has it on.
            if let (Some(first), Some(false) | None) = (&port.reach.first, port.answers) {
                out.paragraph(2, first)?;
            }
        }
        if let Some(nothing) = &self.nothing {
            out.wrapped(
                Line::new().put(Style::Warn, "no address  "),
                Style::Plain,
                &nothing.why,
            )?;
            out.wrapped(
                Line::new().plain("  ").dim("way out   "),
                Style::Plain,
                &nothing.way_out,
            )?;
        }
        Ok(())
    }
}
