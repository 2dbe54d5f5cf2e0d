//! What carries the words to entries and images, now and for kernels to come.

use alloc::collections::BTreeSet;

use super::*;
use crate::rules::stack::generator::mkinitcpio;

/// The entry, and what it names.
fn files_of(entry: &BootEntry) -> impl Iterator<Item = &String> {
    core::iter::once(&entry.path)
        .chain(&entry.linux)
        .chain(&entry.initrds)
}

impl Menu<'_> {
    /// kernel-install brings kernel and image to where the loader reads them, and no hook of the
    /// generator calls it (update-initramfs and dracut run those in /etc/initramfs/post-update.d).
    pub(super) fn copies_images(&self) -> bool {
        let hook = self
            .facts
            .boot
            .post_update_hooks
            .iter()
            .any(|name| name.contains("systemd-boot"));
        match self.maker {
            Maker::KernelInstall | Maker::UnifiedKernelInstall => !hook,
            Maker::Kernelstub => true,
            // Of unified images, the generator's own run makes them.
            Maker::Hand | Maker::Grub | Maker::UnifiedMkinitcpio | Maker::UnifiedDracut => false,
        }
    }

    /// The words for entries and images that are made from now on.
    pub(super) fn cmdline_change(&self, line: &Line) -> Vec<Change> {
        if self.maker == Maker::UnifiedDracut {
            return self.dracut_change(line);
        }
        let mut changes = Vec::new();
        if self.maker.reads_cmdline() {
            let (_, text) = self.cmdline();
            let after = line.on_file(&text);
            if after != text {
                changes.push(Change::Edit {
                    path: CMDLINE.into(),
                    before: Some(text),
                    after: Some(after),
                    mode: 0o644,
                    why:
                        "puts the words on the command line of every entry that is made from now on"
                            .into(),
                });
            }
        }
        if self.maker == Maker::UnifiedMkinitcpio {
            changes.extend(self.drop_in_change(line));
        }
        changes
    }

    /// mkinitcpio takes /etc/cmdline.d, if there is any file in it, and not /etc/kernel/cmdline.
    pub(super) fn drop_in_change(&self, line: &Line) -> Option<Change> {
        const DROP_IN: &str = "/etc/cmdline.d/zz-passthru.conf";
        let others = self
            .facts
            .files
            .keys()
            .any(|path| path.starts_with("/etc/cmdline.d/") && path != DROP_IN);
        if !others || line.add.is_empty() {
            return None;
        }
        edit(
            self.facts,
            DROP_IN,
            format!("{}\n", line.add.join(" ")),
            0o644,
            "puts the words on the command line of every image that is made from now on; a drop-in, so the other files stay yours",
        )
    }

    pub(super) fn dracut_change(&self, line: &Line) -> Vec<Change> {
        if line.add.is_empty() {
            return Vec::new();
        }
        edit(
            self.facts,
            "/etc/dracut.conf.d/zz-passthru-cmdline.conf",
            format!(
                "# Written by passthru. Taken away by: passthru undo\nkernel_cmdline+=\" {} \"\n",
                line.add.join(" ")
            ),
            0o644,
            "puts the words on the command line of every image that is made from now on",
        )
        .into_iter()
        .collect()
    }

    /// Edits of entries that lack the words: what kernel-install would write, without its writing
    /// over kernels and images.
    pub(super) fn entry_edits(&self, lacks: &[&BootEntry], line: &Line) -> Vec<Change> {
        lacks
            .iter()
            .filter_map(|entry| {
                let text = self.facts.text(&entry.path)?;
                edit(
                    self.facts,
                    &entry.path,
                    line.on_entry(text),
                    0o644,
                    "puts the words on the kernel command line of this boot entry",
                )
            })
            .collect()
    }

    /// Entries for emergencies get no words, but lose what is repaired, once a trial has proved that
    /// the host starts without it.
    pub(super) fn rescue_edits(&self, repairs: &Line) -> Vec<Change> {
        let entries = self.facts.boot.entries.iter();
        entries
            .filter(|entry| !entry.is_passthrus() && !entry.unified && entry.is_for_emergencies())
            .filter(|entry| !self.fallbacks().any(|fallback| fallback.path == entry.path))
            .filter_map(|entry| {
                let text = self.facts.text(&entry.path)?;
                edit(
                    self.facts,
                    &entry.path,
                    repairs.on_entry(text),
                    0o644,
                    "takes the leftovers off this boot entry, too; it stays free of passthru's words",
                )
            })
            .collect()
    }

    /// Fallback entries of kernels that start normally, too, made by the same tool from the same
    /// command line (EndeavourOS's plugin of kernel-install, mkinitcpio's presets).
    pub(super) fn fallbacks(&self) -> impl Iterator<Item = &BootEntry> {
        let by_presets = self.fallback_images();
        let entries = self.facts.boot.entries.iter();
        entries.filter(move |entry| {
            let together = match self.maker {
                Maker::KernelInstall => {
                    entry.linux.is_some() && self.normal().any(|normal| normal.linux == entry.linux)
                }
                Maker::UnifiedMkinitcpio => entry.unified && by_presets.contains(&entry.path),
                Maker::Hand
                | Maker::Grub
                | Maker::Kernelstub
                | Maker::UnifiedKernelInstall
                | Maker::UnifiedDracut => false,
            };
            together && !entry.is_passthrus() && entry.is_for_emergencies()
        })
    }

    /// Images of presets that have no command line of their own.
    fn fallback_images(&self) -> BTreeSet<String> {
        if self.maker != Maker::UnifiedMkinitcpio {
            return BTreeSet::new();
        }
        let others = mkinitcpio::other_cmdlines(self.facts);
        let mut images = self.preset_images();
        images.retain(|path| !others.iter().any(|other| other.image == *path));
        images
    }

    /// Everything that `mkinitcpio -P` writes, images that are no entry of the menu included.
    fn preset_images(&self) -> BTreeSet<String> {
        let kernels: Vec<_> = self.facts.kernel.installed.iter().collect();
        let by_presets = mkinitcpio::images(self.facts, &kernels);
        let entries = self.normal().map(|entry| entry.path.clone());
        entries
            .chain(by_presets.into_iter().map(|(path, _)| path))
            .collect()
    }

    /// Makes entries or images anew by the tool that makes them.
    pub(super) fn rebuild(
        &self,
        words: &[String],
        absent: &[String],
        made: &Images,
    ) -> Vec<Change> {
        let expect = |entry: &BootEntry| Expect::EntryWords {
            path: entry.path.clone(),
            words: words.to_vec(),
            absent: absent.to_vec(),
        };
        let output = |path: &String| Output {
            path: path.clone(),
            staged: None,
        };
        let run =
            |argv: Vec<String>, outputs: Vec<Output>, expect: Vec<Expect>, why: &str| Change::Run {
                argv,
                undo: None,
                outputs,
                family: None,
                anew: None,
                once: false,
                expect,
                why: why.into(),
            };
        match self.maker {
            Maker::KernelInstall | Maker::UnifiedKernelInstall => self
                .normal()
                .filter_map(|entry| {
                    let version = entry.version.as_ref()?;
                    let image = self.facts.boot.kernel_images.get(version)?;
                    // A plugin may make a fallback's image beside it.
                    let fallbacks = self.fallbacks().filter(|other| other.linux == entry.linux);
                    let files: BTreeSet<&String> = core::iter::once(entry)
                        .chain(fallbacks)
                        .flat_map(files_of)
                        .collect();
                    let mut argv: Vec<String> = ["kernel-install", "add", version, image]
                        .map(String::from)
                        .to_vec();
                    // Named, it is taken as it is; else a plugin may make another one.
                    argv.extend(self.initramfs(version));
                    Some(run(
                        argv,
                        files.into_iter().map(output).collect(),
                        core::iter::once(expect(entry)).chain(self.image_expected(entry, made)).collect(),
                        "brings the new initramfs, and the command line, to where the boot loader reads them",
                    ))
                })
                .collect(),
            Maker::UnifiedMkinitcpio => vec![run(
                ["mkinitcpio", "-P"].map(String::from).to_vec(),
                self.preset_images().iter().map(output).collect(),
                self.normal()
                    .chain(self.fallbacks())
                    .flat_map(|entry| core::iter::once(expect(entry)).chain(self.image_expected(entry, made)))
                    .collect(),
                "makes the unified kernel images anew, with the command line in them",
            )],
            Maker::UnifiedDracut => vec![run(
                ["dracut", "--force", "--regenerate-all"].map(String::from).to_vec(),
                self.normal().map(|entry| output(&entry.path)).collect(),
                self.normal()
                    .flat_map(|entry| core::iter::once(expect(entry)).chain(self.image_expected(entry, made)))
                    .collect(),
                "makes the unified kernel images anew, with the command line in them",
            )],
            Maker::Kernelstub => {
                let files = self.normal().flat_map(files_of);
                let mut argv = vec![String::from("kernelstub")];
                if !words.is_empty() {
                    argv.extend(["--add-options".to_string(), words.join(" ")]);
                }
                let mut outputs: Vec<Output> = vec![output(&KERNELSTUB.into())];
                for file in files {
                    if !outputs.iter().any(|known| known.path == *file) {
                        outputs.push(output(file));
                    }
                }
                vec![run(
                    argv,
                    outputs,
                    self.normal().map(expect).collect(),
                    "brings the new initramfs, and the command line, to where the boot loader reads them, and keeps the words for kernels to come",
                )]
            }
            Maker::Hand | Maker::Grub => Vec::new(),
        }
    }

    /// The initramfs of a kernel, where it lies beside what the loader reads.
    pub(super) fn initramfs(&self, release: &str) -> Option<String> {
        let kernels = &self.facts.kernel.installed;
        let kernel = kernels.iter().find(|kernel| kernel.release == release)?;
        let path = &kernel.image.as_ref()?.path;
        let apart = !self
            .facts
            .boot
            .entries
            .iter()
            .any(|entry| entry.path == *path || entry.initrds.contains(path));
        apart.then(|| path.clone())
    }

    /// What the generator put into the kernel's image must be in what the loader reads.
    pub(super) fn image_expected(&self, entry: &BootEntry, made: &Images) -> Option<Expect> {
        let kernel = self
            .facts
            .kernel
            .installed
            .iter()
            .find(|kernel| Some(&kernel.release) == entry.version.as_ref())?;
        let image = kernel.image.as_ref()?;
        let holder = if entry.unified {
            Some(&entry.path)
        } else {
            entry.initrds.last()
        }?;
        made.expected.iter().find_map(|expect| match expect {
            Expect::Image {
                path,
                entries,
                texts,
            } if *path == image.path => Some(Expect::Image {
                path: holder.clone(),
                entries: entries.clone(),
                texts: texts.clone(),
            }),
            _ => None,
        })
    }
}
