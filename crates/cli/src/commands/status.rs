//! `passthru`: where this host stands, in one screen, and the one next command.

use passthru_plan::{
    Facts, Finding, Intent, Selector, Verdict, Verification, doctor::doctor, verify::State,
};
use serde::Serialize;

use super::verify;
use crate::{
    args::Global,
    error::{Error, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show::{
        self,
        devices::CardView,
        text::{Line, Style},
    },
};

/// `passthru --json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    distribution: Option<&'a str>,
    kernel: Option<&'a str>,
    verdict: Verdict,
    cards: Vec<String>,
    /// `null` if the journal could not be read.
    state: Option<State>,
    transactions: &'a [u32],
    next: &'a str,
}

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::all());
    out.unreadable(&facts)?;
    let findings = doctor(&facts);
    let cards = show::devices::cards(&facts);
    // Without root the journal is closed; the rest of the answer is still worth having.
    let applied = verify::check(&host, &facts);
    let state = applied
        .as_ref()
        .ok()
        .map(|(_, verification)| verification.state);
    let next = match &applied {
        Ok((_, verification)) => next(&host, &facts, &findings, &cards, verification),
        Err(error) => unread(&host, error),
    };
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            distribution: distribution(&facts),
            kernel: facts.kernel.release.as_deref(),
            verdict: Verdict::of(&findings),
            cards: cards
                .iter()
                .map(|card| card.display.address.to_string())
                .collect(),
            state,
            transactions: applied.as_ref().map_or(&[], |(numbers, _)| numbers),
            next: &next.command,
        })?;
        return Ok(Outcome::Done.about(&facts));
    }
    let unknown = "not measured";
    field(out, "host", distribution(&facts).unwrap_or(unknown))?;
    field(
        out,
        "kernel",
        facts.kernel.release.as_deref().unwrap_or(unknown),
    )?;
    let loader = facts.boot.loader.value().map_or(unknown, |l| l.name());
    let generator = facts.boot.generator.value().map_or(unknown, |g| g.name());
    field(
        out,
        "boot",
        &if (loader, generator) == (unknown, unknown) {
            unknown.to_owned()
        } else {
            format!("{loader}, {generator}")
        },
    )?;
    for (i, card) in cards.iter().enumerate() {
        let label = if i == 0 { "cards" } else { "" };
        field(out, label, &one_line(&facts, card))?;
    }
    if cards.is_empty() {
        field(out, "cards", "none on the PCI bus")?;
    }
    let text = match &applied {
        Err(error) => format!("not measured: {}", error.message()),
        Ok((_, verification)) => match verification.state {
            State::NothingApplied => "nothing applied",
            State::Done => "applied, configured and running as planned",
            State::RebootNeeded => "applied; takes effect at the next boot",
            State::Drifted => "applied, but not as planned any more",
        }
        .to_owned(),
    };
    field(out, "passthru", &text)?;
    out.blank()?;
    show::doctor::verdict(out, &findings)?;
    out.blank()?;
    out.wrapped(Line::new().bold("Next: "), Style::Plain, next.why)?;
    out.command(&next.command)?;
    Ok(Outcome::Done.about(&facts))
}

fn distribution(facts: &Facts) -> Option<&str> {
    let distribution = facts.machine.distribution.as_ref()?;
    Some(distribution.pretty.as_deref().unwrap_or(&distribution.id))
}

fn field(out: &mut Out, label: &str, text: &str) -> Result<()> {
    let lead = Line::new().dim(format!("{label:<10}"));
    Ok(out.wrapped(lead, Style::Plain, text)?)
}

/// A card, its driver and what it does.
fn one_line(facts: &Facts, card: &CardView<'_>) -> String {
    let driver = card.display.driver.as_deref().unwrap_or("no driver");
    let mut text = format!(
        "{}  {} ({driver})",
        card.display.address,
        card.display.label()
    );
    if let Some(duty) = show::devices::duties(facts, card).first() {
        text.push_str(", ");
        text.push_str(duty);
    }
    text
}

/// The one next command, and why.
struct Next {
    why: &'static str,
    command: String,
}

/// What to do where the journal could not be read: what was applied decides, and is not known.
fn unread(host: &Host, error: &Error) -> Next {
    let verify = host.verb("verify");
    if error.needs_root() {
        return Next {
            why: "what was applied is only readable by root; to see it",
            // Also of another root directory that is closed to this user.
            command: format!("sudo {}", verify.trim_start_matches("sudo ")),
        };
    }
    Next {
        why: "see what is the matter with the journal",
        command: verify,
    }
}

/// What shows a guest with the card at `address`, and changes nothing.
fn guest_words(address: &str) -> Vec<String> {
    [
        "vm",
        "new",
        "linux",
        "--os",
        "linux",
        "--gpu",
        address,
        "--memory",
        "8G",
        "--dry-run",
    ]
    .map(Into::into)
    .to_vec()
}

fn next(
    host: &Host,
    facts: &Facts,
    findings: &[Finding],
    cards: &[CardView<'_>],
    applied: &Verification,
) -> Next {
    let verb = |why, verb| Next {
        why,
        command: host.verb(verb),
    };
    match applied.state {
        // Repairs, or the IOMMU alone, are no card yet.
        State::Done if let Some(device) = applied.devices.first() => {
            return Next {
                why: "the card is ready for a guest; to see one that would own it",
                command: host.command(&guest_words(&device.address.to_string())),
            };
        }
        State::Done => {}
        State::RebootNeeded => return verb("reboot, then", "verify"),
        State::Drifted => return verb("see what differs", "verify"),
        State::NothingApplied => {}
    }
    if Verdict::of(findings) == Verdict::Blocked {
        return verb("see what stands in the way, and the remedies", "doctor");
    }
    let free = cards.iter().find(|card| {
        let intent = Intent {
            gpu: vec![Selector::at(card.display.address)],
            ..Intent::default()
        };
        show::devices::duties(facts, card).is_empty()
            && passthru_plan::plan(facts, &intent).refusals.is_empty()
    });
    match free {
        Some(card) => Next {
            why: "see what giving this card away would change",
            command: host.command(&[
                "plan".into(),
                "--gpu".into(),
                card.display.address.to_string(),
            ]),
        },
        None => verb("look at the cards and what is in their way", "devices"),
    }
}
