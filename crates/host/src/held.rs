//! What passthru set for running guests, written down in /run/passthru/guests, one file for each
//! guest by its UUID. A reboot clears it, and with it all that was set.

use std::io;

use passthru_plan::guest::run::Held;
use thiserror::Error;

use crate::{
    attributes::Attributes,
    failpoint::Points,
    lock::{LockError, StateLock},
    root::{PathError, Root},
    write::{WriteError, Writer},
};

/// For root alone.
const STATE: &str = "/run/passthru";
const DIRECTORY: &str = "/run/passthru/guests";
const LOCK: &str = "/run/passthru/guests.lock";

/// Why it could not be read or written.
#[derive(Debug, Error)]
pub enum HeldError {
    /// Another passthru starts or stops a guest.
    #[error("{0} starts or stops a guest just now")]
    Busy(String),
    /// A file could not be read or written.
    #[error(transparent)]
    Failed(#[from] PathError),
}

impl From<WriteError> for HeldError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Failed(error) => Self::Failed(error),
            // No failpoint is set.
            WriteError::Stopped => Self::Busy("a failpoint".into()),
        }
    }
}

/// What all guests hold. While it lives, no other passthru starts, stops or releases one.
#[derive(Debug)]
pub struct Store<'a> {
    root: &'a Root,
    _lock: StateLock,
}

impl<'a> Store<'a> {
    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// If another passthru has it open, or it cannot be made.
    pub fn open(root: &'a Root) -> Result<Self, HeldError> {
        with_writer(root, |writer| {
            for (directory, mode) in [("/run", 0o755), (STATE, 0o700), (DIRECTORY, 0o700)] {
                writer.make_directory(directory, mode)?;
            }
            Ok(())
        })?;
        let lock = StateLock::take(root, LOCK).map_err(|error| match error {
            LockError::Held(whom) => HeldError::Busy(whom),
            LockError::Failed(error) => HeldError::Failed(error),
            LockError::Cancelled => HeldError::Busy("another passthru".into()),
        })?;
        Ok(Self { root, _lock: lock })
    }

    /// What each guest holds, by UUID.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn all(&self) -> Result<Vec<Held>, HeldError> {
        all(self.root)
    }

    /// Writes down what a guest holds, in place of what was written before.
    ///
    /// # Errors
    /// If it cannot be written: then nothing may be set.
    pub fn save(&self, held: &Held) -> Result<(), HeldError> {
        let path = path(self.root, &held.uuid)?;
        let text = serde_json::to_vec(held).map_err(|e| self.root.error(&path, e))?;
        with_writer(self.root, |writer| {
            let mut source = &text[..];
            writer
                .replace(&path, &mut source, &Attributes::new(0o600), None)
                .map(drop)
        })
    }

    /// Forgets what the guest with this UUID held: it was put back.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget(&self, uuid: &str) -> Result<(), HeldError> {
        let path = path(self.root, uuid)?;
        if !self.root.exists(&path) {
            return Ok(());
        }
        with_writer(self.root, |writer| writer.remove(&path))
    }
}

/// What each guest holds, by UUID, without keeping others from changing it.
///
/// # Errors
/// If it cannot be read.
pub fn all(root: &Root) -> Result<Vec<Held>, HeldError> {
    let names = match root.list(DIRECTORY) {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        names => names?,
    };
    let mut held = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".json")) {
        let path = format!("{DIRECTORY}/{name}");
        let text = match root.read(&path) {
            // Released meanwhile.
            Err(error) if error.is_missing() => continue,
            text => text?,
        };
        held.push(serde_json::from_slice(&text).map_err(|e| root.error(&path, e))?);
    }
    Ok(held)
}

/// A UUID is a name for a file; anything else might not be.
fn path(root: &Root, uuid: &str) -> Result<String, PathError> {
    let path = format!("{DIRECTORY}/{uuid}.json");
    let plain = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    if uuid.len() == 36 && uuid.bytes().all(plain) {
        Ok(path)
    } else {
        Err(root.error(
            &path,
            io::Error::new(io::ErrorKind::InvalidInput, "no UUID"),
        ))
    }
}

fn with_writer(
    root: &Root,
    write: impl FnOnce(&Writer<'_>) -> Result<(), WriteError>,
) -> Result<(), HeldError> {
    let token = Writer::token().map_err(|error| root.error(STATE, error))?;
    let points = Points::default();
    Ok(write(&Writer::new(root, &points, &token))?)
}
