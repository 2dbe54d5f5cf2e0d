//! Facts for tests: a healthy Debian host with two GPUs, and functions to make it worse.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod case;

use std::collections::BTreeMap;

use passthru_plan::{
    Address, Facts, Ids, Measured,
    facts::{
        Bar, Boot, BootLoader, Candidate, ConfigFile, Connector, Cpu, CpuVendor, Display,
        Distribution, DrmCard, Firmware, Function, Generator, Group, Image, InstalledKernel, Iommu,
        Kernel, Machine, Memory, ModuleState, ReservedRegion, Use, UseKind,
    },
    pci::Class,
};

/// The GPU with the monitor on it.
pub(crate) const HOST_GPU: Address = Address::new(0, 0x01, 0, 0);
/// The GPU to give away.
pub(crate) const GUEST_GPU: Address = Address::new(0, 0x02, 0, 0);
/// The bridge above it.
pub(crate) const GUEST_BRIDGE: Address = Address::new(0, 0x00, 3, 0);
/// The USB controller of the mainboard, with the keyboard.
pub(crate) const USB: Address = Address::new(0, 0x00, 0x14, 0);
/// The disk.
pub(crate) const NVME: Address = Address::new(0, 0x04, 0, 0);
/// The network.
pub(crate) const NIC: Address = Address::new(0, 0x05, 0, 0);

