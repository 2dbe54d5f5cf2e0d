//! Kernels and images that are known by what loads them: boot entries, presets and GRUB's menu, where
//! their names in /boot do not tell a release (Manjaro) or they are not in /boot at all (kernel-install
//! with the EFI system partition on /efi).

use std::os::unix::fs::FileExt;

use passthru_plan::{Facts, facts::InstalledKernel, text::grub_cfg, text::shell};

use super::kernel;
use crate::root::Root;

/// A kernel as something loads it.
struct Loaded {
    /// The release, if what loads it says so.
    release: Option<String>,
    /// The kernel's file; none if it is part of the image.
    kernel: Option<String>,
    /// Its initramfs, or the unified kernel image.
    image: Option<String>,
}

/// Completes the installed kernels that are not found in /boot by their release, and passthru's own
/// entries by what they start.
pub(super) fn complete(root: &Root, facts: &mut Facts, open: bool) {
    for entry in &mut facts.boot.entries {
        // Its kernel is a copy, and may be older than every installed one.
        if entry.is_passthrus() && entry.version.is_none() {
            entry.version = entry
                .linux
                .as_deref()
                .and_then(|path| release_in(root, path));
        }
    }
    let is_known = |kernel: &InstalledKernel| kernel.bootable && kernel.image.is_some();
    if facts.kernel.installed.iter().all(is_known) {
        return;
    }
    let mut found = by_entries(facts);
    found.extend(by_presets(facts));
    found.extend(by_grub(facts));
    for loaded in found {
        let release = loaded
            .release
            .or_else(|| release_in(root, loaded.kernel.as_deref()?));
        let mut installed = facts.kernel.installed.iter_mut();
        let Some(kernel) = installed.find(|kernel| Some(&kernel.release) == release.as_ref())
        else {
            continue;
        };
        kernel.bootable = true;
        if kernel.image.is_none() {
            kernel.image = loaded
                .image
                .and_then(|path| kernel::initramfs(root, path, &kernel::sizes(root), open));
        }
    }
}

/// Of several initrds the last one is the initramfs; those before it are microcode.
fn by_entries(facts: &Facts) -> Vec<Loaded> {
    let entries = facts.boot.entries.iter();
    entries
        .filter(|entry| !entry.is_passthrus() && !entry.is_for_emergencies())
        .map(|entry| Loaded {
            release: entry.version.clone(),
            kernel: entry.linux.clone(),
            image: if entry.unified {
                Some(entry.path.clone())
            } else {
                entry.initrds.last().cloned()
            },
        })
        .collect()
}

/// `ALL_kver` and the default image of mkinitcpio's presets (mkinitcpio(8), PRESETS).
fn by_presets(facts: &Facts) -> Vec<Loaded> {
    let presets = facts
        .files
        .keys()
        .filter(|path| path.starts_with("/etc/mkinitcpio.d/") && path.ends_with(".preset"));
    presets
        .filter_map(|path| {
            let mut values = shell::evaluate([facts.text(path)?]);
            let mut value = |name: &str| values.remove(name).flatten();
            let kernel = value("default_kver").or_else(|| value("ALL_kver"))?;
            let is_file = kernel.starts_with('/');
            Some(Loaded {
                release: (!is_file).then(|| kernel.clone()),
                kernel: is_file.then_some(kernel),
                image: value("default_image").or_else(|| value("default_uki")),
            })
        })
        .collect()
}

/// GRUB names files from the top of their file system, which may be /boot or a subvolume.
fn by_grub(facts: &Facts) -> Vec<Loaded> {
    let in_boot = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        format!("/boot/{name}")
    };
    ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"]
        .iter()
        .filter_map(|path| facts.text(path))
        .flat_map(grub_cfg::entries)
        .filter(|entry| entry.purpose() == grub_cfg::Purpose::Normal)
        .map(|entry| Loaded {
            release: None,
            kernel: entry.kernel.as_ref().map(in_boot),
            image: entry.initrd.last().map(in_boot),
        })
        .collect()
}

/// The release that a kernel of x86 says of itself: text at the offset that stands at 0x20e, plus
/// 0x200 (kernel documentation, x86/boot, `kernel_version`).
fn release_in(root: &Root, path: &str) -> Option<String> {
    let file = root.stream(path).ok()?;
    let mut head = [0; 0x210];
    file.read_exact_at(&mut head, 0).ok()?;
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = u64::from(u16::from_le_bytes([head[0x20e], head[0x20f]])) + 0x200;
    let mut text = [0; 128];
    let length = file.read_at(&mut text, offset).ok()?;
    let text = text.get(..length)?;
    let end = text.iter().position(|&b| b == b' ' || b == 0)?;
    let release = std::str::from_utf8(text.get(..end)?).ok()?;
    (!release.is_empty()).then(|| release.to_owned())
}
