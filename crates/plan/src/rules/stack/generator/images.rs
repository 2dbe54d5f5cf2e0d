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
    /// Paths in the image, `|` between alternatives, and their exact texts.
    pub(super) texts: &'a [(String, String)],
}

impl Command<'_> {
    /// The change, if it is needed: its inputs are edited, or an image is not as planned.
    pub(super) fn change(
        &self,
        facts: &Facts,
        kernels: &[&InstalledKernel],
        edited: bool,
    ) -> Option<Change> {
        let images: Vec<_> = kernels
            .iter()
            .filter_map(|kernel| Some((*kernel, kernel.image.as_ref()?)))
            .collect();
        let as_planned = images
            .iter()
            .all(|(kernel, image)| self.lacks(kernel, image).is_empty());
        if !edited && as_planned {
            return None;
        }
        let mut outputs = BTreeSet::new();
        let mut expect = Vec::new();
        let mut seen = BTreeSet::new();
        for (kernel, image) in images {
            outputs.insert(image.path.clone());
            // Older versions of initramfs-tools keep a checksum of the image here and refuse to
            // touch an altered one.
            let state = format!("/var/lib/initramfs-tools/{}", kernel.release);
            if facts.files.contains_key(&state) {
                outputs.insert(state);
            }
            let mut holders = vec![image.path.clone()];
            if !facts.boot.post_update_hooks.is_empty() {
                let (written, images) = written_by_hooks(facts, kernel);
                outputs.extend(written);
                holders.extend(images);
            }
            for path in holders {
                if seen.insert(path.clone()) {
                    expect.push(Expect::Image {
                        path,
                        entries: entries(kernel),
                        texts: self.texts.to_vec(),
                    });
                }
            }
        }
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

    /// What an image that was opened lacks. One that was not opened cannot be judged here; verify
    /// says so.
    fn lacks(&self, kernel: &InstalledKernel, image: &Image) -> Vec<String> {
        if let Some(damage) = &image.damage {
            return vec![damage.clone()];
        }
        match image.entries.value() {
            Some(found) => image_mistakes(&entries(kernel), self.texts, found, &image.texts),
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

/// What must be in the image of `kernel`, whatever the generator.
fn entries(kernel: &InstalledKernel) -> Vec<String> {
    if kernel.vfio_pci != ModuleState::Module {
        return Vec::new();
    }
    let modules = format!(
        "lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*",
        kernel.release
    );
    vec![format!("{modules}|usr/{modules}")]
}
