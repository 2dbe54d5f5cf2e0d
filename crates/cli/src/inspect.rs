//! Looks into what commands made, for the engine: initramfs images and GRUB configurations.

use passthru_host::{
    Root,
    observe::read_image,
    transaction::{ImageContents, Inspect},
};
use passthru_plan::rules::grub_mistakes;

/// The readers that facts come from, too.
#[derive(Debug)]
pub(crate) struct Inspector;

impl Inspect for Inspector {
    fn image(&self, root: &Root, path: &str, wanted: &[&str]) -> Result<ImageContents, String> {
        let content = read_image(root, path, wanted).map_err(|e| e.to_string())?;
        Ok(ImageContents {
            entries: content.entries.into_iter().collect(),
            texts: content.texts,
        })
    }

    fn grub_words(&self, config: &str, words: &[String]) -> Result<Vec<String>, String> {
        Ok(grub_mistakes(config, words))
    }
}
