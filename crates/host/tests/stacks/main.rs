//! The README's table: every boot stack, the card by ids and by address, from a plan through apply, a
//! reboot and verify, to undo. The tools are stand-ins (`tools.sh`); observing, planning, the engine
//! and opening images are the real ones.
//!
//! `PASSTHRU_UPDATE=1` writes the table into the README.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a failure here is a failure of the test, and a skipped part says so"
)]

#[path = "../observe_builder/mod.rs"]
mod observe_builder;
mod tools;
mod trees;

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use observe_builder::Host;
use passthru_host::{
    Root,
    exec::Exec,
    observe::{Wanted, observe},
    transaction::{self, Options, Silent},
};
use passthru_plan::{
    Change, Expect, Facts, Intent, Measured, Plan,
    intent::{Selector, TrialBoot},
    plan,
    plan::Method,
    verify,
    verify::State,
};
use tools::Tools;
use trees::{CARD, FUNCTIONS, STACKS, Stack};

/// What became of one way through a stack.
struct Way {
    apply: String,
    verify: String,
    undo: String,
}

#[test]
fn every_stack_there_and_back() {
    let mut table = String::from(
        "| host | boot loader | initramfs | card by | apply | verify | undo | trial boot | real boots |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for stack in &STACKS {
        for (by, twin) in [("ids", false), ("address", true)] {
            let way = go(stack, twin);
            let trial = has_trial(stack, twin);
            table.push_str(&format!(
                "| {} | {} | {} | {by} | {} | {} | {} | {trial} | {} |\n",
                stack.name,
                stack.loader,
                stack.generator,
                way.apply,
                way.verify,
                way.undo,
                stack
                    .scenario
                    .map_or("no".into(), |name| format!("lab `{name}`")),
            ));
        }
    }
    in_readme(&table);
}

/// The table between its marks in the README is this one.
fn in_readme(table: &str) {
    const MARKS: [&str; 2] = [
        "<!-- stacks: made by crates/host/tests/stacks -->\n",
        "<!-- end of stacks -->",
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(MARKS[0]).expect("the first mark");
    let (now, after) = rest.split_once(MARKS[1]).expect("the second mark");
    if std::env::var_os("PASSTHRU_UPDATE").is_some() {
        fs::write(&path, [before, MARKS[0], table, MARKS[1], after].concat()).unwrap();
    } else {
        assert!(
            now == table,
            "the README's table is old; PASSTHRU_UPDATE=1 cargo test writes it:\n{table}"
        );
    }
}

fn host_of(stack: &Stack, twin: bool) -> Host {
    let host = Host::new();
    trees::hardware(&host, twin);
    (stack.build)(&host);
    let tools = Tools {
        root: host.path().to_owned(),
    };
    for path in ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"] {
        let own = host.path().join("etc/grub.d/10_linux").exists();
        if own && host.path().join(&path[1..]).exists() {
            tools.run(&["grub-mkconfig", "-o", path]).unwrap();
        }
    }
    host
}

fn intent() -> Intent {
    Intent {
        gpu: vec![Selector::at(CARD.parse().unwrap())],
        trial: TrialBoot::Never,
        ..Intent::default()
    }
}

/// GRUB's own parser and the shells read what the plan writes for them. A tool that is not installed
/// says so.
fn parsers_agree(plan: &Plan) {
    let kept = plan.trial.iter().flat_map(|trial| &trial.keep);
    for change in plan.changes.iter().chain(kept) {
        let Change::Edit {
            path,
            after: Some(text),
            ..
        } = change
        else {
            continue;
        };
        let reader: &[&str] = if path.ends_with("/custom.cfg") {
            &["grub-script-check"]
        } else if text.starts_with("#!/bin/bash") || path.starts_with("/etc/mkinitcpio.conf") {
            &["bash", "-n"]
        } else if text.starts_with("#!/") || path.starts_with("/etc/default/grub") {
            &["sh", "-n"]
        } else {
            continue;
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let run = Command::new(reader[0])
            .args(&reader[1..])
            .arg(file.path())
            .output();
        match run {
            Ok(output) => assert!(
                output.status.success(),
                "{} does not read {path}: {}\n{text}",
                reader[0],
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => eprintln!("skipped: {}: {error}", reader[0]),
        }
    }
}

/// A generator that runs says what it writes and what must be in it, and no card is bound at boot
/// without an image that is looked into; rpm-ostree's lie in a deployment of its own.
fn images_are_checked(plan: &Plan) {
    const GENERATORS: [&str; 4] = [
        "update-initramfs",
        "dracut",
        "mkinitcpio",
        "/usr/lib/booster/regenerate_images",
    ];
    let mut checked = false;
    let mut by_image = false;
    for change in &plan.changes {
        let Change::Run {
            argv,
            outputs,
            expect,
            ..
        } = change
        else {
            continue;
        };
        let image = expect.iter().any(|e| matches!(e, Expect::Image { .. }));
        if GENERATORS.contains(&argv[0].as_str()) {
            assert!(!outputs.is_empty() && image, "{argv:?}");
        }
        checked |= image;
        by_image |= argv[0] == "rpm-ostree";
    }
    assert!(
        checked || by_image || plan.bindings.is_empty() || !plan.refusals.is_empty(),
        "no image is looked into: {:#?}",
        plan.changes
    );
}

/// Whether apply would make a trial boot here.
fn has_trial(stack: &Stack, twin: bool) -> &'static str {
    let facts = facts(&host_of(stack, twin));
    let plan = plan(
        &facts,
        &Intent {
            trial: TrialBoot::IfPossible,
            ..intent()
        },
    );
    parsers_agree(&plan);
    images_are_checked(&plan);
    if plan.refusals.is_empty() {
        let said = plan.notices.iter().any(|n| n.id == "stack.untested");
        assert_eq!(said, stack.scenario.is_none(), "{}", stack.name);
    }
    match (plan.trial.is_some(), plan.refusals.is_empty()) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) => "–",
    }
}

