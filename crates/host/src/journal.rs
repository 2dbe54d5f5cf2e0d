//! The record of a transaction: a directory with the plan, what was saved, and a journal.
//!
//! ```text
//! /var/lib/passthru/                 0700
//!   lock                             flock(2), held by whoever changes anything
//!   transactions/N/
//!     plan.json                      { "schema": 1, "plan": … }
//!     saved/manifest.json, 0, 1, …   what every touched path was before the first change
//!     undo/manifest.json, …          while an undo runs: what they were before that
//!     journal                        one JSON line per event, each fsynced before the next step
//! ```
//!
//! A directory without a journal is a transaction that had not begun: nothing was changed. The line
//! `commit` is the commit point: without it a transaction is taken back, with it it holds. The
//! journal is only appended to; a last line that a crash cut short counts as not written.

use std::{
    fs::File,
    io::{self, Write},
    time::SystemTime,
};

use rustix::fs::{self, FallocateFlags, Mode, OFlags};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    attributes::Attributes,
    failpoint::Points,
    root::{PathError, Root},
    write::{WriteError, Writer, hit},
};

/// Where passthru keeps its state, in the host.
pub const STATE: &str = "/var/lib/passthru";

/// Version of the files in a transaction's directory.
pub(crate) const SCHEMA: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Seconds since 1970.
    pub(crate) time: u64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Everything is saved; nothing is changed yet.
    Begin {
        /// The boot this happens in, if it is known.
        boot: Option<String>,
        /// Changes whenever packages are installed or removed.
        packages: Option<String>,
    },
    /// The step is about to be done.
    Intent { step: usize },
    /// Its command runs as this process.
    Running {
        step: usize,
        pid: u32,
        /// When the process started (proc_pid_stat(5), field 22): tells it from a later one.
        start: Option<u64>,
    },
    /// The step is done, and left its files so.
    Done {
        step: usize,
        after: Vec<After>,
        /// All members of the command's family.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        family: Vec<String>,
    },
    /// All of it holds.
    Commit,
    /// It is being taken back because of this.
    RollingBack { reason: String },
    /// A file that others had changed was merged, and this is what it became.
    Merged { path: String, sha256: String },
    /// All of it is taken back.
    RolledBack { reason: String, notes: Vec<String> },
    /// Taking it back did not work: recovery tries again.
    RollbackFailed { reason: String },
    /// It is being undone; `undo/` holds what is done and what was before.
    UndoBegin {
        /// Why, if nobody asked for it: a trial boot that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A step of the undo is done.
    UndoStep { step: usize },
    /// All of it is undone.
    Undone { notes: Vec<String> },
    /// The host is rebooted by itself, back into the entry from before. Never twice.
    Reboot,
    /// The undo failed and was taken back: the transaction is in force as before.
    UndoFailed { reason: String },
}

/// How a step left a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
}

/// Enough of a file to tell whether it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(crate) enum Stamp {
    /// Nothing is there.
    Absent,
    /// A symbolic link.
    Link { target: String },
    /// A regular file.
    File { sha256: String },
    /// A file that others write to and that may be large: told by its size in bytes and when it was
    /// last written.
    Made { size: u64, mtime: (i64, i64) },
    /// Something else: a directory, a device.
    Other,
}

/// The directory of transaction `number`.
pub(crate) fn directory(number: u32) -> String {
    format!("{STATE}/transactions/{number}")
}

/// The numbers of all transactions, in order. Empty if passthru never changed anything here.
pub(crate) fn numbers(root: &Root) -> Result<Vec<u32>, PathError> {
    let names = match root.list(&format!("{STATE}/transactions")) {
        Err(e) if e.is_missing() => return Ok(Vec::new()),
        other => other?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes the state directory and its lock's and transactions' places.
pub(crate) fn prepare(writer: &Writer<'_>, root: &Root) -> Result<(), WriteError> {
    for (path, mode) in [
        ("/var", 0o755),
        ("/var/lib", 0o755),
        (STATE, 0o700),
        (&format!("{STATE}/transactions") as &str, 0o700),
    ] {
        if !root.exists(path) {
            writer.make_directory(path, mode)?;
        }
    }
    let meta = root.meta(STATE)?;
    let mine = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid != mine || meta.mode & 0o022 != 0 {
        return Err(root
            .error(
                STATE,
                io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "must be a directory that belongs to user {mine} and that nobody else can \
                         write to"
                    ),
                ),
            )
            .into());
    }
    Ok(())
}

/// Writes `value` as JSON to `path`, in one step.
pub(crate) fn write_json(
    writer: &Writer<'_>,
    root: &Root,
    path: &str,
    value: &impl Serialize,
) -> Result<(), WriteError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| root.error(path, e))?;
    writer.replace(path, &mut bytes.as_slice(), &Attributes::new(0o600), None)?;
    Ok(())
}

