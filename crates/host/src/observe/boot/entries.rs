//! Boot entries that are files, the partition they lie on, and which of them starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::FileExt,
};

use passthru_plan::{
    Facts, Measured,
    facts::{Boot, BootEntry, BootLoader, BootPartition},
    text::{
        bls, grubenv,
        mountinfo::{self, Mount},
        pe, shell, systemd_boot,
    },
};

use super::efi::Variables;
use crate::{
    observe::{block::Storage, captured, image},
    root::Root,
};

/// Where the EFI system partition or XBOOTLDR is mounted (bootctl(1)), as kernel-install looks for
/// them.
const PLACES: [&str; 3] = ["/efi", "/boot", "/boot/efi"];
/// A section with text is not longer than this.
const TEXT_LIMIT: u64 = 64 << 10;

/// An entry, and what else decides its place in the menu.
struct Found {
    entry: BootEntry,
    /// Mount point of its partition.
    partition: String,
    /// For the order: the entry's version, or the operating system's for an image.
    version: Option<String>,
    exhausted: bool,
}

/// Fills the facts about entries.
pub(super) fn observe(
    root: &Root,
    facts: &Facts,
    storage: &Storage,
    efi: &Variables,
    boot: &mut Boot,
) {
    let known = captured_images(root);
    let mut found = Vec::new();
    let mut devices = BTreeSet::new();
    let mut first_place = None;
    for place in PLACES {
        let entries = root.list(&format!("{place}/loader/entries"));
        let images = root.list(&format!("{place}/EFI/Linux"));
        if entries.is_err() && images.is_err() {
            continue;
        }
        // Listing may have mounted it (autofs), so the table is read now.
        let mounts = match root.text("/proc/self/mountinfo") {
            Ok(text) => mountinfo::parse(&text),
            Err(_) => storage.mounts.value().cloned().unwrap_or_default(),
        };
        let mount = mountinfo::holding(&mounts, place);
        // The same partition may be mounted twice.
        if let Some(mount) = mount.filter(|mount| mount.target == place)
            && !devices.insert(mount.device.clone())
        {
            continue;
        }
        let prefix = mount.map_or(place, |mount| mount.target.trim_end_matches('/'));
        first_place.get_or_insert(place);
        for name in entries.unwrap_or_default() {
            if name.ends_with(".conf") && !name.starts_with('.') {
                found.extend(entry(root, place, prefix, mount, &name));
            }
        }
        for name in images.unwrap_or_default() {
            if name.to_ascii_lowercase().ends_with(".efi") {
                found.extend(image(root, place, &name, &known));
            }
        }
    }
    found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    for directory in PLACES
        .iter()
        .flat_map(|place| [format!("{place}/passthru"), format!("{place}/EFI/passthru")])
    {
        let names = root.list(&directory).unwrap_or_default();
        boot.copies
            .extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    let chosen = default_entry(root, facts, efi, boot, &found);
    let place = chosen
        .map(|number| found[number].partition.clone())
        .or_else(|| first_place.map(str::to_owned));
    boot.default_entry = chosen.map(|number| found[number].entry.path.clone());
    boot.partition = place.and_then(|place| partition(root, storage, &place));
    boot.entries = found.into_iter().map(|found| found.entry).collect();
    boot.one_shot = if efi.readable || efi.loader.is_some() {
        Measured::Value(efi.one_shot.clone())
    } else {
        Measured::not("the variables of the firmware cannot be read")
    };
    boot.kernel_images = kernel_images(root, facts);
    boot.signer = signer(root, facts);
}

fn partition(root: &Root, storage: &Storage, place: &str) -> Option<BootPartition> {
    let mount = mountinfo::holding(storage.mounts.value()?, place)?;
    let free = if root.is_live() {
        match root.free_bytes(place) {
            Ok(bytes) => Measured::Value(bytes),
            Err(error) => crate::observe::not(root, place, &error),
        }
    } else {
        root.attribute(captured::PARTITION_FREE)
            .and_then(|text| text.parse().ok())
            .map_or_else(
                || Measured::not("free space can only be measured on the running machine"),
                Measured::Value,
            )
    };
    Some(BootPartition {
        path: mount.target.clone(),
        file_system: mount.kind.clone(),
        read_only: mount.read_only,
        free,
    })
}

fn entry(
    root: &Root,
    place: &str,
    prefix: &str,
    mount: Option<&Mount>,
    name: &str,
) -> Option<Found> {
    let path = format!("{place}/loader/entries/{name}");
    let (id, exhausted) = systemd_boot::without_counter(name);
    let mut entry = BootEntry {
        path: path.clone(),
        id,
        ..BootEntry::default()
    };
    // Paths in an entry begin at the top of its file system, of which a part may be mounted.
    let real = |value: &str| {
        let value = value.trim_start_matches('/');
        let below = mount.map_or("", |mount| mount.root.trim_matches('/'));
        let rest = match below {
            "" => value,
            _ => value
                .strip_prefix(below)
                .map_or(value, |rest| rest.trim_start_matches('/')),
        };
        format!("{}/{rest}", prefix.trim_end_matches('/'))
    };
    match root.text(&path) {
        Ok(text) => {
            let value = |key| bls::value(&text, key).map(str::to_owned);
            entry.title = value("title");
            entry.version = value("version");
            entry.sort_key = value("sort-key");
            entry.machine_id = value("machine-id");
            entry.linux = bls::value(&text, "linux").map(real);
            entry.initrds = bls::values(&text, "initrd")
                .flat_map(str::split_whitespace)
                // GRUB's `$tuned_initrd` and kin name no file.
                .filter(|value| !value.starts_with('$'))
                .map(real)
                .collect();
            entry.options = Measured::Value(bls::options(&text));
        }
        Err(error) => entry.options = crate::observe::not(root, &path, &error),
    }
    Some(Found {
        version: entry.version.clone(),
        entry,
        partition: place.to_owned(),
        exhausted,
    })
}

fn image(
    root: &Root,
    place: &str,
    name: &str,
    known: &BTreeMap<String, BootEntry>,
) -> Option<Found> {
    let path = format!("{place}/EFI/Linux/{name}");
    let (id, exhausted) = systemd_boot::without_counter(name);
    let found = |entry: BootEntry, version| Found {
        entry,
        partition: place.to_owned(),
        version,
        exhausted,
    };
    if let Some(entry) = known.get(&path) {
        return Some(found(entry.clone(), None));
    }
    if !known.is_empty() {
        // A capture names all that are kernels.
        return None;
    }
    let mut entry = BootEntry {
        path: path.clone(),
        id,
        unified: true,
        ..BootEntry::default()
    };
    let sections = match sections(root, &path) {
        Ok(sections) => sections,
        Err(why) => {
            entry.options = Measured::NotMeasured(why);
            return Some(found(entry, None));
        }
    };
    // Addons have a command line and no kernel.
    if !sections.contains_key(".linux") {
        return None;
    }
    let text = |name: &str| sections.get(name).cloned().flatten();
    let release = shell::evaluate(text(".osrel").as_deref());
    let field = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| release.get(*name).cloned().flatten())
    };
    entry.title = field(&["PRETTY_NAME", "IMAGE_ID", "NAME", "ID"]);
    entry.sort_key = field(&["IMAGE_ID", "ID"]);
    entry.version = text(".uname").filter(|text| !text.is_empty());
    entry.options = Measured::Value(text(".cmdline").unwrap_or_default());
    let version = field(&["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"]);
    Some(found(entry, version))
}

