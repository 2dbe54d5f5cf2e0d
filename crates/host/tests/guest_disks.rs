//! Whole disks for guests: refused while something of the host uses them.
#![allow(clippy::unwrap_used)]

mod disk_builder;
mod observe_builder;

use disk_builder::*;
use observe_builder::Pci;
use passthru_host::observe::{Wanted, observe};
use passthru_plan::{
    Measured,
    guest::{Guest, spec::*},
};

/// For each disk: its letter, the refusal, a piece of the reason, a piece of the way out.
const USED: [(char, &str, &str, &str); 18] = [
    (
        'a',
        "guest.disk.mounted",
        "sda1 is mounted on /srv",
        "umount /srv",
    ),
    (
        'a',
        "guest.disk.fstab",
        "sda2 is in /etc/fstab (for /media/My disk)",
        "take the line out of /etc/fstab",
    ),
    (
        'b',
        "guest.disk.raid",
        "sdb1 is part of the RAID array md127 (for /backup)",
        "mdadm --stop /dev/md127",
    ),
    (
        'c',
        "guest.disk.raid",
        "sdc is a member of a RAID array",
        "another disk",
    ),
    (
        'd',
        "guest.disk.luks",
        "sdd1 is an encrypted volume (LUKS)",
        "--transplant /dev/disk/by-id/ata-DISK_SERIALD",
    ),
    (
        'e',
        "guest.disk.zfs",
        "sde1 is in the imported ZFS pool tank",
        "zpool export tank",
    ),
    (
        'f',
        "guest.disk.zfs",
        "sdf1 is a member of the ZFS pool old",
        "--transplant",
    ),
    (
        'h',
        "guest.disk.btrfs",
        "sdh is in a btrfs with sdi",
        "--transplant",
    ),
    (
        'j',
        "guest.disk.multipath",
        "sdj is a path of the multipath device mpatha",
        "/dev/mapper/mpatha",
    ),
    (
        'k',
        "guest.disk.bcache",
        "sdk is part of a bcache",
        "another disk",
    ),
    (
        'l',
        "guest.disk.ceph",
        "sdl1 is an OSD of Ceph",
        "--transplant",
    ),
    (
        'm',
        "guest.disk.swap",
        "sdm1 is swap space in use",
        "swapoff /dev/sdm1",
    ),
    (
        'n',
        "guest.disk.lvm",
        "sdn1 holds the active LVM volume group store",
        "vgchange --activate n store",
    ),
    (
        'o',
        "guest.disk.lvm",
        "sdo1 is a physical volume of LVM",
        "--transplant",
    ),
    ('p', "guest.disk.read-only", "sdp", "blockdev --setrw"),
    ('q', "guest.disk.empty", "sdq", "Put one in"),
    (
        'r',
        "guest.disk.drbd",
        "sdr1 is a replica of DRBD",
        "another disk",
    ),
    (
        's',
        "guest.disk.held",
        "sds1 is held by dm-9",
        "lsblk /dev/sds1",
    ),
];

#[test]
fn what_the_host_uses_is_refused() {
    let facts = facts(&host());
    for (letter, id, why, way_out) in USED {
        let refusals = plan(&facts, &wish(vec![storage(&by_id(letter))])).unwrap_err();
        let rows = USED.iter().filter(|row| row.0 == letter);
        let ids: Vec<&str> = refusals.iter().map(|refusal| refusal.id.as_str()).collect();
        let expected: Vec<&str> = rows.map(|row| row.1).collect();
        assert_eq!(ids, expected, "sd{letter}");
        let refusal = refusals.iter().find(|refusal| refusal.id == id).unwrap();
        assert!(refusal.why.contains(why), "sd{letter}: {}", refusal.why);
        assert!(
            refusal.way_out.contains(way_out),
            "sd{letter}: {}",
            refusal.way_out
        );
    }
    // crypttab counts as well, and names the mapping.
    let refusals = plan(&facts, &wish(vec![storage(&by_id('t'))])).unwrap_err();
    assert_eq!(refusals[0].id, "guest.disk.fstab");
    assert!(
        refusals[0]
            .why
            .contains("sdt is in /etc/crypttab (for vault)")
    );
}

#[test]
fn the_disk_the_host_runs_from_is_refused_once() {
    let facts = facts(&host());
    for path in [
        "/dev/disk/by-id/nvme-FAST_NVSERIAL0",
        "/dev/disk/by-id/nvme-FAST_NVSERIAL0-part2",
        "/dev/disk/by-id/dm-name-crypt",
    ] {
        let refusals = plan(&facts, &wish(vec![storage(path)])).unwrap_err();
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].id, "guest.disk.host");
        assert!(refusals[0].why.contains("/, swap"), "{}", refusals[0].why);
    }
}

