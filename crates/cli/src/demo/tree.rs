//! One number for everything below a directory.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use sha2::{Digest, Sha256};

/// What a tree is: how many files and links, and a hash over all paths, modes, links and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Print {
    /// Files and links.
    pub(crate) files: usize,
    /// SHA-256 in hexadecimal.
    pub(crate) hash: String,
}

/// Takes the print of `root`, without what lies below `except`.
pub(crate) fn print(root: &Path, except: &[&str]) -> io::Result<Print> {
    let mut hash = Sha256::new();
    let mut files = 0;
    walk(root, root, except, &mut hash, &mut files)?;
    let hash = hash.finalize().iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    });
    Ok(Print { files, hash })
}

fn walk(
    root: &Path,
    dir: &Path,
    except: &[&str],
    hash: &mut Sha256,
    files: &mut usize,
) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        if except.iter().any(|left_out| name == Path::new(left_out)) {
            continue;
        }
        let meta = fs::symlink_metadata(&path)?;
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(name.as_os_str().as_bytes());
        field(&meta.mode().to_le_bytes());
        if meta.is_symlink() {
            field(fs::read_link(&path)?.as_os_str().as_bytes());
            *files += 1;
        } else if meta.is_dir() {
            walk(root, &path, except, hash, files)?;
        } else {
            field(&fs::read(&path)?);
            *files += 1;
        }
    }
    Ok(())
}
