//! Room: a transaction that would fill a disk is not begun.

use std::collections::BTreeMap;

use passthru_plan::{Change, text::size};
use rustix::fs::{self, Access, AtFlags, Mode, OFlags, StatVfsMountFlags};

use super::{
    Reason,
    engine::{Engine, Trouble},
    touch::{Role, Touch},
};
use crate::{
    journal::STATE,
    root::{Root, split},
};

/// What a file system needs.
#[derive(Debug, Default)]
struct Need {
    /// A directory in it, for the message.
    path: String,
    bytes: u64,
    files: u64,
    free: u64,
    free_files: Option<u64>,
}

/// Makes sure that every file system that is written to can be, and has room: for the saved copies,
/// for every new text, for the largest image twice (tools write the new one beside the old one),
/// and a fifth more.
pub(super) fn check(
    engine: &Engine<'_>,
    changes: &[Change],
    touches: &[Touch],
    extra: u64,
) -> Result<(), Trouble> {
    let root = engine.root;
    let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
    let mut add = |path: &str, bytes: u64| -> Result<(), Trouble> {
        let (device, mut need) = room(root, path)?;
        let need = needs.entry(device).or_insert_with(|| {
            need.path = root.display(path).display().to_string();
            need
        });
        need.bytes += bytes;
        need.files += 1;
        Ok(())
    };
    add(STATE, extra)?;
    let mut largest: BTreeMap<u64, u64> = BTreeMap::new();
    for touch in touches {
        let size = match root.meta(&touch.real) {
            Ok(meta) => meta.size,
            Err(e) if e.is_missing() => 0,
            Err(e) => return Err(e.into()),
        };
        add(STATE, size)?;
        let parent = existing(root, split(&touch.real).0);
        if touch.role == Role::Output {
            // Images grow by little, and one is written at a time.
            add(parent, size / 5)?;
            let most = largest.entry(room(root, parent)?.0).or_default();
            if size > *most {
                add(parent, size - *most)?;
                *most = size;
            }
        } else {
            add(parent, 0)?;
        }
    }
    for change in changes {
        match change {
            Change::Edit {
                path,
                after: Some(after),
                ..
            } => add(existing(root, split(path).0), after.len() as u64)?,
            Change::Copy { from, to, .. } => {
                let size = root.resolve(from).and_then(|real| root.meta(&real))?.size;
                add(existing(root, split(to).0), size)?;
            }
            _ => {}
        }
    }
    for need in needs.values() {
        let wanted = need.bytes + need.bytes / 5;
        if need.free < wanted {
            return Err(Reason::new(
                format!(
                    "the file system of {} has {} free and {} are needed",
                    need.path,
                    size::words(need.free),
                    size::words(wanted)
                ),
                "free space there, for instance by removing old kernels",
            )
            .into());
        }
        if need.free_files.is_some_and(|free| free < need.files) {
            return Err(Reason::new(
                format!(
                    "the file system of {} has no room for more files",
                    need.path
                ),
                "remove files there",
            )
            .into());
        }
    }
    Ok(())
}

/// The deepest directory on the way to `path` that exists.
fn existing<'a>(root: &Root, path: &'a str) -> &'a str {
    let mut path = path;
    while path != "/" && !root.exists(path) {
        path = split(path).0;
    }
    path
}

fn room(root: &Root, path: &str) -> Result<(u64, Need), Trouble> {
    let dir = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let fail = |e| root.error(path, e);
    let system = fs::fstatvfs(&dir).map_err(fail)?;
    if system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(fail(rustix::io::Errno::ROFS).into());
    }
    fs::accessat(&dir, ".", Access::WRITE_OK, AtFlags::EACCESS).map_err(fail)?;
    let stat = fs::fstat(&dir).map_err(fail)?;
    let need = Need {
        free: system.f_bavail.saturating_mul(system.f_frsize),
        // Zero where files take no inodes from a table (btrfs, FAT).
        free_files: (system.f_files > 0).then_some(system.f_favail),
        ..Need::default()
    };
    Ok((stat.st_dev, need))
}
