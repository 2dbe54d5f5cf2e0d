//! Block devices and who uses them. No device is opened: what is on one is taken from udev's
//! database, so that a sleeping disk goes on sleeping.

use std::collections::BTreeMap;

use passthru_plan::{
    Measured,
    facts::blocks::{Block, Blocks, Content, Mapped, Pool, Transport},
    text::udev,
};

use super::block::{self, BLOCK, Storage};
use crate::root::Root;

/// Starts of names that are no disks: loop devices, RAM disks, drives for media, boot flash.
const NONE: [&str; 6] = ["loop", "ram", "zram", "sr", "fd", "mtdblock"];
/// Directories of links, and how many levels below them links lie (/dev/zvol/POOL/A/B).
const LINKS: [(&str, usize); 3] = [("/dev/disk", 1), ("/dev/md", 0), ("/dev/zvol", 4)];
/// More links than this are not looked at.
const MOST_LINKS: usize = 16_384;

pub(super) fn observe(root: &Root, storage: &Storage) -> Blocks {
    let exists = |paths: &[&str]| paths.iter().any(|path| root.exists(path));
    Blocks {
        devices: match root.list(BLOCK) {
            Ok(names) => Measured::Value(devices(root, storage, names)),
            Err(error) => super::not(root, BLOCK, &error),
        },
        pools: pools(root, storage),
        os_prober: exists(&["/usr/bin/os-prober"]),
        udisks: exists(&[
            "/usr/lib/udev/rules.d/80-udisks2.rules",
            "/lib/udev/rules.d/80-udisks2.rules",
        ]),
        lvm: exists(&["/usr/sbin/lvm", "/sbin/lvm"]),
        lvm_devices: exists(&["/etc/lvm/devices/system.devices"]),
    }
}

/// Imported pools: the directories with a file `state` (OpenZFS, spa_stats.c); those without are
/// counters of the whole module.
fn pools(root: &Root, storage: &Storage) -> Vec<Pool> {
    const ZFS: &str = "/proc/spl/kstat/zfs";
    let mut names = root.list(ZFS).unwrap_or_default();
    names.retain(|name| root.exists(&format!("{ZFS}/{name}/state")));
    let mut pools: BTreeMap<String, Vec<String>> =
        names.into_iter().map(|name| (name, Vec::new())).collect();
    let mounts = storage.mounts.value().into_iter().flatten();
    for mount in mounts.filter(|mount| mount.kind == "zfs") {
        // What is mounted is imported, whatever the counters show.
        let name = mount.source.split('/').next().unwrap_or_default();
        let places = pools.entry(name.to_owned()).or_default();
        places.push(mount.target.clone());
    }
    pools
        .into_iter()
        .map(|(name, mut mounts)| {
            mounts.sort();
            mounts.dedup();
            Pool { name, mounts }
        })
        .collect()
}

fn devices(root: &Root, storage: &Storage, names: Vec<String>) -> Vec<Block> {
    let mut links = links(root);
    let mut mounts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = storage.mounts.value().into_iter().flatten();
    // Members of a pool are found by the pool's name: it may have a thousand mounts, and none at all.
    for mount in all.filter(|mount| mount.kind != "zfs") {
        for device in block::devices(root, mount) {
            let places = mounts.entry(device).or_default();
            if !places.contains(&mount.target) {
                places.push(mount.target.clone());
            }
        }
    }
    names
        .into_iter()
        .filter(|name| !is_none(name))
        .map(|name| Block {
            links: links.remove(&name).unwrap_or_default(),
            mounts: mounts.remove(&name).unwrap_or_default(),
            swap: storage.swaps.contains(&name),
            ..one(root, name)
        })
        .collect()
}

/// No disk, or a single path of an NVMe device with several (`nvme0c1n1`), which has no node.
fn is_none(name: &str) -> bool {
    let numbered = |start: &&str| {
        name.strip_prefix(*start)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let path = name.strip_prefix("nvme").is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with('c')
    });
    path || NONE.iter().any(numbered)
}

