//! Where passthru itself is, and whether a service may start it as root.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use passthru_plan::Measured;

use crate::root::Root;

/// Where it is expected on a host that is not this machine.
const INSTALLED: &str = "/usr/local/bin/passthru";

/// The running executable, if nobody but root can put another one in its place.
pub(super) fn observe(root: &Root) -> Measured<String> {
    if !root.is_live() {
        return Measured::Value(INSTALLED.into());
    }
    let path = match std::env::current_exe().and_then(fs::canonicalize) {
        Ok(path) => path,
        Err(error) => return Measured::not(format!("its own path is not known: {error}")),
    };
    let Some(text) = path.to_str() else {
        return Measured::not(format!("its path, {}, is not UTF-8", path.display()));
    };
    // systemd splits ExecStart= at blanks and expands % and $ (systemd.service(5)).
    if text.contains(|c: char| c.is_whitespace() || "%$\"'\\;".contains(c)) {
        return Measured::not(format!(
            "its path, {text}, has letters that a unit file cannot carry"
        ));
    }
    if ["/tmp/", "/run/", "/dev/"]
        .iter()
        .any(|gone| text.starts_with(gone))
    {
        return Measured::not(format!("{text} is gone after a reboot"));
    }
    match open_to_others(&path) {
        Some(place) => Measured::not(format!("others than root can change {}", place.display())),
        None => Measured::Value(text.to_owned()),
    }
}

/// The first part of `path` that somebody else than root may change.
fn open_to_others(path: &Path) -> Option<&Path> {
    path.ancestors().find(|part| {
        fs::metadata(part).map_or(true, |meta| meta.uid() != 0 || meta.mode() & 0o022 != 0)
    })
}