fn facts(host: &Host) -> Facts {
    observe(&host.root(), Wanted::everything_with_images())
}

fn go(stack: &Stack, twin: bool) -> Way {
    let what = format!(
        "{} with {} and {}, {}",
        stack.name,
        stack.loader,
        stack.generator,
        if twin { "by address" } else { "by ids" }
    );
    let host = host_of(stack, twin);
    let before = files(host.path());
    let facts_before = facts(&host);
    let planned = plan(&facts_before, &intent());
    if let [refusal] = &planned.refusals[..] {
        assert!(!refusal.way_out.is_empty());
        let refused = || format!("refused: {}", refusal.id);
        return Way {
            apply: refused(),
            verify: "–".into(),
            undo: "–".into(),
        };
    }
    parsers_agree(&planned);
    images_are_checked(&planned);
    assert!(
        planned.refusals.is_empty(),
        "{what}: {:#?}",
        planned.refusals
    );
    let wanted = if twin { Method::ByAddress } else { Method::Ids };
    assert_eq!(planned.bindings.len(), FUNCTIONS.len(), "{what}");
    assert!(
        planned.bindings.iter().all(|bound| bound.method == wanted),
        "{what}"
    );

    let tools = Tools {
        root: host.path().to_owned(),
    };
    let options = Options {
        deadline: Duration::from_secs(60),
        ..Options::default()
    };
    let root = host.root();
    let applied = transaction::apply(&root, &tools, &planned, &options, &mut Silent);
    applied.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let configured = facts(&host);
    let again = plan(&configured, &planned.intent);
    assert_eq!(again.changes, [], "{what}: a second plan has nothing to do");
    assert_eq!(
        verify::verify(&configured, &planned.intent).state,
        State::RebootNeeded,
        "{what}"
    );
    reboot(&host, &configured, &planned.words);
    let running = facts(&host);
    let verified = verify::verify(&running, &planned.intent);
    assert_eq!(verified.state, State::Done, "{what}: {verified:#?}");

    transaction::undo(
        &Root::open(host.path()).unwrap(),
        &tools,
        None,
        &options,
        &mut Silent,
    )
    .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let after = files(host.path());
    for path in before.keys().chain(after.keys()) {
        assert!(
            before.get(path) == after.get(path),
            "{what}: {path} is not as it was:\n{:?}",
            after
                .get(path)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        );
    }
    let yes = || String::from("yes");
    Way {
        apply: yes(),
        verify: yes(),
        undo: yes(),
    }
}

/// The host comes up from its default entry with its words, and the card is where they put it.
fn reboot(host: &Host, facts: &Facts, words: &[String]) {
    let line = booted(facts).expect("a command line");
    for word in words {
        assert!(
            line.split_whitespace().any(|found| found == word),
            "{word} is not on {line}"
        );
    }
    host.file("/proc/cmdline", format!("{line}\n"));
    for function in FUNCTIONS {
        let place = format!("sys/devices/pci0000:00/0000:00:01.0/{function}");
        let up = "../".repeat(place.matches('/').count());
        host.link(
            &format!("{place}/driver"),
            &format!("{up}bus/pci/drivers/vfio-pci"),
        );
    }
    host.directory("sys/bus/pci/drivers/vfio-pci");
}

/// The kernel command line of the entry that starts by default.
fn booted(facts: &Facts) -> Option<String> {
    for path in ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"] {
        let entry = facts.text(path).and_then(|text| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix("linux\t"))
        });
        if let Some(line) = entry {
            return Some(format!("BOOT_IMAGE={line}"));
        }
    }
    let entries = facts.boot.entries.iter();
    let options = entries
        .filter(|entry| Some(&entry.path) == facts.boot.default_entry.as_ref())
        .find_map(|entry| match &entry.options {
            Measured::Value(options) => Some(options.clone()),
            Measured::NotMeasured(_) => None,
        });
    options.or_else(|| {
        facts
            .text("/etc/kernel/cmdline")
            .map(|text| text.trim().into())
    })
}

/// Every file of the host but passthru's state and what the kernel shows.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if ["proc", "sys", "run", "var/lib/passthru"].contains(&name.as_str()) {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                left.push(path);
            } else if meta.is_file() {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
