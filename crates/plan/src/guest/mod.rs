//! Planning a guest: which CPUs and which memory of the host it gets, and the whole of it as a
//! libvirt domain or a QEMU command line.

pub mod element;
pub mod hugepages;
pub mod memory;
pub mod pinning;
pub mod xml;

pub use memory::GuestMemory;
pub use pinning::{Pinning, Wanted};
