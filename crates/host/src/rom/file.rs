//! ROMs as files: read, written where the user says, or put where a guest's QEMU may read them.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use passthru_plan::{Measured, rom::LONGEST};

use crate::{
    attributes::Attributes,
    failpoint::Points,
    journal::STATE,
    root::{PathError, Root},
    write::{WriteError, Writer},
};

/// Where [`install`] puts ROMs.
pub const DIRECTORY: &str = "/var/lib/passthru/vbios";
/// Everybody may read a ROM: it holds nothing secret, and QEMU does not run as root.
const MODE: u32 = 0o644;

/// The bytes of the file `path` of this machine.
///
/// # Errors
/// If it cannot be read, is no regular file, or is longer than a ROM can be with everything around it.
pub fn load(path: &Path) -> Result<Vec<u8>, PathError> {
    // Flash files hold headers and data of their own beside the ROM.
    let most = 2 * LONGEST as u64;
    let read = || {
        let file = crate::input::open(path)?;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other("larger than 32 MiB: no option ROM is"));
        }
        Ok(bytes)
    };
    read().map_err(|source| PathError {
        path: path.into(),
        source,
    })
}

/// The bytes of the file `path` of the host, or why they cannot be read.
pub fn load_from(root: &Root, path: &str) -> Measured<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        let file = root.stream(path).map_err(|error| error.source)?;
        let most = 2 * LONGEST as u64;
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other("larger than 32 MiB: no option ROM is"));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Measured::Value(bytes),
        Err(error) => Measured::not(format!("{path} cannot be read: {error}")),
    }
}

/// Writes `bytes` to the file `path` of this machine. With `force` it takes the place of what is there,
/// in one step.
///
/// # Errors
/// If something is there already and `force` is not given, or the file cannot be written; then nothing
/// of it is left.
pub fn save(path: &Path, bytes: &[u8], force: bool) -> Result<(), PathError> {
    let result = if force {
        replace(path, bytes)
    } else {
        create(path, bytes)
    };
    result.map_err(|source| PathError {
        path: path.into(),
        source,
    })
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(MODE).open(path)?;
    fill(&file, bytes).inspect_err(|_| {
        // What matters is why it failed; half a ROM is worse than none.
        let _ = fs::remove_file(path);
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".passthru-")
        .tempfile_in(parent)?;
    fill(file.as_file(), bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // The umask of whoever called may have taken bits away.
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.sync_all()
}

/// Puts `bytes` into [`DIRECTORY`] of the host as `name`; gives its path there, and whether something was
/// written: the same bytes are not written again.
///
/// # Errors
/// If another ROM has that name and `force` is not given, or it cannot be written.
pub fn install(
    root: &Root,
    name: &str,
    bytes: &[u8],
    force: bool,
) -> Result<(String, bool), PathError> {
    let path = format!("{DIRECTORY}/{name}");
    let there = match root.read(&path) {
        Ok(there) => Some(there),
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(error),
    };
    let same = there.as_deref() == Some(bytes);
    if there.is_some() && !same && !force {
        return Err(root.error(&path, io::ErrorKind::AlreadyExists));
    }
    let token = Writer::token().map_err(|error| root.error(&path, error))?;
    let points = Points::default();
    let writer = Writer::new(root, &points, &token);
    let write = || {
        for (directory, mode) in [
            ("/var", 0o755),
            ("/var/lib", 0o755),
            (STATE, 0o711),
            (DIRECTORY, 0o755),
        ] {
            writer.make_directory(directory, mode)?;
        }
        open_way(root, &writer)?;
        let attributes = Attributes::new(MODE);
        if same {
            return writer.adjust(&path, &attributes);
        }
        let mut source = bytes;
        writer
            .replace(&path, &mut source, &attributes, None)
            .map(drop)
    };
    match write() {
        Ok(()) => Ok((path, !same)),
        Err(WriteError::Failed(error)) => Err(error),
        // No failpoint is set.
        Err(WriteError::Stopped) => Ok((path, false)),
    }
}

/// Lets others through the directory of passthru's state, which transactions make with 0700: not to
/// list it, and what lies in it is closed by itself.
fn open_way(root: &Root, writer: &Writer<'_>) -> Result<(), WriteError> {
    let mode = root.meta(STATE)?.mode & 0o7777;
    if mode & 0o011 == 0o011 {
        return Ok(());
    }
    let attributes = Attributes {
        owner: None,
        ..Attributes::new(mode | 0o011)
    };
    writer.adjust(STATE, &attributes)
}
