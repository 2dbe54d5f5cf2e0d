//! The verbs, one file each.

mod apply;
mod capture;
mod confirm;
mod demo;
mod devices;
mod doctor;
mod generate;
mod history;
mod plan;
mod recover;
mod rom;
mod setup;
mod status;
mod undo;
mod verify;
mod vm;

use crate::{
    args::{Cli, Command},
    error::{Outcome, Result},
    out::Out,
};

/// Runs what was typed.
pub(crate) fn run(cli: &Cli, out: &mut Out) -> Result<Outcome> {
    let global = &cli.global;
    if cli.command.as_ref().is_some_and(Command::acts) {
        out.act();
    }
    match &cli.command {
        None | Some(Command::Status) => status::run(global, out),
        Some(Command::Doctor) => doctor::run(global, out),
        Some(Command::Devices(args)) => devices::run(args, global, out),
        Some(Command::Setup) => setup::run(global, out),
        Some(Command::Plan(args)) => plan::run(args, global, out),
        Some(Command::Apply(args)) => apply::run(args, global, out),
        Some(Command::Verify) => verify::run(global, out),
        Some(Command::Confirm(args)) => confirm::run(args, global, out),
        Some(Command::Undo(args)) => undo::run(args, global, out),
        Some(Command::Recover) => recover::run(global, out),
        Some(Command::History) => history::run(global, out),
        Some(Command::Vm(args)) => vm::run(args, global, out),
        Some(Command::Rom(args)) => rom::run(args, global, out),
        Some(Command::Capture(args)) => capture::run(args, global, out),
        Some(Command::Demo(args)) => demo::run(args, global, out),
        Some(Command::Generate(args)) => generate::run(args, out),
    }
}
