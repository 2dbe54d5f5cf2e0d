//! libvirt's hooks and configuration (libvirt: docs/hooks.rst).

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{super::View, super::check::check, code_lines, quote, texts};
use crate::{
    facts::Facts,
    finding::{Finding, Severity},
    text::shell,
};

const HOOKS: &str = "/etc/libvirt/hooks/";
const DISPATCHER: &str = "/etc/libvirt/hooks/qemu";
const DROP_INS: &str = "/etc/libvirt/hooks/qemu.d/";
const QEMU_CONF: &str = "/etc/libvirt/qemu.conf";

/// A line in a hook that should not be there.
struct Rule {
    id: &'static str,
    title: &'static str,
    severity: Severity,
    why: &'static str,
    remedy: &'static str,
    matches: fn(&str) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        id: "hooks.missing-blank",
        title: "The tests in libvirt's hooks are well formed",
        severity: Severity::Warning,
        why: "The shell wants a blank before ]. Without it the test fails with an error, and the hook it guards never runs.",
        remedy: "Write a blank between the closing quote and ], like: [ -s \"$HOOKPATH\" ].",
        matches: |line| {
            line.match_indices("\"]").any(|(at, _)| {
                line[..at]
                    .rfind('[')
                    .is_some_and(|open| line[open + 1..].starts_with(' '))
            })
        },
    },
    Rule {
        id: "hooks.eval",
        title: "libvirt's hooks run no text as a command",
        severity: Severity::Warning,
        why: "eval reads the words a second time. A guest with a blank or $( ) in its name then breaks the hook, or runs commands as root.",
        remedy: "Write \"$file\" \"$@\" in place of eval \\\"$file\\\" \"$@\".",
        matches: |line| {
            line.split(';')
                .any(|command| command.trim_start().starts_with("eval ") && command.contains('$'))
        },
    },
    Rule {
        id: "hooks.virsh",
        title: "libvirt's hooks do not call libvirt",
        severity: Severity::Warning,
        why: "libvirt waits for the hook, and virsh waits for libvirt: the start of the guest hangs, and with it every other virsh command.",
        remedy: "Delete these lines and write managed='yes' in the guest's <hostdev>: libvirt then takes the card from its driver and gives it back.",
        matches: |line| {
            line.split(|c: char| c.is_whitespace() || ";|&($`".contains(c))
                .any(|word| word == "virsh" || word.ends_with("/virsh"))
        },
    },
];

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    for rule in RULES {
        let lines: Vec<String> = texts(facts, is_hook)
            .filter(|(_, text)| is_shell(text))
            .flat_map(|(path, text)| {
                code_lines(text)
                    .filter(|(_, line)| (rule.matches)(line))
                    .map(move |(number, line)| quote(path, number, line))
            })
            .collect();
        if !lines.is_empty() {
            let check = check(rule.id, rule.title, rule.severity, rule.why);
            found.push(check.no(lines, rule.remedy));
        }
    }
    found.extend(not_executable(facts));
    found.extend(stray_files(facts));
    found.extend(undefined_variables(facts));
    found.extend(device_acl(facts));
    found.extend(relaxed_acs(facts));
}

/// Hooks may be written in any language; these rules are about shells.
fn is_shell(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.starts_with("#!") && line.trim_end().contains("sh"))
}

fn is_hook(path: &str) -> bool {
    path == DISPATCHER || path.starts_with(DROP_INS)
}

fn not_executable(facts: &Facts) -> Option<Finding> {
    let found: Vec<&str> = facts
        .files
        .iter()
        .filter(|(path, file)| {
            let script = file.text.value().is_some_and(|text| text.starts_with("#!"));
            is_hook(path) && (script || path.as_str() == DISPATCHER) && file.mode & 0o111 == 0
        })
        .map(|(path, _)| path.as_str())
        .filter(|path| !is_copy(path))
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "hooks.not-executable",
            "libvirt's hooks are executable",
            Severity::Warning,
            "libvirt passes over hooks that are not executable. The guest starts without what they prepare.",
        )
        .no(
            found
                .iter()
                .map(|path| format!("{path} is not executable")),
            format!("Run: sudo chmod 755 {}", found.join(" ")),
        )
    })
}

/// A name that editors, packages and people give to copies.
fn is_copy(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [
        ".bak",
        ".old",
        ".orig",
        ".save",
        ".swp",
        ".dpkg-old",
        ".dpkg-dist",
        ".dpkg-new",
        ".rpmsave",
        ".rpmnew",
        ".pacnew",
        ".pacsave",
    ]
    .iter()
    .any(|end| name.ends_with(end))
        || name.ends_with('~')
}

