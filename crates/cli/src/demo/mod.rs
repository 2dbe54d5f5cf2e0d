//! The sample host: a desktop described by data, stand-ins for its tools, and what a reboot does to
//! it. Nothing here touches the machine passthru runs on, except inside the directory given.

pub(crate) mod cpio;
mod environment;
mod libvirt;
pub(crate) mod reboot;
pub(crate) mod sample;
pub(crate) mod tools;
pub(crate) mod tree;