#[test]
fn a_host_on_zfs_keeps_its_disks() {
    let host = host();
    let mounts: String = (0..9)
        .map(|n| format!("4{n} 22 0:5{n} / /data/{n} rw - zfs rpool/data/{n} rw\n"))
        .collect();
    host.file(
        "proc/self/mountinfo",
        format!("22 1 0:49 / / rw - zfs rpool/ROOT rw\n{mounts}"),
    )
    .file("proc/spl/kstat/zfs/rpool/state", "ONLINE\n")
    .file(
        "run/udev/data/b8:81",
        "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=rpool\n",
    );
    let refusals = plan(&facts(&host), &wish(vec![storage(&by_id('e'))])).unwrap_err();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].id, "guest.disk.host");
    let why = &refusals[0].why;
    assert!(
        why.contains("ZFS pool rpool (for /, /data/0, /data/1, /data/2 and 6 more)"),
        "{why}"
    );
}

#[test]
fn a_system_is_taken_over_unless_something_is_open() {
    let facts = facts(&host());
    let taken = |letter| {
        let disk = Storage {
            transplant: true,
            ..storage(&by_id(letter))
        };
        plan(&facts, &wish(vec![disk]))
            .map_err(|refusals| refusals.into_iter().map(|r| r.id).collect::<Vec<_>>())
    };
    for letter in ['d', 'f', 'g', 'h', 'l', 'o'] {
        assert_eq!(taken(letter).unwrap().disks[0].path, by_id(letter));
    }
    for (letter, id) in [
        ('b', "guest.disk.raid"),
        ('c', "guest.disk.raid"),
        ('e', "guest.disk.zfs"),
        ('k', "guest.disk.bcache"),
        ('m', "guest.disk.swap"),
        ('n', "guest.disk.lvm"),
    ] {
        assert_eq!(taken(letter).unwrap_err(), [id], "sd{letter}");
    }
    let file = Storage {
        transplant: true,
        ..storage("/a.qcow2")
    };
    assert_eq!(
        plan(&facts, &wish(vec![file])).unwrap_err()[0].id,
        "guest.disk.transplant"
    );
}

#[test]
fn a_name_that_may_be_another_disk_tomorrow_is_refused_with_the_one_that_lasts() {
    let host = host();
    let facts = facts(&host);
    for (path, lasting) in [
        ("/dev/nvme1n1", "/dev/disk/by-id/nvme-FAST_NVSERIAL1"),
        (
            "/dev/disk/by-path/pci-0000:02:00.0-nvme-1",
            "/dev/disk/by-id/nvme-FAST_NVSERIAL1",
        ),
        ("/dev/sdg", "/dev/disk/by-id/ata-DISK_SERIALG"),
        ("/dev/sdg3", "/dev/disk/by-id/ata-DISK_SERIALG-part3"),
    ] {
        let refusals = plan(&facts, &wish(vec![storage(path)])).unwrap_err();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].id, "guest.disk.name");
        assert!(
            refusals[0].way_out.contains(&format!("{lasting}.")),
            "{}",
            refusals[0].way_out
        );
    }
    // One that was pulled out.
    for path in ["/dev/disk/by-id/ata-GONE", "/dev/sdz", "/dev/mapper/gone"] {
        let refusals = plan(&facts, &wish(vec![storage(path)])).unwrap_err();
        assert_eq!(refusals[0].id, "guest.disk.missing", "{path}");
    }
    // Where udev has no name by what it is, the place has to do.
    for link in [
        "nvme-FAST_NVSERIAL1",
        "nvme-FAST_NVSERIAL1_1",
        "nvme-eui.001",
    ] {
        std::fs::remove_file(host.path().join("dev/disk/by-id").join(link)).unwrap();
    }
    let facts = observe(&host.root(), Wanted::guest());
    let place = "/dev/disk/by-path/pci-0000:02:00.0-nvme-1";
    let refusals = plan(&facts, &wish(vec![storage("/dev/nvme1n1")])).unwrap_err();
    assert!(refusals[0].way_out.contains(place));
    let guest = plan(&facts, &wish(vec![storage(place)])).unwrap();
    assert!(guest.notes.iter().any(|note| note.id == "guest.disk.place"));
}

#[test]
fn one_disk_by_two_names_is_refused() {
    let facts = facts(&host());
    for other in [
        "/dev/disk/by-id/nvme-FAST_NVSERIAL1",
        "/dev/disk/by-id/nvme-eui.001",
        "/dev/disk/by-id/nvme-FAST_NVSERIAL1_1",
    ] {
        let two = vec![
            storage("/dev/disk/by-id/nvme-FAST_NVSERIAL1"),
            storage(other),
        ];
        let ids: Vec<String> = plan(&facts, &wish(two))
            .unwrap_err()
            .into_iter()
            .map(|r| r.id)
            .collect();
        assert_eq!(ids, ["guest.disk.twice"], "{other}");
    }
    let part = format!("{}-part3", by_id('g'));
    let refusals = plan(&facts, &wish(vec![storage(&by_id('g')), storage(&part)])).unwrap_err();
    assert_eq!(refusals[0].id, "guest.disk.twice");
    // The controller and the disk behind it.
    let mut both = wish(vec![storage("/dev/disk/by-id/nvme-FAST_NVSERIAL1")]);
    both.with = vec!["02:00.0".parse().unwrap()];
    let refusals = plan(&facts, &both).unwrap_err();
    assert_eq!(refusals[0].id, "guest.disk.twice");
    assert!(refusals[0].why.contains("0000:02:00.0"));
}

