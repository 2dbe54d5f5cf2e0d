//! What lay around the files of a transaction when they were saved: where they were mounted, and the
//! kernels that some of them belong to. Both may be gone when it is taken back.

use std::collections::BTreeSet;

use passthru_plan::text::mountinfo;
use serde::{Deserialize, Serialize};

use super::{Reason, engine::Trouble};
use crate::root::Root;

const MOUNTS: &str = "/proc/self/mountinfo";
/// Where modules of installed kernels are.
const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];

/// See the file's first lines. Empty in transactions of versions that did not look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Surroundings {
    /// Mount points that held files, `/` aside.
    #[serde(default)]
    mounts: BTreeSet<String>,
    /// Releases of the kernels that were installed.
    #[serde(default)]
    kernels: BTreeSet<String>,
}

impl Surroundings {
    /// Of these paths, with every link resolved.
    pub(super) fn of<'p>(root: &Root, paths: impl Iterator<Item = &'p str>) -> Self {
        let mounted = mounted(root);
        let holding = |path: &str| mountinfo::holding(&mounted, path).map(|m| m.target.clone());
        Self {
            mounts: paths
                .filter_map(holding)
                .filter(|target| target != "/")
                .collect(),
            kernels: kernels(root),
        }
    }

    /// Fails if something is not mounted that was, and nothing of it is `seen`: an empty mount point
    /// says nothing about the files. Of another host's tree the mounts are not known.
    pub(super) fn must_be_mounted(
        &self,
        root: &Root,
        seen: &dyn Fn(&str) -> bool,
    ) -> Result<(), Trouble> {
        let mounted = mounted(root);
        let missing = |target: &&String| {
            !mounted.is_empty()
                && !mounted.iter().any(|mount| mount.target == **target)
                && !seen(target)
        };
        let Some(target) = self.mounts.iter().find(missing) else {
            return Ok(());
        };
        Err(Reason::new(
            format!("{target} is not mounted, and files of this transaction are there"),
            format!(
                "mount it (sudo mount {}), then run it again",
                passthru_plan::text::quote::word(target)
            ),
        )
        .into())
    }

    /// Releases of kernels that were installed and are not any more.
    pub(super) fn removed(&self, root: &Root) -> BTreeSet<String> {
        let now = kernels(root);
        // A host that seems to have no kernel at all was not read well.
        if now.is_empty() {
            return BTreeSet::new();
        }
        self.kernels.difference(&now).cloned().collect()
    }
}

fn mounted(root: &Root) -> Vec<mountinfo::Mount> {
    let text = root.text(MOUNTS).unwrap_or_default();
    mountinfo::parse(&text)
}

fn kernels(root: &Root) -> BTreeSet<String> {
    let names = MODULES
        .iter()
        .find_map(|directory| root.list(directory).ok())
        .unwrap_or_default();
    names
        .into_iter()
        .filter(|release| is_installed(root, release))
        .collect()
}

/// A kernel of that release is installed. Modules of others (DKMS, NVIDIA's installer) may keep its
/// directory; depmod's lists of what its package brought are not among them (kmod, depmod(8)).
pub(super) fn is_installed(root: &Root, release: &str) -> bool {
    MODULES.iter().any(|directory| {
        ["modules.order", "modules.builtin"]
            .iter()
            .any(|file| root.exists(&format!("{directory}/{release}/{file}")))
    })
}

/// The release stands in the path as a whole word: 6.1.0-1 is not named by 6.1.0-10.
pub(super) fn names(path: &str, release: &str) -> bool {
    let inside = |letter: char| letter.is_ascii_alphanumeric();
    path.match_indices(release).any(|(at, _)| {
        let before = path[..at].chars().next_back();
        let mut after = path[at + release.len()..].chars();
        let goes_on = match after.next() {
            // `6.1.0.efi` ends here, `6.1.0.1` does not.
            Some('.' | '-' | '_' | '+') => after.next().is_some_and(|next| next.is_ascii_digit()),
            next => next.is_some_and(inside),
        };
        !before.is_some_and(inside) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_whole_word_of_a_path() {
        for path in [
            "/boot/initrd.img-6.1.0-1-amd64",
            "/boot/efi/0123abcd/6.1.0-1-amd64/linux",
            "/boot/efi/loader/entries/0123abcd-6.1.0-1-amd64.conf",
            "/boot/efi/EFI/Linux/0123abcd-6.1.0-1-amd64.efi",
            "/boot/efi/EFI/Linux/0123abcd-6.1.0-1-amd64+3.efi.bak/6.1.0-1-amd64",
        ] {
            assert!(names(path, "6.1.0-1-amd64"), "{path}");
        }
        for path in [
            "/boot/initrd.img-6.1.0-10-amd64",
            "/boot/initrd.img-16.1.0-1-amd64",
            "/boot/grub/grub.cfg",
        ] {
            assert!(!names(path, "6.1.0-1-amd64"), "{path}");
        }
        assert!(!names("/boot/vmlinuz-6.1.0.1", "6.1.0"));
        assert!(!names("/boot/vmlinuz-6.1.0-rc1x", "6.1.0-rc1"));
    }
}
