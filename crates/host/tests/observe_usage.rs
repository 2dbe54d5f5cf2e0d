//! What the host needs: from mounts, routes and keyboards down to functions.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::Host;
use passthru_plan::{Measured, facts::UseKind};

/// Block devices by name and place, with `dev` numbers and what they stand on.
fn disks(host: &Host, devices: &[(&str, &str, &str, &[&str], &str)]) {
    for (name, number, place, slaves, uuid) in devices {
        host.link(
            &format!("sys/class/block/{name}"),
            &format!("../../devices/{place}"),
        );
        host.link(
            &format!("sys/dev/block/{number}"),
            &format!("../../devices/{place}"),
        );
        host.file(&format!("sys/devices/{place}/dev"), format!("{number}\n"));
        for slave in *slaves {
            host.link(
                &format!("sys/devices/{place}/slaves/{slave}"),
                &format!("../../{slave}"),
            );
        }
        if !uuid.is_empty() {
            host.file(&format!("sys/devices/{place}/dm/uuid"), uuid);
        }
    }
}

fn uses(host: &Host) -> Vec<(String, UseKind, String)> {
    let uses = host.facts().uses.into_iter();
    uses.map(|u| (u.address.to_string(), u.kind, u.detail))
        .collect()
}

#[test]
fn disks_through_luks_lvm_raid_and_multipath() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:17.0", 0x01_0601),
        ("0000:01:00.0", 0x01_0802),
        ("0000:02:00.0", 0x01_0802),
    ] {
        host.plain(address, class);
    }
    host.file(
        "proc/self/mountinfo",
        "22 1 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
         23 22 259:2 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
         24 22 9:127 / /srv/data rw - xfs /dev/md127 rw\n\
         25 22 254:1 /var/lib /mnt/bind rw - ext4 /dev/mapper/vg-root rw\n\
         26 22 259:9 / /multi rw - xfs /dev/nvme2n1 rw\n\
         27 22 0:5 / /proc rw - proc proc rw\n",
    );
    host.file(
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/mapper/vg-swap partition 1 0 -2\n/swapfile file 1 0 -3\n",
    );
    host.link("dev/mapper/vg-swap", "../dm-2");
    host.link(
        "sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2",
        "../../../pci0000:00/0000:02:00.0/nvme/nvme2",
    );
    disks(
        &host,
        &[
            (
                "nvme0n1",
                "259:1",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1",
                &[],
                "",
            ),
            (
                "nvme0n1p1",
                "259:2",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1",
                &[],
                "",
            ),
            (
                "nvme0n1p3",
                "259:4",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p3",
                &[],
                "",
            ),
            (
                "dm-0",
                "254:0",
                "virtual/block/dm-0",
                &["nvme0n1p3"],
                "CRYPT-LUKS2-x-crypt",
            ),
            ("dm-1", "254:1", "virtual/block/dm-1", &["dm-0"], "LVM-x"),
            ("dm-2", "254:2", "virtual/block/dm-2", &["dm-0"], "LVM-y"),
            (
                "sda",
                "8:0",
                "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda",
                &[],
                "",
            ),
            (
                "sdb",
                "8:16",
                "pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sdb",
                &[],
                "",
            ),
            ("md127", "9:127", "virtual/block/md127", &["sda", "sdb"], ""),
            (
                "nvme2n1",
                "259:9",
                "virtual/nvme-subsystem/nvme-subsys2/nvme2n1",
                &[],
                "",
            ),
        ],
    );
    let text = |s: &str| s.to_owned();
    assert_eq!(
        uses(&host),
        [
            (
                text("0000:00:17.0"),
                UseKind::Mount,
                text("/srv/data on sda, sdb (RAID)")
            ),
            (
                text("0000:01:00.0"),
                UseKind::RootDisk,
                text("/ on nvme0n1p3 (LVM, LUKS)")
            ),
            (
                text("0000:01:00.0"),
                UseKind::RootDisk,
                text("/boot/efi on nvme0n1p1")
            ),
            (
                text("0000:01:00.0"),
                UseKind::Swap,
                text("swap on nvme0n1p3 (LVM, LUKS)")
            ),
            (
                text("0000:02:00.0"),
                UseKind::Mount,
                text("/multi on nvme2n1")
            ),
        ]
    );
    assert_eq!(host.facts().machine.encrypted_root, Measured::Value(true));
}

