//! The one door to processes: tools of the host are started here, with argument vectors only.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use thiserror::Error;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output and standard error, in the order they came.
    pub text: String,
}

impl Output {
    /// Exit status 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }
}

/// A command that could not be started.
#[derive(Debug, Error)]
#[error("cannot start {program}: {source}")]
pub struct ExecError {
    /// The program's name.
    pub program: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Starts processes.
pub trait Exec {
    /// Runs `argv` to its end and returns its exit status and what it said.
    ///
    /// # Errors
    /// If it cannot be started.
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError>;
}

/// Runs tools on the running machine, or inside an offline image by chroot(8).
#[derive(Debug, Clone)]
pub struct Live {
    chroot: Option<PathBuf>,
}

impl Live {
    /// For a host whose root is `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            chroot: (root != Path::new("/")).then(|| root.to_owned()),
        }
    }
}

/// Programs are found in these directories only, whatever the caller's PATH says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Exec for Live {
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
        let fail = |source| ExecError {
            program: argv.first().copied().unwrap_or_default().into(),
            source,
        };
        let [program, arguments @ ..] = argv else {
            return Err(fail(io::Error::new(
                io::ErrorKind::InvalidInput,
                "empty command",
            )));
        };
        let mut command = match &self.chroot {
            Some(root) => {
                let mut command = Command::new("/usr/sbin/chroot");
                command.arg(root).arg(program);
                command
            }
            None => {
                Command::new(find(program).ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?)
            }
        };
        // A fixed environment: nothing of the caller's reaches a tool that runs as root, and
        // messages that are parsed come in one language.
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        let (mut reader, writer) = io::pipe().map_err(fail)?;
        command
            .stdout(writer.try_clone().map_err(fail)?)
            .stderr(writer);
        let mut child = command.spawn().map_err(fail)?;
        // The command holds the write ends; without this the pipe would never close.
        drop(command);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(fail)?;
        let status = child.wait().map_err(fail)?;
        Ok(Output {
            status: status.code(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(program.into());
    }
    PATH.split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
}
