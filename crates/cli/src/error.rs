//! Errors as a user sees them, and the one place that knows exit statuses.

use std::{fmt, io, process::ExitCode};

use passthru_plan::Facts;
use serde::Serialize;

use crate::out::Out;

/// What a command came to, when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Yes; done; nothing to do.
    Done,
    /// No: a check failed, the plan is refused, verify found drift.
    No,
    /// Something on the host could not be read; it was named on standard error.
    Incomplete,
    /// Done; the host has to be rebooted.
    RebootNeeded,
}

impl Outcome {
    /// The same, unless part of the host could not be read: then it is no answer about all of it.
    pub(crate) fn about(self, facts: &Facts) -> Self {
        if facts.unreadable.is_empty() {
            self
        } else {
            Self::Incomplete
        }
    }
}

/// Kinds of errors; each has one exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The command line, or a combination of options, makes no sense.
    Usage,
    /// Something given by the user or the host cannot be read.
    Input,
    /// The command needs root.
    NeedsRoot,
    /// What was asked for is not done; the hints say what would have to be otherwise.
    Refused,
    /// Something stood in the way before the first change.
    NothingChanged,
    /// It failed, and everything is as before.
    RolledBack,
    /// It failed, and something is not as before.
    NotRolledBack,
    /// The output could not be written.
    Output,
}

impl Kind {
    const fn status(self) -> u8 {
        match self {
            Self::Usage | Self::Input | Self::NeedsRoot | Self::Output => 2,
            Self::Refused | Self::NothingChanged => 1,
            Self::RolledBack => 4,
            Self::NotRolledBack => 5,
        }
    }
}

/// An error: what and where, and the ways out.
#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    broken_pipe: bool,
}

/// Short for this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hints: Vec::new(),
            broken_pipe: false,
        }
    }

    /// Unreadable input.
    pub(crate) fn input(message: impl fmt::Display) -> Self {
        Self::new(Kind::Input, message)
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// What and where.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Something stood in the way before the first change.
    pub(crate) fn nothing_changed(&self) -> bool {
        self.kind == Kind::NothingChanged
    }

    /// Root could do it.
    pub(crate) fn needs_root(&self) -> bool {
        self.kind == Kind::NeedsRoot
    }

    /// The same error, of something that was done in part: `what` is done.
    #[must_use]
    pub(crate) fn partly(mut self, what: &str) -> Self {
        self.kind = Kind::NotRolledBack;
        self.message = format!("{}; {what}", self.message);
        self
    }

    /// The same error with a way out.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}

/// Only output makes bare I/O errors here: everything read comes with its path.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        let mut error = Self::new(Kind::Output, format!("cannot write the output: {error}"));
        error.broken_pipe = broken_pipe;
        error
    }
}

impl From<passthru_host::PathError> for Error {
    fn from(error: passthru_host::PathError) -> Self {
        Self::input(error)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    kind: Kind,
    message: &'a str,
    hints: &'a [String],
}

/// The exit status for what a command came to; errors are shown here.
pub(crate) fn finish(result: Result<Outcome>, out: &mut Out) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(2),
        Ok(Outcome::RebootNeeded) => ExitCode::from(3),
        // Nobody reads any more (`passthru devices | head`): that is the reader's decision.
        Err(error) if error.broken_pipe => ExitCode::SUCCESS,
        Err(error) => {
            show(&error, out);
            ExitCode::from(error.kind.status())
        }
    }
}

/// Writing an error can fail too; there is nobody left to tell.
fn show(error: &Error, out: &mut Out) {
    let _ = if out.is_json() {
        out.json(&Document {
            schema: 1,
            error: Body {
                kind: error.kind,
                message: &error.message,
                hints: &error.hints,
            },
        })
        .and_then(|()| out.flush())
    } else {
        let _ = out.flush();
        out.error(&error.message, &error.hints)
    };
}

/// What clap has to say: help and version on standard output, misuse with exit status 2.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => ExitCode::from(if e.kind() == io::ErrorKind::BrokenPipe {
                0
            } else {
                2
            }),
        };
    }
    if !json {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    let message = text.split("\n\n").next().unwrap_or(text).trim();
    let error = Error::usage(message).hint("see `passthru --help`");
    let mut out = Out::new(crate::args::Color::Never, true, 0);
    finish(Err(error), &mut out)
}