/// A function with nothing special about it.
pub(crate) fn function(address: Address, class: u32, ids: (u16, u16), name: &str) -> Function {
    Function {
        address,
        class: Class(class),
        ids: Ids::new(ids.0, ids.1),
        subsystem: Some(Ids::new(0x1043, 0x86f0)),
        revision: Some(0xa1),
        driver: None,
        driver_module: None,
        driver_override: None,
        candidates: Vec::new(),
        group: None,
        boot_vga: None,
        bars: Vec::new(),
        reset_methods: Some(vec!["pm".into(), "bus".into()]),
        rom: false,
        numa_node: None,
        sriov: None,
        physfn: None,
        power_state: Some("D0".into()),
        runtime_status: Some("active".into()),
        removable: false,
        parent: None,
        name: Some(name.into()),
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
        let f = function(
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
            function(HOST_GPU, 0x03_0000, (0x1002, 0x743f), "Radeon RX 6400"),
            "amdgpu",
            11,
            Some(root1),
        ),
        0x100_0000,
    );
    host.boot_vga = Some(true);
    let guest = gpu(
        with(
            function(GUEST_GPU, 0x03_0000, (0x10de, 0x1f08), "GeForce RTX 2060"),
            "nouveau",
            12,
            Some(GUEST_BRIDGE),
        ),
        0x200_0000,
    );
    let on = |address, class, ids, name, driver, group, parent| {
        with(function(address, class, ids, name), driver, group, parent)
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

/// Groups from the functions' group numbers, each with its interrupt window.
pub(crate) fn regroup(facts: &mut Facts) {
    let mut groups: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    for f in &facts.functions {
        if let Some(group) = f.group {
            groups.entry(group).or_default().push(f.address);
        }
    }
    facts.groups = groups
        .into_iter()
        .map(|(id, functions)| Group {
            id,
            kind: Some("DMA-FQ".into()),
            reserved: vec![ReservedRegion {
                start: 0xfee0_0000,
                end: 0xfeef_ffff,
                kind: "msi".into(),
            }],
            functions,
        })
        .collect();
}

fn drm(name: &str, function: Address, connected: bool) -> DrmCard {
    DrmCard {
        name: name.into(),
        function: Some(function),
        boot_display: None,
        connectors: vec![Connector {
            name: format!("{name}-HDMI-A-1"),
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

/// Debian's kernel release on the healthy host.
pub(crate) const RELEASE: &str = "6.12.48+deb13-amd64";

const GRUB_CFG: &str = "\
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
\tlinux\t/boot/vmlinuz-6.12.48+deb13-amd64 root=UUID=1 ro quiet
\tinitrd\t/boot/initrd.img-6.12.48+deb13-amd64
}
menuentry 'Debian GNU/Linux, with Linux 6.12.48+deb13-amd64 (recovery mode)' $menuentry_id_option 'gnulinux-6.12.48-recovery-1' {
\tlinux\t/boot/vmlinuz-6.12.48+deb13-amd64 root=UUID=1 ro single
}
";

/// A Debian host on which nothing is wrong: an Intel processor, one GPU with the monitor, another
/// one free to give away.
pub(crate) fn healthy() -> Facts {
    let mut facts = Facts {
        functions: functions(),
        iommu: Iommu {
            firmware_table: Measured::Value(Some("DMAR".into())),
            units: vec!["dmar0".into(), "dmar1".into()],
            interrupt_remapping: Measured::Value(true),
            address_width: Some(46),
        },
        machine: Machine {
            cpu: Cpu {
                vendor: CpuVendor::Intel,
                model: Some("Intel(R) Core(TM) i7-12700".into()),
                virtualization: Measured::Value(true),
                threads: 20,
                physical_bits: Some(46),
            },
            memory: Memory {
                total_kib: Some(32 << 20),
                available_kib: Some(28 << 20),
                hugepages_kib: Some(0),
            },
            firmware: Measured::Value(Firmware::Efi),
            secure_boot: Measured::Value(true),
            lockdown: Measured::Value("integrity".into()),
            hypervisor: Measured::Value(None),
            distribution: Some(Distribution {
                id: "debian".into(),
                ..Distribution::default()
            }),
            kvm_device: true,
            encrypted_root: Measured::Value(false),
            ..Machine::default()
        },
        kernel: Kernel {
            release: Some(RELEASE.into()),
            cmdline: Measured::Value("BOOT_IMAGE=/boot/vmlinuz root=UUID=1 ro quiet".into()),
            installed: vec![InstalledKernel {
                release: RELEASE.into(),
                bootable: true,
                vfio_pci: ModuleState::Module,
                has_vfio_virqfd: false,
                image: Some(Image {
                    path: format!("/boot/initrd.img-{RELEASE}"),
                    size: 60 << 20,
                    entries: Measured::not("not opened"),
                    texts: BTreeMap::new(),
                }),
            }],
            loaded: Measured::Value(vec!["kvm".into(), "kvm_intel".into()]),
            modules_disabled: false,
        },
        display: Display {
            cards: vec![drm("card0", HOST_GPU, true), drm("card1", GUEST_GPU, false)],
            iomem_read: true,
            ..Display::default()
        },
        boot: Boot {
            loader: Measured::Value(BootLoader::Grub),
            loader_evidence: vec!["/boot/grub/grub.cfg exists".into()],
            generator: Measured::Value(Generator::InitramfsTools),
            generator_evidence: vec!["/usr/sbin/update-initramfs belongs to it".into()],
            boot_free: Measured::Value(500 << 20),
            grub_dropins: true,
            ..Boot::default()
        },
        uses: vec![
            usage(USB, UseKind::Keyboard, "the keyboard (Cherry)"),
            usage(NVME, UseKind::RootDisk, "/ on nvme0n1p2"),
            usage(NIC, UseKind::DefaultRoute, "enp5s0, the default route"),
        ],
        log: Measured::Value(Vec::new()),
        ..Facts::default()
    };
    regroup(&mut facts);
    facts.uses.sort();
    file(&mut facts, "/boot/grub/grub.cfg", GRUB_CFG);
    file(
        &mut facts,
        "/etc/default/grub",
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n",
    );
    file(
        &mut facts,
        "/etc/initramfs-tools/modules",
        "# List of modules that you want to include in your initramfs.\n",
    );
    facts
}

/// Puts a file with mode 0644 on the host.
pub(crate) fn file(facts: &mut Facts, path: &str, text: &str) {
    put(facts, path, text, 0o644);
}

/// Puts a file with mode 0755 on the host.
pub(crate) fn script(facts: &mut Facts, path: &str, text: &str) {
    put(facts, path, text, 0o755);
}

fn put(facts: &mut Facts, path: &str, text: &str, mode: u32) {
    let text = Measured::Value(text.into());
    facts.files.insert(path.into(), ConfigFile { text, mode });
}

/// Boots the host with `words` more, which also stand in /etc/default/grub line 3.
pub(crate) fn words(facts: &mut Facts, words: &str) {
    let running = facts.kernel.cmdline.value().cloned().unwrap_or_default();
    facts.kernel.cmdline = Measured::Value(format!("{running} {words}"));
    let text = format!(
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet {words}\"\nGRUB_CMDLINE_LINUX=\"\"\n"
    );
    file(facts, "/etc/default/grub", &text);
}

/// The function at `address`, to change it.
pub(crate) fn at(facts: &mut Facts, address: Address) -> &mut Function {
    facts
        .functions
        .iter_mut()
        .find(|f| f.address == address)
        .expect("the sample host has it")
}
