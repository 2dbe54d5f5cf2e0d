//! Files that a user names on the command line: of this machine, whatever host is worked on.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::root::PathError;

/// Opens a regular file; anything else is an error, and a pipe does not keep us waiting.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// The first bytes of the file `path`, `most` of them if it has as many, and its length.
///
/// # Errors
/// If it cannot be read, or is no regular file.
pub fn head(path: &Path, most: usize) -> Result<(Vec<u8>, u64), PathError> {
    let read = || {
        let file = open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok((bytes, length))
    };
    read().map_err(|source| PathError {
        path: path.into(),
        source,
    })
}

/// The text of the file `path`, of up to 1 MiB.
///
/// # Errors
/// As [`head`], or if it is longer, or no text.
pub fn text(path: &Path) -> Result<String, PathError> {
    const MOST: usize = 1 << 20;
    let fail = |source| PathError {
        path: path.into(),
        source,
    };
    let (bytes, length) = head(path, MOST)?;
    if length > MOST as u64 {
        return Err(fail(io::Error::other("larger than 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|_| fail(io::Error::other("not a text")))
}
