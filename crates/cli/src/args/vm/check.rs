//! `passthru vm check`.

use std::path::PathBuf;

use clap::Args;

/// `passthru vm check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The guest's name.
    #[arg(
        required_unless_present = "xml",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) name: String,
    /// Read its XML from a file in place of libvirt.
    #[arg(long, value_name = "FILE")]
    pub(crate) xml: Option<PathBuf>,
}
