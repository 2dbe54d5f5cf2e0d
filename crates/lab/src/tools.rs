//! What must be installed here before a host can be built and booted.

use std::path::Path;

use crate::error::Result;
use crate::{command, efi};

/// Programs the lab starts.
const TOOLS: [&str; 12] = [
    "qemu-system-x86_64",
    "qemu-img",
    "mmdebstrap",
    "mke2fs",
    "mkfs.vfat",
    "mcopy",
    "sfdisk",
    "chroot",
    "mount",
    "umount",
    "setpriv",
    "sha256sum",
];

/// The oldest QEMU whose devices and migration the lab was measured with.
const OLDEST_QEMU: u32 = 10;

/// What the prerequisites came to: the version of QEMU is part of every saved machine state.
pub struct Tools {
    /// First line of `qemu-system-x86_64 --version`.
    pub qemu: String,
}

/// Checks everything at once, so that one message names all that is missing.
pub fn check() -> Result<Tools> {
    let mut missing: Vec<String> = TOOLS
        .iter()
        .filter(|tool| command::find(tool).is_none())
        .map(|tool| (*tool).to_owned())
        .collect();
    let mut qemu = String::new();
    if command::find("qemu-system-x86_64").is_some() {
        let version = command::run("qemu-system-x86_64", ["--version"])?;
        qemu = version.lines().next().unwrap_or_default().to_owned();
        if major(&qemu).is_none_or(|major| major < OLDEST_QEMU) {
            missing.push(format!("QEMU {OLDEST_QEMU} or newer (this is {qemu:?})"));
        }
    }
    for file in [efi::CODE, efi::TEMPLATE] {
        if !Path::new(file).exists() {
            missing.push(format!("{file} (the package ovmf)"));
        }
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("root rights (for mmdebstrap and to read disk images)".to_owned());
    }
    if !missing.is_empty() {
        crate::bail!(
            "the lab needs: {}\nOn Debian 12 or 13, crates/lab/setup.sh, run as root, installs it.",
            missing.join(", ")
        );
    }
    Ok(Tools { qemu })
}

/// The major version in "QEMU emulator version 10.0.2 (…)".
fn major(version: &str) -> Option<u32> {
    version
        .split("version ")
        .nth(1)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_version() {
        assert_eq!(
            super::major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"),
            Some(10)
        );
        assert_eq!(super::major("something else"), None);
    }
}
