//! What files were before: saved with everything that makes a file the same file, and put back.

use std::{collections::BTreeMap, fs::File};

use serde::{Deserialize, Serialize};

use super::{
    engine::{Engine, Trouble},
    surroundings::Surroundings,
    touch::{Role, Touch},
};
use crate::{
    attributes::Attributes,
    journal::{SCHEMA, Stamp, read_json, write_json},
    root::{PathError, Root},
    write::{self, Writer, hex, unhex},
};

/// Everything that was saved, in the order in which the steps touch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) schema: u32,
    /// Part of the name of every temporary file of the transaction.
    pub(super) token: String,
    pub(super) entries: Vec<Saved>,
    /// Directories that did not exist, outermost first.
    pub(super) directories: Vec<String>,
    #[serde(default)]
    pub(super) surroundings: Surroundings,
}

impl Manifest {
    /// Fails if something is not mounted that held files. Where a file of it is seen all the same, it has
    /// been moved to where it is now.
    pub(super) fn must_be_mounted(&self, root: &Root) -> Result<(), Trouble> {
        let seen = |target: &str| {
            let below = |entry: &&Saved| entry.real.starts_with(&format!("{target}/"));
            let mut files = self.entries.iter().filter(below);
            files.any(|entry| root.meta(&entry.real).is_ok())
        };
        self.surroundings.must_be_mounted(root, &seen)
    }
}

/// What a path was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// As in the plan.
    pub(super) path: String,
    /// Where it is, with every link resolved.
    pub(super) real: String,
    pub(super) role: Role,
    /// The first step that touches it.
    pub(super) step: usize,
    pub(super) was: Was,
}

/// A path's former state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub(super) enum Was {
    /// It did not exist.
    Absent,
    /// A symbolic link.
    Link { target: String },
    /// A regular file.
    File(SavedFile),
}

/// A saved file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedFile {
    /// Name of the copy, beside the manifest.
    pub(super) copy: String,
    pub(super) sha256: String,
    pub(super) size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Seconds and nanoseconds.
    mtime: (i64, i64),
    /// Values in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
}

impl SavedFile {
    fn new(copy: String, sha256: String, size: u64, attributes: &Attributes) -> Self {
        let (uid, gid) = attributes.owner.unwrap_or_default();
        Self {
            copy,
            sha256,
            size,
            mode: attributes.mode,
            uid,
            gid,
            mtime: attributes.mtime.unwrap_or_default(),
            xattrs: attributes
                .xattrs
                .iter()
                .flatten()
                .map(|(name, value)| (name.clone(), hex(value)))
                .collect(),
        }
    }

    fn attributes(&self) -> Attributes {
        Attributes {
            mode: self.mode,
            owner: Some((self.uid, self.gid)),
            mtime: Some(self.mtime),
            xattrs: Some(
                self.xattrs
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), unhex(value)?)))
                    .collect(),
            ),
        }
    }
}

impl Was {
    /// What the path would be taken for now, if it were so.
    pub(super) fn stamp(&self) -> Stamp {
        match self {
            Self::Absent => Stamp::Absent,
            Self::Link { target } => Stamp::Link {
                target: target.clone(),
            },
            Self::File(file) => Stamp::File {
                sha256: file.sha256.clone(),
            },
        }
    }
}

/// What is at `real` now; a link is not followed.
pub(super) fn look(root: &Root, real: &str) -> Result<Stamp, PathError> {
    let meta = match root.meta(real) {
        Err(e) if e.is_missing() => return Ok(Stamp::Absent),
        other => other?,
    };
    if meta.is_link() {
        return Ok(Stamp::Link {
            target: root.link(real)?,
        });
    }
    if !meta.is_file() {
        return Ok(Stamp::Other);
    }
    let mut file = write::open(root, real)?;
    let sha256 = write::copy(&mut file, &mut std::io::sink()).map_err(|e| root.error(real, e))?;
    Ok(Stamp::File { sha256 })
}

