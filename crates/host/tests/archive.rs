//! Captures: what goes in comes out, nothing that names a machine goes in, and nothing that a
//! stranger packed gets out of its directory.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

mod observe_builder;

use std::{fs, io::Read, path::Path};

use observe_builder::{Host, Pci, cpio};
use passthru_host::{
    Root,
    archive::{ArchiveError, open_host},
    capture::{capture, capture_to},
    observe::{Wanted, observe},
};
use passthru_plan::{Facts, Measured};
use tar::EntryType;

const UUID: &str = "6a1f0c3e-9a52-4a3e-8a7d-0123456789ab";
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A host with something of every subject.
fn host() -> Host {
    let host = Host::new();
    host.function(&Pci {
        address: "0000:00:01.0",
        above: "pci0000:00",
        class: 0x06_0400,
        subsystem: (0, 0),
        driver: Some("pcieport"),
        group: Some(1),
        ..Pci::default()
    });
    let place = host.function(&Pci {
        driver: Some("nouveau"),
        group: Some(1),
        ..Pci::default()
    });
    host.file(&format!("{place}/reset_method"), "flr\n")
        .file(&format!("{place}/rom"), "never read")
        .file(&format!("{place}/config"), "never read");
    host.file("sys/kernel/iommu_groups/1/type", "identity\n");
    host.link(
        "sys/bus/pci/drivers/nouveau/module",
        "../../../../module/nouveau",
    );
    let nvme = host.plain("0000:02:00.0", 0x01_0802);
    host.link("lib", "usr/lib");
    let modules = "usr/lib/modules/6.12.48-amd64";
    host.file(
        &format!("{modules}/modules.alias"),
        "alias pci:v000010DEd*sv*sd*bc03sc00i* nouveau\n",
    );
    host.file(&format!("{modules}/modules.dep"), "kernel/vfio-pci.ko:\n");
    host.file(
        "usr/share/misc/pci.ids",
        "10de  NVIDIA Corporation\n\t1f08  TU106\n",
    );
    host.file("boot/vmlinuz-6.12.48-amd64", "kernel");
    host.file(
        "boot/initrd.img-6.12.48-amd64",
        cpio(&[("init", Some(b"x"))]),
    );
    host.file("boot/grub/grub.cfg", "linux /vmlinuz root=/dev/sda1 ro\n");
    host.file("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n");
    host.executable("etc/initramfs-tools/hooks/x", "#!/bin/sh\n");
    host.executable("usr/sbin/update-initramfs", "mkinitramfs\n");
    host.file("etc/os-release", "ID=debian\n");
    host.file(
        "proc/cmdline",
        "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p1 ro\n",
    );
    host.file(
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: vmx\n",
    );
    host.file(
        "proc/self/mountinfo",
        "22 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n",
    );
    let place = format!(
        "{}/nvme/nvme0/nvme0n1/nvme0n1p1",
        nvme.trim_start_matches("sys/devices/")
    );
    for (path, up) in [
        ("sys/class/block/nvme0n1p1", "../../devices"),
        ("sys/dev/block/259:1", "../../devices"),
    ] {
        host.link(path, &format!("{up}/{place}"));
    }
    host.directory(&format!("sys/devices/{place}"));
    host.file("sys/firmware/acpi/tables/DMAR", "secret table");
    host.file("var/log/kern.log", "x: DMAR: [DMA Read] fault\nunrelated\n");
    host.link(
        "sys/class/drm/card0",
        "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/drm/card0",
    );
    host.file("sys/class/drm/card0-DP-1/status", "connected\n");
    host.file("dev/kvm", "");
    host
}

fn captured(host: &Host) -> (Facts, Vec<u8>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.tar.gz");
    capture_to(&host.root(), &path).unwrap();
    let root = open_host(&path).unwrap();
    let facts = observe(&root, Wanted::all());
    (facts, fs::read(&path).unwrap(), directory)
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut out)
        .unwrap();
    out
}

#[test]
fn facts_of_a_capture_are_the_facts_of_the_host() {
    let host = host();
    let facts = observe(&host.root(), Wanted::all());
    assert_eq!(facts.functions.len(), 3);
    assert_eq!(facts.uses.len(), 1);
    let (again, bytes, _keep) = captured(&host);
    assert_eq!(again, facts);
    let tar = unzip(&bytes);
    let has = |text: &str| {
        tar.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has("GRUB_CMDLINE"));
    for private in ["never read", "secret table", "unrelated"] {
        assert!(!has(private), "{private} was taken along");
    }
}

#[test]
fn a_capture_of_a_capture_is_the_same() {
    let host = host();
    host.file(
        "etc/fstab",
        format!("UUID={UUID} / ext4\nUUID=12AB-34CD /boot/efi vfat\n"),
    );
    let mut first = Vec::new();
    capture(&host.root(), &mut first).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.tar.gz");
    fs::write(&path, &first).unwrap();
    let root = open_host(&path).unwrap();
    let again = directory.path().join("again.tar.gz");
    capture_to(&root, &again).unwrap();
    let all = |root: &Root| observe(root, Wanted::all());
    assert_eq!(all(&root), all(&open_host(&again).unwrap()));
}

