//! `passthru rom`: option ROMs. One verb per file; here is what they share.

mod check;
mod dump;
mod trim;

use std::{fmt::Write as _, io::ErrorKind, path::Path};

use passthru_host::PathError;
use passthru_plan::{Address, facts::Function, rom::Rom};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    args::{self, Global, RomVerb},
    error::{Error, Outcome, Result},
    host::{Host, Wanted},
    out::Out,
};

pub(super) fn run(args: &args::Rom, global: &Global, out: &mut Out) -> Result<Outcome> {
    match &args.what {
        RomVerb::Check(args) => check::run(args, global, out),
        RomVerb::Dump(args) => dump::run(args, global, out),
        RomVerb::Trim(args) => trim::run(args, global, out),
    }
}

/// A ROM in a document: what was parsed, and which bytes of the file it is.
#[derive(Serialize)]
struct Body<'a> {
    offset: usize,
    length: usize,
    #[serde(flatten)]
    rom: &'a Rom,
}

impl<'a> Body<'a> {
    fn new(rom: &'a Rom) -> Self {
        let range = rom.range();
        Self {
            offset: range.start,
            length: range.len(),
            rom,
        }
    }
}

/// The function at `address` of the host.
fn function(host: &Host, address: Address) -> Result<Function> {
    let wanted = Wanted {
        names: true,
        ..Wanted::functions()
    };
    let facts = host.facts(wanted);
    let mut functions = facts.functions.into_iter();
    functions.find(|f| f.address == address).ok_or_else(|| {
        Error::input(format!("there is no PCI function {address} on this host"))
            .hint(host.command(&["devices".into(), "--all".into()]))
    })
}

/// A file that could not be written.
fn unwritten(error: PathError) -> Error {
    if error.source.kind() != ErrorKind::AlreadyExists {
        return Error::input(error);
    }
    Error::input(format!(
        "{}: exists already; it is left as it is",
        error.path.display()
    ))
    .hint("choose another name, or replace it with --force")
}

/// A path for a document and for people.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What identifies a ROM where its origin is written down: nothing in it names the board.
fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
