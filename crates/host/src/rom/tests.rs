//! A function whose attributes behave as the kernel's do, and one that misbehaves at every step.

use std::{cell::RefCell, collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use passthru_plan::{Ids, facts::Bar};

use super::*;

/// A function's attributes: `rom` gives nothing until it is switched on, and off is "0" only.
#[derive(Default)]
struct Fake {
    attributes: RefCell<BTreeMap<String, String>>,
    /// What was written, in order.
    written: RefCell<Vec<String>>,
    /// Writes that fail: `name=value`.
    failing: Vec<&'static str>,
    /// What reading the ROM gives when it is on.
    content: Option<Vec<u8>>,
    errno: i32,
    /// Looks at the power state until it is D0; none: it stays asleep.
    looks: RefCell<Option<u32>>,
}

impl Fake {
    fn asleep() -> Self {
        let fake = Self {
            content: Some(b"\x55\xaa rom".to_vec()),
            looks: RefCell::new(Some(3)),
            ..Self::default()
        };
        for (name, value) in [("power/control", "auto"), ("power_state", "D3hot")] {
            fake.attributes
                .borrow_mut()
                .insert(name.into(), value.into());
        }
        fake
    }

    fn written(&self) -> Vec<String> {
        self.written.borrow().clone()
    }
}

impl Device for Fake {
    fn get(&self, name: &str) -> Option<String> {
        self.attributes.borrow().get(name).cloned()
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let text = format!("{name}={value}");
        let fails = self.failing.contains(&text.as_str());
        self.written.borrow_mut().push(text);
        if fails {
            return Err(Errno::ACCESS.into());
        }
        self.attributes
            .borrow_mut()
            .insert(name.into(), value.into());
        Ok(())
    }

    fn has_driver(&self) -> bool {
        self.get("driver").is_some()
    }

    fn rom(&self) -> io::Result<Vec<u8>> {
        let on = self.get("rom").is_some_and(|value| value != "0");
        let awake = self.get("power_state").is_none_or(|state| state != "D3hot");
        assert!(on && awake, "read while off or asleep");
        let failed = || io::Error::from_raw_os_error(self.errno);
        self.content.clone().ok_or_else(failed)
    }

    fn path(&self, name: &str) -> String {
        format!("/dev0/{name}")
    }

    fn wait(&self, _: Duration) {
        let mut looks = self.looks.borrow_mut();
        match looks.as_mut() {
            Some(0) => {
                self.attributes
                    .borrow_mut()
                    .insert("power_state".into(), "D0".into());
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }
}

const AT: Address = Address::new(0, 1, 0, 0);

#[test]
fn a_sleeping_card_is_woken_read_and_left_as_it_was() {
    let fake = Fake::asleep();
    assert_eq!(read_switched(&fake, AT).unwrap(), b"\x55\xaa rom");
    let all = ["power/control=on", "rom=1", "rom=0", "power/control=auto"];
    assert_eq!(fake.written(), all);
}

#[test]
fn a_function_that_no_driver_enabled_is_enabled_meanwhile() {
    let fake = Fake::asleep();
    let set = |name: &str, value: &str| {
        fake.attributes
            .borrow_mut()
            .insert(name.into(), value.into());
    };
    set("power/control", "on");
    set("power_state", "D0");
    set("enable", "0");
    read_switched(&fake, AT).unwrap();
    assert_eq!(fake.written(), ["enable=1", "rom=1", "rom=0", "enable=0"]);

    // Its driver's choice is not touched.
    set("driver", "vfio-pci");
    read_switched(&fake, AT).unwrap();
    assert_eq!(fake.written()[4..], ["rom=1", "rom=0"]);
}

#[test]
fn a_card_that_is_awake_keeps_its_power_management() {
    let fake = Fake::asleep();
    let mut attributes = fake.attributes.borrow_mut();
    attributes.insert("power/control".into(), "on".into());
    // So says the kernel of a function without a driver.
    attributes.insert("power_state".into(), "unknown".into());
    drop(attributes);
    read_switched(&fake, AT).unwrap();
    assert_eq!(fake.written(), ["rom=1", "rom=0"]);
}

#[test]
fn an_error_of_reading_is_explained_and_everything_is_put_back() {
    for (errno, words) in [
        (Errno::INVAL, "switched off again"),
        (Errno::IO, "55 aa"),
        (Errno::ACCESS, "may not be read"),
        (Errno::NOMEM, "cannot be read"),
    ] {
        let fake = Fake {
            content: None,
            errno: errno.raw_os_error(),
            ..Fake::asleep()
        };
        let error = read_switched(&fake, AT).unwrap_err();
        assert!(error.message.contains(words), "{error}");
        assert_eq!(error.stage, Stage::Restored);
        assert_eq!(fake.written()[2..], ["rom=0", "power/control=auto"]);
    }
}

#[test]
fn only_what_was_switched_is_put_back() {
    for (failing, written) in [
        ("power/control=on", &["power/control=on"][..]),
        (
            "rom=1",
            &["power/control=on", "rom=1", "power/control=auto"],
        ),
    ] {
        let fake = Fake {
            failing: vec![failing],
            ..Fake::asleep()
        };
        let error = read_switched(&fake, AT).unwrap_err();
        assert!(error.message.contains("cannot be switched"), "{error}");
        assert_eq!(
            (error.stage, fake.written().as_slice()),
            (
                Stage::Restored,
                &*written.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()
            )
        );
    }
}

#[test]
fn what_cannot_be_put_back_is_named_with_the_command() {
    let fake = Fake {
        failing: vec!["rom=0", "power/control=auto"],
        ..Fake::asleep()
    };
    let error = read_switched(&fake, AT).unwrap_err();
    assert_eq!(error.stage, Stage::Left);
    assert!(error.hints[0].ends_with("echo 0 > /dev0/rom"), "{error:?}");
    assert!(
        error.hints[1].ends_with("echo auto > /dev0/power/control"),
        "{error:?}"
    );
}

#[test]
fn a_card_that_stays_asleep_is_given_up_and_its_rom_not_touched() {
    let fake = Fake {
        looks: RefCell::new(None),
        ..Fake::asleep()
    };
    let error = read_switched(&fake, AT).unwrap_err();
    assert!(error.message.contains("still in D3hot"), "{error}");
    assert_eq!(fake.written(), ["power/control=on", "power/control=auto"]);
}

/// A tree with one function in group 14.
fn host() -> (tempfile::TempDir, Root, Function) {
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("sys/bus/pci/devices/0000:01:00.0");
    fs::create_dir_all(&device).unwrap();
    symlink(
        "../../../../kernel/iommu_groups/14",
        device.join("iommu_group"),
    )
    .unwrap();
    fs::write(device.join("rom"), "\u{1}rom").unwrap();
    let root = Root::open(dir.path()).unwrap();
    let function = Function {
        ids: Ids::new(0x1002, 0x1681),
        rom: true,
        ..Function::new(AT)
    };
    (dir, root, function)
}

#[test]
fn a_tree_is_only_read() {
    let (_dir, root, function) = host();
    let dump = dump(&root, &function).unwrap();
    assert_eq!(
        (dump.bytes, dump.source),
        (b"\x01rom".to_vec(), Source::Function)
    );
    let path = "/sys/bus/pci/devices/0000:01:00.0/rom";
    assert_eq!(root.read(path).unwrap(), b"\x01rom");
}

#[test]
fn off_is_written_as_the_kernel_wants_it() {
    let (dir, root, _) = host();
    let rom = dir.path().join("sys/bus/pci/devices/0000:01:00.0/rom");
    fs::write(&rom, "").unwrap();
    // "0" alone would switch it on.
    Live::new(&root, AT).set("rom", "0").unwrap();
    assert_eq!(fs::read(&rom).unwrap(), b"0\n");
    let error = Live::new(&root, AT).set("power/control", "on").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    fs::remove_file(&rom).unwrap();
    symlink("elsewhere", &rom).unwrap();
    assert!(Live::new(&root, AT).set("rom", "1").is_err());
}

#[test]
fn a_function_without_a_rom_is_refused() {
    let (_dir, root, mut function) = host();
    function.rom = false;
    let error = dump(&root, &function).unwrap_err();
    assert!(error.message.contains("no option ROM"), "{error}");
    assert_eq!(error.stage, Stage::Before);
}

#[test]
fn the_copy_in_memory_is_refused_and_the_table_offered() {
    let (dir, root, mut function) = host();
    function.bars = vec![Bar {
        index: 6,
        start: 0xc0000,
        size: 0x20000,
        flags: 0x212,
    }];
    let error = dump(&root, &function).unwrap_err();
    assert!(error.message.contains("0xc0000"), "{error}");
    assert!(error.hints.iter().all(|hint| !hint.contains("--from-vfct")));
    write(dir.path(), VFCT, b"VFCT");
    let error = dump(&root, &function).unwrap_err();
    assert!(error.hints.iter().any(|hint| hint.contains("--from-vfct")));
}

#[test]
fn a_guest_that_runs_is_not_disturbed() {
    let (dir, root, function) = host();
    let open = |number: u32, target: &str| {
        let fd = dir.path().join(format!("proc/{number}/fd"));
        fs::create_dir_all(&fd).unwrap();
        symlink(target, fd.join("27")).unwrap();
        fs::write(
            dir.path().join(format!("proc/{number}/comm")),
            "qemu-system-x86\n",
        )
        .unwrap();
    };
    open(1, "/dev/vfio/vfio");
    open(2, "/dev/vfio/140");
    dump(&root, &function).unwrap();
    open(311, "/dev/vfio/14");
    let error = dump(&root, &function).unwrap_err();
    assert!(
        error.message.contains("process 311, qemu-system-x86"),
        "{error}"
    );
    fs::remove_dir_all(dir.path().join("proc/311")).unwrap();
    let own = dir
        .path()
        .join("sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio3");
    fs::create_dir_all(own).unwrap();
    open(312, "/dev/vfio/devices/vfio3");
    assert!(dump(&root, &function).unwrap_err().message.contains("312"));
}

/// A VFCT with one image for 1002:1681 at this bus.
fn table(bus: u8, image: &[u8]) -> Vec<u8> {
    let mut table = vec![0; 0x4c + 0x1c];
    table[..4].copy_from_slice(b"VFCT");
    table[0x34] = 0x4c;
    table[0x4c] = bus;
    table[0x58..0x5c].copy_from_slice(&[0x02, 0x10, 0x81, 0x16]);
    table[0x64] = u8::try_from(image.len()).unwrap();
    table.extend_from_slice(image);
    table
}

fn write(top: &Path, path: &str, bytes: &[u8]) {
    let path = top.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_table_gives_the_image_also_under_another_bus() {
    let (dir, root, function) = host();
    let error = dump_vfct(&root, &function).unwrap_err();
    assert!(error.message.contains("is not there"), "{error}");
    write(dir.path(), VFCT, &table(1, b"image"));
    let found = dump_vfct(&root, &function).unwrap();
    assert_eq!(
        (found.bytes.as_slice(), found.source),
        (&b"image"[..], Source::Vfct)
    );
    write(dir.path(), VFCT, &table(9, b"image"));
    let found = dump_vfct(&root, &function).unwrap();
    assert_eq!(found.source, Source::VfctElsewhere);
    let other = Function {
        ids: Ids::new(0x1002, 0x73bf),
        ..function
    };
    let error = dump_vfct(&root, &other).unwrap_err();
    assert!(error.message.contains("09:00.0 (1002:1681)"), "{error}");
}

#[test]
fn a_file_is_created_whole_and_never_overwritten_by_itself() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.rom");
    save(&path, b"one", false).unwrap();
    let error = save(&path, b"two", false).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(load(&path).unwrap(), b"one");
    save(&path, b"two", true).unwrap();
    assert_eq!(load(&path).unwrap(), b"two");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // A link is not followed, and what it leads to not touched.
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(save(&link, b"three", false).is_err());
    save(&link, b"three", true).unwrap();
    assert_eq!(load(&path).unwrap(), b"two");
    assert!(load(dir.path()).is_err());
}

#[test]
fn an_installed_rom_can_be_reached_and_the_rest_of_the_state_not() {
    let (dir, root, _) = host();
    let mode = |path: &str| root.meta(path).unwrap().mode & 0o7777;
    // As a transaction makes them.
    for path in ["var/lib/passthru", "var/lib/passthru/transactions"] {
        fs::create_dir_all(dir.path().join(path)).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir.path().join(path), closed).unwrap();
    }
    let (path, written) = install(&root, "a.rom", b"one", false).unwrap();
    assert_eq!(
        (path.as_str(), written),
        ("/var/lib/passthru/vbios/a.rom", true)
    );
    assert_eq!(mode(&path), 0o644);
    assert_eq!(mode(DIRECTORY), 0o755);
    assert_eq!(mode("/var/lib/passthru"), 0o711);
    assert_eq!(mode("/var/lib/passthru/transactions"), 0o700);
    assert!(!install(&root, "a.rom", b"one", false).unwrap().1);
    let error = install(&root, "a.rom", b"two", false).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(root.read(&path).unwrap(), b"one");
    assert!(install(&root, "a.rom", b"two", true).unwrap().1);
    assert_eq!(root.read(&path).unwrap(), b"two");
}

#[test]
fn the_rule_is_for_hosts_whose_apparmor_confines_libvirt() {
    let (dir, root, _) = host();
    assert_eq!(apparmor_rule(&root), None);
    write(
        dir.path(),
        "/sys/module/apparmor/parameters/enabled",
        b"Y\n",
    );
    assert_eq!(apparmor_rule(&root), None);
    write(dir.path(), "/etc/apparmor.d/abstractions/libvirt-qemu", b"");
    let rule = apparmor_rule(&root).unwrap();
    let commented = format!("#  {}\n", rule.rule);
    write(dir.path(), rule.file, commented.as_bytes());
    assert_eq!(apparmor_rule(&root), Some(rule.clone()));
    write(
        dir.path(),
        rule.file,
        format!("  {}\n", rule.rule).as_bytes(),
    );
    assert_eq!(apparmor_rule(&root), None);
}
