//! Running a tool of the host as a step of a transaction.

use std::path::Path;

use passthru_plan::{Expect, Output};

use super::{
    Event, Reason,
    check::{subject, unmet},
    engine::{Engine, Trouble},
    place::locate,
};
use crate::{
    attributes::Attributes,
    exec::{End, Sign, Watch},
    journal::{self, Journal},
    root::{PathError, Root, split},
    write::{self, Writer},
};

/// How many last lines of a failed command's output its error carries.
const QUOTED_LINES: usize = 15;

/// Runs `argv` as part of `step` to a good end.
///
/// # Errors
/// If it cannot be started, fails, runs past its deadline or is cancelled.
pub(super) fn run(
    engine: &Engine<'_>,
    journal: &mut Journal<'_>,
    step: usize,
    argv: &[String],
) -> Result<(), Trouble> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let watch = Watch {
        deadline: engine.options.deadline,
        grace: engine.options.grace,
        cancel: engine.cancel(),
    };
    let mut noted = Ok(());
    let mut listener = |sign: Sign<'_>| match sign {
        Sign::Started(pid) => {
            // Who is killed now leaves the command running: recovery must find it.
            noted = journal.append(journal::Event::Running {
                step,
                pid,
                start: start_of(pid),
            });
        }
        Sign::Said(text) => engine.tell(Event::Said(text)),
        Sign::Alive(time) => engine.tell(Event::Alive(time)),
    };
    let result = engine.exec.watch(&words, &watch, &mut listener);
    noted?;
    let shown = argv.join(" ");
    let (output, end) = result.map_err(|e| {
        Reason::new(
            e.to_string(),
            format!("install the package that has {}", e.program),
        )
    })?;
    let what = match (end, output.status) {
        (End::Itself, Some(0)) => return Ok(()),
        (End::Itself, Some(status)) => format!("{shown} failed with exit status {status}"),
        (End::Itself, None) => format!("{shown} was killed by a signal"),
        (End::Deadline, _) => format!(
            "{shown} did not end within {} s and was ended",
            watch.deadline.as_secs()
        ),
        (End::Cancelled, _) => {
            return Err(Reason::new(
                format!("cancelled while {shown} ran"),
                "run it again when you are ready",
            )
            .into());
        }
    };
    Err(Reason::new(
        format!("{what}{}", quoted(&output.text)),
        format!("run {shown} by hand and put right what it says"),
    )
    .into())
}

fn quoted(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let skip = lines.len().saturating_sub(QUOTED_LINES);
    if lines.is_empty() {
        return ", and said nothing".to_owned();
    }
    format!("; it said:\n  {}", lines[skip..].join("\n  "))
}

/// Brings `outputs` to the disk, checks them, and makes staged ones live. With `strict` every one
/// of them must be there.
pub(super) fn finish(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    argv: &[String],
    outputs: &[Output],
    expect: &[Expect],
    strict: bool,
) -> Result<(), Trouble> {
    let root = engine.root;
    let shown = argv.join(" ");
    for output in outputs {
        let path = output.staged.as_ref().unwrap_or(&output.path);
        let there = locate(root, path)
            .is_ok_and(|place| root.meta(&place.real).is_ok_and(|meta| meta.is_file()));
        if there {
            writer.settle(&locate(root, path)?.real)?;
        } else if strict || output.staged.is_some() {
            return Err(Reason::new(
                format!("{shown} ended well but did not write {path}"),
                format!("run {shown} by hand and look at what it says"),
            )
            .into());
        }
    }
    let mut lacks = Vec::new();
    for expect in expect {
        engine.tell(Event::Checking {
            path: subject(expect, outputs),
        });
        lacks.extend(unmet(root, engine.options.inspect, expect, outputs));
    }
    if !lacks.is_empty() {
        return Err(Reason::new(
            format!(
                "{shown} ended well but its result is not as planned:\n  {}",
                lacks.join("\n  ")
            ),
            format!(
                "look at the configuration and the hooks of {}",
                argv.first().map_or("it", String::as_str)
            ),
        )
        .into());
    }
    for output in outputs {
        if let Some(staged) = &output.staged {
            activate(engine, writer, staged, &output.path)?;
        }
    }
    Ok(())
}

