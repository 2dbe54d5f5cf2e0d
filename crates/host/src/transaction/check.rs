//! Whether a command did what it was run for: tools exit with 0 and leave half a file, or skip a
//! module they do not find. So what they made is opened and looked into.

use std::{collections::BTreeMap, fmt::Debug};

use passthru_plan::{Expect, Output, change::image_mistakes, rules::grub_mistakes};

use crate::root::Root;

/// Opens what commands produce.
pub trait Inspect: Debug {
    /// What the initramfs at `path` holds: all entries, and the texts of those of `keep` that are
    /// in it.
    ///
    /// # Errors
    /// If it cannot be read as an initramfs; why, in words.
    fn image(&self, root: &Root, path: &str, keep: &[&str]) -> Result<ImageContents, String>;
}

/// What is in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageContents {
    /// Paths without a leading slash.
    pub entries: Vec<String>,
    /// Texts by path.
    pub texts: BTreeMap<String, String>,
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
            let keep: Vec<&str> = texts.iter().map(|(path, _)| path.as_str()).collect();
            inspect
                .image(root, path, &keep)
                .map(|contents| image_mistakes(entries, texts, &contents.entries, &contents.texts))
        }
        Expect::GrubWords { words, .. } => root
            .text(path)
            .map(|config| grub_mistakes(&config, words))
            .map_err(|e| e.source.to_string()),
    };
    match found {
        Ok(mistakes) => mistakes.iter().map(|m| format!("{path}: {m}")).collect(),
        Err(why) => vec![format!("{path} cannot be checked: {why}")],
    }
}

/// The file an expectation is about: the staged one while it is staged.
pub(super) fn subject<'a>(expect: &'a Expect, outputs: &'a [Output]) -> &'a str {
    let (Expect::Image { path, .. } | Expect::GrubWords { path, .. }) = expect;
    outputs
        .iter()
        .find(|output| output.path == *path)
        .and_then(|output| output.staged.as_deref())
        .unwrap_or(path)
}
