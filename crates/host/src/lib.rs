//! The only crate of passthru that touches a machine, and it never prints.
//!
//! Two doors: [`root::Root`] opens files, [`exec::Exec`] starts processes. `observe` reads facts
//! through them, `transaction` carries out a plan's changes through them and takes them back.

pub mod archive;
mod attributes;
pub mod blocks;
pub mod capture;
pub mod confine;
pub mod exec;
pub mod failpoint;
pub mod held;
pub mod input;
pub mod journal;
pub mod libvirt;
mod lock;
pub mod neighbours;
pub mod observe;
pub mod openers;
pub mod pools;
pub mod rom;
pub mod root;
pub mod signals;
pub mod transaction;
pub mod trial;
mod write;

pub use exec::Exec;
pub use root::{PathError, Root};
