//! How the host boots: loader, entries, initramfs.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::measured::Measured;

/// Boot facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Boot {
    /// The loader in charge; not measured if none or several equally likely ones were found.
    pub loader: Measured<BootLoader>,
    /// What was found, one line of evidence each.
    pub loader_evidence: Vec<String>,
    /// The initramfs generator in charge.
    pub generator: Measured<Generator>,
    /// What was found, one line of evidence each.
    pub generator_evidence: Vec<String>,
    /// A unified kernel image was booted (`StubInfo` is set).
    pub unified_kernel_image: bool,
    /// `LoaderInfo` EFI variable, if set.
    pub loader_info: Option<String>,
    /// Free bytes of the file system that holds /boot.
    pub boot_free: Measured<u64>,
    /// `grub-mkconfig` sources /etc/default/grub.d/*.cfg (a Debian patch).
    pub grub_dropins: Measured<bool>,
    /// /etc/grub.d/10_linux_zfs exists (Ubuntu), to which 10_linux leaves hosts with a ZFS root.
    #[serde(default)]
    pub grub_zfs: bool,
    /// mkinitcpio reads /etc/mkinitcpio.conf.d/*.conf (since version 36).
    #[serde(default)]
    pub mkinitcpio_dropins: Measured<bool>,
    /// Arguments with which rpm-ostree makes the initramfs of the deployment that starts next; `None`
    /// inside if it takes the image's own (`regenerate-initramfs` in the deployment's origin).
    #[serde(default)]
    pub ostree_initramfs: Measured<Option<Vec<String>>>,
    /// /usr/sbin/update-initramfs exists: initramfs-tools' own, or dracut's wrapper.
    #[serde(default)]
    pub update_initramfs: bool,
    /// /usr/bin/rpm-ostree exists: it changes kernel arguments and the initramfs of image-based hosts.
    #[serde(default)]
    pub rpm_ostree: bool,
    /// /etc/initramfs/post-update.d holds executables.
    pub post_update_hooks: Vec<String>,
    /// Where the loader finds kernels and entries (bootctl(1): `$BOOT`, the XBOOTLDR or else the EFI
    /// system partition), if it is mounted.
    #[serde(default)]
    pub partition: Option<BootPartition>,
    /// Entries of the Boot Loader Specification and unified kernel images, sorted by path.
    #[serde(default)]
    pub entries: Vec<BootEntry>,
    /// The entry that starts by default, as the loader would choose it: a path in `entries`.
    #[serde(default)]
    pub default_entry: Option<String>,
    /// The entry that the loader will start once, at the next boot (GRUB: `next_entry` in grubenv;
    /// systemd-boot: the EFI variable `LoaderEntryOneShot`).
    #[serde(default)]
    pub one_shot: Measured<Option<String>>,
    /// Why GRUB cannot clear a one-shot again by itself (grubenv on LVM, RAID, btrfs, ZFS …), so that
    /// it would be permanent.
    #[serde(default)]
    pub grubenv_read_only: Measured<Option<String>>,
    /// Secure Boot is on (EFI variable `SecureBoot`).
    #[serde(default)]
    pub secure_boot: Measured<bool>,
    /// The kernel image of each installed release, as kernel-install(8) is given it.
    #[serde(default)]
    pub kernel_images: BTreeMap<String, String>,
    /// Directories with copies of kernels and images that passthru has made.
    #[serde(default)]
    pub copies: Vec<String>,
    /// What signs unified kernel images on this host when they are made: the file that says so.
    #[serde(default)]
    pub signer: Option<String>,
}

/// The partition that the loader reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootPartition {
    /// Mount point.
    pub path: String,
    /// File system type as in mountinfo: `vfat`, `ext4` …
    pub file_system: String,
    /// Mounted read-only.
    pub read_only: bool,
    /// Free bytes.
    pub free: Measured<u64>,
}

/// A boot entry that is a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootEntry {
    /// Absolute path of the entry (`…/loader/entries/X.conf`) or image (`…/EFI/Linux/X.efi`).
    pub path: String,
    /// As the loader and bootctl(1) name it: the file name without a boot counter.
    pub id: String,
    /// It is a unified kernel image: kernel, initramfs and command line are in the file.
    pub unified: bool,
    /// Title shown.
    pub title: Option<String>,
    /// Kernel release.
    pub version: Option<String>,
    /// `sort-key`.
    pub sort_key: Option<String>,
    /// `machine-id`.
    pub machine_id: Option<String>,
    /// Absolute path of the kernel, if it is a file of its own.
    pub linux: Option<String>,
    /// Absolute paths of the initramfs images, in order.
    pub initrds: Vec<String>,
    /// The kernel command line; not measured if the file could not be read.
    pub options: Measured<String>,
}

