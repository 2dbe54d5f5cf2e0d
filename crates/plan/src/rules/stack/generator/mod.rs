//! Initramfs generators: how vfio-pci comes into the initramfs of every kernel.
//!
//! Each generator is a [`Recipe`]: the files that it reads and the command that makes the images. What
//! goes into every image is the same: vfio-pci, the softdeps of [`rules`], and the script of
//! [`script`], which acts on words of the kernel command line only.

mod booster;
mod by_kernel_install;
mod dracut;
mod images;
pub(crate) mod initramfs_tools;
pub(crate) mod mkinitcpio;
mod ostree;
pub(crate) mod rules;
mod script;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    change::{Change, Expect},
    facts::{Facts, Generator, InstalledKernel},
    plan::BoundFunction,
    rules::{
        Draft,
        stack::{edit, foreign, loader},
    },
};

/// A file that a generator reads.
struct File {
    path: String,
    text: String,
    mode: u32,
    why: &'static str,
}

/// Reasons of files that are alike for every generator.
const WHY_MODULES: &str = "puts vfio-pci into the initramfs of every kernel, also of later ones";
const WHY_SCRIPT: &str = "loads vfio-pci before udev runs and binds functions by address; it does nothing without passthru's words on the command line";

/// How a generator is configured and run.
struct Recipe<'a> {
    files: Vec<File>,
    command: images::Command<'a>,
}

/// What is done for the images.
#[derive(Default)]
pub(super) struct Images {
    /// Files that the generator reads, and its command.
    pub(super) changes: Vec<Change>,
    /// They are to be made anew by the loader's own tool.
    pub(super) by_loader: bool,
    /// What must be in every image, now and whenever it is made anew.
    pub(super) expected: Vec<Expect>,
}

impl Images {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.by_loader
    }
}

/// What the generator in charge needs done. [`is_supported`] has said yes.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Images {
    let facts = draft.facts;
    if !facts.boot.generator.is(&Generator::RpmOstree) && !known_kernels(draft, kernels) {
        return Images::default();
    }
    let rules = rules::text(draft, bindings);
    let recipe = match facts.boot.generator.value() {
        Some(Generator::Dracut) => Some(dracut::recipe(draft, &rules)),
        Some(Generator::Mkinitcpio) => mkinitcpio::recipe(draft, &rules, kernels),
        Some(Generator::Booster) => Some(booster::recipe(draft, bindings)),
        Some(Generator::RpmOstree) => {
            return Images {
                changes: ostree::changes(draft, rules),
                ..Images::default()
            };
        }
        _ => Some(initramfs_tools::recipe(draft, &rules)),
    };
    let Some(recipe) = recipe else {
        return Images::default();
    };
    let mut changes = foreign::take_over(draft);
    changes.extend(edit(facts, rules::PATH, rules, 0o644, rules::WHY));
    changes.extend(edits(facts, recipe.files));
    let edited = !changes.is_empty();
    let command = recipe.command;
    let by_loader = by_kernel_install::is_in_charge(draft, kernels);
    if !by_loader {
        changes.extend(command.changes(facts, kernels, edited));
    }
    Images {
        changes,
        by_loader: by_loader && (edited || !command.are_as_planned(kernels)),
        expected: command.expected(kernels),
    }
}

/// The kernels whose images are to be made are known; else the plan would cover none of them.
fn known_kernels(draft: &mut Draft<'_>, kernels: &[&InstalledKernel]) -> bool {
    let facts = draft.facts;
    let installed = &facts.kernel.installed;
    let looked = "Looked for in /boot by their releases and by what pkgbase and kernelbase in their module directories say, in boot entries, in mkinitcpio's presets and in GRUB's menu.";
    if kernels.is_empty() && !installed.iter().any(|kernel| kernel.bootable) {
        let names: Vec<&str> = installed
            .iter()
            .map(|kernel| kernel.release.as_str())
            .collect();
        let found = if names.is_empty() {
            "/lib/modules holds no kernel".to_string()
        } else {
            format!(
                "no kernel image was found of those in /lib/modules ({})",
                names.join(", ")
            )
        };
        draft.refuse(
            "kernel.unknown",
            format!("What this host boots is not known, so no initramfs can be made for it: {found}. {looked}"),
            "Run passthru as root, with the boot partition mounted. If it says the same then, please report it with the output of passthru capture FILE.",
        );
        return false;
    }
    // Unified images and presets say what they make by themselves.
    if !kernels.is_empty() && kernels.iter().all(|kernel| kernel.image.is_none()) {
        let names: Vec<&str> = kernels
            .iter()
            .map(|kernel| kernel.release.as_str())
            .collect();
        draft.refuse(
            "kernel.unknown",
            format!("No initramfs was found for any kernel of this host ({}), so it cannot be made anew and checked. {looked}", names.join(", ")),
            "Run passthru as root, with the boot partition mounted. If these kernels start without an initramfs, make one with the distribution's tool, then plan again.",
        );
        return false;
    }
    true
}

fn edits(facts: &Facts, files: Vec<File>) -> impl Iterator<Item = Change> {
    files
        .into_iter()
        .filter_map(|file| edit(facts, &file.path, file.text, file.mode, file.why))
}

/// The generator's name, if it writes an image over the only one that there is of a kernel: other loaders
/// have copies that none of them writes to; initramfs-tools and booster write beside it and rename.
pub(super) fn writes_over(facts: &Facts) -> Option<&'static str> {
    if !loader::is_by_grub_defaults(facts) {
        return None;
    }
    match facts.boot.generator.value()? {
        Generator::Dracut if !dracut::is_beside(facts) => Some("dracut"),
        // `build_image` writes straight to its output.
        Generator::Mkinitcpio => Some("mkinitcpio"),
        _ => None,
    }
}

/// The generator is one that passthru can configure; else it is refused by name.
pub(super) fn is_supported(draft: &mut Draft<'_>) -> bool {
    let boot = &draft.facts.boot;
    let later =
        "passthru devices, doctor and capture work on this host; binding at boot does not yet.";
    match boot.generator.value() {
        Some(Generator::NixOs) => draft.refuse(
            "stack.initramfs",
            "NixOS makes the initramfs from its configuration.",
            later,
        ),
        Some(_) => return true,
        None => {
            let why = boot
                .generator
                .why_not()
                .unwrap_or("no known generator was found")
                .to_string();
            draft.refuse(
                "stack.initramfs",
                format!("What makes the initramfs is not clear: {why}."),
                later,
            );
        }
    }
    false
}

/// An image that cannot be opened cannot be checked, and an unchecked image is not trusted. `tool` is
/// the program or path that compresses it, with its options; nothing is the generator's default.
fn check_compression(draft: &mut Draft<'_>, tool: Option<String>, way_out: &str) {
    let tool = tool.unwrap_or_default();
    let program = tool.split_whitespace().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    if !matches!(name, "" | "zstd" | "gzip" | "pigz" | "cat" | "none") {
        draft.refuse(
            "stack.compression",
            format!(
                "The initramfs is compressed with {name}, which passthru cannot open to check it."
            ),
            way_out,
        );
    }
}
