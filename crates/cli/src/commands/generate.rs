//! `passthru generate`: completions and manual pages, from the same definition as the parser.

use std::path::Path;

use clap::CommandFactory;

use crate::{
    args::{Cli, Generate, Generated},
    error::{Error, Outcome, Result},
    out::Out,
};

pub(super) fn run(args: &Generate, out: &mut Out) -> Result<Outcome> {
    match &args.what {
        Generated::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "passthru", &mut text);
            out.raw(&text)?;
        }
        Generated::Man { dir } => man(dir)?,
    }
    Ok(Outcome::Done)
}

fn man(dir: &Path) -> Result<()> {
    let fail = |e: std::io::Error| Error::input(format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(fail)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(fail)
}
