//! Named points inside a transaction where a test, or the lab, makes it fail or stop.
//!
//! `PASSTHRU_FAILPOINT="name=action[@k][;…]"`. A name ending in `*` stands for every point that
//! begins so. With `@k` the rule fires at the k-th pass of the points it names, counted from 1, and
//! only then. Actions:
//!
//! - `abort`: SIGKILL to this process, at once.
//! - `stop`: what `abort` leaves behind, without ending the process: the engine returns without
//!   taking anything back and without writing another byte.
//! - `error`, `enospc`: the point fails with EIO or ENOSPC.
//! - `pause`: says `failpoint NAME reached` on standard error, appends the line to the file that
//!   `PASSTHRU_FAILPOINT_FILE` names, and waits for ever (for a power cut from outside).
//!
//! Without a rule a point costs one comparison.

use std::{cell::Cell, fmt, fs::OpenOptions, io, io::Write};

use rustix::{
    io::Errno,
    process::{Signal, getpid, kill_process},
};

/// The rules in force.
#[derive(Debug, Default)]
pub struct Points {
    rules: Vec<Rule>,
    /// Text that could not be read as rules: every point fails with it, so that a misspelt rule
    /// is not mistaken for a run without faults.
    unreadable: Option<String>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    action: Action,
    at: Option<u64>,
    passed: Cell<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Stop,
    Error,
    Full,
    Pause,
    /// Only counts; for tests that enumerate the points of a run.
    Count,
}

/// What a point does to the code it lies in.
#[derive(Debug)]
pub(crate) enum Injected {
    /// Return at once and touch nothing more.
    Stop,
    /// Fail with this error.
    Error(io::Error),
}

impl Points {
    /// The rules of the environment; none if `PASSTHRU_FAILPOINT` is not set.
    pub fn from_env() -> Self {
        match std::env::var("PASSTHRU_FAILPOINT") {
            Ok(text) => Self::parse(&text),
            Err(_) => Self::default(),
        }
    }

    /// Reads rules as the environment variable holds them.
    pub fn parse(text: &str) -> Self {
        let mut points = Self::default();
        for rule in text.split(';').map(str::trim).filter(|r| !r.is_empty()) {
            match Rule::parse(rule) {
                Some(rule) => points.rules.push(rule),
                None => points.unreadable = Some(rule.to_owned()),
            }
        }
        points
    }

    /// How often the points of the rules were passed, summed.
    pub fn passed(&self) -> u64 {
        self.rules.iter().map(|rule| rule.passed.get()).sum()
    }

    /// No rule at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.unreadable.is_none()
    }

    /// Passes the point `name`.
    pub(crate) fn hit(&self, name: impl fmt::Display) -> Result<(), Injected> {
        if self.is_empty() {
            return Ok(());
        }
        let name = name.to_string();
        if let Some(text) = &self.unreadable {
            return Err(Injected::Error(io::Error::other(format!(
                "PASSTHRU_FAILPOINT: \"{text}\" is not name=action[@k]"
            ))));
        }
        for rule in self.rules.iter().filter(|rule| rule.names(&name)) {
            rule.passed.set(rule.passed.get() + 1);
            if rule.at.is_some_and(|at| at != rule.passed.get()) {
                continue;
            }
            match rule.action {
                Action::Abort => {
                    // Cannot fail for one's own process.
                    let _ = kill_process(getpid(), Signal::KILL);
                    wait_for_ever();
                }
                Action::Stop => return Err(Injected::Stop),
                Action::Error => return Err(Injected::Error(Errno::IO.into())),
                Action::Full => return Err(Injected::Error(Errno::NOSPC.into())),
                Action::Pause => {
                    announce(&name);
                    wait_for_ever();
                }
                Action::Count => {}
            }
        }
        Ok(())
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, action) = text.split_once('=')?;
        let (action, at) = match action.split_once('@') {
            Some((action, at)) => (action, Some(at.trim().parse().ok()?)),
            None => (action, None),
        };
        let action = match action.trim() {
            "abort" => Action::Abort,
            "stop" => Action::Stop,
            "error" => Action::Error,
            "enospc" => Action::Full,
            "pause" => Action::Pause,
            "count" => Action::Count,
            _ => return None,
        };
        Some(Self {
            name: name.trim().to_owned(),
            action,
            at,
            passed: Cell::new(0),
        })
    }

    fn names(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => self.name == name,
        }
    }
}

/// Tells whoever set the failpoint that it is reached.
#[expect(
    clippy::print_stderr,
    reason = "a failpoint is set by a test that reads standard error; no user sees this line"
)]
fn announce(name: &str) {
    if let Some(file) = std::env::var_os("PASSTHRU_FAILPOINT_FILE")
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file)
    {
        // Nothing to be done if the test's own file cannot be written: the test will time out.
        let _ = writeln!(file, "failpoint {name} reached");
        let _ = file.sync_all();
    }
    eprintln!("failpoint {name} reached");
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_fire_where_they_say() {
        let points = Points::parse("write.*=enospc@2; apply.begin=stop");
        assert!(points.hit("write.temp").is_ok());
        assert!(matches!(points.hit("write.fsync"), Err(Injected::Error(e))
            if e.raw_os_error() == Some(Errno::NOSPC.raw_os_error())));
        assert!(points.hit("write.temp").is_ok());
        assert!(matches!(points.hit("apply.begin"), Err(Injected::Stop)));
        assert_eq!(points.passed(), 4);
    }

    #[test]
    fn a_misspelt_rule_is_an_error() {
        for text in ["apply.begin", "x=explode", "x=abort@often"] {
            let points = Points::parse(text);
            assert!(matches!(points.hit("y"), Err(Injected::Error(_))), "{text}");
        }
        assert!(Points::parse(" ; ").hit("y").is_ok());
    }
}
