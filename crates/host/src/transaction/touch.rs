//! Every path a plan will touch: what has to be saved before the first change.

use std::collections::BTreeSet;

use passthru_plan::Change;
use serde::{Deserialize, Serialize};

use super::{
    engine::Trouble,
    place::{Place, locate},
};
use crate::root::Root;

/// Why a path is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// A file that is edited.
    Edit,
    /// A file that is made as a copy of another.
    Copy,
    /// A file that commands made, and that others write to since.
    Made,
    /// A file that a command writes.
    Output,
    /// A link that leads to one of these. Nobody should touch it.
    Link,
    /// A file that a command may leave beside its output, or the staged output.
    Beside,
}

/// A path that will be touched.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    /// As in the plan.
    pub(super) path: String,
    /// Where it is.
    pub(super) real: String,
    pub(super) role: Role,
    /// The first step that touches it.
    pub(super) step: usize,
}

/// What tools leave beside the file they write: half-written and previous versions
/// (grub-mkconfig: `.new`; update-initramfs: `.new`, `.dpkg-bak`, `.bak`).
const BESIDE: [&str; 4] = [".new", ".bak", ".dpkg-bak", ".dpkg-tmp"];

/// All paths that `changes` touch, each once, in the order of the steps, and the directories on
/// the way that do not exist, outermost first.
pub(super) fn all(root: &Root, changes: &[Change]) -> Result<(Vec<Touch>, Vec<String>), Trouble> {
    let mut list = List::default();
    for (step, change) in changes.iter().enumerate() {
        match change {
            Change::Edit { path, .. } => list.add(root, path, Role::Edit, step)?,
            Change::Copy { to: path, .. } | Change::Disc { path, .. } => {
                list.add(root, path, Role::Copy, step)?;
            }
            Change::Make { path, .. } => list.add(root, path, Role::Made, step)?,
            Change::Domain { .. } => {}
            Change::Run { outputs, .. } => {
                for output in outputs {
                    list.add(root, &output.path, Role::Output, step)?;
                    list.beside(root, &output.path, step)?;
                    if let Some(staged) = &output.staged {
                        list.add(root, staged, Role::Beside, step)?;
                        list.beside(root, staged, step)?;
                    }
                }
            }
        }
    }
    Ok((list.touches, list.missing))
}

/// As [`all`], for given outputs of a command.
pub(super) fn outputs<'a>(
    root: &Root,
    paths: impl IntoIterator<Item = &'a str>,
    step: usize,
) -> Result<Vec<Touch>, Trouble> {
    let mut list = List::default();
    for path in paths {
        list.add(root, path, Role::Output, step)?;
        list.beside(root, path, step)?;
    }
    Ok(list.touches)
}

#[derive(Default)]
struct List {
    touches: Vec<Touch>,
    seen: BTreeSet<String>,
    missing: Vec<String>,
}

impl List {
    fn add(&mut self, root: &Root, path: &str, role: Role, step: usize) -> Result<(), Trouble> {
        let Place {
            real,
            link,
            missing,
        } = locate(root, path)?;
        for directory in missing {
            if !self.missing.contains(&directory) {
                self.missing.push(directory);
            }
        }
        if link.is_some() {
            // Its own place: the link, not what it leads to.
            let (parent, name) = crate::root::split(path);
            let parent = root.resolve(parent)?;
            let real = format!("{}/{name}", parent.trim_end_matches('/'));
            self.push(path, real, Role::Link, step);
        }
        self.push(path, real, role, step);
        Ok(())
    }

    fn beside(&mut self, root: &Root, path: &str, step: usize) -> Result<(), Trouble> {
        for suffix in BESIDE {
            self.add(root, &format!("{path}{suffix}"), Role::Beside, step)?;
        }
        Ok(())
    }

    fn push(&mut self, path: &str, real: String, role: Role, step: usize) {
        if self.seen.insert(real.clone()) {
            self.touches.push(Touch {
                path: path.to_owned(),
                real,
                role,
                step,
            });
        } else if role != Role::Beside
            && let Some(known) = self
                .touches
                .iter_mut()
                .find(|t| t.real == real && t.role == Role::Beside)
        {
            known.role = role;
        }
    }
}
