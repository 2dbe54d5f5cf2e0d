//! Whether a command did what it was run for: tools exit with 0 and leave half a file, or skip a
//! module they do not find. So what they made is opened and looked into.

use std::fmt::Debug;

use passthru_plan::{
    Expect, Measured, Output, change::image_mistakes, rules::grub_mistakes, text::bls,
};

use crate::{
    observe::{ImageContent, image_cmdline, read_image},
    root::Root,
};

/// Opens what commands produce. A trait, so that tests need no real images.
pub trait Inspect: Debug {
    /// What the initramfs at `path` holds: all entries, and the texts of those of `keep` that are
    /// in it.
    fn image(&self, root: &Root, path: &str, keep: &[&str]) -> Measured<ImageContent>;
}

/// Opens real images.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opener;

impl Inspect for Opener {
    fn image(&self, root: &Root, path: &str, keep: &[&str]) -> Measured<ImageContent> {
        match read_image(root, path, keep) {
            Ok(content) => Measured::Value(content),
            Err(error) => Measured::not(error.to_string()),
        }
    }
}

/// What of `expect` does not hold, one statement each.
pub(super) fn unmet(
    root: &Root,
    inspect: &dyn Inspect,
    expect: &Expect,
    outputs: &[Output],
) -> Vec<String> {
    let path = subject(expect, outputs);
    let found = match expect {
        Expect::Image { entries, texts, .. } => {
            let paths = texts.iter().flat_map(|(paths, _)| paths.split('|'));
            let keep: Vec<&str> = paths.collect();
            match inspect.image(root, path, &keep) {
                Measured::Value(image) => {
                    Ok(image_mistakes(entries, texts, &image.entries, &image.texts))
                }
                Measured::NotMeasured(why) => Err(why),
            }
        }
        Expect::GrubWords { words, absent, .. } => root
            .text(path)
            .map(|config| grub_mistakes(&config, words, absent))
            .map_err(|e| e.source.to_string()),
        Expect::EntryWords { words, absent, .. } => {
            let cmdline = if path.to_ascii_lowercase().ends_with(".efi") {
                image_cmdline(root, path)
            } else {
                root.text(path)
                    .map(|entry| bls::options(&entry))
                    .map_err(|e| e.source.to_string())
            };
            cmdline.map(|cmdline| bls::mistakes(&cmdline, words, absent))
        }
    };
    match found {
        Ok(mistakes) => mistakes.iter().map(|m| format!("{path}: {m}")).collect(),
        Err(why) => vec![format!("{path} cannot be checked: {why}")],
    }
}

/// The file an expectation is about: the staged one while it is staged.
pub(super) fn subject<'a>(expect: &'a Expect, outputs: &'a [Output]) -> &'a str {
    let (Expect::Image { path, .. }
    | Expect::GrubWords { path, .. }
    | Expect::EntryWords { path, .. }) = expect;
    outputs
        .iter()
        .find(|output| output.path == *path)
        .and_then(|output| output.staged.as_deref())
        .unwrap_or(path)
}
