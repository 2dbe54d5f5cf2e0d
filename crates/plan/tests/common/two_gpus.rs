//! The same Debian host with two graphics cards: a Radeon that shows the picture, and a GeForce
//! that is free to give away. Nothing is wrong on it; functions below make it worse.

use passthru_plan::{Address, Facts, Ids, Measured, facts::*, pci::Class};

use super::{RELEASE, debian, text_file};

/// The GPU with the monitor on it.
pub const HOST_GPU: Address = Address::new(0, 0x01, 0, 0);
/// The GPU to give away.
pub const GUEST_GPU: Address = Address::new(0, 0x02, 0, 0);
/// The bridge above it.
pub const GUEST_BRIDGE: Address = Address::new(0, 0x00, 3, 0);
/// The USB controller of the mainboard, with the keyboard.
pub const USB: Address = Address::new(0, 0x00, 0x14, 0);
/// The disk.
pub const NVME: Address = Address::new(0, 0x04, 0, 0);
/// The network.
pub const NIC: Address = Address::new(0, 0x05, 0, 0);

/// A function with nothing special about it.
pub fn plain(address: Address, class: u32, ids: (u16, u16), name: &str) -> Function {
    Function {
        class: Class(class),
        ids: Ids::new(ids.0, ids.1),
        subsystem: Some(Ids::new(0x1043, 0x86f0)),
        reset_methods: Some(vec!["pm".into(), "bus".into()]),
        power_state: Some("D0".into()),
        runtime_status: Some("active".into()),
        name: Some(name.into()),
        ..Function::new(address)
    }
}

fn with(mut f: Function, driver: &str, group: u32, parent: Option<Address>) -> Function {
    f.driver = Some(driver.into());
    f.group = Some(group);
    f.parent = parent;
    if driver != "pcieport" {
        f.candidates = vec![Candidate {
            module: driver.replace('-', "_"),
            builtin: false,
        }];
    }
    f
}

fn gpu(mut f: Function, start: u64) -> Function {
    f.rom = true;
    f.boot_vga = Some(false);
    f.bars = vec![
        Bar {
            index: 0,
            start: 0xa000_0000 + start,
            size: 16 << 20,
            flags: 0x4_0200,
        },
        Bar {
            index: 1,
            start: 0x60_0000_0000 + (start << 8),
            size: 256 << 20,
            flags: 0x14_220c,
        },
    ];
    f
}

fn functions() -> Vec<Function> {
    let root = |device, group| {
        let f = plain(
            Address::new(0, 0, device, 0),
            0x06_0400,
            (0x8086, 0x1901),
            "PCIe root port",
        );
        with(f, "pcieport", group, None)
    };
    let root1 = Address::new(0, 0, 1, 0);
    let mut host = gpu(
        with(
            plain(HOST_GPU, 0x03_0000, (0x1002, 0x743f), "Radeon RX 6400"),
            "amdgpu",
            11,
            Some(root1),
        ),
        0x100_0000,
    );
    host.boot_vga = Some(true);
    let guest = gpu(
        with(
            plain(GUEST_GPU, 0x03_0000, (0x10de, 0x1f08), "GeForce RTX 2060"),
            "nouveau",
            12,
            Some(GUEST_BRIDGE),
        ),
        0x200_0000,
    );
    let on = |address, class, ids, name, driver, group, parent| {
        with(plain(address, class, ids, name), driver, group, parent)
    };
    let mut all = vec![
        root(1, 1),
        root(3, 2),
        on(
            USB,
            0x0c_0330,
            (0x8086, 0xa36d),
            "Cannon Lake USB",
            "xhci_hcd",
            3,
            None,
        ),
        host,
        on(
            Address::new(0, 1, 0, 1),
            0x04_0300,
            (0x1002, 0xab28),
            "Navi 21 audio",
            "snd_hda_intel",
            11,
            Some(root1),
        ),
        guest,
        on(
            Address::new(0, 2, 0, 1),
            0x04_0300,
            (0x10de, 0x10f9),
            "TU106 audio",
            "snd_hda_intel",
            12,
            Some(GUEST_BRIDGE),
        ),
        on(
            NVME,
            0x01_0802,
            (0x144d, 0xa808),
            "Samsung SSD",
            "nvme",
            5,
            None,
        ),
        on(NIC, 0x02_0000, (0x8086, 0x15f3), "I225-V", "igc", 6, None),
    ];
    all.sort_by_key(|f| f.address);
    all
}

