//! Configuration files that plans edit or findings read, with their text and mode.

use std::{collections::BTreeMap, io};

use passthru_plan::{Facts, Measured, facts::ConfigFile};

use crate::root::{PathError, Root};

/// Single files.
const FILES: [&str; 40] = [
    "/boot/EFI/limine/limine.conf",
    "/boot/efi/limine.conf",
    "/boot/efi/loader/loader.conf",
    "/boot/grub/custom.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub/grubenv",
    "/boot/grub2/custom.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/limine.conf",
    "/boot/limine/limine.conf",
    "/boot/loader/loader.conf",
    "/boot/refind_linux.conf",
    "/efi/loader/loader.conf",
    "/etc/X11/xorg.conf",
    "/etc/booster.yaml",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/default/limine",
    "/etc/dracut.conf",
    "/etc/fstab",
    "/etc/initramfs-tools/initramfs.conf",
    "/etc/initramfs-tools/modules",
    "/etc/initramfs-tools/update-initramfs.conf",
    "/etc/kernel/cmdline",
    "/etc/kernel/entry-token",
    "/etc/kernel/install.conf",
    "/etc/kernel/proxmox-boot-uuids",
    "/etc/kernel/tries",
    "/etc/kernel/uki.conf",
    "/etc/kernelstub/configuration",
    "/etc/libvirt/hooks/kvm.conf",
    "/etc/libvirt/hooks/qemu",
    "/etc/libvirt/qemu.conf",
    "/etc/mkinitcpio.conf",
    "/etc/modules",
    "/etc/sdboot-manage.conf",
    "/etc/sysconfig/bootloader",
    "/etc/udev/rules.d/90-passthru-guest-disks.rules",
    "/usr/lib/kernel/cmdline",
];

/// Files of a directory: its path, and how the names start and end. Where a wrong suffix is a mistake
/// people make (dracut.conf.d, modprobe.d), all names are taken.
const DIRECTORIES: [(&str, &str, &str); 39] = [
    ("/boot/efi/loader/entries", "", ".conf"),
    ("/boot/loader/entries", "", ".conf"),
    ("/efi/loader/entries", "", ".conf"),
    ("/etc/X11/xorg.conf.d", "", ".conf"),
    ("/etc/cmdline.d", "", ".conf"),
    ("/etc/default/grub.d", "", ".cfg"),
    ("/etc/dracut.conf.d", "", ""),
    ("/etc/driverctl.d", "", ""),
    ("/etc/grub.d", "4", ""),
    ("/etc/initcpio/hooks", "passthru", ""),
    ("/etc/initcpio/install", "passthru", ""),
    ("/etc/initcpio/passthru", "", ""),
    ("/etc/initramfs-tools/conf.d", "", ""),
    ("/etc/initramfs-tools/hooks", "", ""),
    ("/etc/initramfs-tools/scripts/init-bottom", "", ""),
    ("/etc/initramfs-tools/scripts/init-premount", "", ""),
    ("/etc/initramfs-tools/scripts/init-top", "", ""),
    ("/etc/kernel/cmdline.d", "", ""),
    ("/etc/kernel/install.conf.d", "", ".conf"),
    ("/etc/limine-entry-tool.d", "", ".conf"),
    ("/etc/mkinitcpio.conf.d", "", ""),
    ("/etc/mkinitcpio.d", "", ".preset"),
    ("/etc/modprobe.d", "", ""),
    ("/etc/modules-load.d", "", ".conf"),
    ("/etc/passthru", "bind", ""),
    ("/etc/systemd/system", "passthru", ""),
    ("/etc/systemd/system", "vfio", ""),
    ("/etc/systemd/system/emergency.target.d", "passthru", ""),
    ("/etc/systemd/system/multi-user.target.d", "passthru", ""),
    (
        "/etc/systemd/system/systemd-udev-trigger.service.d",
        "passthru",
        "",
    ),
    ("/etc/udev/rules.d", "", "passthru.rules"),
    ("/etc/udev/rules.d", "", "vfio.rules"),
    ("/lib/modprobe.d", "", ".conf"),
    ("/run/modprobe.d", "", ".conf"),
    ("/usr/lib/dracut/dracut.conf.d", "", ".conf"),
    ("/usr/lib/dracut/modules.d/90passthru", "", ".sh"),
    ("/usr/lib/modprobe.d", "", ".conf"),
    ("/usr/local/lib/modprobe.d", "", ".conf"),
    ("/usr/share/initramfs-tools/modules.d", "", ""),
];

/// A configuration file larger than this (bytes) is not read; a grub.cfg of a hundred entries has
/// a tenth of it.
const LIMIT: u64 = 4 << 20;

