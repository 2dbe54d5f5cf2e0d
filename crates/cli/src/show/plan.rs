//! A plan as text: everything that would happen, why, and what will be true afterwards.

use std::io;

use passthru_plan::{
    Change, Expect, Facts, Plan, Refusal, guest::passwords, plan::Method, text::quote::command,
};

use super::{
    diff, table,
    text::{Line, Style},
};
use crate::out::Out;

/// What is the matter with a plan that will not be carried out.
pub(crate) fn refusals(out: &mut Out, refusals: &[Refusal]) -> io::Result<()> {
    for refusal in refusals {
        out.wrapped(
            Line::new().put(Style::Bad, "refused  "),
            Style::Plain,
            &refusal.why,
        )?;
        out.wrapped(
            Line::new().plain("  ").dim("way out  "),
            Style::Plain,
            &refusal.way_out,
        )?;
        out.blank()?;
    }
    Ok(())
}

/// The whole plan.
pub(crate) fn show(out: &mut Out, facts: &Facts, plan: &Plan) -> io::Result<()> {
    opening(out, facts, plan)?;
    if !plan.refusals.is_empty() {
        return Ok(());
    }
    let count = plan.changes.len();
    for (i, change) in plan.changes.iter().enumerate() {
        out.blank()?;
        self::change(out, i + 1, count, change)?;
    }
    if let Some(trial) = &plan.trial {
        out.heading("Once the trial boot has proved itself")?;
        for (i, change) in trial.keep.iter().enumerate() {
            out.blank()?;
            self::change(out, i + 1, trial.keep.len(), change)?;
        }
        out.heading("Words of the trial entry only")?;
        for word in &trial.words {
            out.command(word)?;
        }
    }
    if !plan.words.is_empty() {
        out.heading("Words on the kernel command line")?;
        for word in &plan.words {
            out.command(word)?;
        }
    }
    if !plan.outcome.is_empty() {
        out.heading("Afterwards")?;
        for statement in &plan.outcome {
            out.wrapped(Line::new().plain("  - "), Style::Plain, statement)?;
        }
    }
    Ok(())
}

/// The plan on one screen: what each change is and why, and the short ones in full.
pub(crate) fn show_short(out: &mut Out, facts: &Facts, plan: &Plan) -> io::Result<()> {
    opening(out, facts, plan)?;
    let count = plan.changes.len();
    if count > 0 {
        out.blank()?;
    }
    for (i, change) in plan.changes.iter().enumerate() {
        let lead = Line::new().dim(format!("{}/{count} ", i + 1));
        out.line(&lead.put(Style::Accent, brief(change)))?;
        out.wrapped(Line::new().plain("    "), Style::Dim, change.why())?;
        match change {
            Change::Edit { before, after, .. } => {
                diff::show_short(out, before.as_deref(), after.as_deref())?;
            }
            // Somebody else's text: what becomes of it is what is agreed to.
            Change::Domain {
                name,
                before: before @ Some(_),
                after: after @ Some(_),
                ..
            } => domain(out, name, before.as_deref(), after.as_deref())?,
            _ => {}
        }
    }
    if let Some(trial) = &plan.trial {
        out.heading("Once the trial boot has proved itself")?;
        for change in &trial.keep {
            out.wrapped(Line::new().plain("  - "), Style::Plain, &brief(change))?;
        }
    }
    Ok(())
}

/// The card, what to know before saying yes, and what stands in the way.
fn opening(out: &mut Out, facts: &Facts, plan: &Plan) -> io::Result<()> {
    header(out, facts, plan)?;
    for notice in &plan.notices {
        out.blank()?;
        out.wrapped(
            Line::new().put(Style::Warn, "note  "),
            Style::Plain,
            &notice.text,
        )?;
    }
    if !plan.refusals.is_empty() {
        out.blank()?;
        refusals(out, &plan.refusals)?;
    }
    Ok(())
}

