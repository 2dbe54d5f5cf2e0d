//! `passthru vm`: guests, one file per verb.

mod carry;
mod disks;
mod free;
mod new;
mod pin;
mod show;
mod wish;

use crate::{
    args::{
        Global,
        vm::{Vm, What},
    },
    error::{Outcome, Result},
    out::Out,
};

/// Runs what was typed after `vm`.
pub(super) fn run(args: &Vm, global: &Global, out: &mut Out) -> Result<Outcome> {
    match &args.what {
        What::Pin(args) => pin::run(args, global, out),
        What::Disks => disks::run(global, out),
        What::New(args) => new::run(args, global, out),
        What::Show(args) => show::run(args, global, out),
    }
}
