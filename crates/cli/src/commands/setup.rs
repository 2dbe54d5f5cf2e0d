//! `passthru setup`: choose a card, see the plan, confirm, apply.

use passthru_plan::{Facts, Intent, Plan, Selector, plan::Notice};

use super::{apply, plan};
use crate::{
    args::Global,
    error::{Error, Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show::{
        self,
        devices::CardView,
        text::{Line, Style},
    },
    transaction,
};

/// How long the package manager is waited for.
const WAIT: u64 = 60;

pub(super) fn run(global: &Global, out: &mut Out) -> Result<Outcome> {
    if out.is_json() || !out.can_ask() {
        return Err(
            Error::usage("passthru setup asks questions, and this is not a terminal")
                .hint("passthru devices shows the cards")
                .hint("passthru plan --gpu ADDR shows what would be done, apply does it"),
        );
    }
    let host = host::writing(global, "setup")?;
    transaction::recover(&host, global, out)?;
    let facts = host.facts(Wanted::all());
    let cards = show::devices::cards(&facts);
    if cards.is_empty() {
        out.text(
            "This host has no display controller on its PCI bus: there is no card to give away.",
        )?;
        return Ok(Outcome::No);
    }
    list(&facts, &cards, out)?;
    let Some(card) = choose(&cards, out)? else {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    };
    let mut intent = Intent {
        gpu: vec![Selector::at(card.display.address)],
        ..Intent::default()
    };
    let (mut facts, mut plan) = plan::make(&host, global, &intent);
    if groups_unknown(&plan) {
        match in_steps(out)? {
            None => {
                out.text("Nothing was changed.")?;
                return Ok(Outcome::No);
            }
            Some(false) => {}
            Some(true) => {
                intent = Intent {
                    iommu_only: true,
                    ..Intent::default()
                };
                (facts, plan) = plan::make(&host, global, &intent);
            }
        }
    }
    out.blank()?;
    if !intent.iommu_only {
        out.paragraph(
            0,
            "Binding: static. The card belongs to vfio-pci from the start of every normal boot.",
        )?;
        out.blank()?;
    }
    show::plan::show(out, &facts, &plan)?;
    if !plan.refusals.is_empty() {
        let words = match intent.gpu.first() {
            Some(gpu) => ["plan".into(), "--gpu".into(), gpu.to_string()].to_vec(),
            None => ["plan".into(), "--iommu-only".into()].to_vec(),
        };
        out.paragraph(
            0,
            &format!(
                "Nothing was changed. If a way out is an option, say it with: {}",
                host.command(&words)
            ),
        )?;
        return Ok(Outcome::No.about(&facts));
    }
    if plan.changes.is_empty() {
        let reboot = apply::waits_for_reboot(&facts, &plan);
        apply::nothing_to_do(&host, reboot, out)?;
        return Ok(transaction::outcome(reboot));
    }
    if !transaction::agreed(global, out, "Apply?")? {
        out.text("Nothing was changed.")?;
        return Ok(Outcome::No);
    }
    let applied = apply::carry_out(&host, global, &plan, WAIT, out)?;
    apply::what_now(&host, &plan, &applied, out)?;
    if intent.iommu_only {
        out.heading("After the reboot: look at the groups, and choose the card again")?;
        out.command(&host.verb("devices"))?;
        out.command(&host.verb("setup"))?;
    }
    Ok(transaction::outcome(applied.reboot))
}

/// Cards, numbered, with what stands against each.
fn list(facts: &Facts, cards: &[CardView<'_>], out: &mut Out) -> Result<()> {
    out.line(&Line::new().bold("Cards of this host"))?;
    for (i, card) in cards.iter().enumerate() {
        let lead = Line::new()
            .put(Style::Accent, format!("  {}  ", i + 1))
            .bold(format!("{}  ", card.display.address.slot_text()));
        out.wrapped(lead, Style::Bold, &card.display.label())?;
        let functions: Vec<_> = card.functions.iter().map(|f| f.class.word()).collect();
        out.paragraph(5, &functions.join(", "))?;
        let against = against(facts, card);
        if against.is_empty() {
            out.wrapped(
                Line::new().plain("     ").put(Style::Good, "✓ "),
                Style::Plain,
                "nothing known stands against it",
            )?;
        }
        for text in against {
            out.wrapped(
                Line::new().plain("     ").put(Style::Warn, "! "),
                Style::Plain,
                &text,
            )?;
        }
    }
    out.blank()?;
    Ok(())
}

/// What a plan for this card alone is refused for, and what the host uses it for.
fn against(facts: &Facts, card: &CardView<'_>) -> Vec<String> {
    let intent = Intent {
        gpu: vec![Selector::at(card.display.address)],
        ..Intent::default()
    };
    let plan = passthru_plan::plan(facts, &intent);
    let mut against = show::devices::duties(facts, card)
        .into_iter()
        .map(|duty| format!("in use: {duty}"))
        .collect::<Vec<_>>();
    against.extend(plan.refusals.into_iter().map(|refusal| refusal.why));
    against
}

/// The IOMMU is off: what must travel with the card shows only after the boot that turns it on.
fn groups_unknown(plan: &Plan) -> bool {
    let unknown = |notice: &Notice| notice.id == "groups.unknown";
    plan.refusals.is_empty() && !plan.changes.is_empty() && plan.notices.iter().any(unknown)
}

/// Asks whether the IOMMU is to be turned on first, by itself; `None`: neither.
fn in_steps(out: &mut Out) -> Result<Option<bool>> {
    out.blank()?;
    out.paragraph(
        0,
        "The IOMMU is off, so the groups of this host, which say what must travel with the card, \
         are not known yet.",
    )?;
    for (number, text) in [
        (
            "1",
            "turn the IOMMU on first, and look at the groups after a reboot",
        ),
        ("2", "both in one step"),
    ] {
        let lead = Line::new().put(Style::Accent, format!("  {number}  "));
        out.wrapped(lead, Style::Plain, text)?;
    }
    loop {
        match out.ask("Which way? [1-2, Enter to stop] ")?.as_str() {
            "" => return Ok(None),
            "1" => return Ok(Some(true)),
            "2" => return Ok(Some(false)),
            other => out.text(&format!("\"{other}\" is neither 1 nor 2."))?,
        }
    }
}

fn choose<'a, 'b>(cards: &'a [CardView<'b>], out: &mut Out) -> Result<Option<&'a CardView<'b>>> {
    loop {
        let question = format!("Which card? [1-{}, Enter to stop] ", cards.len());
        let answer = out.ask(&question)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let number = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        if let Some(card) = number.and_then(|n| cards.get(n)) {
            return Ok(Some(card));
        }
        out.text(&format!(
            "\"{answer}\" is not a number from 1 to {}.",
            cards.len()
        ))?;
    }
}
