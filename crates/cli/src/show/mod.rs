//! Facts, findings and plans as text.

pub(crate) mod devices;
pub(crate) mod diff;
pub(crate) mod disks;
pub(crate) mod doctor;
pub(crate) mod layout;
pub(crate) mod pin;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod rom;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
