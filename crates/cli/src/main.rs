//! The passthru command: takes a Linux host from bare metal to a virtual machine that owns its GPU,
//! and back.
//!
//! Parsing is in [`args`], one verb per file in [`commands`], rendering in [`show`], and [`out`] is
//! the only place that prints. [`error`] is the only place that knows exit statuses.

mod args;
mod cancel;
mod commands;
mod demo;
mod error;
mod host;
mod out;
mod show;
mod transaction;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::{args::Cli, error::Error, out::Out};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let parsed = Cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error, arguments.iter().any(|a| a == "--json")),
    };
    let mut out = Out::new(cli.global.color, cli.global.json, cli.global.verbose);
    let result = commands::run(&cli, &mut out)
        .and_then(|outcome| out.flush().map_err(Error::from).map(|()| outcome));
    let status = error::finish(result, &mut out);
    out.close();
    status
}
