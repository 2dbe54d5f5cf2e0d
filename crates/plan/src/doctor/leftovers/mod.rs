//! What guides, older attempts and other tools left on the machine. Nothing is said about mistakes
//! that are not there.

mod cmdline;
mod grub;
mod hooks;
mod ids;
mod initramfs;
mod modprobe;

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{as_root, check},
    cmdlines::Cmdlines,
};
use crate::{
    facts::{Facts, Reading},
    finding::{Finding, Severity},
    intent::{Intent, TrialBoot},
    rules,
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    found.extend(unreadable(view.facts));
    let mut leftovers = Vec::new();
    each(view, &mut leftovers);
    remedies(view, &mut leftovers);
    found.extend(leftovers);
    hooks::check_all(view, found);
}

/// What the plan can put right says so: what is not found any more on the host after its repairs.
fn remedies(view: &View<'_>, found: &mut [Finding]) {
    if found.is_empty() {
        return;
    }
    let wanted = Intent {
        repair: true,
        trial: TrialBoot::Never,
        ..Intent::default()
    };
    let plan = rules::plan(view.facts, &wanted);
    let binds = plan.refusals.is_empty();
    let repaired = rules::repair::imagined(view.facts, &plan);
    let mut left = Vec::new();
    if let Some(facts) = &repaired {
        let view = View {
            facts,
            cmdlines: Cmdlines::of(facts),
            gpus: Vec::new(),
            iommu_plan: plan,
        };
        each(&view, &mut left);
    }
    for finding in found {
        let gone = repaired.is_some() && !left.iter().any(|other| other.id == finding.id);
        let with_a_card = ["initramfs.dracut-suffix", "modprobe.no-conf-suffix"];
        let say = if gone {
            "Or have it done: sudo passthru apply --repair."
        } else if binds && with_a_card.contains(&finding.id.as_str()) {
            "What is about vfio goes with: sudo passthru apply --repair --gpu …"
        } else {
            continue;
        };
        if let Some(remedy) = &mut finding.remedy {
            remedy.push(' ');
            remedy.push_str(say);
        }
    }
}

fn each(view: &View<'_>, found: &mut Vec<Finding>) {
    cmdline::check_all(view, found);
    ids::check_all(view, found);
    modprobe::check_all(view, found);
    initramfs::check_all(view, found);
}

/// Mistakes may hide in what could not be read.
fn unreadable(facts: &Facts) -> Option<Finding> {
    let cmdline = facts
        .kernel
        .cmdline
        .why_not()
        .map(|why| format!("/proc/cmdline: {why}"));
    let files = facts
        .files
        .iter()
        .filter_map(|(path, file)| Some(format!("{path}: {}", file.text.why_not()?)));
    let lines: Vec<String> = cmdline
        .into_iter()
        .chain(facts.closed.iter().cloned())
        .chain(files)
        .collect();
    (!lines.is_empty()).then(|| {
        let mut finding = check(
            "leftovers.unreadable",
            "Every configuration file could be read",
            Severity::Info,
            "Mistakes of earlier attempts may stand in what could not be read.",
        )
        .unknown(
            "some files could not be read",
            match facts.reading {
                Reading::Root => "Look at the files above yourself.",
                Reading::Copy | Reading::User => as_root(facts),
            },
        );
        finding.evidence.extend(lines);
        finding
    })
}

/// Readable files whose path satisfies `wanted`, with their text.
fn texts<'a>(
    facts: &'a Facts,
    wanted: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    facts.files.iter().filter_map(move |(path, file)| {
        let text = file.text.value()?;
        wanted(path).then_some((path.as_str(), text.as_str()))
    })
}

/// `path line 3: the line`, cut where it is long.
fn quote(path: &str, number: usize, line: &str) -> String {
    let line = line.trim();
    let short: String = line.chars().take(120).collect();
    let more = if short.len() < line.len() { "…" } else { "" };
    format!("{path} line {number}: {short}{more}")
}

/// Lines that are no comment, with their numbers from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        })
}