/// As [`look`], for what has `role`: what commands made is not read, for it may be large.
pub(super) fn look_as(root: &Root, real: &str, role: Role) -> Result<Stamp, PathError> {
    if role != Role::Made {
        return look(root, real);
    }
    match root.meta(real) {
        Ok(meta) if meta.is_file() => Ok(Stamp::Made {
            size: meta.size,
            mtime: meta.mtime,
        }),
        _ => look(root, real),
    }
}

/// Saves what `touches` are now into `directory`, which exists and is empty.
pub(super) fn save(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    directory: &str,
    token: &str,
    touches: &[Touch],
    directories: Vec<String>,
) -> Result<Manifest, Trouble> {
    let mut entries = Vec::new();
    for touch in touches {
        engine.go_on()?;
        entries.push(Saved {
            path: touch.path.clone(),
            real: touch.real.clone(),
            role: touch.role,
            step: touch.step,
            was: save_one(engine.root, writer, directory, entries.len(), &touch.real)?,
        });
    }
    let manifest = Manifest {
        schema: SCHEMA,
        token: token.to_owned(),
        surroundings: Surroundings::of(
            engine.root,
            touches.iter().map(|touch| touch.real.as_str()),
        ),
        entries,
        directories,
    };
    write_json(writer, engine.root, &manifest_path(directory), &manifest)?;
    Ok(manifest)
}

fn save_one(
    root: &Root,
    writer: &Writer<'_>,
    directory: &str,
    index: usize,
    real: &str,
) -> Result<Was, Trouble> {
    let meta = match root.meta(real) {
        Err(e) if e.is_missing() => return Ok(Was::Absent),
        other => other?,
    };
    if meta.is_link() {
        return Ok(Was::Link {
            target: root.link(real)?,
        });
    }
    let mut file: File = write::open(root, real)?;
    let attributes = Attributes::of(&file).map_err(|e| root.error(real, e))?;
    let copy = index.to_string();
    let private = Attributes::new(0o600);
    let sha256 = writer.replace(&format!("{directory}/{copy}"), &mut file, &private, None)?;
    Ok(Was::File(SavedFile::new(
        copy,
        sha256,
        meta.size,
        &attributes,
    )))
}

/// Reads what was saved into `directory`.
pub(super) fn load(root: &Root, directory: &str) -> Result<Manifest, PathError> {
    read_json(root, &manifest_path(directory))
}

fn manifest_path(directory: &str) -> String {
    format!("{directory}/manifest.json")
}

/// Makes `entry`'s path what it was. Does nothing if it is.
pub(super) fn restore(
    root: &Root,
    writer: &Writer<'_>,
    directory: &str,
    entry: &Saved,
) -> Result<(), Trouble> {
    let now = look(root, &entry.real)?;
    match &entry.was {
        Was::Absent => match now {
            Stamp::Absent => {}
            _ => writer.remove(&entry.real)?,
        },
        Was::Link { target } => {
            if now != entry.was.stamp() {
                writer.link(&entry.real, target)?;
            }
        }
        Was::File(file) if now == entry.was.stamp() => {
            writer.adjust(&entry.real, &file.attributes())?;
        }
        Was::File(file) => {
            let mut copy = write::open(root, &format!("{directory}/{}", file.copy))?;
            let attributes = file.attributes();
            writer.replace(&entry.real, &mut copy, &attributes, Some(&file.sha256))?;
        }
    }
    Ok(())
}

/// What to do by hand if `entry` could not be restored.
pub(super) fn by_hand(root: &Root, directory: &str, entry: &Saved) -> String {
    let real = root.display(&entry.real);
    let real = real.display();
    match &entry.was {
        Was::Absent => format!("remove {real}, which did not exist before"),
        Was::Link { target } => format!("make {real} a symbolic link to {target} again"),
        Was::File(file) => format!(
            "copy {} over {real} (mode {:04o}, owner {}:{})",
            root.display(&format!("{directory}/{}", file.copy))
                .display(),
            file.mode,
            file.uid,
            file.gid
        ),
    }
}
