//! The transaction engine on small made-up hosts: nothing here needs root or touches the machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod apply;
mod crash;
mod faults;
mod guest;
mod laws;
mod locks;
mod trial;
mod undo;
mod world;