/// Makes the groups from the functions' group numbers, each with its interrupt window.
pub fn regroup(facts: &mut Facts) {
    super::regroup(facts);
    for group in &mut facts.groups {
        group.reserved = vec![ReservedRegion {
            start: 0xfee0_0000,
            end: 0xfeef_ffff,
            kind: "msi".into(),
        }];
    }
}

fn drm(name: &str, function: Address, connected: bool) -> DrmCard {
    DrmCard {
        name: name.into(),
        function: Some(function),
        boot_display: None,
        connectors: vec![Connector {
            name: format!("{name}-HDMI-A-1"),
            unknown: false,
            connected,
            enabled: connected,
        }],
    }
}

fn usage(address: Address, kind: UseKind, detail: &str) -> Use {
    Use {
        address,
        kind,
        detail: detail.into(),
    }
}

/// A host on which nothing is wrong.
pub fn healthy() -> Facts {
    let mut facts = Facts {
        functions: functions(),
        display: Display {
            cards: vec![drm("card0", HOST_GPU, true), drm("card1", GUEST_GPU, false)],
            iomem_read: true,
            ..Display::default()
        },
        uses: vec![
            usage(USB, UseKind::Keyboard, "the keyboard (Cherry)"),
            usage(NVME, UseKind::RootDisk, "/ on nvme0n1p2"),
            usage(NIC, UseKind::DefaultRoute, "enp5s0, the default route"),
        ],
        ..debian()
    };
    facts.iommu.address_width = Some(46);
    facts.machine.cpu.physical_bits = Some(46);
    facts.machine.secure_boot = Measured::Value(true);
    facts.machine.lockdown = Measured::Value("integrity".into());
    facts.kernel.loaded = Measured::Value(vec!["kvm".into(), "kvm_intel".into()]);
    facts.kernel.installed[0].image = Some(Image {
        path: format!("/boot/initrd.img-{RELEASE}"),
        size: 60 << 20,
        entries: Measured::not("not opened"),
        damage: None,
        texts: Default::default(),
    });
    regroup(&mut facts);
    facts.uses.sort();
    file(
        &mut facts,
        "/etc/initramfs-tools/modules",
        "# List of modules that you want to include in your initramfs.\n",
    );
    facts
}

/// Puts a file with mode 0644 on the host.
pub fn file(facts: &mut Facts, path: &str, text: &str) {
    put(facts, path, text, 0o644);
}

/// Puts a file with mode 0755 on the host.
pub fn script(facts: &mut Facts, path: &str, text: &str) {
    put(facts, path, text, 0o755);
}

fn put(facts: &mut Facts, path: &str, text: &str, mode: u32) {
    facts.files.insert(path.into(), text_file(text, mode));
}

/// Boots the host with `words` more, which also stand in /etc/default/grub line 3.
pub fn words(facts: &mut Facts, words: &str) {
    let running = facts.kernel.cmdline.value().cloned().unwrap_or_default();
    facts.kernel.cmdline = Measured::Value(format!("{running} {words}"));
    let text = format!(
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet {words}\"\nGRUB_CMDLINE_LINUX=\"\"\n"
    );
    file(facts, "/etc/default/grub", &text);
}

/// The function at `address`, to change it.
pub fn at(facts: &mut Facts, address: Address) -> &mut Function {
    facts
        .functions
        .iter_mut()
        .find(|f| f.address == address)
        .expect("the sample host has it")
}
