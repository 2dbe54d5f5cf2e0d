//! The binary as a user meets it: one file per verb, on the sample host, in a clean environment.
//!
//! Snapshots are what a person would see; `[ROOT]` stands for the host's directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests make the files they are about"
)]

mod support;

mod apply;
mod arguments;
mod capture;
mod confirm;
mod demo;
mod devices;
mod doctor;
mod generate;
mod history;
mod plan;
mod recover;
mod repair;
mod rom;
mod setup;
mod status;
mod undo;
mod verify;
mod vm_disks;
mod vm_edit;
mod vm_new;
mod vm_pin;
mod vm_run;