/// Makes the checked file `staged` the live one.
fn activate(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    staged: &str,
    path: &str,
) -> Result<(), Trouble> {
    let root = engine.root;
    engine.tell(Event::Activating { path });
    let from = locate(root, staged)?.real;
    let to = locate(root, path)?.real;
    let mut file = write::open(root, &from)?;
    let mut attributes = Attributes::of(&file).map_err(|e| root.error(&from, e))?;
    // Label and owner are the old file's; the mode is the tool's, which knows whether there is a
    // password in it.
    match write::open(root, &to) {
        Ok(old) => {
            let old = Attributes::of(&old).map_err(|e| root.error(&to, e))?;
            attributes.owner = old.owner;
            attributes.xattrs = old.xattrs;
        }
        Err(e) if e.is_missing() => {}
        Err(e) => return Err(e.into()),
    }
    engine.point("apply.activate")?;
    if split(&from).0 == split(&to).0 {
        writer.adjust(&from, &attributes)?;
        writer.rename(&from, &to)?;
    } else {
        // The live path is a link to another directory.
        writer.replace(&to, &mut file, &attributes, None)?;
        writer.remove(&from)?;
    }
    Ok(())
}

/// Files that match `pattern` (one `*`, in the last component), sorted. What tools leave beside
/// their output does not count.
pub(super) fn members(root: &Root, pattern: &str) -> Result<Vec<String>, PathError> {
    let (directory, _) = split(pattern);
    let names = match root.list(directory) {
        Err(e) if e.is_missing() => return Ok(Vec::new()),
        other => other?,
    };
    Ok(names
        .iter()
        .map(|name| format!("{}/{name}", directory.trim_end_matches('/')))
        .filter(|path| is_member(pattern, path))
        .collect())
}

/// `path` matches `pattern`.
pub(super) fn is_member(pattern: &str, path: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else {
        return pattern == path;
    };
    path.len() >= start.len() + end.len()
        && path.starts_with(start)
        && path.ends_with(end)
        && !path[start.len()..].contains('/')
        && ![".new", ".bak", ".dpkg-bak", ".dpkg-tmp", ".passthru"]
            .iter()
            .any(|suffix| path.ends_with(suffix))
}

/// When process `pid` of this machine started (proc_pid_stat(5), field 22).
pub(super) fn start_of(pid: u32) -> Option<u64> {
    // Processes are those of the running machine, whatever root is worked on.
    let machine = Root::open(Path::new("/")).ok()?;
    let stat = machine.attribute(&format!("/proc/{pid}/stat"))?;
    // The name, field 2, is in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_members() {
        let is = |path| is_member("/boot/initrd.img-*", path);
        assert!(is("/boot/initrd.img-6.1.0-13-amd64"));
        assert!(!is("/boot/initrd.img-6.1.0-13-amd64.new"));
        assert!(!is("/boot/initrd.img-6.1.0-13-amd64.passthru"));
        assert!(!is("/boot/initrd.img"));
        assert!(!is("/boot/initrd.img-a/b"));
        assert!(is_member("/a/x*x", "/a/xx") && !is_member("/a/x*x", "/a/x"));
    }

    #[test]
    fn this_process_has_a_start() {
        assert!(start_of(std::process::id()).is_some());
    }

    #[test]
    fn only_the_last_lines_are_quoted() {
        let text: String = (0..100).map(|i| format!("line {i}\n\n")).collect();
        let quoted = quoted(&text);
        assert!(quoted.contains("line 99") && !quoted.contains("line 84\n"));
    }
}