#[test]
fn what_names_a_machine_is_masked_the_same_everywhere() {
    let host = host();
    let secrets = [
        UUID,
        MACHINE,
        "12AB-34CD",
        "52:54:00:12:34:56",
        "192.168.7.9",
        "0907A8C0",
        "tower",
        "anna",
        "hunter2",
        "grub.pbkdf2.sha512.10000.AB",
        "S5GXNF0R12",
        "KBD0012345",
    ];
    host.file(
        "proc/cmdline",
        format!("BOOT_IMAGE=/vmlinuz root=UUID={UUID} ip=192.168.7.9::52:54:00:12:34:56\n"),
    );
    host.file("etc/fstab", format!("UUID={UUID} / ext4\nUUID=12AB-34CD /boot/efi vfat\n/dev/disk/by-id/nvme-X_S5GXNF0R12 /x\n//nas/x /home/anna/x cifs username=anna,password=hunter2\n"));
    host.file("boot/grub/grub.cfg", format!("search --fs-uuid --set=root 12AB-34CD\npassword_pbkdf2 root grub.pbkdf2.sha512.10000.AB\nlinux /vmlinuz root=UUID={UUID} ro\n"));
    host.file("etc/hostname", "tower\n")
        .file("proc/sys/kernel/hostname", "tower\n");
    host.file(
        "etc/crypttab",
        format!("tower-crypt UUID={UUID} none luks\n"),
    );
    host.file("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0907A8C0\t0003\t0\t0\t0\t00000000\n");
    host.file(
        "proc/bus/input/devices",
        "N: Name=\"K\"\nU: Uniq=KBD0012345\n\n",
    );
    host.file(
        &format!("boot/loader/entries/{MACHINE}-6.12.48-amd64.conf"),
        format!("options root=UUID={UUID}\nmachine-id {MACHINE}\n"),
    );
    let (facts, bytes, _keep) = captured(&host);
    let tar = unzip(&bytes);
    for secret in secrets {
        assert!(
            !tar.windows(secret.len())
                .any(|window| window.eq_ignore_ascii_case(secret.as_bytes())),
            "{secret} is in the capture"
        );
    }
    let root = "root=UUID=00000000-0000-4000-8000-";
    let after = |text: &str| {
        let at = text
            .find(root)
            .unwrap_or_else(|| panic!("no root in {text}"));
        text[at + root.len()..][..12].to_owned()
    };
    let booted = after(facts.kernel.cmdline.value().unwrap());
    assert_eq!(after(facts.text("/boot/grub/grub.cfg").unwrap()), booted);
    assert!(facts.text("/etc/fstab").unwrap().contains(&booted));
    let entry = facts
        .files
        .keys()
        .find(|path| path.contains("entries"))
        .unwrap();
    assert!(entry.ends_with("-6.12.48-amd64.conf"), "{entry}");
    assert!(facts.text("/etc/crypttab").unwrap().contains("host1-crypt"));
}

#[test]
fn what_was_closed_to_the_user_is_not_taken_for_empty() {
    let host = host();
    host.file(
        "run/passthru-capture/denied",
        "boot/grub/grub.cfg\nboot/loader/entries\n",
    );
    host.file("boot/loader/entries/x.conf", "");
    let facts = observe(&open_host(host.path()).unwrap(), Wanted::all());
    let why = facts.files["/boot/grub/grub.cfg"].text.why_not().unwrap();
    assert_eq!(why, "/boot/grub/grub.cfg needs root to be read");
    assert!(
        facts
            .closed
            .iter()
            .any(|line| line.contains("/boot/loader/entries"))
    );
    // And so through a capture of it.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.tar.gz");
    let report = capture_to(&open_host(host.path()).unwrap(), &path).unwrap();
    assert_eq!(report.denied, ["boot/grub/grub.cfg", "boot/loader/entries"]);
    let again = observe(&open_host(&path).unwrap(), Wanted::all());
    assert_eq!(
        again.files["/boot/grub/grub.cfg"].text.why_not().unwrap(),
        why
    );
}

#[test]
fn a_capture_does_not_overwrite() {
    let host = host();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, "mine").unwrap();
    let error = capture_to(&host.root(), &path).unwrap_err();
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

/// An archive of entries: name, kind, link target or content. Names are written as they are, which
/// the builder of the tar crate would refuse.
fn packed(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let content = matches!(kind, EntryType::Regular)
            .then_some(*text)
            .unwrap_or_default();
        if content.is_empty() && !text.is_empty() {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(content.bytes());
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn open(bytes: &[u8]) -> Result<Root, ArchiveError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.tar");
    fs::write(&path, bytes).unwrap();
    open_host(&path)
}

/// Entries, the name of the one that is refused, and a word of the reason.
type Refused<'a> = (&'a [(&'a str, EntryType, &'a str)], &'a str, &'a str);