#[test]
fn btrfs_and_zfs_of_several_disks() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:17.0", 0x01_0601),
        ("0000:01:00.0", 0x01_0802),
        ("0000:02:00.0", 0x01_0802),
    ] {
        host.plain(address, class);
    }
    host.file(
        "proc/self/mountinfo",
        "22 1 0:25 /@ / rw - btrfs /dev/sda2 rw\n23 22 0:25 /@home /home rw - btrfs /dev/sda2 rw\n\
         24 22 0:40 / /tank rw - zfs tank/data rw\n",
    );
    for member in ["sda2", "nvme0n1"] {
        host.directory(&format!("sys/fs/btrfs/0f/devices/{member}"));
    }
    host.file(
        "run/udev/data/b259:5",
        "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n",
    );
    disks(
        &host,
        &[
            (
                "sda2",
                "8:2",
                "pci0000:00/0000:00:17.0/ata1/block/sda/sda2",
                &[],
                "",
            ),
            (
                "nvme0n1",
                "259:1",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1",
                &[],
                "",
            ),
            (
                "nvme1n1",
                "259:5",
                "pci0000:00/0000:02:00.0/nvme/nvme1/nvme1n1",
                &[],
                "",
            ),
        ],
    );
    let found: Vec<_> = uses(&host)
        .into_iter()
        .map(|(a, k, d)| format!("{a} {k:?} {d}"))
        .collect();
    assert_eq!(
        found,
        [
            "0000:00:17.0 RootDisk / on sda2",
            "0000:00:17.0 Mount /home on sda2",
            "0000:01:00.0 RootDisk / on nvme0n1",
            "0000:01:00.0 Mount /home on nvme0n1",
            "0000:02:00.0 Mount /tank on nvme1n1",
        ]
    );
    // Without a member in udev's database nobody knows which disks the pool has: every controller
    // may hold it.
    let may_hold_it = || {
        let uses = uses(&host).into_iter();
        uses.filter(|(_, _, detail)| detail.contains("may")).count()
    };
    host.file(
        "run/udev/data/b259:5",
        "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=other\n",
    );
    assert_eq!(may_hold_it(), 3);
    std::fs::remove_dir_all(host.path().join("run")).unwrap();
    assert_eq!(may_hold_it(), 3);
}

#[test]
fn networks_and_input() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:14.0", 0x0c_0330),
        ("0000:03:00.0", 0x02_0000),
        ("0000:04:00.0", 0x02_0000),
    ] {
        host.plain(address, class);
    }
    for (name, place) in [
        ("enp3s0", "pci0000:00/0000:03:00.0/net/enp3s0"),
        ("enp4s0", "pci0000:00/0000:04:00.0/net/enp4s0"),
        ("bond0", "virtual/net/bond0"),
        ("bond0.7", "virtual/net/bond0.7"),
        ("br0", "virtual/net/br0"),
        ("lo", "virtual/net/lo"),
    ] {
        host.link(
            &format!("sys/class/net/{name}"),
            &format!("../../devices/{place}"),
        );
        host.file(&format!("sys/devices/{place}/carrier"), "1\n");
    }
    host.link("sys/devices/virtual/net/br0/lower_bond0.7", "../bond0.7");
    host.link("sys/devices/virtual/net/bond0.7/lower_bond0", "../bond0");
    host.file("sys/devices/virtual/net/bond0/bonding/slaves", "enp3s0\n");
    host.file(
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
         br0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    );
    host.file(
        "proc/bus/input/devices",
        "N: Name=\"USB Keyboard\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/1-2/input/input5\n\
         H: Handlers=sysrq kbd event3\nB: KEY=1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe\n\n\
         N: Name=\"AT keyboard\"\nS: Sysfs=/devices/platform/i8042/serio0/input/input1\n\
         H: Handlers=sysrq kbd event1\nB: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n\n\
         N: Name=\"Mouse\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/1-3/input/input6\n\
         H: Handlers=mouse0 event4\nB: KEY=1f0000 0 0 0 0\n\n",
    );
    let found: Vec<_> = uses(&host)
        .into_iter()
        .map(|(a, k, d)| format!("{a} {k:?} {d}"))
        .collect();
    assert_eq!(
        found,
        [
            "0000:00:14.0 Keyboard keyboard \"USB Keyboard\"",
            "0000:00:14.0 Mouse mouse \"Mouse\"",
            "0000:03:00.0 DefaultRoute default route on br0 over enp3s0",
            "0000:04:00.0 Network network on enp4s0",
        ]
    );
}
