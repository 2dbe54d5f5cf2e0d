//! The one door to files: everything passthru reads or writes on a host goes through a [`Root`].
//!
//! A root is a directory: `/`, a captured host, or an offline image. Paths are resolved by the
//! kernel inside it (`openat2` with `RESOLVE_IN_ROOT`, Linux 5.6), so an absolute link in a capture
//! leads into the capture and `..` stops at its top. Joining path texts cannot do that.

mod directory;

pub use directory::Directory;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use tempfile::TempDir;
use thiserror::Error;

/// Configuration and attribute files larger than this are not read: nothing a plan needs is.
pub const READ_LIMIT: u64 = 64 << 20;

/// An I/O error with the path it happened on.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub struct PathError {
    /// The path, as the user would write it on this machine.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

impl PathError {
    /// True if the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    }
}

/// What was touched under a root, when it records: the raw material of a capture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// A file was read.
    File,
    /// A file's presence was asked for; its content was not.
    Presence,
    /// A link was read or followed; its target.
    Link(String),
    /// A directory was listed.
    Directory,
    /// Something is there, but may not be read.
    Denied,
}

/// A directory that stands for a host's `/`.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
    seen: Option<RefCell<BTreeMap<String, Seen>>>,
    capture: Option<Capture>,
}

/// What makes a root a capture and no tree of its own.
#[derive(Debug)]
struct Capture {
    /// The archive's path, for messages.
    archive: PathBuf,
    /// Paths without a leading slash that could not be read when the capture was made.
    denied: BTreeSet<String>,
    /// Where it was unpacked to; taken away with the root.
    _unpacked: Option<TempDir>,
}

/// Metadata that matters for putting a file back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// `st_mode`: type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time, seconds and nanoseconds.
    pub mtime: (i64, i64),
}

impl Meta {
    /// A regular file.
    pub const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// A directory.
    pub const fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// A symbolic link.
    pub const fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

impl Root {
    /// Opens `path` as a root.
    ///
    /// # Errors
    /// If it is not a directory that can be opened.
    pub fn open(path: &Path) -> Result<Self, PathError> {
        let dir = fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| PathError {
            path: path.into(),
            source: e.into(),
        })?;
        Ok(Self {
            dir,
            path: path.into(),
            seen: None,
            capture: None,
        })
    }

    /// This root as the capture `archive`, in which the paths of `denied` are there but may not be
    /// read; `unpacked` lives as long as the root.
    pub(crate) fn into_capture(
        mut self,
        archive: &Path,
        denied: BTreeSet<String>,
        unpacked: Option<TempDir>,
    ) -> Self {
        self.capture = Some(Capture {
            archive: archive.into(),
            denied,
            _unpacked: unpacked,
        });
        self
    }

    /// A second door to the same root, which records what is read through it.
    ///
    /// # Errors
    /// If the directory cannot be opened again.
    pub(crate) fn recorder(&self) -> Result<Self, PathError> {
        let mut root = Self::open(&self.path)?.recording();
        root.capture = self.capture.as_ref().map(|capture| Capture {
            archive: capture.archive.clone(),
            denied: capture.denied.clone(),
            _unpacked: None,
        });
        Ok(root)
    }

