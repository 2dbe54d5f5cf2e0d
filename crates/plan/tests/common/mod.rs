//! A small host to plan on: a Debian desktop with an Intel graphics chip that shows the picture and
//! an NVIDIA card of four functions, on GRUB and initramfs-tools.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part of the builder"
)]

pub mod case;
pub mod menu;
pub mod two_gpus;

use std::collections::BTreeMap;

use passthru_plan::{
    Address, Facts, Ids, Measured,
    facts::*,
    intent::{Intent, Selector},
    pci::Class,
};

pub const RELEASE: &str = "6.12.48+deb13-amd64";

pub fn address(text: &str) -> Address {
    text.parse().expect("a PCI address")
}

pub fn ids(text: &str) -> Ids {
    text.parse().expect("a pair of ids")
}

pub fn gpu(text: &str) -> Intent {
    Intent {
        gpu: vec![text.parse::<Selector>().expect("a selector")],
        ..Intent::default()
    }
}

/// A function with `driver` bound and the module of the same name as its candidate.
pub fn function(
    at: &str,
    class: u32,
    id: &str,
    driver: Option<&str>,
    group: Option<u32>,
) -> Function {
    Function {
        address: address(at),
        class: Class(class),
        ids: ids(id),
        subsystem: None,
        revision: Some(0xa1),
        driver: driver.map(String::from),
        driver_module: driver.map(|d| d.replace('-', "_")),
        driver_override: None,
        candidates: driver
            .map(|d| {
                vec![Candidate {
                    module: d.replace('-', "_"),
                    builtin: false,
                }]
            })
            .unwrap_or_default(),
        group,
        boot_vga: (class >> 8 == 0x0300).then_some(false),
        bars: Vec::new(),
        reset_methods: Some(vec!["flr".into(), "bus".into()]),
        rom: false,
        numa_node: None,
        sriov: None,
        physfn: None,
        power_state: Some("D0".into()),
        runtime_status: Some("active".into()),
        removable: false,
        parent: None,
        name: None,
    }
}

pub fn on_board(mut function: Function, board: &str) -> Function {
    function.subsystem = Some(ids(board));
    function
}

pub fn builtin(mut function: Function, module: &str) -> Function {
    function.candidates = vec![Candidate {
        module: module.into(),
        builtin: true,
    }];
    function
}

pub fn under(mut function: Function, bridge: &str) -> Function {
    function.parent = Some(address(bridge));
    function
}

pub fn text_file(text: &str, mode: u32) -> ConfigFile {
    ConfigFile {
        text: Measured::Value(text.into()),
        mode,
    }
}

pub const GRUB_DEFAULTS: &str = "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n";

/// What grub-mkconfig would write if the normal entries got `words`.
pub fn grub_cfg(words: &str, with_fallback: bool) -> String {
    let entry = |title: &str, id: &str, args: &str| {
        format!(
            "menuentry '{title}' $menuentry_id_option '{id}' {{\n\tlinux\t/boot/vmlinuz-{RELEASE} root=UUID=1 ro {args}\n\tinitrd\t/boot/initrd.img-{RELEASE}\n}}\n"
        )
    };
    let mut text = entry(
        "Debian GNU/Linux",
        "gnulinux-simple-1",
        &format!(" quiet {words}"),
    );
    text += "submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {\n";
    text += &entry(
        "Debian GNU/Linux, with Linux",
        &format!("gnulinux-{RELEASE}-advanced-1"),
        &format!(" quiet {words}"),
    );
    text += &entry(
        "Debian GNU/Linux, with Linux (recovery mode)",
        &format!("gnulinux-{RELEASE}-recovery-1"),
        "single",
    );
    text += "}\n";
    if with_fallback {
        text += &entry(
            "Debian GNU/Linux without passthru",
            "passthru-without-simple-1",
            " quiet",
        );
    }
    text
}

