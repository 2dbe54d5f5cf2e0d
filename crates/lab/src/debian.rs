//! Makes a Debian out of a recipe: packages into a folder, and the lab's files into that.
//!
//! This file is part of the cache's key: whatever changes here makes new disks.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::command;
use crate::error::{Context as _, Result};
use crate::partitions;
use crate::recipe::{FILES, Firmware, MASKED, PACKAGES, Recipe};

const SUITE: &str = "trixie";

/// Debian into a folder, from the default mirror.
pub fn bootstrap(recipe: &Recipe, root: &Path) -> Result<()> {
    let packages = [&PACKAGES, recipe.packages].concat();
    let without = |what: &str| format!("--dpkgopt=path-exclude=/usr/share/{what}/*");
    let mut arguments = [
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        "--quiet",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(["doc", "man", "info", "locale"].map(without));
    arguments.extend(recipe.answers.iter().map(|answer| {
        format!("--essential-hook=echo {answer} | chroot \"$1\" debconf-set-selections")
    }));
    arguments.extend(
        recipe
            .customize
            .map(|script| format!("--customize-hook={script}")),
    );
    arguments.push(format!("--include={}", packages.join(",")));
    arguments.push(SUITE.to_owned());
    arguments.push(text(root)?.to_owned());
    command::run("mmdebstrap", arguments)?;
    Ok(())
}

/// Puts the lab's own files and the stack's into the tree.
pub fn furnish(recipe: &Recipe, root: &Path) -> Result<()> {
    for (path, mode, text) in FILES.iter().chain(recipe.files) {
        write(&root.join(path), *mode, text)?;
    }
    write(
        &root.join("etc/fstab"),
        0o644,
        &partitions::fstab(recipe.firmware),
    )?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    for (target, unit) in [
        ("sysinit.target", "/etc/systemd/system/lab-agent.service"),
        (
            "multi-user.target",
            "/usr/lib/systemd/system/systemd-networkd.service",
        ),
    ] {
        let wants = units.join(format!("{target}.wants"));
        fs::create_dir_all(&wants)?;
        let name = Path::new(unit).file_name().ok_or("a unit has a name")?;
        symlink(unit, wants.join(name))?;
    }
    if recipe.firmware == Firmware::Efi {
        fs::create_dir_all(root.join("boot/efi"))?;
    }
    command::run("chroot", [text(root)?, "sh", "-ec", recipe.prepare])?;
    Ok(())
}

/// Writes a file with its folders.
pub fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// A path as tools take it in an argument.
pub fn text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("the cache's path is not UTF-8")?)
}
