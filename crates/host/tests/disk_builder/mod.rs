//! A host with a disk for each way to use one, and what is asked of its disks.
// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use passthru_host::observe::{Wanted, observe};
use passthru_plan::{
    Facts, Refusal,
    guest::{self, Guest, Wish, spec::*},
};

use super::observe_builder::{Host, Pci};

/// A whole disk or a partition as sysfs, udev and /dev show it.
struct Device<'a> {
    name: &'a str,
    number: &'a str,
    place: String,
    holders: &'a [&'a str],
    properties: &'a str,
    id: &'a str,
}

fn write(host: &Host, device: &Device<'_>) {
    let Device {
        name,
        number,
        place,
        ..
    } = device;
    host.link(
        &format!("sys/class/block/{name}"),
        &format!("../../devices/{place}"),
    )
    .link(
        &format!("sys/dev/block/{number}"),
        &format!("../../devices/{place}"),
    )
    .file(&format!("sys/devices/{place}/dev"), format!("{number}\n"))
    .file(&format!("sys/devices/{place}/size"), "1953525168\n")
    .file(&format!("sys/devices/{place}/ro"), "0\n")
    .file(&format!("sys/devices/{place}/removable"), "0\n")
    .file(&format!("run/udev/data/b{number}"), device.properties)
    .directory(&format!("sys/devices/{place}/holders"))
    .link(
        &format!("dev/disk/by-id/{}", device.id),
        &format!("../../{name}"),
    );
    for holder in device.holders {
        host.link(
            &format!("sys/devices/{place}/holders/{holder}"),
            &format!("../../../../../../../../virtual/block/{holder}"),
        );
    }
}

/// A SATA disk `sdX` and its partitions: holders, and what udev has of each. Its name is
/// `ata-DISK_SERIALX`.
fn sata(
    host: &Host,
    letter: char,
    number: u32,
    of_disk: (&[&str], &str),
    parts: &[(&[&str], &str)],
) {
    let name = format!("sd{letter}");
    let serial = format!("SERIAL{}", letter.to_ascii_uppercase());
    let place = format!(
        "pci0000:00/0000:00:17.0/ata{number}/host{number}/target{number}:0:0/{number}:0:0:0/block/{name}"
    );
    host.file(
        &format!("sys/devices/pci0000:00/0000:00:17.0/ata{number}/host{number}/target{number}:0:0/{number}:0:0:0/model"),
        "DISK            \n",
    );
    host.link(&format!("sys/devices/{place}/device"), "../..");
    write(
        host,
        &Device {
            name: &name,
            number: &format!("8:{}", number * 16),
            place: place.clone(),
            holders: of_disk.0,
            properties: &format!("E:ID_BUS=ata\nE:ID_SERIAL_SHORT={serial}\n{}", of_disk.1),
            id: &format!("ata-DISK_{serial}"),
        },
    );
    for (index, (holders, properties)) in parts.iter().enumerate() {
        let part = index + 1;
        let below = format!("{place}/{name}{part}");
        host.file(
            &format!("sys/devices/{below}/partition"),
            format!("{part}\n"),
        );
        write(
            host,
            &Device {
                name: &format!("{name}{part}"),
                number: &format!("8:{}", number as usize * 16 + part),
                place: below,
                holders,
                properties,
                id: &format!("ata-DISK_{serial}-part{part}"),
            },
        );
    }
}

fn nvme(host: &Host, number: u32, parts: &[(&[&str], &str)]) {
    let name = format!("nvme{number}n1");
    let place = format!(
        "pci0000:00/0000:0{}:00.0/nvme/nvme{number}/{name}",
        number + 1
    );
    let device =
        |name: String, minor: usize, place: String, holders, properties: &str, id: String| {
            write(
                host,
                &Device {
                    name: &name,
                    number: &format!("259:{minor}"),
                    place,
                    holders,
                    properties,
                    id: &id,
                },
            );
        };
    let minor = number as usize * 16;
    let serial = format!("NVSERIAL{number}");
    let of_disk = format!("E:ID_SERIAL_SHORT={serial}\nE:ID_WWN=eui.00{number}\n");
    device(
        name.clone(),
        minor,
        place.clone(),
        &[][..],
        &of_disk,
        format!("nvme-FAST_{serial}"),
    );
    host.link(
        &format!("dev/disk/by-id/nvme-FAST_{serial}_1"),
        &format!("../../{name}"),
    )
    .link(
        &format!("dev/disk/by-id/nvme-eui.00{number}"),
        &format!("../../{name}"),
    )
    .link(
        &format!("dev/disk/by-path/pci-0000:0{}:00.0-nvme-1", number + 1),
        &format!("../../{name}"),
    );
    for (index, (holders, properties)) in parts.iter().enumerate() {
        let part = index + 1;
        host.file(
            &format!("sys/devices/{place}/{name}p{part}/partition"),
            format!("{part}\n"),
        );
        device(
            format!("{name}p{part}"),
            minor + part,
            format!("{place}/{name}p{part}"),
            holders,
            properties,
            format!("nvme-FAST_{serial}-part{part}"),
        );
    }
}

