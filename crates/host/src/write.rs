//! How files are changed: a temporary file in the same directory, written, fsynced, renamed over
//! the old one, and the directory fsynced. A reader, or a host that loses power, sees the old file
//! or the new one.
//!
//! "Calling fsync() does not necessarily ensure that the entry in the directory containing the
//! file has also reached disk. For that an explicit fsync() on a file descriptor for the directory
//! is also needed" (fsync(2)).

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags},
    io::Errno,
};
use sha2::{Digest, Sha256};

use crate::{
    attributes::Attributes,
    failpoint::{Injected, Points},
    root::{PathError, Root, split},
};

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// A failpoint stopped the engine: leave everything as it is.
    Stopped,
    /// An error, with the path.
    Failed(PathError),
}

impl From<PathError> for WriteError {
    fn from(error: PathError) -> Self {
        Self::Failed(error)
    }
}

/// Writes through a root, for one transaction.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    root: &'a Root,
    points: &'a Points,
    /// Random text in the name of every temporary file, so that recovery finds exactly them.
    token: String,
    count: Cell<u64>,
}

/// Start of the name of every temporary file.
const TEMP: &str = ".passthru-";

impl<'a> Writer<'a> {
    pub(crate) fn new(root: &'a Root, points: &'a Points, token: &str) -> Self {
        Self {
            root,
            points,
            token: token.to_owned(),
            count: Cell::new(0),
        }
    }

    /// A token for [`Writer::new`] that nobody can foresee.
    pub(crate) fn token() -> io::Result<String> {
        let mut bytes = [0_u8; 8];
        let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        if length != bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(hex(&bytes))
    }

    fn at(&self, point: &str, path: &str) -> Result<(), WriteError> {
        hit(self.points, self.root, point, path)
    }

    fn fail(&self, path: &str) -> impl FnOnce(Errno) -> WriteError {
        let error = self.root.display(path);
        move |e| {
            WriteError::Failed(PathError {
                path: error,
                source: e.into(),
            })
        }
    }

    fn directory(&self, path: &str) -> Result<OwnedFd, WriteError> {
        Ok(self.root.open_at(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            Mode::empty(),
        )?)
    }

    fn temporary(&self) -> String {
        let count = self.count.get();
        self.count.set(count + 1);
        format!("{TEMP}{}-{count}", self.token)
    }

    /// Puts the bytes of `source` at `path`, whatever is there, in one step. Returns their hash;
    /// if `expected` is given and is another, nothing happens.
    pub(crate) fn replace(
        &self,
        path: &str,
        source: &mut dyn Read,
        attributes: &Attributes,
        expected: Option<&str>,
    ) -> Result<String, WriteError> {
        let (parent, name) = split(path);
        let dir = self.directory(parent)?;
        self.with_temporary(&dir, |temp| {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            // 0600 until the bytes and the owner are right.
            let file = fs::openat(&dir, temp, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
                .map_err(self.fail(path))?;
            let mut file = File::from(file);
            self.at("write.temp", path)?;
            let io = |source| WriteError::Failed(self.root.error(path, source));
            let hash = copy(source, &mut file).map_err(io)?;
            if expected.is_some_and(|expected| expected != hash) {
                return Err(io(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the saved copy is damaged (its SHA-256 is not the recorded one)",
                )));
            }
            attributes.give(&file).map_err(io)?;
            self.at("write.fsync", path)?;
            fs::fsync(&file).map_err(self.fail(path))?;
            self.at("write.rename", path)?;
            fs::renameat(&dir, temp, &dir, name).map_err(self.fail(path))?;
            Ok((hash, file))
        })
        .and_then(|(hash, file)| {
            self.at("write.renamed", path)?;
            self.sync_renamed(&file, path)?;
            self.sync(&dir, parent)?;
            Ok(hash)
        })
    }

    /// Makes `path` a symbolic link to `target`, whatever is there, in one step.
    pub(crate) fn link(&self, path: &str, target: &str) -> Result<(), WriteError> {
        let (parent, name) = split(path);
        let dir = self.directory(parent)?;
        self.with_temporary(&dir, |temp| {
            fs::symlinkat(target, &dir, temp).map_err(self.fail(path))?;
            self.at("write.rename", path)?;
            fs::renameat(&dir, temp, &dir, name).map_err(self.fail(path))
        })?;
        self.sync(&dir, parent)
    }

    /// Runs `fill` with a name for a temporary file and removes the file if that fails.
    fn with_temporary<T>(
        &self,
        dir: &OwnedFd,
        fill: impl FnOnce(&str) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let temp = self.temporary();
        let result = fill(&temp);
        if let Err(WriteError::Failed(_)) = &result {
            // The first error is the one to report.
            let _ = fs::unlinkat(dir, temp.as_str(), AtFlags::empty());
        }
        result
    }