pub fn debian() -> Facts {
    let picture = Function {
        boot_vga: Some(true),
        ..function(
            "0000:00:02.0",
            0x03_0000,
            "8086:3e92",
            Some("i915"),
            Some(0),
        )
    };
    let card = "0000:00:01.0";
    let board = "1043:86f0";
    let nvidia = |at, class, id, driver| {
        under(
            on_board(function(at, class, id, Some(driver), Some(1)), board),
            card,
        )
    };
    let mut gpu = nvidia("0000:01:00.0", 0x03_0000, "10de:1f08", "nouveau");
    gpu.candidates = ["nouveau", "nvidia"]
        .map(|m| Candidate {
            module: m.into(),
            builtin: false,
        })
        .to_vec();
    gpu.name = Some("NVIDIA Corporation TU106 [GeForce RTX 2060 Rev. A]".into());
    let functions = vec![
        function("0000:00:00.0", 0x06_0000, "8086:3ec2", None, Some(2)),
        function(card, 0x06_0400, "8086:1901", Some("pcieport"), Some(1)),
        picture,
        function(
            "0000:00:14.0",
            0x0c_0330,
            "8086:a36d",
            Some("xhci_hcd"),
            Some(3),
        ),
        function(
            "0000:00:17.0",
            0x01_0601,
            "8086:a352",
            Some("ahci"),
            Some(4),
        ),
        function(
            "0000:00:1f.6",
            0x02_0000,
            "8086:15bc",
            Some("e1000e"),
            Some(5),
        ),
        gpu,
        nvidia("0000:01:00.1", 0x04_0300, "10de:10f9", "snd_hda_intel"),
        builtin(
            nvidia("0000:01:00.2", 0x0c_0330, "10de:1ada", "xhci_hcd"),
            "xhci_pci",
        ),
        nvidia("0000:01:00.3", 0x0c_8000, "10de:1adb", "nvidia-gpu"),
    ];
    let usage = |at: &str, kind, detail: &str| Use {
        address: address(at),
        kind,
        detail: detail.into(),
    };
    let monitor = |name: &str| Connector {
        name: name.into(),
        connected: true,
        unknown: false,
        enabled: true,
    };
    let mut facts = Facts {
        functions,
        iommu: Iommu {
            firmware_table: Measured::Value(Some("DMAR".into())),
            units: vec!["dmar0".into()],
            interrupt_remapping: Measured::Value(true),
            address_width: Some(39),
        },
        machine: Machine {
            cpu: Cpu {
                vendor: CpuVendor::Intel,
                model: Some("Intel(R) Core(TM) i7-8700".into()),
                virtualization: Measured::Value(true),
                threads: 12,
                physical_bits: Some(39),
                gigabyte_pages: Measured::Value(true),
            },
            memory: Memory {
                total_kib: Some(32 << 20),
                available_kib: Some(28 << 20),
                hugepages_kib: Some(0),
            },
            firmware: Measured::Value(Firmware::Efi),
            secure_boot: Measured::Value(false),
            lockdown: Measured::Value("none".into()),
            hypervisor: Measured::Value(None),
            distribution: Some(Distribution {
                id: "debian".into(),
                version: Some("13".into()),
                pretty: Some("Debian GNU/Linux 13 (trixie)".into()),
                ..Distribution::default()
            }),
            kvm_device: true,
            encrypted_root: Measured::Value(false),
            gpu_mux_discrete: None,
        },
        kernel: Kernel {
            release: Some(RELEASE.into()),
            cmdline: Measured::Value(format!(
                "BOOT_IMAGE=/boot/vmlinuz-{RELEASE} root=UUID=1 ro quiet"
            )),
            installed: vec![InstalledKernel {
                release: RELEASE.into(),
                bootable: true,
                vfio_pci: ModuleState::Module,
                has_vfio_virqfd: false,
                image: Some(Image {
                    path: format!("/boot/initrd.img-{RELEASE}"),
                    size: 40 << 20,
                    entries: Measured::not("not opened"),
                    damage: None,
                    texts: BTreeMap::new(),
                }),
            }],
            loaded: Measured::Value(vec!["i915".into(), "nouveau".into()]),
            modules_disabled: false,
        },
        display: Display {
            cards: vec![
                DrmCard {
                    name: "card0".into(),
                    function: Some(address("0000:00:02.0")),
                    boot_display: None,
                    connectors: vec![monitor("card0-HDMI-A-1")],
                },
                DrmCard {
                    name: "card1".into(),
                    function: Some(address("0000:01:00.0")),
                    boot_display: None,
                    connectors: Vec::new(),
                },
            ],
            fbdevs: vec!["0 i915drmfb".into()],
            iomem_read: true,
            ..Display::default()
        },
        boot: Boot {
            loader: Measured::Value(BootLoader::Grub),
            loader_evidence: vec!["/boot/grub/grub.cfg exists".into()],
            generator: Measured::Value(Generator::InitramfsTools),
            generator_evidence: vec!["/usr/share/initramfs-tools exists".into()],
            boot_free: Measured::Value(500 << 20),
            grub_dropins: Measured::Value(true),
            ..Boot::default()
        },
        uses: vec![
            usage("0000:00:14.0", UseKind::Keyboard, "a keyboard (USB)"),
            usage("0000:00:17.0", UseKind::RootDisk, "/ on sda2"),
            usage(
                "0000:00:1f.6",
                UseKind::DefaultRoute,
                "the default route (eno1)",
            ),
        ],
        log: Measured::Value(Vec::new()),
        ..Facts::default()
    };
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(GRUB_DEFAULTS, 0o644));
    facts.files.insert(
        "/boot/grub/grub.cfg".into(),
        text_file(&grub_cfg("", false), 0o600),
    );
    regroup(&mut facts);
    facts
}