/// Reads JSON from `path`.
pub(crate) fn read_json<T: DeserializeOwned>(root: &Root, path: &str) -> Result<T, PathError> {
    let bytes = root.read(path)?;
    serde_json::from_slice(&bytes).map_err(|e| root.error(path, e))
}

/// All lines of the journal in `directory`; `None` if there is none.
pub(crate) fn read(root: &Root, directory: &str) -> Result<Option<Vec<Line>>, PathError> {
    let path = format!("{directory}/journal");
    let bytes = match root.read(&path) {
        Err(e) if e.is_missing() => return Ok(None),
        other => other?,
    };
    let mut lines = Vec::new();
    for (number, line) in whole(&bytes).split_inclusive(|&b| b == b'\n').enumerate() {
        lines.push(serde_json::from_slice(line).map_err(|e| {
            root.error(
                &path,
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {}: {e}", number + 1),
                ),
            )
        })?);
    }
    Ok(Some(lines))
}

/// The part of a journal before a last line that was cut short.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    &bytes[..end]
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    root: &'a Root,
    points: &'a Points,
    path: String,
    file: File,
}

impl<'a> Journal<'a> {
    /// Room taken in advance, so that a disk that fills up meanwhile does not stop the journal.
    const ROOM: u64 = 64 << 10;

    /// Begins a journal: from here on the transaction exists.
    pub(crate) fn begin(
        root: &'a Root,
        points: &'a Points,
        writer: &Writer<'_>,
        directory: &str,
        event: Event,
    ) -> Result<Self, WriteError> {
        let path = format!("{directory}/journal");
        let line = encode(root, &path, event)?;
        writer.replace(&path, &mut line.as_slice(), &Attributes::new(0o600), None)?;
        Self::open(root, points, directory)
    }

    /// Opens a journal to append to it.
    pub(crate) fn open(
        root: &'a Root,
        points: &'a Points,
        directory: &str,
    ) -> Result<Self, WriteError> {
        let path = format!("{directory}/journal");
        let bytes = root.read(&path)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW;
        let file = File::from(root.open_at(&path, flags, Mode::empty())?);
        let end = whole(&bytes).len();
        if end < bytes.len() {
            file.set_len(end as u64).map_err(|e| root.error(&path, e))?;
        }
        // Only a precaution, and not every file system can.
        let _ = fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end as u64, Self::ROOM);
        Ok(Self {
            root,
            points,
            path,
            file,
        })
    }

    /// Appends a line; it is on the disk when this returns.
    pub(crate) fn append(&mut self, event: Event) -> Result<(), WriteError> {
        let line = encode(self.root, &self.path, event)?;
        let io = |e: io::Error| WriteError::from(self.root.error(&self.path, e));
        if !self.points.is_empty() {
            // What a power cut in the middle of the line leaves.
            hit(self.points, self.root, "journal.before", &self.path)?;
            let length = self.file.metadata().map_err(io)?.len();
            self.file.write_all(&line[..line.len() / 2]).map_err(io)?;
            let torn = hit(self.points, self.root, "journal.torn", &self.path);
            if !matches!(torn, Err(WriteError::Stopped)) {
                self.file.set_len(length).map_err(io)?;
            }
            torn?;
        }
        let length = self.file.metadata().map_err(io)?.len();
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // Half a line must not stand before the next one.
            let _ = self.file.set_len(length);
            return Err(io(e));
        }
        hit(self.points, self.root, "journal.after", &self.path)
    }
}

fn encode(root: &Root, path: &str, event: Event) -> Result<Vec<u8>, PathError> {
    let line = Line { time: now(), event };
    let mut bytes = serde_json::to_vec(&line).map_err(|e| root.error(path, e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_short_is_not_there() {
        assert_eq!(whole(b"a\nb\nhal"), b"a\nb\n");
        assert_eq!(whole(b"hal"), b"");
        assert_eq!(whole(b"a\n\0\0\0"), b"a\n");
    }

    #[test]
    fn every_event_comes_back_as_it_was_written() {
        let events = [
            Event::Begin {
                boot: None,
                packages: Some("1.2".into()),
            },
            Event::Done {
                step: 3,
                after: vec![
                    After {
                        path: "/a".into(),
                        stamp: Stamp::Absent,
                    },
                    After {
                        path: "/b".into(),
                        stamp: Stamp::File { sha256: "0".into() },
                    },
                ],
                family: vec![],
            },
            Event::Commit,
        ];
        for event in events {
            let line = Line { time: 7, event };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }
}