/// The sections of a unified kernel image: the text of those that hold a short one.
fn sections(root: &Root, path: &str) -> Result<BTreeMap<String, Option<String>>, String> {
    let file = root.stream(path).map_err(|error| {
        crate::observe::not::<()>(root, path, &error)
            .why_not()
            .unwrap_or_default()
            .to_owned()
    })?;
    let table = image::pe_sections(&file)
        .map_err(|error| format!("{path} cannot be read: {error}"))?
        .ok_or(format!("{path} is no PE image"))?;
    let mut found = BTreeMap::new();
    for section in table {
        // Of an image with profiles, the first of each name belongs to the base.
        if found.contains_key(&section.name) {
            continue;
        }
        let wanted = [".cmdline", ".uname", ".osrel"].contains(&section.name.as_str());
        let mut text = None;
        if wanted && section.size <= TEXT_LIMIT {
            let mut bytes = vec![0; usize::try_from(section.size).unwrap_or(0)];
            file.read_exact_at(&mut bytes, section.offset)
                .map_err(|error| format!("{path} cannot be read: {error}"))?;
            text = Some(pe::text(&bytes));
        }
        found.insert(section.name, text);
    }
    Ok(found)
}

/// The kernel command line in the unified kernel image at `path`.
pub(crate) fn image_cmdline(root: &Root, path: &str) -> Result<String, String> {
    let sections = sections(root, path)?;
    Ok(sections
        .get(".cmdline")
        .cloned()
        .flatten()
        .unwrap_or_default())
}

