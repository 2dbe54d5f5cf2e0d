//! Initramfs generators: how vfio-pci comes into the initramfs of every kernel.
//!
//! Each generator is a [`Recipe`]: the files that it reads and the command that makes the images. What
//! goes into every image is the same: vfio-pci, the softdeps of [`rules`], and the script of
//! [`script`], which acts on words of the kernel command line only.

mod booster;
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
    change::Change,
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

/// What the generator in charge needs done. [`is_supported`] has said yes.
pub(super) fn changes(
    draft: &mut Draft<'_>,
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Vec<Change> {
    let facts = draft.facts;
    let rules = rules::text(draft, bindings);
    let recipe = match facts.boot.generator.value() {
        Some(Generator::Dracut) => Some(dracut::recipe(draft, &rules)),
        Some(Generator::Mkinitcpio) => mkinitcpio::recipe(draft, &rules, kernels),
        Some(Generator::Booster) => Some(booster::recipe(draft, bindings)),
        Some(Generator::RpmOstree) => return ostree::changes(draft, rules),
        _ => Some(initramfs_tools::recipe(draft, &rules)),
    };
    let Some(recipe) = recipe else {
        return Vec::new();
    };
    let mut changes = foreign::take_over(draft);
    changes.extend(edit(facts, rules::PATH, rules, 0o644, rules::WHY));
    changes.extend(edits(facts, recipe.files));
    let edited = !changes.is_empty();
    changes.extend(recipe.command.changes(facts, kernels, edited));
    changes
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
