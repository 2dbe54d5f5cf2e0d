//! Looks into what commands made, for the engine, with the reader that facts come from too.

use passthru_host::{
    Root,
    observe::read_image,
    transaction::{ImageContents, Inspect},
};
use passthru_plan::Measured;

/// Opens initramfs images.
#[derive(Debug)]
pub(crate) struct Inspector;

impl Inspect for Inspector {
    fn image(&self, root: &Root, path: &str, keep: &[&str]) -> Result<ImageContents, String> {
        match read_image(root, path, keep) {
            Measured::Value(content) => Ok(ImageContents {
                entries: content.entries,
                texts: content.texts,
            }),
            Measured::NotMeasured(why) => Err(why),
        }
    }
}
