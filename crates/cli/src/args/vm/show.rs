//! `passthru vm show`.

use std::path::PathBuf;

use clap::Args;

use super::new::Format;

/// `passthru vm show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The guest's name.
    #[arg(
        required_unless_present = "xml",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) name: String,
    /// How to show it.
    #[arg(long, value_name = "FORMAT", default_value = "libvirt")]
    pub(crate) format: Format,
    /// Read its XML from a file in place of libvirt.
    #[arg(long, value_name = "FILE")]
    pub(crate) xml: Option<PathBuf>,
}