/// The card, and how each of its functions is bound.
pub(crate) fn header(out: &mut Out, facts: &Facts, plan: &Plan) -> io::Result<()> {
    let first = plan
        .intent
        .gpu
        .first()
        .and_then(|gpu| facts.function(gpu.address));
    match first {
        Some(function) => {
            let lead = Line::new().bold(format!("Card {}  ", function.address.slot_text()));
            out.wrapped(lead, Style::Bold, &function.label())?;
        }
        None if plan.intent.iommu_only => {
            out.line(&Line::new().bold("Turn the IOMMU on; bind nothing yet"))?;
        }
        None if plan.intent.repair => {
            out.line(&Line::new().bold("Put right what was left behind; bind nothing"))?;
        }
        None => out.line(&match &plan.guest {
            Some(name) => Line::new().bold(format!("Guest {name}")),
            None => Line::new().bold("Plan"),
        })?,
    }
    if plan.bindings.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = plan
        .bindings
        .iter()
        .map(|bound| {
            let address = bound.function.address;
            let function = facts.function(address);
            let ids = bound
                .function
                .ids
                .map_or(String::new(), |ids| ids.to_string());
            let method = match bound.method {
                Method::Ids => "by ids",
                Method::ByAddress => "by address",
            };
            vec![
                (Style::Accent, address.to_string()),
                (Style::Plain, ids),
                (
                    Style::Plain,
                    function.map_or("", |f| f.class.word()).to_owned(),
                ),
                (
                    Style::Plain,
                    format!(
                        "{} -> vfio-pci",
                        function
                            .and_then(|f| f.driver.as_deref())
                            .unwrap_or("no driver")
                    ),
                ),
                (Style::Plain, method.to_owned()),
            ]
        })
        .collect();
    let column = |min, rank| table::Column {
        title: "",
        min,
        rank,
    };
    let spec = [
        column(12, 0),
        column(9, 3),
        column(8, 4),
        column(12, 1),
        column(6, 2),
    ];
    for line in table::set(&spec, &rows, 2, out.columns()) {
        out.line(&line)?;
    }
    for why in reasons(plan) {
        out.wrapped(Line::new().plain("  "), Style::Dim, &why)?;
    }
    Ok(())
}

/// Why each function is bound as it is. Reasons that differ in their last word only are said once.
fn reasons(plan: &Plan) -> Vec<String> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for bound in plan.bindings.iter().filter(|bound| !bound.why.is_empty()) {
        let (start, last) = bound.why.rsplit_once(' ').unwrap_or(("", &bound.why));
        match said.iter_mut().find(|(known, _)| *known == start) {
            Some((_, lasts)) if lasts.contains(&last) => {}
            Some((_, lasts)) => lasts.push(last),
            None => said.push((start, vec![last])),
        }
    }
    said.into_iter()
        .map(|(start, lasts)| format!("{start} {}", lasts.join(", ")).trim().to_owned())
        .collect()
}