    /// Renames `from` onto `to`, both in one directory.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), WriteError> {
        let (parent, old) = split(from);
        let (other, new) = split(to);
        if parent != other {
            return Err(self.fail(from)(Errno::XDEV));
        }
        let dir = self.directory(parent)?;
        self.at("write.rename", to)?;
        fs::renameat(&dir, old, &dir, new).map_err(self.fail(to))?;
        self.at("write.renamed", to)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        let file = self.root.open_at(to, flags, Mode::empty())?;
        self.sync_renamed(&file, to)?;
        self.sync(&dir, parent)
    }

    /// Removes the file or link `path`.
    pub(crate) fn remove(&self, path: &str) -> Result<(), WriteError> {
        let (parent, name) = split(path);
        let dir = self.directory(parent)?;
        self.at("write.unlink", path)?;
        fs::unlinkat(&dir, name, AtFlags::empty()).map_err(self.fail(path))?;
        self.at("write.unlinked", path)?;
        self.sync(&dir, parent)
    }

    /// Makes the directory `path`, unless it is there.
    pub(crate) fn make_directory(&self, path: &str, mode: u32) -> Result<(), WriteError> {
        let (parent, name) = split(path);
        let dir = self.directory(parent)?;
        self.at("write.mkdir", path)?;
        match fs::mkdirat(&dir, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(self.fail(path)(e)),
        }
        // The umask of whoever called may have taken bits away.
        let made = self.directory(path)?;
        fs::fchmod(&made, Mode::from_raw_mode(mode)).map_err(self.fail(path))?;
        self.sync(&dir, parent)
    }

    /// Removes the directory `path` if it is there and empty. False if something is in it.
    pub(crate) fn remove_directory(&self, path: &str) -> Result<bool, WriteError> {
        let (parent, name) = split(path);
        let dir = match self.directory(parent) {
            Err(WriteError::Failed(e)) if e.is_missing() => return Ok(true),
            other => other?,
        };
        self.at("write.rmdir", path)?;
        match fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync(&dir, parent).map(|()| true),
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(e) => Err(self.fail(path)(e)),
        }
    }

    /// Gives `path` other attributes, its bytes being right already.
    pub(crate) fn adjust(&self, path: &str, attributes: &Attributes) -> Result<(), WriteError> {
        let file = File::from(self.root.open_at(
            path,
            OFlags::RDONLY | OFlags::NOFOLLOW,
            Mode::empty(),
        )?);
        let io = |source| WriteError::Failed(self.root.error(path, source));
        if Attributes::of(&file).map_err(io)? == *attributes {
            return Ok(());
        }
        attributes.give(&file).map_err(io)?;
        fs::fsync(&file).map_err(self.fail(path))
    }

    /// Brings what others wrote to `path` to the disk, and with it all of its file system.
    pub(crate) fn settle(&self, path: &str) -> Result<(), WriteError> {
        let (parent, _) = split(path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        match self.root.open_at(path, flags, Mode::empty()) {
            Ok(file) => fs::fsync(&file).map_err(self.fail(path))?,
            Err(e) if e.is_missing() => {}
            Err(e) => return Err(e.into()),
        }
        let dir = self.directory(parent)?;
        self.sync(&dir, parent)?;
        // On FAT and ext2 the directory alone is not enough (vfio reference E.4: syncfs).
        fs::syncfs(&dir).map_err(self.fail(path))
    }

    /// On FAT a rename makes a new entry of the directory with neither place nor size; both are
    /// written with the file's own data (vfat_rename in fs/fat/namei_vfat.c). Without this a power
    /// cut leaves an empty file there (found by the lab's power cut).
    fn sync_renamed(&self, file: &impl AsFd, path: &str) -> Result<(), WriteError> {
        fs::fsync(file).map_err(self.fail(path))
    }

    fn sync(&self, dir: &OwnedFd, path: &str) -> Result<(), WriteError> {
        match fs::fsync(dir) {
            // Some file systems have nothing to sync in a directory and say so.
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            Err(e) => Err(self.fail(path)(e)),
        }
    }

    /// Removes temporary files of this transaction that a crash left in the directory `path`.
    pub(crate) fn sweep(&self, path: &str) -> Result<(), WriteError> {
        let start = format!("{TEMP}{}-", self.token);
        let names = match self.root.list(path) {
            Err(e) if e.is_missing() => return Ok(()),
            other => other?,
        };
        for name in names.iter().filter(|name| name.starts_with(&start)) {
            self.remove(&format!("{}/{name}", path.trim_end_matches('/')))?;
        }
        Ok(())
    }
}

/// Passes a failpoint; its error is one of `path`.
pub(crate) fn hit(
    points: &Points,
    root: &Root,
    point: impl std::fmt::Display,
    path: &str,
) -> Result<(), WriteError> {
    points.hit(point).map_err(|injected| match injected {
        Injected::Stop => WriteError::Stopped,
        Injected::Error(source) => WriteError::Failed(root.error(path, source)),
    })
}

/// Copies `source` to its end and returns the SHA-256 of what went through.
pub(crate) fn copy(source: &mut dyn Read, target: &mut dyn Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 256 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(length) => {
                hash.update(&buffer[..length]);
                target.write_all(&buffer[..length])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from hexadecimal.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

/// Opens a regular file for reading, its last component not followed.
pub(crate) fn open(root: &Root, path: &str) -> Result<File, PathError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(root.open_at(path, flags, Mode::empty())?);
    if fs::fstat(file.as_fd()).is_ok_and(|s| fs::FileType::from_raw_mode(s.st_mode).is_file()) {
        Ok(file)
    } else {
        Err(root.error(
            path,
            io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"),
        ))
    }
}
