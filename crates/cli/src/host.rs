//! The host a command is about: this machine, a root directory, or a captured archive.

use std::path::Path;

use passthru_host::{
    Exec, Root, archive,
    exec::Live,
    observe::{failed_units, observe},
};

pub(crate) use passthru_host::observe::Wanted;
use passthru_plan::{Facts, text::quote::command};

use crate::{
    args::Global,
    demo::{sample, tools::SampleTools},
    error::{Error, Kind, Result},
};

/// A host, and how it was named.
pub(crate) struct Host {
    root: Root,
    named: Vec<String>,
}

/// For a command that only reads.
pub(crate) fn reading(global: &Global) -> Result<Host> {
    let given = global.host.as_ref().or(global.root.as_ref());
    let Some(path) = given else {
        return Ok(Host {
            root: Root::open(Path::new("/"))?,
            named: Vec::new(),
        });
    };
    let (flag, root) = match &global.host {
        Some(file) => ("--host", open_capture(file)?),
        None => ("--root", open_root(path)?),
    };
    Ok(Host {
        root,
        named: vec![flag.into(), path.to_string_lossy().into_owned()],
    })
}

/// For a command that writes. `verb` is what to call it in messages.
pub(crate) fn writing(global: &Global, verb: &str) -> Result<Host> {
    no_capture(global, verb)?;
    let host = reading(global)?;
    if host.is_live() && !is_root() {
        return Err(needs_root(verb));
    }
    if global.sample_tools && !sample::is_sample(host.root.path()) {
        return Err(Error::usage(format!(
            "{} is not a sample host; the stand-ins for its tools work nowhere else",
            host.root.path().display()
        )));
    }
    Ok(host)
}

/// Refuses `--host` for commands that act: a capture is a copy, and nothing would happen.
pub(crate) fn no_capture(global: &Global, verb: &str) -> Result<()> {
    if global.host.is_none() {
        return Ok(());
    }
    let error = Error::usage(format!(
        "passthru {verb} changes a host, and --host names a capture, which is only a copy of one"
    ))
    .hint("leave out --host to act on this host");
    Err(match verb {
        "apply" | "setup" => error.hint("passthru plan --host FILE shows what would be done"),
        "vm new" | "vm edit" => error.hint("with --dry-run it shows what would be done"),
        _ => error,
    })
}

/// The effective user may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What was typed, as root would type it.
pub(crate) fn sudo() -> String {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!("sudo passthru {}", command(&arguments))
}

fn needs_root(verb: &str) -> Error {
    Error::new(
        Kind::NeedsRoot,
        format!("passthru {verb} changes this host, and that needs root; nothing was done"),
    )
    .hint(sudo())
}

fn open_root(path: &Path) -> Result<Root> {
    Root::open(path).map_err(|e| {
        Error::input(e).hint("--root names the directory that holds the host's etc, proc and sys")
    })
}

fn open_capture(path: &Path) -> Result<Root> {
    archive::open_host(path).map_err(Error::input)
}

impl Host {
    /// What is known about the host, as far as `wanted`.
    pub(crate) fn facts(&self, wanted: Wanted) -> Facts {
        observe(&self.root, wanted)
    }

    /// Everything, and what systemd says has failed: what a trial boot is held to.
    pub(crate) fn facts_with_health(&self, global: &Global) -> Facts {
        let mut facts = self.facts(Wanted::all());
        if self.is_live() {
            facts.health.failed_units = failed_units(self.exec(global).as_ref());
        }
        facts
    }

    /// The host's files.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The option that named it; none for this machine.
    pub(crate) fn flag(&self) -> Option<&str> {
        self.named.first().map(String::as_str)
    }

    /// This machine.
    pub(crate) fn is_live(&self) -> bool {
        self.root.is_live()
    }

    /// Starts the host's tools.
    pub(crate) fn exec(&self, global: &Global) -> Box<dyn Exec> {
        if global.sample_tools {
            Box::new(SampleTools::new(self.root.path()))
        } else {
            Box::new(Live::new(&self.root))
        }
    }

    /// A command on this host as its owner would type it: `words` are the verb and its arguments.
    pub(crate) fn command(&self, words: &[String]) -> String {
        let word = |at: usize| words.get(at).map(String::as_str);
        let acts = matches!(
            (word(0), word(1)),
            (Some("apply" | "confirm" | "undo" | "recover" | "setup"), _)
                | (
                    Some("vm"),
                    Some("new" | "edit" | "start" | "stop" | "release")
                )
        ) && !words.iter().any(|word| word == "--dry-run");
        // The journal is closed to others.
        let reads = matches!(word(0), Some("verify" | "history"));
        let mut argv: Vec<String> = Vec::new();
        if (acts || reads) && self.is_live() {
            argv.push("sudo".into());
        }
        argv.push("passthru".into());
        argv.extend(words.iter().cloned());
        // What is planned for a capture is applied on the host itself.
        if !(acts && self.named.first().is_some_and(|flag| flag == "--host")) {
            argv.extend(self.named.iter().cloned());
        }
        command(&argv)
    }

    /// The same, for a verb alone.
    pub(crate) fn verb(&self, verb: &str) -> String {
        self.command(&[verb.to_owned()])
    }
}
