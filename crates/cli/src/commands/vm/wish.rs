//! What was typed after `vm new`, as what is asked of a guest.

use std::path::Path;

use passthru_host::input;
use passthru_plan::{
    Refusal,
    guest::{
        Wish,
        define::{Making, NewDisk, disk_path, seed_path},
        image,
        seed::Seed,
        spec,
    },
};

use crate::{
    args::vm::new::{Choice, New},
    error::{Error, Result},
};

/// What is asked for, and what has to be made for it; or why not.
pub(super) fn read(args: &New) -> Result<(Wish, std::result::Result<Making, Vec<Refusal>>)> {
    let mut refusals = Vec::new();
    let mut making = Making::default();
    match disk(args)? {
        Ok(disk) => making.disk = disk,
        Err(refusal) => refusals.push(refusal),
    }
    match seed(args)? {
        Ok(seed) => making.seed = seed,
        Err(more) => refusals.extend(more),
    }
    let making = if refusals.is_empty() {
        Ok(making)
    } else {
        Err(refusals)
    };
    Ok((wish(args)?, making))
}

fn wish(args: &New) -> Result<Wish> {
    let storage = &args.storage;
    let made = storage.image.is_some() || storage.new_disk.is_some();
    let mut disks = Vec::new();
    if made {
        disks.push(spec::Storage {
            path: disk_path(&args.name),
            format: Some(spec::Format::Qcow2),
            transplant: false,
            empty: storage.image.is_none(),
        });
    }
    // The one that is taken over has the system on it: it is started from.
    let transplanted = storage.transplant.iter().map(|path| (path, true));
    let others = storage.disk.iter().map(|path| (path, false));
    for (path, transplant) in transplanted.chain(others) {
        let path = absolute(path)?;
        let told = path.starts_with("/dev/") || path.ends_with(".raw") || path.ends_with(".qcow2");
        disks.push(spec::Storage {
            format: storage.disk_format.filter(|_| !told).map(Into::into),
            path,
            transplant,
            empty: false,
        });
    }
    let yes = |choice: Option<Choice>| choice.map(|choice| choice == Choice::Yes);
    let medium = |path: &Option<String>| path.as_deref().map(absolute).transpose();
    Ok(Wish {
        name: args.name.clone(),
        os: args.os.into(),
        memory_kib: args.memory.0,
        cpus: args.cpus,
        pinned: !args.no_pin,
        cores: (&args.cores).into(),
        hugepages: args.pages.hugepages.map(Into::into),
        gpu: args.gpu.clone(),
        with: args.with.clone(),
        disks,
        bus: storage.disk_bus.map(Into::into),
        installer: medium(&storage.iso)?,
        virtio_win: medium(&storage.virtio_win)?,
        seed: args.seed.seed_user.as_ref().map(|_| seed_path(&args.name)),
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
        nested: args.nested,
        autostart: args.autostart,
    })
}

/// A path as libvirt needs it; what was typed is relative to where it was typed.
pub(super) fn absolute(path: &str) -> Result<String> {
    let fail = |why: String| Error::usage(format!("{path}: {why}"));
    let whole = std::path::absolute(path).map_err(|e| fail(e.to_string()))?;
    whole
        .into_os_string()
        .into_string()
        .map_err(|_| fail("its directory has a name that is no text".into()))
}

/// The disk that is made.
fn disk(args: &New) -> Result<std::result::Result<Option<NewDisk>, Refusal>> {
    let storage = &args.storage;
    let bytes = |size: &crate::args::vm::Kib| size.0.saturating_mul(1024);
    let Some(path) = &storage.image else {
        return Ok(Ok(storage.new_disk.as_ref().map(bytes).map(NewDisk::Empty)));
    };
    let from = absolute(path)?;
    let (head, length) = input::head(Path::new(&from), image::HEAD)?;
    Ok(image::read(&from, &head, length).map(|image| {
        Some(NewDisk::Copy {
            from,
            image,
            size: storage.disk_size.as_ref().map(bytes),
        })
    }))
}

/// First settings, if a user is named.
fn seed(args: &New) -> Result<std::result::Result<Option<Seed>, Vec<Refusal>>> {
    let Some(user) = &args.seed.seed_user else {
        return Ok(Ok(None));
    };
    let mut keys = Vec::new();
    for key in &args.seed.ssh_key {
        // A key has at least two words, and its kind is no path.
        if !key.contains('/') && !key.contains(' ') || Path::new(key).exists() {
            keys.extend(keys_of(&input::text(Path::new(key))?));
        } else {
            keys.extend(keys_of(key));
        }
    }
    let hash = args.seed.password_hash.as_deref();
    Ok(Seed::new(&args.name, user, &keys, hash).map(Some))
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
