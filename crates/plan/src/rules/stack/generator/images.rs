//! The command that makes the images anew: everything it writes, and what must be in it afterwards.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::{
    change::{Anew, Change, Expect, Output, image_mistakes},
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
    /// Makes one image: the path it is written to, and the release. With it every image is made
    /// beside the one in use, for tools that write over it.
    pub(super) beside: Option<fn(&str, &str) -> Vec<String>>,
}

/// Where an image is made that takes the place of `path` later.
fn staged(path: &str) -> String {
    format!("{path}.passthru")
}

/// Where a kernel package has it, and so most images.
pub(super) const KERNELS_MODULES: &str = "lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*|usr/lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*";

impl Command<'_> {
    /// The changes that are needed: its inputs are edited, or an image is not as planned.
    pub(super) fn changes(
        &self,
        facts: &Facts,
        kernels: &[&InstalledKernel],
        edited: bool,
    ) -> Vec<Change> {
        if let Some(argv) = self.beside {
            return self.one_by_one(argv, kernels, edited);
        }
        if !edited && self.are_as_planned(kernels) {
            return Vec::new();
        }
        vec![self.all_at_once(facts, kernels)]
    }

    /// What must be in the image of every kernel.
    pub(super) fn expected(&self, kernels: &[&InstalledKernel]) -> Vec<Expect> {
        let images = kernels
            .iter()
            .filter_map(|kernel| Some((kernel, kernel.image.as_ref()?)));
        images
            .map(|(kernel, image)| self.expect(kernel, image.path.clone()))
            .collect()
    }

    pub(super) fn are_as_planned(&self, kernels: &[&InstalledKernel]) -> bool {
        kernels.iter().all(|kernel| self.is_as_planned(kernel))
    }

    fn is_as_planned(&self, kernel: &InstalledKernel) -> bool {
        let image = kernel.image.as_ref();
        image.is_none_or(|image| self.lacks(kernel, image).is_empty())
    }

    /// A command for each image.
    fn one_by_one(
        &self,
        argv: fn(&str, &str) -> Vec<String>,
        kernels: &[&InstalledKernel],
        edited: bool,
    ) -> Vec<Change> {
        let mut seen = BTreeSet::new();
        let mut changes = Vec::new();
        for kernel in kernels {
            let Some(image) = &kernel.image else {
                continue;
            };
            let needed = edited || !self.is_as_planned(kernel);
            if !needed || !seen.insert(&image.path) {
                continue;
            }
            // Of kernels that are installed later, by the same naming.
            let later = |text: &str| text.replacen(&kernel.release, "*", 1);
            let family = Some(later(&image.path)).filter(|family| family.contains('*'));
            let anew = family.as_ref().map(|family| {
                let staged = staged(&family.replace('*', "{}"));
                Anew {
                    argv: argv(&staged, "{}"),
                    staged,
                }
            });
            changes.push(Change::Run {
                argv: argv(&staged(&image.path), &kernel.release),
                undo: None,
                outputs: vec![Output {
                    path: image.path.clone(),
                    staged: Some(staged(&image.path)),
                }],
                // An image that packages name is of whatever kernel is there.
                once: family.is_none(),
                family,
                anew,
                expect: vec![self.expect(kernel, image.path.clone())],
                why: format!(
                    "makes the initramfs of {} anew, with these files in it, beside the one in use; it takes its place in one step once it was checked",
                    kernel.release
                ),
            });
        }
        changes
    }

    /// What must be in the image of `kernel` at this path.
    fn expect(&self, kernel: &InstalledKernel, path: String) -> Expect {
        Expect::Image {
            path,
            entries: self.entries(kernel),
            texts: self.texts.clone(),
        }
    }

    /// One command for every image.
    fn all_at_once(&self, facts: &Facts, kernels: &[&InstalledKernel]) -> Change {
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
                    expect.push(self.expect(kernel, path));
                }
            }
        }
        outputs.extend(self.more.iter().map(|(path, _)| path.clone()));
        let outputs = outputs
            .into_iter()
            .map(|path| Output { path, staged: None });
        Change::Run {
            argv: self.argv.iter().map(ToString::to_string).collect(),
            undo: None,
            outputs: outputs.collect(),
            family: Some(self.family.into()),
            anew: None,
            once: false,
            expect,
            why: "makes the initramfs of every installed kernel anew, with these files in it"
                .into(),
        }
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
