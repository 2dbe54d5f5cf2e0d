//! The sample host: a desktop described by data, stand-ins for its tools, and what a reboot does to
//! it. Nothing here touches the machine passthru runs on, except inside the directory given.

#![allow(
    clippy::disallowed_methods,
    reason = "the sample host is made and played here, file by file"
)]

pub(crate) mod cpio;
mod environment;
mod libvirt;
pub(crate) mod reboot;
mod running;
pub(crate) mod sample;
pub(crate) mod tools;
pub(crate) mod tree;
