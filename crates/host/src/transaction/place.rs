//! Where a path of a plan really lies: links are followed inside the root and then left alone, so
//! that a link is never replaced by a file.

use super::{Reason, engine::Trouble};
use crate::root::{Root, split};

/// Where a path lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The path with every link resolved.
    pub(super) real: String,
    /// The path is itself a link (to this text).
    pub(super) link: Option<String>,
    /// Directories on the way that do not exist, outermost first, links resolved.
    pub(super) missing: Vec<String>,
}

/// Finds `path`, whether it exists or not.
///
/// # Errors
/// If it is not a plain absolute path, is neither a regular file nor missing, or leads over a link
/// to nowhere.
pub(super) fn locate(root: &Root, path: &str) -> Result<Place, Trouble> {
    let plain = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'))
    });
    if !plain {
        return Err(Reason::new(
            format!("\"{path}\" is not an absolute path without . and .."),
            "this is a mistake in the plan: report it",
        )
        .into());
    }
    match root.meta(path) {
        Ok(meta) if meta.is_link() => {
            let target = root.link(path)?;
            let real = root.resolve(path).map_err(|e| {
                Reason::new(
                    format!(
                        "{} is a link to {target}, which leads nowhere: {}",
                        root.display(path).display(),
                        e.source
                    ),
                    "repair or remove the link",
                )
            })?;
            regular(root, &real)?;
            Ok(Place {
                real,
                link: Some(target),
                missing: Vec::new(),
            })
        }
        Ok(_) => {
            let (parent, name) = split(path);
            let real = under(&root.resolve(parent)?, name);
            regular(root, &real)?;
            Ok(Place {
                real,
                link: None,
                missing: Vec::new(),
            })
        }
        Err(e) if e.is_missing() => absent(root, path),
        Err(e) => Err(e.into()),
    }
}

/// The place of a path that does not exist.
fn absent(root: &Root, path: &str) -> Result<Place, Trouble> {
    let mut top = split(path).0;
    let mut lacking = Vec::new();
    while top != "/" && !root.exists(top) {
        let (parent, name) = split(top);
        if root.meta(top).is_ok() {
            // It is there and yet leads nowhere.
            return Err(Reason::new(
                format!(
                    "{} is a link that leads nowhere",
                    root.display(top).display()
                ),
                "repair or remove the link",
            )
            .into());
        }
        lacking.push(name);
        top = parent;
    }
    let mut real = root.resolve(top)?;
    if real != "/" && !root.meta(&real).is_ok_and(|meta| meta.is_dir()) {
        return Err(Reason::new(
            format!("{} is not a directory", root.display(top).display()),
            "move it out of the way",
        )
        .into());
    }
    let mut missing = Vec::new();
    for name in lacking.iter().rev() {
        real = under(&real, name);
        missing.push(real.clone());
    }
    Ok(Place {
        real: under(&real, split(path).1),
        link: None,
        missing,
    })
}

fn regular(root: &Root, real: &str) -> Result<(), Trouble> {
    if root.meta(real)?.is_file() {
        return Ok(());
    }
    Err(Reason::new(
        format!("{} is not a regular file", root.display(real).display()),
        "move it out of the way",
    )
    .into())
}

fn under(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}
