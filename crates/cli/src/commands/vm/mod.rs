//! `passthru vm`: guests, one file per verb.

mod carry;
mod check;
mod console;
mod disks;
mod edit;
mod files;
mod free;
mod functions;
mod guest;
mod hold;
mod input;
mod ip;
mod launch;
mod list;
mod network;
mod new;
mod next;
mod pin;
mod release;
mod show;
mod start;
mod stop;
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
        What::Edit(args) => edit::run(args, global, out),
        What::Check(args) => check::run(args, global, out),
        What::List => list::run(global, out),
        What::Start(args) => start::run(args, global, out),
        What::Stop(args) => stop::run(args, global, out),
        What::Release(args) => release::run(args, global, out),
        What::Ip(args) => ip::run(args, global, out),
        What::Console(args) => console::run(args, global, out),
        What::Show(args) => show::run(args, global, out),
    }
}
