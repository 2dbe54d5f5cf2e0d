//! What must hold before anything is changed: the host is the one the plan was made for.

use std::collections::BTreeMap;

use passthru_plan::Change;

use super::{Reason, engine::Trouble, place::locate};
use crate::{root::Root, write};

/// Every file has the text the plan was made for.
pub(super) fn unchanged_since_planned(root: &Root, changes: &[Change]) -> Result<(), Trouble> {
    let mut edited: BTreeMap<String, Option<&str>> = BTreeMap::new();
    for change in changes {
        let (path, before, after) = match change {
            Change::Edit {
                path,
                before,
                after,
                ..
            } => (path, before, after),
            Change::Copy { from, to, .. } => {
                // An earlier step may make what is copied.
                if !changes.iter().any(|c| writes(c, from)) {
                    root.meta(&locate(root, from)?.real)?;
                }
                expect_text(root, to, &locate(root, to)?.real, None)?;
                continue;
            }
            Change::Make { path, .. } | Change::Disc { path, .. } => {
                absent(root, path)?;
                continue;
            }
            Change::Domain { .. } | Change::Run { .. } => continue,
        };
        let real = locate(root, path)?.real;
        match edited.get(&real) {
            // An earlier step of the same plan makes it so.
            Some(text) if *text == before.as_deref() => {}
            Some(_) => {
                return Err(Reason::new(
                    format!("the plan edits {path} twice, and the edits do not fit together"),
                    "this is a mistake in the plan: report it",
                )
                .into());
            }
            None => expect_text(root, path, &real, before.as_deref())?,
        }
        single_name(root, &real)?;
        edited.insert(real, after.as_deref());
    }
    Ok(())
}

fn writes(change: &Change, path: &str) -> bool {
    match change {
        Change::Run { outputs, .. } => outputs.iter().any(|output| output.path == path),
        Change::Copy { to: made, .. }
        | Change::Make { path: made, .. }
        | Change::Disc { path: made, .. } => made == path,
        Change::Edit { .. } | Change::Domain { .. } => false,
    }
}

/// What is made anew must not be there, however large it is.
pub(super) fn absent(root: &Root, path: &str) -> Result<(), Trouble> {
    if !root.exists(&locate(root, path)?.real) {
        return Ok(());
    }
    Err(Reason::new(
        format!("{} is there already", root.display(path).display()),
        "move it away, or choose another name",
    )
    .into())
}

pub(super) fn expect_text(
    root: &Root,
    path: &str,
    real: &str,
    before: Option<&str>,
) -> Result<(), Trouble> {
    let now = match root.read(real) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.is_missing() => None,
        Err(e) => return Err(e.into()),
    };
    if now.as_deref() == before.map(str::as_bytes) {
        return Ok(());
    }
    Err(Reason::new(
        format!(
            "{} has changed since the plan was made",
            root.display(path).display()
        ),
        "plan again",
    )
    .into())
}

/// Replacing one of several names of a file would part it from the others.
fn single_name(root: &Root, real: &str) -> Result<(), Trouble> {
    let file = match write::open(root, real) {
        Err(e) if e.is_missing() => return Ok(()),
        other => other?,
    };
    let names = rustix::fs::fstat(&file)
        .map_err(|e| root.error(real, e))?
        .st_nlink;
    if names > 1 {
        return Err(Reason::new(
            format!(
                "{} has {names} names (hard links), which editing would part",
                root.display(real).display()
            ),
            "make it a file of its own: copy it and rename the copy over it",
        )
        .into());
    }
    Ok(())
}