impl BootEntry {
    /// Made by passthru: the trial's, or the way back.
    pub fn is_passthrus(&self) -> bool {
        self.id
            .trim_start_matches(['_', '-', '~'])
            .starts_with("passthru-")
    }

    /// A rescue, recovery or fallback entry, which stays as it is.
    pub fn is_for_emergencies(&self) -> bool {
        let title = self.title.as_deref().unwrap_or_default();
        let name = alloc::format!("{} {title}", self.id).to_lowercase();
        let images = self.initrds.iter().map(|path| path.to_lowercase());
        ["rescue", "fallback", "recovery"]
            .iter()
            .any(|word| name.contains(word) || images.clone().any(|image| image.contains(word)))
    }
}

/// Boot loaders and who manages their entries (reference: D.1 and D.2 of the design notes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootLoader {
    /// GRUB with /boot/grub/grub.cfg made by grub-mkconfig (Debian, Ubuntu, Arch and kin).
    Grub,
    /// GRUB with /boot/grub2/grub.cfg made by grub2-mkconfig (openSUSE classic, older Fedora).
    Grub2,
    /// GRUB that reads BLS entries (Fedora, RHEL), managed by grubby.
    GrubBls,
    /// openSUSE with sdbootutil (grub2-bls or systemd-boot).
    Sdbootutil,
    /// openSUSE MicroOS and kin: transactional-update.
    TransactionalUpdate,
    /// systemd-boot with entries made by kernel-install.
    SystemdBootKernelInstall,
    /// systemd-boot with hand-written entries.
    SystemdBoot,
    /// systemd-boot with entries made by sdboot-manage (CachyOS, Manjaro).
    SdbootManage,
    /// Unified kernel images, started by firmware or systemd-boot.
    UnifiedKernelImage,
    /// Pop!_OS: kernelstub.
    Kernelstub,
    /// Limine.
    Limine,
    /// rpm-ostree.
    RpmOstree,
    /// bootc, image based.
    Bootc,
    /// Proxmox VE through proxmox-boot-tool.
    ProxmoxBootTool,
    /// NixOS.
    NixOs,
    /// rEFInd.
    Refind,
}

impl BootLoader {
    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grub => "GRUB (grub-mkconfig)",
            Self::Grub2 => "GRUB (grub2-mkconfig)",
            Self::GrubBls => "GRUB with BLS entries (grubby)",
            Self::Sdbootutil => "sdbootutil",
            Self::TransactionalUpdate => "transactional-update",
            Self::SystemdBootKernelInstall => "systemd-boot with kernel-install",
            Self::SystemdBoot => "systemd-boot with hand-written entries",
            Self::SdbootManage => "systemd-boot with sdboot-manage",
            Self::UnifiedKernelImage => "unified kernel image",
            Self::Kernelstub => "kernelstub (Pop!_OS)",
            Self::Limine => "Limine",
            Self::RpmOstree => "rpm-ostree",
            Self::Bootc => "bootc",
            Self::ProxmoxBootTool => "proxmox-boot-tool",
            Self::NixOs => "NixOS",
            Self::Refind => "rEFInd",
        }
    }
}

/// Initramfs generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// initramfs-tools (Debian, Ubuntu).
    InitramfsTools,
    /// dracut.
    Dracut,
    /// mkinitcpio (Arch).
    Mkinitcpio,
    /// booster.
    Booster,
    /// rpm-ostree makes the image.
    RpmOstree,
    /// NixOS stage 1.
    NixOs,
}

impl Generator {
    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
            Self::Mkinitcpio => "mkinitcpio",
            Self::Booster => "booster",
            Self::RpmOstree => "rpm-ostree",
            Self::NixOs => "NixOS stage 1",
        }
    }
}

/// An initramfs image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Paths of what it contains, sorted, without a leading slash; opened only when asked for.
    pub entries: Measured<Vec<String>>,
    /// What is wrong with it, if it was opened and is damaged: it would not boot.
    #[serde(default)]
    pub damage: Option<String>,
    /// Text of the small configuration files in it that passthru puts there, by path.
    pub texts: BTreeMap<String, String>,
}
