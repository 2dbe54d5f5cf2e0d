//! Opens a captured host: a directory, or a tar archive that is unpacked into a private directory and
//! taken away again.
//!
//! An archive comes from a stranger. Names that are absolute or climb, links that lead out, device
//! nodes, and more than a host can have are refused with the entry's name; nothing is written through
//! a link. What a link says stays inside anyway: [`Root`] resolves every path in its own directory.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use tar::EntryType;
use tempfile::TempDir;
use thiserror::Error;

use crate::{
    observe::captured,
    root::{PathError, Root},
};

/// A capture of a server with ten thousand functions has a third of these entries.
const ENTRIES: usize = 500_000;
/// Bytes after unpacking: a module tree and images of a few kernels fit in.
const BYTES: u64 = 4 << 30;

/// An archive that cannot be opened as a host.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file itself, or the place to unpack it.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is no tar archive.
    #[error("{}: {what}", archive.display())]
    Format {
        /// The archive.
        archive: PathBuf,
        /// What it is, or is not.
        what: &'static str,
    },
    /// One of its entries is refused.
    #[error("{}: entry \"{entry}\" {why}; nothing was read", archive.display())]
    Entry {
        /// The archive.
        archive: PathBuf,
        /// The entry's name as it is written.
        entry: String,
        /// Why.
        why: String,
    },
    /// It ends too early or cannot be unpacked.
    #[error("{}: {why}{}; nothing was read", archive.display(), after(last))]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// What happened.
        why: String,
        /// The last entry that was whole, if any.
        last: Option<String>,
    },
}

fn after(last: &Option<String>) -> String {
    last.as_ref()
        .map_or_else(String::new, |name| format!(" (after \"{name}\")"))
}

/// Opens the host in `path`: a directory, or a tar archive, plain or compressed with gzip or zstd. An
/// archive is unpacked into a directory of mode 0700 that lives as long as the root.
///
/// # Errors
/// If it cannot be read, is no archive, is truncated, or holds an entry that no capture has.
pub fn open_host(path: &Path) -> Result<Root, ArchiveError> {
    let fail = |source: io::Error| PathError {
        path: path.into(),
        source,
    };
    if fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(as_capture(Root::open(path)?, path, None));
    }
    let file = fs::File::open(path).map_err(fail)?;
    let mut input = BufReader::with_capacity(64 << 10, file);
    let directory = tempfile::Builder::new()
        .prefix("passthru-host-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(fail)?;
    let start = input.fill_buf().map_err(fail)?;
    let wrong = |what| ArchiveError::Format {
        archive: path.into(),
        what,
    };
    match start {
        [0x1f, 0x8b, ..] => {
            let gzip = flate2::bufread::MultiGzDecoder::new(input);
            unpack(path, gzip, &directory)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let zstd = ruzstd::decoding::StreamingDecoder::new(input)
                .map_err(|_| wrong("the zstd frame at its start is damaged"))?;
            unpack(path, zstd, &directory)?;
        }
        [0xfd, b'7', b'z', ..] => {
            return Err(wrong("xz archives are not supported, use gzip or zstd"));
        }
        [b'B', b'Z', b'h', ..] => {
            return Err(wrong("bzip2 archives are not supported, use gzip or zstd"));
        }
        [b'P', b'K', ..] => return Err(wrong("zip archives are not supported, use tar")),
        [] => return Err(wrong("the file is empty")),
        bytes if bytes.len() < 512 || bytes.get(257..262) != Some(b"ustar") => {
            return Err(wrong("this is neither a directory nor a tar archive"));
        }
        _ => unpack(path, input, &directory)?,
    }
    let top = top(directory.path());
    Ok(as_capture(Root::open(&top)?, path, Some(directory)))
}

fn as_capture(root: Root, archive: &Path, unpacked: Option<TempDir>) -> Root {
    let denied = root
        .attribute(captured::DENIED)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    root.into_capture(archive, denied, unpacked)
}

/// A host packed together with its own directory (`tar -c host`) is one level down.
fn top(directory: &Path) -> PathBuf {
    let is_host = |path: &Path| {
        ["sys", "proc", "etc"]
            .iter()
            .any(|name| path.join(name).is_dir())
    };
    if !is_host(directory)
        && let Ok(entries) = fs::read_dir(directory)
    {
        let inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        if let [only] = &inside[..]
            && only.symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && is_host(only)
        {
            return only.clone();
        }
    }
    directory.to_owned()
}

/// Counts what comes out of the decompressor, and stops a file that never ends.
struct Limited<R> {
    inner: R,
    left: u64,
    /// Zero bytes in a row at the end of what was read so far.
    zeros: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let read = &buffer[..length];
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} GiB", BYTES >> 30))
        })?;
        let zeros = read.iter().rev().take_while(|&&byte| byte == 0).count();
        self.zeros = if zeros == length { self.zeros } else { 0 } + zeros as u64;
        Ok(length)
    }
}

/// What an entry became, to see what later ones would go through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

fn unpack(archive: &Path, input: impl Read, directory: &TempDir) -> Result<(), ArchiveError> {
    let mut input = Limited {
        inner: input,
        left: BYTES,
        zeros: 0,
    };
    let mut unpacker = Unpacker {
        archive,
        directory: directory.path(),
        made: BTreeMap::new(),
    };
    let mut last = None;
    let damaged = |error: &io::Error, last: &Option<String>| ArchiveError::Damaged {
        archive: archive.into(),
        why: match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends in the middle (truncated?)".to_owned(),
            _ => error.to_string(),
        },
        last: last.clone(),
    };
    let mut tar = tar::Archive::new(&mut input);
    for entry in tar.entries().map_err(|e| damaged(&e, &last))? {
        let mut entry = entry.map_err(|e| damaged(&e, &last))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        unpacker.entry(&name, &mut entry)?;
        last = Some(name);
    }
    // The checksum of a compressed file stands behind everything.
    io::copy(&mut input, &mut io::sink()).map_err(|e| damaged(&e, &last))?;
    // An archive ends with a block of zeros (tar(5)); without it something is missing.
    if input.zeros < 512 {
        return Err(damaged(&io::ErrorKind::UnexpectedEof.into(), &last));
    }
    Ok(())
}