fn mapped(host: &Host, minor: u32, name: &str, uuid: &str, slaves: &[&str], holders: &[&str]) {
    let device = format!("dm-{minor}");
    let place = format!("virtual/block/{device}");
    write(
        host,
        &Device {
            name: &device,
            number: &format!("254:{minor}"),
            place: place.clone(),
            holders,
            properties: "",
            id: &format!("dm-name-{name}"),
        },
    );
    host.file(&format!("sys/devices/{place}/dm/name"), format!("{name}\n"))
        .file(&format!("sys/devices/{place}/dm/uuid"), format!("{uuid}\n"));
    for slave in slaves {
        host.directory(&format!("sys/devices/{place}/slaves/{slave}"));
    }
}

const WINDOWS: [(&[&str], &str); 4] = [
    (
        &[],
        "E:ID_FS_TYPE=vfat\nE:ID_FS_UUID=C0DE-1234\nE:ID_PART_ENTRY_TYPE=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\n",
    ),
    (
        &[],
        "E:ID_PART_ENTRY_TYPE=e3c9e316-0b5c-4db8-817d-f92df00215ae\n",
    ),
    (
        &[],
        "E:ID_FS_TYPE=ntfs\nE:ID_FS_UUID=01D9A5B6C7D8E9F0\nE:ID_FS_LABEL_ENC=My\\x20Windows\n",
    ),
    (&[], "E:ID_FS_TYPE=BitLocker\n"),
];

