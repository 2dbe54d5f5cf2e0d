//! The transaction engine on small made-up hosts: nothing here needs root or touches the machine.

mod apply;
mod world;
