//! `passthru vm new`: a guest with a card. So far it is shown, and nothing is defined.

use std::{path::Path, time::Duration};

use passthru_host::exec::Watch;
use passthru_plan::{
    Refusal,
    guest::{
        self, Capabilities, Guest, Wish, capabilities,
        domain::domain,
        qemu::{CommandLine, Files, command_line},
        seed::Seed,
        spec,
    },
};
use serde::Serialize;

use crate::{
    args::{
        Global,
        vm::new::{Choice, Format, New},
    },
    error::{Error, Outcome, Result},
    host::{self, Host, Wanted},
    out::Out,
    show,
};

/// `vm new --json`.
#[derive(Default, Serialize)]
struct Document {
    schema: u32,
    refusals: Vec<Refusal>,
    guest: Option<Guest>,
    xml: Option<String>,
    qemu: Option<CommandLine>,
    /// Where its first settings would be written.
    seed: Option<String>,
}

/// How long libvirt has for its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Larger than any key or answer.
const LIMIT: u64 = 1 << 20;

pub(super) fn run(args: &New, global: &Global, out: &mut Out) -> Result<Outcome> {
    if !args.dry_run {
        return Err(
            Error::usage("defining a guest comes next: this version only shows one")
                .hint("add --dry-run"),
        );
    }
    let seed = seed(args)?;
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::guest())?;
    let mut document = Document {
        schema: 1,
        ..Document::default()
    };
    let offered = capabilities(args, &host, global, out)?;
    let planned = offered
        .map_err(|refusal| vec![refusal])
        .and_then(|offered| guest::plan(&facts, &wish(args), offered.as_ref()));
    let seed = seed.transpose();
    match (planned, seed) {
        (Ok(guest), Ok(seed)) => {
            document.xml = Some(domain(&guest));
            document.qemu = Some(command_line(&guest, &Files::debian(&guest)));
            document.seed = seed.map(|_| seed_path(args));
            document.guest = Some(guest);
        }
        (planned, seed) => {
            document.refusals.extend(planned.err().unwrap_or_default());
            // The name is held to the same rule twice.
            for refusal in seed.err().unwrap_or_default() {
                if !document.refusals.contains(&refusal) {
                    document.refusals.push(refusal);
                }
            }
        }
    }
    print(args, &document, out)?;
    out.unreadable(&facts)?;
    Ok(if document.refusals.is_empty() {
        Outcome::Done
    } else {
        Outcome::No
    })
}

/// The document alone on standard output, what to know beside it.
fn print(args: &New, document: &Document, out: &mut Out) -> Result<()> {
    if out.is_json() {
        return Ok(out.json(document)?);
    }
    let (Some(guest), Some(xml), Some(qemu)) = (&document.guest, &document.xml, &document.qemu)
    else {
        return Ok(show::plan::refusals(out, &document.refusals)?);
    };
    // Nothing in it can steer a terminal: control characters are refused.
    match args.format {
        Format::Libvirt => out.raw(xml.as_bytes())?,
        Format::Qemu => out.raw(qemu.script().as_bytes())?,
    }
    for note in &guest.notes {
        out.note(&note.text)?;
    }
    if let Some(path) = &document.seed {
        out.note(&format!(
            "its first settings would be written to {path}, for root alone to read"
        ))?;
    }
    if guest.autostart && args.format == Format::Libvirt {
        out.note("that it starts with the host is no part of the XML: virsh autostart")?;
    }
    Ok(())
}

/// What libvirt offers: from a file, or from this host if it is this machine.
fn capabilities(
    args: &New,
    host: &Host,
    global: &Global,
    out: &mut Out,
) -> Result<std::result::Result<Option<Capabilities>, Refusal>> {
    if let Some(file) = &args.capabilities {
        let text = read(file)?;
        return Ok(Capabilities::parse(&text).map(Some));
    }
    if !host.is_live() {
        return Ok(Ok(None));
    }
    let watch = Watch {
        deadline: PATIENCE,
        grace: Duration::from_secs(1),
        cancel: None,
    };
    let answer = host
        .exec(global)
        .watch(&capabilities::QUESTION, &watch, &mut |_| {});
    match answer {
        Ok((output, _)) if output.success() => Ok(Capabilities::parse(&output.text).map(Some)),
        Ok(_) | Err(_) => {
            out.note(
                "libvirt did not answer, so what it offers is not known (virsh domcapabilities)",
            )?;
            Ok(Ok(None))
        }
    }
}

fn wish(args: &New) -> Wish {
    let storage = &args.storage;
    let disks = storage.image.iter().chain(&storage.disk);
    let format = |path: &String| {
        let told = path.starts_with("/dev/") || path.ends_with(".raw") || path.ends_with(".qcow2");
        storage.disk_format.filter(|_| !told).map(Into::into)
    };
    let yes = |choice: Option<Choice>| choice.map(|choice| choice == Choice::Yes);
    Wish {
        name: args.name.clone(),
        os: args.os.into(),
        memory_kib: args.memory.0,
        cpus: args.cpus,
        pinned: !args.no_pinning,
        hugepages: args.hugepages,
        gpu: args.gpu.clone(),
        with: args.with.clone(),
        disks: disks
            .map(|path| spec::Storage {
                path: path.clone(),
                format: format(path),
            })
            .collect(),
        installer: storage.iso.clone(),
        virtio_win: storage.virtio_win.clone(),
        seed: args.seed.seed_user.as_ref().map(|_| seed_path(args)),
        network: match &args.bridge {
            Some(bridge) => spec::Network::Bridge(bridge.clone()),
            None if args.no_network => spec::Network::None,
            None => spec::Network::Default,
        },
        screen: if args.screen {
            spec::Screen::Spice
        } else {
            spec::Screen::None
        },
        secure_boot: yes(args.secure_boot),
        tpm: yes(args.tpm),
        hide: args.hide,
        autostart: args.autostart,
    }
}

fn seed_path(args: &New) -> String {
    format!("/var/lib/libvirt/images/{}-seed.iso", args.name)
}

/// First settings, if a user is named.
fn seed(args: &New) -> Result<Option<std::result::Result<Seed, Vec<Refusal>>>> {
    let Some(user) = &args.seed.seed_user else {
        return Ok(None);
    };
    let mut keys = Vec::new();
    for key in &args.seed.ssh_key {
        // A key has at least two words, and its kind is no path.
        if !key.contains('/') && !key.contains(' ') || Path::new(key).exists() {
            keys.extend(keys_of(&read(Path::new(key))?));
        } else {
            keys.extend(keys_of(key));
        }
    }
    let hash = args.seed.password_hash.as_deref();
    Ok(Some(Seed::new(&args.name, user, &keys, hash)))
}

/// The keys of a file of public keys, one a line; a private one stays one, to be refused once.
fn keys_of(text: &str) -> Vec<String> {
    if text.contains("PRIVATE KEY") {
        return vec![text.to_owned()];
    }
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn read(file: &Path) -> Result<String> {
    let name = file.display();
    let fail = |e: std::io::Error| Error::input(format!("{name}: {e}"));
    if std::fs::metadata(file).map_err(fail)?.len() > LIMIT {
        return Err(Error::input(format!("{name}: too large")));
    }
    std::fs::read_to_string(file).map_err(fail)
}
