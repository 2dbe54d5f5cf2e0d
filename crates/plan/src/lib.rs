//! Facts and intent to a plan: the pure half of passthru.
//!
//! ```text
//! Facts (what a host is) ─┐
//! Intent (what is wanted) ┴─> plan() ─> Plan { refusals, notices, changes }
//! Facts after a reboot + the recorded intent ─> verify() = plan() again, plus what runs
//! Facts ─> doctor() ─> findings
//! ```
//!
//! This crate is `no_std`: it has no files, no processes, no clock and no hash order, so the same
//! input gives the same bytes. Paths are text, because they are paths on the *described* host.
#![cfg_attr(not(test), no_std)]
extern crate alloc;

pub mod card;
pub mod change;
pub mod devices;
pub mod doctor;
pub mod facts;
pub mod finding;
pub mod guest;
pub mod intent;
pub mod leftover;
pub mod measured;
pub mod pci;
pub mod plan;
mod remedy;
pub mod rom;
pub mod rules;
pub mod text;
pub mod trial;
pub mod verify;

pub use change::{Anew, Change, Expect, Output, stem};
pub use facts::Facts;
pub use finding::{Finding, Severity, Status, Verdict};
pub use intent::{Intent, Selector};
pub use measured::Measured;
pub use pci::{Address, Ids};
pub use plan::{Notice, Plan, Refusal, plan};
pub use verify::{Verification, verify};
