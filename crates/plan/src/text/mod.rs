//! File formats: text in, values out, one format per file.

pub mod grub_cfg;
pub mod ids;
pub mod kargs;
pub mod merge;
pub mod modprobe;
pub mod shell;
