//! `passthru generate`: completions and manual pages, from the same definition as the parser.

use std::{io::Write, path::Path};

use clap::{Command, CommandFactory, Id, builder::Resettable};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    args::{Cli, EXIT_STATUS, Generate, Generated},
    error::{Error, Outcome, Result},
    out::Out,
};

pub(super) fn run(args: &Generate, out: &mut Out) -> Result<Outcome> {
    match &args.what {
        Generated::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut offered(&Cli::command()), "passthru", &mut text);
            out.raw(&text)?;
        }
        Generated::Man { dir } => man(dir)?,
    }
    Ok(Outcome::Done)
}

/// The command without what is hidden: the generators of some shells offer that too.
fn offered(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if command.get_version().is_some() {
        shown = shown.version(env!("CARGO_PKG_VERSION"));
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown
        // What excludes what is no part of completions, and may name an option that is left out.
        .args(args.map(|arg| {
            let nothing = || Resettable::<Id>::Reset;
            arg.clone().conflicts_with(nothing()).requires(nothing())
        }))
        .subcommands(verbs.map(offered))
}

#[allow(
    clippy::disallowed_methods,
    reason = "pages are made where a package is, not on a host"
)]
fn man(dir: &Path) -> Result<()> {
    let fail = |e: std::io::Error| Error::input(format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(fail)?;
    let mut command = plain(Cli::command()).disable_help_subcommand(true);
    command.build();
    pages(&command, dir).map_err(fail)
}

/// A page has room for what `-h` leaves out; clap_mangen gives such an option no text.
fn plain(command: Command) -> Command {
    command
        .mut_args(|arg| arg.hide_short_help(false))
        .mut_subcommands(plain)
}

#[allow(
    clippy::disallowed_methods,
    reason = "pages are made where a package is, not on a host"
)]
fn pages(command: &Command, dir: &Path) -> std::io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, dir)?;
    }
    let man = Man::new(command.clone()).source(concat!("passthru ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = command.get_after_help() {
        section(&mut page, "NOTES", &notes.to_string())?;
    }
    section(&mut page, "EXIT STATUS", EXIT_STATUS)?;
    std::fs::write(dir.join(man.get_filename()), page)
}

/// A section with the lines of `text`.
fn section(page: &mut Vec<u8>, title: &str, text: &str) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for line in text.lines() {
        roff.text([roman(line.trim_start())]);
        roff.control("br", []);
    }
    page.write_all(roff.render().as_bytes())
}
