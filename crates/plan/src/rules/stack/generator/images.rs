//! The command that makes the images anew: everything it writes, and what must be in it afterwards.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::{
    change::{Change, Expect, Output, image_mistakes},
    facts::{Facts, Image, InstalledKernel, ModuleState},
};

/// A generator's command and what it puts into every image.
pub(super) struct Command<'a> {
    pub(super) argv: &'a [&'a str],
    /// See [`Change::Run`].
    pub(super) family: &'a str,
    /// Where vfio-pci is in the image, `|` between alternatives; `{}` stands for the release.
    pub(super) modules: &'a str,
    /// Paths in the image, `|` between alternatives, and their exact texts.
    pub(super) texts: Vec<(String, String)>,
    /// Images that it makes beside the kernels' own: the path and the kernel's release. One without
    /// a release is written, and not looked into.
    pub(super) more: Vec<(String, Option<String>)>,
}

/// Where a kernel package has it, and so most images.
pub(super) const KERNELS_MODULES: &str = "lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*|usr/lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*";

impl Command<'_> {
    /// The change, if it is needed: its inputs are edited, or an image is not as planned.
    pub(super) fn change(
        &self,
        facts: &Facts,
        kernels: &[&InstalledKernel],
        edited: bool,
    ) -> Option<Change> {
        let as_planned = kernels.iter().all(|kernel| {
            let image = kernel.image.as_ref();
            image.is_none_or(|image| self.lacks(kernel, image).is_empty())
        });
        if !edited && as_planned {
            return None;
        }
        let mut outputs = BTreeSet::new();
        let mut expect = Vec::new();
        let mut seen = BTreeSet::new();
        for kernel in kernels {
            let mut holders: Vec<String> = self.more_of(kernel).cloned().collect();
            if let Some(image) = &kernel.image {
                outputs.insert(image.path.clone());
                holders.insert(0, image.path.clone());
            }
            // Older versions of initramfs-tools keep a checksum of the image here and refuse to
            // touch an altered one.
            let state = format!("/var/lib/initramfs-tools/{}", kernel.release);
            if facts.files.contains_key(&state) {
                outputs.insert(state);
            }
            if !facts.boot.post_update_hooks.is_empty() {
                let (written, images) = written_by_hooks(facts, kernel);
                outputs.extend(written);
                holders.extend(images);
            }
            for path in holders {
                if seen.insert(path.clone()) {
                    expect.push(Expect::Image {
                        path,
                        entries: self.entries(kernel),
                        texts: self.texts.clone(),
                    });
                }
            }
        }
        outputs.extend(self.more.iter().map(|(path, _)| path.clone()));
        let outputs = outputs
            .into_iter()
            .map(|path| Output { path, staged: None });
        Some(Change::Run {
            argv: self.argv.iter().map(ToString::to_string).collect(),
            undo: None,
            outputs: outputs.collect(),
            family: Some(self.family.into()),
            expect,
            why: "makes the initramfs of every installed kernel anew, with these files in it"
                .into(),
        })
    }

    fn more_of(&self, kernel: &InstalledKernel) -> impl Iterator<Item = &String> {
        let of = move |release: &Option<String>| release.as_ref() == Some(&kernel.release);
        self.more
            .iter()
            .filter(move |(_, release)| of(release))
            .map(|(path, _)| path)
    }

    /// What must be in the image of `kernel`.
    fn entries(&self, kernel: &InstalledKernel) -> Vec<String> {
        if kernel.vfio_pci != ModuleState::Module {
            return Vec::new();
        }
        vec![self.modules.replace("{}", &kernel.release)]
    }

    /// What an image that was opened lacks. One that was not opened cannot be judged here; verify
    /// says so.
    fn lacks(&self, kernel: &InstalledKernel, image: &Image) -> Vec<String> {
        if let Some(damage) = &image.damage {
            return vec![damage.clone()];
        }
        match image.entries.value() {
            Some(found) => image_mistakes(&self.entries(kernel), &self.texts, found, &image.texts),
            None => Vec::new(),
        }
    }
}

/// What kernel-install writes on the boot partition when a hook of the generator calls it
/// (/etc/initramfs/post-update.d/systemd-boot), and which of it are images.
fn written_by_hooks(facts: &Facts, kernel: &InstalledKernel) -> (Vec<String>, Vec<String>) {
    let mut written = Vec::new();
    let mut images = Vec::new();
    for entry in &facts.boot.entries {
        if entry.version.as_deref() != Some(kernel.release.as_str()) || entry.is_passthrus() {
            continue;
        }
        written.push(entry.path.clone());
        if entry.unified {
            images.push(entry.path.clone());
        } else {
            written.extend(entry.linux.iter().cloned());
            written.extend(entry.initrds.iter().cloned());
            images.extend(entry.initrds.iter().cloned());
        }
    }
    (written, images)
}
