//! EFI firmware under QEMU: OVMF, and the store of its variables, which belongs to a disk.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::command;
use crate::error::Result;

/// The firmware itself, which no machine writes.
pub const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/// A store without variables.
pub const TEMPLATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// The variables that belong to a disk: a layered file beside it.
pub fn variables(disk: &Path) -> PathBuf {
    let mut name = OsString::from(disk);
    name.push(".efi");
    name.into()
}

/// Gives a new disk a store without variables.
pub fn provide(disk: &Path) -> Result<()> {
    let arguments = ["convert", "-f", "raw", "-O", "qcow2", TEMPLATE].map(OsStr::new);
    let variables = variables(disk);
    command::run(
        "qemu-img",
        arguments.into_iter().chain([variables.as_os_str()]),
    )?;
    Ok(())
}