/// A host with a disk for each way to use one.
pub(crate) fn host() -> Host {
    let host = Host::new();
    for (address, class, group) in [
        ("0000:00:17.0", 0x01_0601, 1),
        ("0000:01:00.0", 0x01_0802, 2),
        ("0000:02:00.0", 0x01_0802, 3),
        ("0000:03:00.0", 0x03_0000, 4),
    ] {
        host.function(&Pci {
            address,
            above: "pci0000:00",
            class,
            group: Some(group),
            driver: Some(if class == 0x03_0000 {
                "vfio-pci"
            } else {
                "nvme"
            }),
            ..Pci::default()
        });
    }
    host.file(
        "proc/meminfo",
        "MemTotal: 33554432 kB\nMemAvailable: 30000000 kB\n",
    )
    .file(
        "proc/cpuinfo",
        "processor : 0\nflags : vmx\n\nprocessor : 1\nflags : vmx\n",
    );
    nvme(
        &host,
        0,
        &[
            (&[], "E:ID_FS_TYPE=vfat\n"),
            (&["dm-0"], "E:ID_FS_TYPE=crypto_LUKS\n"),
        ],
    );
    mapped(
        &host,
        0,
        "crypt",
        "CRYPT-LUKS2-0-crypt",
        &["nvme0n1p2"],
        &["dm-1", "dm-2"],
    );
    mapped(&host, 1, "vg--host-root", "LVM-a", &["dm-0"], &[]);
    mapped(&host, 2, "vg--host-swap", "LVM-b", &["dm-0"], &[]);
    nvme(&host, 1, &[]);
    let fs = |kind: &str| format!("E:ID_FS_TYPE={kind}\n");
    let none: (&[&str], &str) = (&[], "");
    let ext4 = "E:ID_FS_TYPE=ext4\nE:ID_FS_UUID=6a1f0c3e-9a52-4a3e-8a7d-0123456789ab\n";
    sata(
        &host,
        'a',
        1,
        none,
        &[(&[], "E:ID_FS_TYPE=ext4\n"), (&[], ext4)],
    );
    sata(
        &host,
        'b',
        2,
        none,
        &[(&["md127"], "E:ID_FS_TYPE=linux_raid_member\n")],
    );
    sata(&host, 'c', 3, (&[], &fs("linux_raid_member")), &[]);
    sata(&host, 'd', 4, none, &[(&[], &fs("crypto_LUKS"))]);
    let zfs = "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=";
    sata(&host, 'e', 5, none, &[(&[], &format!("{zfs}tank\n"))]);
    sata(&host, 'f', 6, none, &[(&[], &format!("{zfs}old\n"))]);
    sata(&host, 'g', 7, (&[], "E:ID_PART_TABLE_TYPE=gpt\n"), &WINDOWS);
    let btrfs = "E:ID_FS_TYPE=btrfs\nE:ID_FS_UUID=11111111-2222-4333-8444-555555555555\n";
    sata(&host, 'h', 8, (&[], btrfs), &[]);
    sata(&host, 'i', 9, (&[], btrfs), &[]);
    sata(&host, 'j', 10, (&["dm-3"], &fs("mpath_member")), &[]);
    mapped(&host, 3, "mpatha", "mpath-36001", &["sdj"], &[]);
    sata(&host, 'k', 11, (&[], &fs("bcache")), &[]);
    sata(&host, 'l', 12, none, &[(&[], &fs("ceph_bluestore"))]);
    sata(&host, 'm', 13, none, &[(&[], &fs("swap"))]);
    sata(&host, 'n', 14, none, &[(&["dm-4"], &fs("LVM2_member"))]);
    mapped(&host, 4, "store-vms", "LVM-c", &["sdn1"], &[]);
    sata(&host, 'o', 15, none, &[(&[], &fs("LVM2_member"))]);
    sata(&host, 'p', 16, none, &[]);
    host.file(
        "sys/devices/pci0000:00/0000:00:17.0/ata16/host16/target16:0:0/16:0:0:0/block/sdp/ro",
        "1\n",
    );
    sata(&host, 'q', 17, none, &[]);
    host.file(
        "sys/devices/pci0000:00/0000:00:17.0/ata17/host17/target17:0:0/17:0:0:0/block/sdq/size",
        "0\n",
    );
    sata(&host, 'r', 18, none, &[(&[], &fs("drbd"))]);
    sata(&host, 's', 19, none, &[(&["dm-9"], "")]);
    sata(&host, 't', 20, none, &[]);
    write(
        &host,
        &Device {
            name: "md127",
            number: "9:127",
            place: "virtual/block/md127".into(),
            holders: &[],
            properties: "",
            id: "md-uuid-1:2",
        },
    );
    host.directory("sys/devices/virtual/block/md127/slaves/sdb1");
    host.file(
        "proc/self/mountinfo",
        "22 1 254:1 / / rw - ext4 /dev/mapper/vg--host-root rw\n\
         23 22 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
         24 22 8:17 / /srv rw - ext4 /dev/sda1 rw\n\
         25 22 9:127 / /backup rw - xfs /dev/md127 rw\n",
    );
    host.file("proc/swaps", "Filename Type Size Used Priority\n/dev/dm-2 partition 1 0 -2\n/dev/sdm1 partition 1 0 -3\n");
    host.file("etc/fstab", "# the host's\nUUID=6A1F0C3E-9a52-4a3e-8a7d-0123456789ab /media/My\\040disk ext4 noauto 0 0\n");
    host.file(
        "etc/crypttab",
        "vault /dev/disk/by-id/ata-DISK_SERIALT none noauto\n",
    );
    host.file("proc/spl/kstat/zfs/tank/state", "ONLINE\n")
        .file("proc/spl/kstat/zfs/arcstats", "\n");
    host
}

pub(crate) fn facts(host: &Host) -> Facts {
    observe(&host.root(), Wanted::guest())
}

pub(crate) fn storage(path: &str) -> Storage {
    Storage {
        path: path.into(),
        format: None,
        transplant: false,
        empty: false,
    }
}

pub(crate) fn wish(disks: Vec<Storage>) -> Wish {
    Wish {
        pinned: false,
        cpus: Some(1),
        disks,
        ..Wish::new("guest", Os::Windows10, 4 << 20, "03:00.0".parse().unwrap())
    }
}

pub(crate) fn plan(facts: &Facts, wish: &Wish) -> Result<Guest, Vec<Refusal>> {
    guest::plan(facts, wish, None)
}

pub(crate) fn by_id(letter: char) -> String {
    format!(
        "/dev/disk/by-id/ata-DISK_SERIAL{}",
        letter.to_ascii_uppercase()
    )
}