fn change(out: &mut Out, number: usize, count: usize, change: &Change) -> io::Result<()> {
    let lead = |verb: &str| {
        Line::new()
            .dim(format!("{number}/{count} "))
            .bold(format!("{verb} "))
    };
    match change {
        Change::Edit {
            path,
            before,
            after,
            mode,
            why,
        } => {
            let verb = match (before, after) {
                (None, _) => "create",
                (_, None) => "remove",
                _ => "edit",
            };
            let mut line = lead(verb).put(Style::Accent, path);
            if before.is_none() && *mode != 0o644 {
                line = line.dim(format!("  (mode {mode:04o})"));
            }
            out.line(&line)?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            diff::show(out, path, before.as_deref(), after.as_deref())
        }
        Change::Copy { from, to, why } => {
            out.line(&lead("copy").put(Style::Accent, from))?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            let label = Line::new().plain("    ").dim("writes  ");
            out.wrapped(label, Style::Plain, to)
        }
        Change::Make { path, argv, why } => {
            out.line(&lead("make").put(Style::Accent, path))?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            for argv in argv {
                let label = Line::new().plain("    ").dim("runs    ");
                out.wrapped(label, Style::Plain, &command(argv))?;
            }
            Ok(())
        }
        Change::Disc {
            path,
            volume,
            files,
            why,
        } => {
            let line = lead("make").put(Style::Accent, path);
            out.line(&line.dim(format!("  (disc {volume}, mode 0600)")))?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            for (name, text) in files {
                diff::show(out, &format!("/{name}"), None, Some(text))?;
            }
            Ok(())
        }
        Change::Domain {
            name,
            before,
            after,
            why,
        } => {
            let verb = match (before, after) {
                (None, _) => "define guest",
                (_, None) => "forget guest",
                _ => "edit guest",
            };
            out.line(&lead(verb).put(Style::Accent, name))?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            domain(out, name, before.as_deref(), after.as_deref())
        }
        Change::Run {
            argv,
            undo,
            outputs,
            family,
            anew: _,
            once: _,
            expect,
            why,
        } => {
            out.line(&lead("run").put(Style::Accent, command(argv)))?;
            out.wrapped(Line::new().plain("    "), Style::Dim, why)?;
            if let Some(undo) = undo {
                let label = Line::new().plain("    ").dim("undo    ");
                out.wrapped(label, Style::Plain, &command(undo))?;
            }
            for output in outputs {
                let via = output
                    .staged
                    .as_ref()
                    .map_or(String::new(), |staged| format!(" (by way of {staged})"));
                let label = Line::new().plain("    ").dim("writes  ");
                out.wrapped(label, Style::Plain, &format!("{}{via}", output.path))?;
            }
            if let (Some(family), true) = (family, outputs.is_empty() || out.is_verbose()) {
                let label = Line::new().plain("    ").dim("writes  ");
                out.wrapped(label, Style::Plain, family)?;
            }
            for expect in expect {
                let label = Line::new().plain("    ").dim("checks  ");
                out.wrapped(label, Style::Plain, &expectation(expect))?;
            }
            Ok(())
        }
    }
}

/// What becomes of a domain's definition. Passwords of its screens are for nobody who looks on.
fn domain(out: &mut Out, name: &str, before: Option<&str>, after: Option<&str>) -> io::Result<()> {
    let path = format!("/{name}.xml");
    let [before, after] = [before, after].map(|text| text.map(passwords::hidden));
    diff::show(out, &path, before.as_deref(), after.as_deref())
}

/// What a change is, in a few words.
pub(crate) fn brief(change: &Change) -> String {
    match change {
        Change::Edit {
            path, before: None, ..
        } => format!("create {path}"),
        Change::Edit {
            path, after: None, ..
        } => format!("remove {path}"),
        Change::Edit { path, .. } => format!("edit {path}"),
        Change::Copy { from, to, .. } => format!("copy {from} to {to}"),
        Change::Make { path, .. } | Change::Disc { path, .. } => format!("make {path}"),
        Change::Domain {
            name, before: None, ..
        } => format!("define guest {name}"),
        Change::Domain {
            name, after: None, ..
        } => format!("forget guest {name}"),
        Change::Domain { name, .. } => format!("edit guest {name}"),
        Change::Run { argv, .. } => format!("run {}", command(argv)),
    }
}

fn expectation(expect: &Expect) -> String {
    match expect {
        Expect::Image {
            path,
            entries,
            texts,
        } => {
            let mut parts: Vec<String> = entries
                .iter()
                .map(|entry| entry.replace('|', " or "))
                .collect();
            parts.extend(texts.iter().map(|(path, _)| path.clone()));
            if parts.is_empty() {
                return format!("{path} opens, and can be read to its end");
            }
            format!("{path} opens, and holds {}", parts.join(", "))
        }
        Expect::GrubWords {
            path,
            words,
            absent,
        } => format!(
            "every normal entry of {path} {}; no recovery entry and no entry \
             \"without passthru\" carries a word of passthru's",
            carries(words, absent)
        ),
        Expect::EntryWords {
            path,
            words,
            absent,
        } => format!(
            "the kernel command line of {path} {}",
            carries(words, absent)
        ),
    }
}

fn carries(words: &[String], absent: &[String]) -> String {
    let mut parts = Vec::new();
    if !words.is_empty() {
        parts.push(format!("carries {}", words.join(" ")));
    }
    if !absent.is_empty() {
        parts.push(format!("is without {}", absent.join(" ")));
    }
    parts.join(" and ")
}