fn one(root: &Root, name: String) -> Block {
    let path = format!("{BLOCK}/{name}");
    let attribute = |below: &str| root.attribute(&format!("{path}/{below}"));
    let place = root.link(&path).unwrap_or_default();
    let partition = root.exists(&format!("{path}/partition"));
    let disk = partition
        .then(|| place.rsplit('/').nth(1).map(str::to_owned))
        .flatten();
    let number = attribute("dev").unwrap_or_default();
    let database = format!("/run/udev/data/b{number}");
    let data = super::text(root, &database);
    let found = |key: &str| {
        let text = data.value()?;
        udev::property(text, key).map(str::to_owned)
    };
    let whole = disk.is_none();
    Block {
        bytes: attribute("size")
            .and_then(|sectors| sectors.parse::<u64>().ok())
            .unwrap_or(0)
            .saturating_mul(512),
        model: whole
            .then(|| {
                found("ID_MODEL_ENC")
                    .map(|value| udev::decode(&value))
                    .or_else(|| attribute("device/model"))
                    .or_else(|| found("ID_MODEL"))
            })
            .flatten(),
        serial: whole
            .then(|| found("ID_SERIAL_SHORT").or_else(|| found("ID_SERIAL")))
            .flatten(),
        removable: attribute("removable").as_deref() == Some("1"),
        read_only: attribute("ro").as_deref() == Some("1"),
        transport: transport(&name, &place, found("ID_BUS").as_deref()),
        functions: block::carrier(root, &name).functions.into_iter().collect(),
        holders: root.list(&format!("{path}/holders")).unwrap_or_default(),
        mapped: attribute("dm/name").map(|name| Mapped {
            name,
            uuid: attribute("dm/uuid").unwrap_or_default(),
        }),
        content: data.map(|text| content(&text)),
        number,
        disk,
        name,
        ..Block::default()
    }
}

fn content(data: &str) -> Content {
    let value = |key: &str| udev::property(data, key).map(str::to_owned);
    let decoded = |key: &str| udev::property(data, key).map(udev::decode);
    Content {
        kind: value("ID_FS_TYPE"),
        label: decoded("ID_FS_LABEL_ENC").or_else(|| value("ID_FS_LABEL")),
        uuid: value("ID_FS_UUID"),
        table: value("ID_PART_TABLE_TYPE"),
        part_type: value("ID_PART_ENTRY_TYPE"),
        part_uuid: value("ID_PART_ENTRY_UUID"),
        part_label: decoded("ID_PART_ENTRY_NAME"),
    }
}

/// By where it hangs in sysfs; an ATA disk and a SAS disk both are `sd`.
fn transport(name: &str, place: &str, bus: Option<&str>) -> Option<Transport> {
    let below = |part: &str| place.split('/').any(|one| one.starts_with(part));
    if name.starts_with("nvme") {
        return Some(Transport::Nvme);
    }
    if name.starts_with("mmcblk") {
        return Some(Transport::Mmc);
    }
    if name.starts_with("vd") || name.starts_with("xvd") {
        return Some(Transport::Virtio);
    }
    if !name.starts_with("sd") {
        return None;
    }
    Some(if below("usb") || bus == Some("usb") {
        Transport::Usb
    } else if below("ata") || bus == Some("ata") {
        Transport::Sata
    } else {
        Transport::Scsi
    })
}

/// Links by the name of the device they lead to.
fn links(root: &Root) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut left = MOST_LINKS;
    for (directory, levels) in LINKS {
        below(root, directory, levels, &mut left, &mut found);
    }
    found
}

fn below(
    root: &Root,
    directory: &str,
    levels: usize,
    left: &mut usize,
    found: &mut BTreeMap<String, Vec<String>>,
) {
    for name in root.list(directory).unwrap_or_default() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = format!("{directory}/{name}");
        // The link is read, not followed.
        if let Some(device) = root.link_name(&path) {
            found.entry(device).or_default().push(path);
        } else if levels > 0 {
            below(root, &path, levels - 1, left, found);
        }
    }
}