    /// The same root, recording what is read through it.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.seen = Some(RefCell::default());
        self
    }

    /// What was read so far, by path without a leading slash; empty unless recording.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        self.seen
            .as_ref()
            .map(|seen| seen.borrow().clone())
            .unwrap_or_default()
    }

    /// The running machine's own root.
    pub fn is_live(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Where this root lies on the machine passthru runs on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `path` of the host as a path on this machine, for messages.
    pub fn display(&self, path: &str) -> PathBuf {
        let top = match &self.capture {
            Some(capture) => &capture.archive,
            None => &self.path,
        };
        top.join(path.trim_start_matches('/'))
    }

    /// Opens for reading what the host lets this user read, and notes what it does not.
    fn open_readable(&self, path: &str, flags: OFlags) -> Result<OwnedFd, PathError> {
        let denied = |capture: &Capture| capture.denied.contains(path.trim_matches('/'));
        if self.capture.as_ref().is_some_and(denied) {
            self.note(path, Seen::Denied);
            return Err(self.error(path, Errno::ACCESS));
        }
        self.open_at(path, OFlags::RDONLY | flags, Mode::empty())
            .inspect_err(|error| {
                if error.source.kind() == io::ErrorKind::PermissionDenied {
                    self.note(path, Seen::Denied);
                }
            })
    }

    pub(crate) fn error(&self, path: &str, errno: impl Into<io::Error>) -> PathError {
        PathError {
            path: self.display(path),
            source: errno.into(),
        }
    }

    fn note(&self, path: &str, what: Seen) {
        if let Some(seen) = &self.seen {
            let mut seen = seen.borrow_mut();
            let path = path.trim_matches('/');
            // Content wins over presence.
            if what != Seen::Presence || !seen.contains_key(path) {
                seen.insert(path.to_owned(), what);
            }
        }
    }

    /// Opens `path` inside the root; the kernel keeps links and `..` inside.
    ///
    /// # Errors
    /// Whatever `openat2` says, with the path.
    pub fn open_at(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, PathError> {
        open_beneath(self.dir.as_fd(), path, flags, mode).map_err(|e| self.error(path, e))
    }

    /// The whole content of `path`.
    ///
    /// # Errors
    /// If it cannot be opened or read, is not a regular file, or is larger than [`READ_LIMIT`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, PathError> {
        let fd = self.open_readable(path, OFlags::NONBLOCK)?;
        self.note(path, Seen::File);
        read_all(File::from(fd)).map_err(|e| self.error(path, e))
    }

    /// The content of `path` as text without trailing white space or padding NULs, or `None` if it
    /// is missing, unreadable or empty. For attribute files.
    pub fn attribute(&self, path: &str) -> Option<String> {
        directory::attribute_text(self.read(path).ok()?)
    }

    /// The content of `path` as text, byte for byte.
    ///
    /// # Errors
    /// As [`Root::read`], and if it is not UTF-8.
    pub fn text(&self, path: &str) -> Result<String, PathError> {
        String::from_utf8(self.read(path)?).map_err(|_| {
            self.error(
                path,
                io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"),
            )
        })
    }

    /// The target of the symbolic link at `path`, as it is written.
    ///
    /// # Errors
    /// If it is missing or no link.
    pub fn link(&self, path: &str) -> Result<String, PathError> {
        let (parent, name) = split(path);
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let target = fs::readlinkat(&parent, name, Vec::new()).map_err(|e| self.error(path, e))?;
        let target = target.to_string_lossy().into_owned();
        self.note(path, Seen::Link(target.clone()));
        Ok(target)
    }

    /// The last component of the link's target: `driver` -> `nouveau`.
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = self.link(path).ok()?;
        target
            .rsplit('/')
            .find(|part| !part.is_empty())
            .map(str::to_owned)
    }

    /// The names in the directory `path`, sorted.
    ///
    /// # Errors
    /// If it is missing or not a directory.
    pub fn list(&self, path: &str) -> Result<Vec<String>, PathError> {
        let fd = self.open_readable(path, OFlags::DIRECTORY)?;
        self.note(path, Seen::Directory);
        names(&fd).map_err(|e| self.error(path, e))
    }

    /// `path` exists (links followed inside the root).
    pub fn exists(&self, path: &str) -> bool {
        let found = self.open_at(path, OFlags::PATH, Mode::empty()).is_ok();
        if found {
            self.note(path, Seen::Presence);
        }
        found
    }

    /// Metadata of `path`; a link as its last component is not followed.
    ///
    /// # Errors
    /// If it is missing.
    pub fn meta(&self, path: &str) -> Result<Meta, PathError> {
        let (parent, name) = split(path);
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let stat = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.error(path, e))?;
        self.note(path, Seen::Presence);
        Ok(Meta {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (
                stat.st_mtime,
                i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
        })
    }

    /// Where `path` leads when all links are followed inside the root: an absolute path of the host.
    ///
    /// # Errors
    /// If it is missing.
    pub fn resolve(&self, path: &str) -> Result<String, PathError> {
        let fd = self.open_at(path, OFlags::PATH, Mode::empty())?;
        self.note(path, Seen::Presence);
        let real = |fd: BorrowedFd<'_>| {
            use std::os::fd::AsRawFd;
            std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        };
        let full = real(fd.as_fd()).map_err(|e| self.error(path, e))?;
        let top = real(self.dir.as_fd()).map_err(|e| self.error(path, e))?;
        let inside = full.strip_prefix(&top).unwrap_or(&full);
        Ok(format!(
            "/{}",
            inside.to_string_lossy().trim_start_matches('/')
        ))
    }

    /// Opens the file `path` for reading piece by piece, for files larger than [`READ_LIMIT`].
    ///
    /// # Errors
    /// If it cannot be opened or is not a regular file.
    pub fn stream(&self, path: &str) -> Result<File, PathError> {
        let fd = self.open_readable(path, OFlags::NONBLOCK)?;
        self.note(path, Seen::Presence);
        let file = File::from(fd);
        let meta = file.metadata().map_err(|e| self.error(path, e))?;
        if meta.is_file() {
            return Ok(file);
        }
        let what = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        Err(self.error(path, what))
    }

    /// Free bytes for unprivileged users on the file system that holds `path`.
    ///
    /// # Errors
    /// If `path` is missing.
    pub fn free_bytes(&self, path: &str) -> Result<u64, PathError> {
        let fd = self.open_at(path, OFlags::PATH, Mode::empty())?;
        let stat = fs::fstatvfs(&fd).map_err(|e| self.error(path, e))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Opens `path` inside `dir` as if `dir` were the root directory.
pub(crate) fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { "." } else { path };
    loop {
        match fs::openat2(
            dir,
            path,
            flags | OFlags::CLOEXEC,
            mode,
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        ) {
            // The kernel asks for another try when a rename raced with the walk.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Parent and last component of a path of the host.
pub(crate) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => (".", path),
    }
}

fn names(fd: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name != "." && name != ".." {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read_all(file: File) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(READ_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "larger than 64 MiB",
        ));
    }
    Ok(bytes)
}