/// What a capture says of images that it left out.
fn captured_images(root: &Root) -> BTreeMap<String, BootEntry> {
    if root.is_live() {
        return BTreeMap::new();
    }
    root.attribute(captured::UNIFIED)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .map(|entry: BootEntry| (entry.path.clone(), entry))
        .collect()
}

/// The number of the entry that starts by default, as the loader in charge chooses.
fn default_entry(
    root: &Root,
    facts: &Facts,
    efi: &Variables,
    boot: &Boot,
    found: &[Found],
) -> Option<usize> {
    match boot.loader.value()? {
        BootLoader::GrubBls => grub_default(root, found),
        BootLoader::UnifiedKernelImage if efi.loader.is_none() => {
            // The firmware started it: `\EFI\Linux\X.efi`.
            let image = efi.image.as_ref()?.replace('\\', "/").to_lowercase();
            found.iter().position(|found| {
                found.entry.unified && found.entry.path.to_lowercase().ends_with(&image)
            })
        }
        BootLoader::Grub
        | BootLoader::Grub2
        | BootLoader::Limine
        | BootLoader::Refind
        | BootLoader::NixOs => None,
        _ => {
            let loader_conf = PLACES
                .iter()
                .find_map(|place| facts.text(&format!("{place}/loader/loader.conf")));
            let configured = loader_conf.and_then(|text| systemd_boot::setting(text, "default"));
            let entries: Vec<systemd_boot::Entry<'_>> = found
                .iter()
                .map(|found| systemd_boot::Entry {
                    id: &found.entry.id,
                    sort_key: found.entry.sort_key.as_deref(),
                    machine_id: found.entry.machine_id.as_deref(),
                    version: found.version.as_deref(),
                    exhausted: found.exhausted,
                })
                .collect();
            systemd_boot::default_entry(
                &entries,
                systemd_boot::Choice {
                    variable: efi.default.as_deref(),
                    configured: configured.as_deref(),
                    last: efi.last.as_deref(),
                },
            )
        }
    }
}

/// `saved_entry` of grubenv, which names an entry without `.conf`; else the newest (blscfg).
fn grub_default(root: &Root, found: &[Found]) -> Option<usize> {
    let saved = root
        .text("/boot/grub2/grubenv")
        .ok()
        .and_then(|text| grubenv::get(&text, "saved_entry"));
    let by_id = saved.and_then(|saved| {
        found
            .iter()
            .position(|found| found.entry.id.strip_suffix(".conf") == Some(saved.as_str()))
    });
    let newest = || {
        (0..found.len())
            .max_by(|&a, &b| systemd_boot::versions(&found[a].entry.id, &found[b].entry.id))
    };
    by_id.or_else(newest)
}

fn kernel_images(root: &Root, facts: &Facts) -> BTreeMap<String, String> {
    let mut images = BTreeMap::new();
    for kernel in &facts.kernel.installed {
        let release = &kernel.release;
        let found = [
            format!("/boot/vmlinuz-{release}"),
            format!("/usr/lib/modules/{release}/vmlinuz"),
            format!("/lib/modules/{release}/vmlinuz"),
        ]
        .into_iter()
        .find(|path| root.exists(path));
        if let Some(path) = found {
            images.insert(release.clone(), path);
        }
    }
    images
}

/// The file that says who signs images: ukify's configuration, sbctl's hooks, dracut's.
fn signer(root: &Root, facts: &Facts) -> Option<String> {
    let says = |path: &str, keys: &[&str]| {
        facts.text(path).is_some_and(|text| {
            text.lines()
                .any(|line| keys.iter().any(|key| line.trim_start().starts_with(key)))
        })
    };
    if says(
        "/etc/kernel/uki.conf",
        &["SecureBootPrivateKey=", "SecureBootCertificateName="],
    ) {
        return Some("/etc/kernel/uki.conf".to_owned());
    }
    let dracut = facts
        .files
        .keys()
        .filter(|path| path.starts_with("/etc/dracut.conf"))
        .find(|path| says(path, &["uefi_secureboot_key="]));
    let hooks = [
        "/usr/lib/initcpio/post/sbctl",
        "/usr/lib/kernel/install.d/91-sbctl.install",
        "/usr/share/libalpm/hooks/zz-sbctl.hook",
    ];
    dracut.cloned().or_else(|| {
        hooks
            .into_iter()
            .find(|path| root.exists(path))
            .map(str::to_owned)
    })
}