/// libvirt runs the files in it; the dispatcher that guides install runs those of
/// GUEST/OPERATION/PHASE below it.
const HOOKS: &str = "/etc/libvirt/hooks/qemu.d";
/// Levels of directories below [`HOOKS`] that are looked into.
const HOOK_LEVELS: usize = 3;
/// Files and directories of [`HOOKS`] that are looked at.
const HOOK_ENTRIES: usize = 256;
/// A hook larger than this (bytes) is a program, not a script.
const HOOK_LIMIT: u64 = 256 << 10;

/// Fills `files` with those that exist; directories that could not be listed are named in `closed`
/// and `unreadable`.
pub(super) fn observe(root: &Root, facts: &mut Facts) {
    let mut files = BTreeMap::new();
    let mut take = |path: String| {
        if let Some(file) = file(root, &path, LIMIT) {
            files.insert(path, file);
        }
    };
    for path in FILES {
        take(path.to_owned());
    }
    // On merged systems /lib is /usr/lib, and each file is listed once.
    let merged = root.resolve("/lib").is_ok_and(|real| real == "/usr/lib");
    for (directory, start, end) in DIRECTORIES {
        if merged && directory == "/lib/modprobe.d" {
            continue;
        }
        match root.list(directory) {
            Ok(names) => {
                for name in names {
                    if name.starts_with(start) && name.ends_with(end) {
                        take(format!("{directory}/{name}"));
                    }
                }
            }
            Err(error) if error.is_missing() => {}
            Err(error) => unlisted(directory, &error, facts),
        }
    }
    // initramfs-tools keeps images up to date for the kernels it has a record of (update-initramfs(8)).
    for kernel in &facts.kernel.installed {
        take(format!("/var/lib/initramfs-tools/{}", kernel.release));
    }
    hooks(root, &mut files, facts);
    facts.files = files;
}

fn unlisted(directory: &str, error: &PathError, facts: &mut Facts) {
    let (list, why) = if error.source.kind() == io::ErrorKind::PermissionDenied {
        let why = format!("{directory} cannot be listed; it needs root");
        (&mut facts.closed, why)
    } else {
        let why = format!("{directory} cannot be listed: {}", error.source);
        (&mut facts.unreadable, why)
    };
    if !list.contains(&why) {
        list.push(why);
    }
}

/// The files of [`HOOKS`] and of the directories below it. Links to directories are not followed:
/// what they lead to is read in its own place, or is not a hook.
fn hooks(root: &Root, files: &mut BTreeMap<String, ConfigFile>, facts: &mut Facts) {
    let mut level = vec![HOOKS.to_owned()];
    let mut left = HOOK_ENTRIES;
    for _ in 0..=HOOK_LEVELS {
        let mut below = Vec::new();
        for directory in level {
            let names = match root.list(&directory) {
                Ok(names) => names,
                Err(error) if error.is_missing() => continue,
                Err(error) => {
                    unlisted(&directory, &error, facts);
                    continue;
                }
            };
            for name in names {
                if left == 0 {
                    let why = format!("{HOOKS} holds more than {HOOK_ENTRIES} entries");
                    let rest = ConfigFile {
                        text: Measured::not(format!("{why}; the others were not read")),
                        mode: 0o755,
                    };
                    files.insert(HOOKS.to_owned(), rest);
                    return;
                }
                left -= 1;
                let path = format!("{directory}/{name}");
                if root.meta(&path).is_ok_and(|meta| meta.is_dir()) {
                    below.push(path);
                } else if let Some(file) = file(root, &path, HOOK_LIMIT) {
                    files.insert(path, file);
                }
            }
        }
        level = below;
    }
}

/// A regular file, or a link to one; `None` if there is none. One of more than `limit` bytes is not
/// read.
fn file(root: &Root, path: &str, limit: u64) -> Option<ConfigFile> {
    let mut meta = root.meta(path).ok()?;
    if meta.is_link() {
        // A link to /dev/null is how a drop-in of the distribution is switched off.
        if root.link(path).is_ok_and(|target| target == "/dev/null") {
            return Some(ConfigFile {
                text: Measured::Value(String::new()),
                mode: 0o644,
            });
        }
        meta = root.meta(&root.resolve(path).ok()?).ok()?;
    }
    if !meta.is_file() {
        return None;
    }
    let text = if meta.size > limit {
        Measured::not(format!("{path} is larger than {} KiB", limit >> 10))
    } else {
        match root.text(path) {
            Ok(text) => Measured::Value(text),
            Err(error) => super::not(root, path, &error),
        }
    };
    Some(ConfigFile {
        text,
        mode: meta.mode & 0o7777,
    })
}
