//! Planning a guest: which CPUs and which memory of the host it gets.

pub mod hugepages;
pub mod memory;
pub mod pinning;
pub mod xml;

pub use memory::GuestMemory;
pub use pinning::{Pinning, Wanted};
