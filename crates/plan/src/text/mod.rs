//! File formats: text in, values out, one format per file.

pub mod bls;
pub mod cpio;
pub mod cpulist;
pub mod grub_cfg;
pub mod grubenv;
pub mod ids;
pub mod iomem;
pub mod kargs;
pub mod merge;
pub mod mkinitcpio;
pub mod modprobe;
pub mod modules;
pub mod mountinfo;
pub mod os_release;
pub mod pci_ids;
pub mod pe;
pub mod procfs;
pub mod quote;
pub mod shell;
pub mod size;
pub mod systemd_boot;
pub mod udev;
pub mod version;
pub mod yaml;
