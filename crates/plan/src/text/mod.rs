//! File formats: text in, values out, one format per file.

pub mod cpio;
pub mod iomem;
pub mod modules;
pub mod mountinfo;
pub mod os_release;
pub mod pci_ids;
pub mod procfs;
pub mod version;
