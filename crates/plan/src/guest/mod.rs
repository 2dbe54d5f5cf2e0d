//! Planning a guest: which CPUs and which memory of the host it gets, and the whole of it as a
//! libvirt domain or a QEMU command line.

mod assign;
pub mod capabilities;
pub mod check;
pub mod define;
mod devices;
mod disk;
pub mod disk_find;
pub mod disk_list;
mod disk_notes;
pub mod disk_use;
pub mod domain;
pub mod edit;
pub mod element;
mod existing;
pub mod from_domain;
pub mod hugepages;
pub mod hyperv;
pub mod image;
pub mod iso9660;
pub mod leave;
pub mod memory;
mod names;
mod node;
pub mod passwords;
pub mod pinning;
mod plan;
pub mod qemu;
mod qemu_devices;
pub mod read;
pub mod run;
pub mod seed;
pub mod spec;
mod storage;
pub mod xml;

pub use capabilities::Capabilities;
pub use existing::{nvram, tpm, uuid};
pub use memory::GuestMemory;
pub use pinning::{CoreWish, Pinning, Wanted};
pub use plan::plan;
pub use read::Domain;
pub use spec::{Guest, Wish};