struct Unpacker<'a> {
    archive: &'a Path,
    directory: &'a Path,
    made: BTreeMap<PathBuf, Kind>,
}

impl Unpacker<'_> {
    fn entry(
        &mut self,
        name: &str,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), ArchiveError> {
        let refuse = |why: String| ArchiveError::Entry {
            archive: self.archive.into(),
            entry: name.into(),
            why,
        };
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => refuse("ends in the middle (truncated?)".into()),
            _ => refuse(format!("cannot be unpacked: {error}")),
        };
        if self.made.len() >= ENTRIES {
            return Err(refuse(format!(
                "is one too many: a host has less than {ENTRIES} entries"
            )));
        }
        let path = inside(Path::new(name)).map_err(|why| refuse(why.into()))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        if path.as_os_str().is_empty() {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(refuse("has no name".into())),
            };
        }
        if let Some(link) = self.through(&path) {
            return Err(refuse(format!(
                "goes through {}, which is no directory",
                link.display()
            )));
        }
        let place = self.directory.join(&path);
        self.make_parents(&path).map_err(failed)?;
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let made = match kind {
            EntryType::Directory => {
                self.make_directory(&path).map_err(failed)?;
                // Whoever looks at the host must be able to enter.
                fs::set_permissions(&place, fs::Permissions::from_mode(mode | 0o700))
                    .map_err(failed)?;
                Kind::Directory
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.replace(&path).map_err(failed)?;
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&place)
                    .map_err(failed)?;
                let expected = entry.size();
                if io::copy(entry, &mut file).map_err(failed)? != expected {
                    return Err(refuse("ends in the middle (truncated?)".into()));
                }
                file.set_permissions(fs::Permissions::from_mode(mode | 0o400))
                    .map_err(failed)?;
                Kind::File
            }
            EntryType::Symlink => {
                let target =
                    link_name(entry).ok_or_else(|| refuse("is a link to nowhere".into()))?;
                if climbs(path.parent().unwrap_or(Path::new("")), &target) {
                    return Err(refuse(format!(
                        "is a link out of the host: {}",
                        target.display()
                    )));
                }
                self.replace(&path).map_err(failed)?;
                symlink(&target, &place).map_err(failed)?;
                Kind::Link
            }
            EntryType::Link => {
                let target =
                    link_name(entry).ok_or_else(|| refuse("is a link to nowhere".into()))?;
                let target = inside(&target).map_err(|_| {
                    refuse(format!(
                        "is a hard link out of the host: {}",
                        target.display()
                    ))
                })?;
                if self.through(&target).is_some() || self.made.get(&target) != Some(&Kind::File) {
                    return Err(refuse(format!(
                        "is a hard link to {}, which is no earlier file",
                        target.display()
                    )));
                }
                self.replace(&path).map_err(failed)?;
                fs::hard_link(self.directory.join(&target), &place).map_err(failed)?;
                Kind::File
            }
            EntryType::Char | EntryType::Block => return Err(refuse("is a device node".into())),
            EntryType::Fifo => return Err(refuse("is a named pipe".into())),
            _ => return Err(refuse("is of a kind that no capture has".into())),
        };
        self.made.insert(path, made);
        Ok(())
    }

    /// The first component above `path` that an earlier entry made something else than a directory.
    fn through(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors()
            .skip(1)
            .find(|above| {
                self.made
                    .get(*above)
                    .is_some_and(|kind| *kind != Kind::Directory)
            })
            .map(Path::to_owned)
    }

    fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|above| !above.as_os_str().is_empty() && !self.made.contains_key(*above))
            .map(Path::to_owned)
            .collect();
        while let Some(above) = missing.pop() {
            self.make_directory(&above)?;
            self.made.insert(above, Kind::Directory);
        }
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match self.made.get(path) {
            Some(Kind::Directory) => Ok(()),
            Some(_) => {
                fs::remove_file(self.directory.join(path))?;
                fs::create_dir(self.directory.join(path))
            }
            None => fs::create_dir(self.directory.join(path)),
        }
    }

    /// A later entry of the same name wins, as in tar.
    fn replace(&self, path: &Path) -> io::Result<()> {
        match self.made.get(path) {
            None => Ok(()),
            Some(Kind::Directory) => fs::remove_dir(self.directory.join(path)),
            Some(_) => fs::remove_file(self.directory.join(path)),
        }
    }
}

fn link_name(entry: &tar::Entry<'_, impl Read>) -> Option<PathBuf> {
    let name = entry.link_name().ok()??.into_owned();
    (!name.as_os_str().is_empty()).then_some(name)
}

/// A name as a path below the root, without `.`.
fn inside(name: &Path) -> Result<PathBuf, &'static str> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("climbs out with \"..\""),
            Component::RootDir | Component::Prefix(_) => return Err("is an absolute name"),
        }
    }
    Ok(path)
}

/// A relative target, written at `from`, goes above the root. An absolute one starts at the root.
fn climbs(from: &Path, target: &Path) -> bool {
    let mut depth = if target.is_absolute() {
        0
    } else {
        from.components().count()
    };
    for part in target.components() {
        match part {
            Component::ParentDir if target.is_absolute() => depth = depth.saturating_sub(1),
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    false
}