/// libvirt runs every executable file in qemu.d, whatever its name (hooks.rst).
fn stray_files(facts: &Facts) -> Option<Finding> {
    let found: Vec<&str> = facts
        .files
        .iter()
        .filter(|(path, file)| {
            path.starts_with(DROP_INS) && is_copy(path) && file.mode & 0o111 != 0
        })
        .map(|(path, _)| path.as_str())
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "hooks.stray-file",
            "No copy of a hook runs beside the hook",
            Severity::Warning,
            "Every executable file in this directory is run, whatever its name. A copy runs too, and does the old thing once more.",
        )
        .no(
            found.iter().map(|path| format!("{path} is executable")),
            format!("If it is not needed, move it away: sudo mv {} /root/", found.join(" ")),
        )
    })
}

/// How these variables begin in the hooks that are passed around.
const DEVICE: &str = "VIRSH_";

/// Variables for devices that a script uses and no file sets.
fn undefined_variables(facts: &Facts) -> Option<Finding> {
    let mut set: BTreeSet<String> = BTreeSet::new();
    for (_, text) in texts(facts, |path| path.starts_with(HOOKS)) {
        set.extend(shell::assignments(text).into_iter().map(|a| a.name));
    }
    // Without a file that sets any, the one that does was not read.
    if !set.iter().any(|name| name.starts_with(DEVICE)) {
        return None;
    }
    let mut found = Vec::new();
    for (path, text) in texts(facts, is_hook) {
        for (number, line) in code_lines(text) {
            let missing = line
                .split('$')
                .skip(1)
                .map(|rest| rest.trim_start_matches('{'))
                .map(|rest| {
                    let end = rest
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                        .unwrap_or(rest.len());
                    &rest[..end]
                })
                .any(|name| name.starts_with(DEVICE) && !set.contains(name));
            if missing {
                found.push(quote(path, number, line));
            }
        }
    }
    (!found.is_empty()).then(|| {
        check(
            "hooks.undefined-variable",
            "Every device that the hooks name is set",
            Severity::Warning,
            "The variable is empty, so this function of the card stays with its host driver, and the guest's start fails (\"group is not viable\").",
        )
        .no(
            found,
            "Use the names that /etc/libvirt/hooks/kvm.conf sets. Better: delete these lines and list every function in the guest as <hostdev managed='yes'>.",
        )
    })
}

/// What libvirt allows each guest by itself (src/qemu/qemu_cgroup.c `defaultDeviceACL`).
const DEFAULTS: [&str; 6] = [
    "/dev/null",
    "/dev/full",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/dev/ptmx",
];

fn device_acl(facts: &Facts) -> Option<Finding> {
    let text = facts.text(QEMU_CONF)?;
    let (number, _) = code_lines(text).find(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("cgroup_device_acl")
    })?;
    let list: String = text
        .lines()
        .skip(number - 1)
        .map(|line| line.split('#').next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join(" ");
    let list = list.split(']').next().unwrap_or("");
    let missing: Vec<&str> = DEFAULTS
        .into_iter()
        .filter(|device| !list.contains(&format!("\"{device}\"")))
        .collect();
    (!missing.is_empty()).then(|| {
        check(
            "libvirt.device-acl",
            "Guests may use the devices that every guest needs",
            Severity::Warning,
            "This list replaces libvirt's own, it does not add to it. A guest without these devices does not start.",
        )
        .no(
            [format!(
                "{QEMU_CONF} line {number}: cgroup_device_acl lacks {}",
                missing.join(", ")
            )],
            format!(
                "Add {} to the list, and what else the comment above it names as default. Then run: sudo systemctl try-restart virtqemud.service libvirtd.service",
                missing
                    .iter()
                    .map(|device| format!("\"{device}\""))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )
    })
}

fn relaxed_acs(facts: &Facts) -> Option<Finding> {
    let text = facts.text(QEMU_CONF)?;
    let (number, line) = code_lines(text).find(|(_, line)| {
        line.split_once('=').is_some_and(|(name, value)| {
            name.trim() == "relaxed_acs_check" && value.trim().starts_with('1')
        })
    })?;
    Some(
        check(
            "libvirt.relaxed-acs",
            "libvirt checks that guests are kept apart",
            Severity::Info,
            "With relaxed_acs_check libvirt gives away devices behind switches that may let guests reach each other.",
        )
        .no(
            [quote(QEMU_CONF, number, line)],
            format!("Delete {QEMU_CONF} line {number}, unless you trust all guests of this host."),
        ),
    )
}
