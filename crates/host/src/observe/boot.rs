//! How the host boots: which loader manages its entries, which generator makes its initramfs.
//!
//! Several loaders are often installed; the one that started the running system wins, and where
//! nothing tells which that was, the answer is "not measured" with what was found.

mod efi;
mod entries;
mod generator;
mod grubenv;
mod loader;
mod ostree;

pub(crate) use entries::image_cmdline;

use passthru_plan::{
    Facts, Measured,
    facts::{Boot, BootLoader},
};

use super::{block::Storage, captured};
use crate::root::Root;

/// Reads the boot stack; `facts` has the kernel, the machine and the files already.
pub(super) fn observe(root: &Root, facts: &Facts, storage: &Storage) -> Boot {
    let efi = efi::Variables::read(root);
    let mut boot = Boot {
        unified_kernel_image: efi.stub.is_some(),
        boot_free: boot_free(root),
        grub_dropins: [
            "/usr/sbin/grub-mkconfig",
            "/usr/bin/grub-mkconfig",
            "/usr/sbin/grub2-mkconfig",
        ]
        .iter()
        .find_map(|path| root.read(path).ok())
        .map_or_else(
            || Measured::not("grub-mkconfig was not found or cannot be read"),
            |script| Measured::Value(super::lossy(script).contains("default/grub.d")),
        ),
        grub_zfs: root.exists("/etc/grub.d/10_linux_zfs"),
        mkinitcpio_dropins: match root.read("/usr/bin/mkinitcpio") {
            Ok(script) => Measured::Value(super::lossy(script).contains("conf.d")),
            Err(error) => super::not(root, "/usr/bin/mkinitcpio", &error),
        },
        update_initramfs: root.exists("/usr/sbin/update-initramfs"),
        rpm_ostree: root.exists("/usr/bin/rpm-ostree"),
        post_update_hooks: post_update_hooks(root),
        ..Boot::default()
    };
    (boot.loader, boot.loader_evidence) = loader::observe(root, facts, &efi);
    (boot.generator, boot.generator_evidence) = generator::observe(root, facts);
    boot.secure_boot = match &facts.machine.secure_boot {
        // Firmware that knows no Secure Boot has no such variable.
        Measured::NotMeasured(_) if efi.readable && !efi.knows_secure_boot => {
            Measured::Value(false)
        }
        state => state.clone(),
    };
    entries::observe(root, facts, storage, &efi, &mut boot);
    boot.loader_info = efi.loader;
    if let Some(BootLoader::RpmOstree) = boot.loader.value() {
        let entries = boot.entries.iter();
        let next = entries
            .filter(|entry| Some(&entry.path) == boot.default_entry.as_ref())
            .find_map(|entry| entry.options.value().map(String::as_str));
        boot.ostree_initramfs = ostree::initramfs(root, facts, next);
    }
    if let Some(BootLoader::Grub | BootLoader::Grub2 | BootLoader::GrubBls) = boot.loader.value() {
        boot.one_shot = grubenv::one_shot(root);
        boot.grubenv_read_only = grubenv::read_only(root, storage);
    }
    boot
}

fn boot_free(root: &Root) -> Measured<u64> {
    if !root.is_live() {
        return root
            .attribute(captured::BOOT_FREE)
            .and_then(|text| text.parse().ok())
            .map_or_else(
                || Measured::not("free space can only be measured on the running machine"),
                Measured::Value,
            );
    }
    match root.free_bytes("/boot") {
        Ok(bytes) => Measured::Value(bytes),
        Err(error) => super::not(root, "/boot", &error),
    }
}

/// Executables that update-initramfs runs after each image (initramfs-tools(7)).
fn post_update_hooks(root: &Root) -> Vec<String> {
    const DIRECTORY: &str = "/etc/initramfs/post-update.d";
    let mut names = root.list(DIRECTORY).unwrap_or_default();
    names.retain(|name| {
        let path = format!("{DIRECTORY}/{name}");
        root.resolve(&path)
            .and_then(|path| root.meta(&path))
            .is_ok_and(|meta| meta.is_file() && meta.mode & 0o111 != 0)
    });
    names
}