#[test]
fn archives_that_are_refused() {
    use EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let cases: &[Refused<'_>] = &[
        (&[("../evil", Regular, "x")], "../evil", "climbs"),
        (
            &[("etc/../../evil", Regular, "x")],
            "etc/../../evil",
            "climbs",
        ),
        (&[("/etc/passwd", Regular, "x")], "/etc/passwd", "absolute"),
        (
            &[("etc/x", Symlink, "../../outside")],
            "etc/x",
            "link out of the host: ../../outside",
        ),
        (&[("x", Symlink, "..")], "x", "link out"),
        (&[("x", Link, "../../etc/shadow")], "x", "hard link out"),
        (&[("x", Link, "/etc/shadow")], "x", "hard link out"),
        (&[("x", Link, "etc/none")], "x", "no earlier file"),
        (
            &[("d", Symlink, "/tmp"), ("d/x", Regular, "x")],
            "d/x",
            "goes through d",
        ),
        (
            &[("d", Regular, "x"), ("d/x", Regular, "x")],
            "d/x",
            "goes through d",
        ),
        (
            &[("d", Symlink, "/etc"), ("x", Link, "d/shadow")],
            "x",
            "no earlier file",
        ),
        (&[("dev/sda", Block, "")], "dev/sda", "device node"),
        (&[("dev/null", Char, "")], "dev/null", "device node"),
        (&[("run/pipe", Fifo, "")], "run/pipe", "named pipe"),
    ];
    for (entries, name, why) in cases {
        let error = open(&packed(entries)).unwrap_err().to_string();
        assert!(error.contains(&format!("\"{name}\"")), "{error}");
        assert!(error.contains(why) && error.contains("host.tar"), "{error}");
    }
}

#[test]
fn archives_that_are_opened() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let bytes = packed(&[
        ("./", Directory, ""),
        ("./host/sys/devices/a/vendor", Regular, "0x8086\n"),
        ("./host/sys/bus/a", Symlink, "../devices/a"),
        ("./host/etc/one", Regular, "first"),
        ("./host/etc/one", Regular, "second"),
        ("./host/etc/two", Link, "host/etc/one"),
        ("./host/etc/abs", Symlink, "/etc/two"),
    ]);
    for bytes in [
        bytes.clone(),
        ruzstd::encoding::compress_to_vec(&bytes[..], ruzstd::encoding::CompressionLevel::Fastest),
    ] {
        let root = open(&bytes).unwrap();
        let place = root.path().to_owned();
        // The single directory on top is the host.
        assert_eq!(
            root.attribute("/sys/bus/a/vendor").as_deref(),
            Some("0x8086")
        );
        assert_eq!(root.attribute("/etc/abs").as_deref(), Some("second"));
        let mode = fs::metadata(place.parent().unwrap()).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o700
        );
        drop(root);
        assert!(!place.exists(), "the unpacked host stays behind");
    }
}

#[test]
fn archives_that_are_cut_or_none() {
    let whole = packed(&[("etc/x", EntryType::Regular, &"x".repeat(5000))]);
    for end in [600, 1024, 5000, whole.len() - 1024] {
        let error = open(&whole[..end]).unwrap_err().to_string();
        assert!(error.contains("truncated"), "cut at {end}: {error}");
    }
    let host = host();
    let mut gzip = Vec::new();
    capture(&host.root(), &mut gzip).unwrap();
    for end in [40, gzip.len() / 2, gzip.len() - 4] {
        let error = open(&gzip[..end]).unwrap_err().to_string();
        assert!(error.contains("truncated"), "cut at {end}: {error}");
    }
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"hello", "neither a directory nor a tar"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PK\x03\x04", "zip"),
    ] {
        let error = open(bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = open_host(Path::new("/no/such/host.tar"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("/no/such/host.tar: "), "{error}");
}

#[test]
fn errors_of_a_capture_name_the_archive() {
    let host = host();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.tar.gz");
    capture_to(&host.root(), &path).unwrap();
    let root = open_host(&path).unwrap();
    let error = root.read("/etc/none").unwrap_err().to_string();
    assert!(error.contains("host.tar.gz/etc/none"), "{error}");
}

#[test]
fn free_space_and_sizes_travel() {
    let host = host();
    host.file("run/passthru-capture/boot-free", "123456\n");
    let facts = observe(&host.root(), Wanted::all());
    assert_eq!(facts.boot.boot_free, Measured::Value(123_456));
    let (again, _, _keep) = captured(&host);
    assert_eq!(again.boot.boot_free, Measured::Value(123_456));
    let size = |facts: &Facts| facts.kernel.installed[0].image.as_ref().unwrap().size;
    assert!(size(&facts) > 0);
    assert_eq!(size(&again), size(&facts));
}
