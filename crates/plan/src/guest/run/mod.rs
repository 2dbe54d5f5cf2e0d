//! Running a guest: may it start now, what it needs from the host while it runs, and where it is
//! reached.

pub mod address;
mod devices;
pub mod held;
pub mod isolation;
pub mod pages;
mod preflight;

pub use held::Held;
pub use preflight::{Around, Consent, Opener, Ready, preflight};