fn note<'a>(guest: &'a Guest, id: &str) -> Option<&'a str> {
    let found = guest.notes.iter().find(|note| note.id == id);
    found.map(|note| note.text.as_str())
}

#[test]
fn a_free_nvme_disk_can_go_with_its_controller() {
    let host = host();
    let disk = wish(vec![storage("/dev/disk/by-id/nvme-FAST_NVSERIAL1")]);
    let guest = plan(&facts(&host), &disk).unwrap();
    assert_eq!(guest.disks[0].format, Format::Raw);
    let text = note(&guest, "guest.disk.nvme").unwrap();
    assert!(text.contains("--with 0000:02:00.0"), "{text}");
    // With another device in its group it cannot.
    host.function(&Pci {
        address: "0000:02:00.1",
        above: "pci0000:00",
        class: 0x02_0000,
        group: Some(3),
        driver: Some("igb"),
        ..Pci::default()
    });
    let guest = plan(&facts(&host), &disk).unwrap();
    assert_eq!(note(&guest, "guest.disk.nvme"), None);
}

#[test]
fn a_controller_does_not_go_with_a_disk_that_is_in_use() {
    let mut facts = facts(&host());
    let mut wish = wish(Vec::new());
    wish.with = vec!["02:00.0".parse().unwrap()];
    plan(&facts, &wish).unwrap();
    // A volume group that is active, and nothing of it mounted.
    let blocks = match &mut facts.blocks.devices {
        Measured::Value(blocks) => blocks,
        Measured::NotMeasured(why) => panic!("{why}"),
    };
    let disk = blocks.iter_mut().find(|block| block.name == "nvme1n1");
    disk.unwrap().holders.push("dm-4".into());
    let refusals = plan(&facts, &wish).unwrap_err();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].id, "guest.disk.lvm");
    assert!(
        refusals[0].why.contains("volume group store"),
        "{}",
        refusals[0].why
    );
}

#[test]
fn a_transplanted_windows_begins_with_sata() {
    let facts = facts(&host());
    let mut wish = wish(vec![
        storage(&by_id('g')),
        storage("/dev/disk/by-id/nvme-FAST_NVSERIAL1"),
    ]);
    wish.virtio_win = Some("/virtio-win.iso".into());
    let guest = plan(&facts, &wish).unwrap();
    assert_eq!(guest.disks[0].bus, Bus::Sata);
    assert_eq!(
        guest.disks[1].bus,
        Bus::Virtio,
        "an empty disk can have what is faster"
    );
    assert!(
        note(&guest, "guest.disk.windows")
            .unwrap()
            .contains("change the bus")
    );
    assert!(note(&guest, "guest.disk.bitlocker").is_some());
    wish.os = Os::Linux;
    assert_eq!(plan(&facts, &wish).unwrap().disks[0].bus, Bus::Virtio);
}

#[test]
fn a_partition_is_given_with_a_word_of_warning() {
    let facts = facts(&host());
    let part = format!("{}-part3", by_id('g'));
    let guest = plan(&facts, &wish(vec![storage(&part)])).unwrap();
    assert!(
        note(&guest, "guest.disk.partition")
            .unwrap()
            .contains("a guest only")
    );
    // What its neighbours are used for is not its business; what it is used for itself is.
    let busy = format!("{}-part1", by_id('a'));
    let refusals = plan(&facts, &wish(vec![storage(&busy)])).unwrap_err();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].id, "guest.disk.mounted");
}

#[test]
fn without_a_database_of_udev_it_is_said_what_is_not_known() {
    let host = host();
    std::fs::remove_dir_all(host.path().join("run/udev")).unwrap();
    let guest = plan(&facts(&host), &wish(vec![storage(&by_id('d'))])).unwrap();
    let text = note(&guest, "guest.disk.unread").unwrap();
    assert!(
        text.contains("/run/udev/data/b8:64 is not part of this host's tree"),
        "{text}"
    );
    // And without block devices, too.
    std::fs::remove_dir_all(host.path().join("sys/class/block")).unwrap();
    let guest = plan(&facts(&host), &wish(vec![storage(&by_id('d'))])).unwrap();
    assert!(note(&guest, "guest.disk.unknown").is_some());
}