/// The same host before its IOMMU was turned on.
pub fn without_iommu(mut facts: Facts) -> Facts {
    facts.iommu.units.clear();
    facts.iommu.interrupt_remapping = Measured::Value(false);
    facts.groups.clear();
    facts.functions.iter_mut().for_each(|f| f.group = None);
    facts
}

/// Makes the groups from the functions' group numbers.
pub fn regroup(facts: &mut Facts) {
    let mut groups: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    facts.functions.sort_by_key(|f| f.address);
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
            reserved: Vec::new(),
            functions,
        })
        .collect();
}

/// What the host looks like once `plan` was applied: the edits made and the boot menu regenerated.
pub fn applied(facts: &Facts, plan: &passthru_plan::Plan) -> Facts {
    use passthru_plan::Change;
    let mut facts = facts.clone();
    for change in &plan.changes {
        match change {
            Change::Edit {
                path,
                before,
                after,
                mode,
                ..
            } => {
                assert_eq!(
                    facts.text(path),
                    before.as_deref(),
                    "{path} must be as the plan expects"
                );
                match after {
                    Some(text) => facts.files.insert(path.clone(), text_file(text, *mode)),
                    None => facts.files.remove(path),
                };
            }
            Change::Run { argv, .. } if argv[0] == "grub-mkconfig" => {
                let fallback = facts.files.contains_key("/etc/grub.d/42_passthru");
                let menu = grub_cfg(&plan.words.join(" "), fallback);
                facts
                    .files
                    .insert("/boot/grub/grub.cfg".into(), text_file(&menu, 0o600));
            }
            Change::Run { argv, .. } if argv[0] == "grub-reboot" => {
                facts.boot.one_shot = Measured::Value(Some(argv[1].clone()));
            }
            Change::Run { argv, expect, .. } if argv[0] == "update-initramfs" => {
                for expected in expect {
                    let passthru_plan::Expect::Image {
                        path,
                        entries,
                        texts,
                    } = expected
                    else {
                        continue;
                    };
                    let image = facts
                        .kernel
                        .installed
                        .iter_mut()
                        .filter_map(|k| k.image.as_mut())
                        .find(|image| &image.path == path)
                        .expect("an image of this host");
                    let mut paths: Vec<String> = entries
                        .iter()
                        .map(|e| e.split('|').next().unwrap_or_default().replace('*', ".xz"))
                        .collect();
                    paths.extend(texts.iter().map(|(path, _)| path.clone()));
                    paths.sort();
                    image.entries = Measured::Value(paths);
                    image.texts = texts.iter().cloned().collect();
                }
            }
            Change::Copy { .. } => {}
            other => panic!("no stand-in for {other:?}"),
        }
    }
    facts
}

/// What the host looks like after a reboot into the default entry.
pub fn rebooted(facts: &Facts, plan: &passthru_plan::Plan) -> Facts {
    let mut facts = facts.clone();
    let words = plan.words.join(" ");
    facts.kernel.cmdline = Measured::Value(format!(
        "BOOT_IMAGE=/boot/vmlinuz-{RELEASE} root=UUID=1 ro quiet {words}"
    ));
    facts.kernel.loaded = Measured::Value(vec!["i915".into(), "vfio_pci".into()]);
    let bound: Vec<_> = plan.bindings.iter().map(|b| b.function.address).collect();
    for f in &mut facts.functions {
        if bound.contains(&f.address) {
            f.driver = Some("vfio-pci".into());
            f.driver_module = Some("vfio_pci".into());
        }
    }
    facts
        .display
        .cards
        .retain(|card| card.function.is_none_or(|f| !bound.contains(&f)));
    facts
}

pub fn refusals(facts: &Facts, intent: &Intent) -> Vec<String> {
    let plan = passthru_plan::plan(facts, intent);
    assert!(
        plan.refusals.is_empty() || plan.changes.is_empty(),
        "a refused plan does nothing"
    );
    plan.refusals.into_iter().map(|r| r.id).collect()
}

pub fn notices(plan: &passthru_plan::Plan) -> Vec<&str> {
    plan.notices.iter().map(|n| n.id.as_str()).collect()
}

pub fn edits(plan: &passthru_plan::Plan) -> Vec<&str> {
    plan.changes
        .iter()
        .filter_map(|change| match change {
            passthru_plan::Change::Edit { path, .. } => Some(path.as_str()),
            _ => None,
        })
        .collect()
}
