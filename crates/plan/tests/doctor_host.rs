//! Doctor on a healthy host with one fact changed: machine, IOMMU, groups, cards, display, boot.

mod common;

use common::{case::*, two_gpus::*};
use passthru_plan::{
    Address, Facts, Measured,
    Severity::{Blocker, Info, Warning},
    Status, Verdict,
    doctor::doctor,
    facts::{
        Bar, CpuVendor, Firmware, Generator, InstalledKernel, ModuleState, ReservedRegion, Sriov,
        Use, UseKind,
    },
};

const GUEST_AUDIO: Address = Address::new(0, 2, 0, 1);
const GRUB_LINE: &str = "/etc/default/grub line 3 (GRUB_CMDLINE_LINUX_DEFAULT)";

#[test]
fn the_machine() {
    let cases = [
        case(
            "no svm",
            |f| {
                f.machine.cpu.vendor = CpuVendor::Amd;
                f.machine.cpu.virtualization = Measured::Value(false);
            },
            "cpu.virtualization",
            Blocker,
            "neither the flag vmx nor svm",
        ),
        case(
            "arm",
            |f| {
                f.machine.cpu.vendor = CpuVendor::Other;
                f.machine.cpu.virtualization = Measured::Value(false);
            },
            "cpu.architecture",
            Blocker,
            "unknown maker",
        )
        .also(&["cpu.virtualization"]),
        case(
            "locked by the firmware",
            |f| f.machine.kvm_device = false,
            "kvm.device",
            Blocker,
            "kvm_intel is loaded",
        ),
        case(
            "nested",
            |f| f.machine.hypervisor = Measured::Value(Some("kvm".into())),
            "machine.hypervisor",
            Warning,
            "inside kvm",
        ),
        case(
            "4 GiB",
            |f| f.machine.memory.total_kib = Some(4 << 20),
            "memory.size",
            Warning,
            "4 GiB",
        ),
        case(
            "a torn file",
            |f| f.unreadable = vec!["/sys/bus/pci/devices/0000:07:00.0/class is empty".into()],
            "facts.unreadable",
            Warning,
            "0000:07:00.0/class",
        ),
        case(
            "secure boot unknown",
            |f| f.machine.secure_boot = Measured::not("permission denied"),
            "firmware.secure-boot",
            Info,
            "permission denied",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn the_iommu() {
    let follows = &[
        "iommu.interrupt-remapping",
        "group.viable:0000:01:00.0",
        "group.viable:0000:02:00.0",
    ];
    let cases = [
        case(
            "off in the firmware",
            |f| {
                no_iommu(f);
                f.iommu.firmware_table = Measured::Value(None);
            },
            "iommu.firmware",
            Blocker,
            "neither DMAR nor IVRS",
        )
        .also(&[
            "iommu.enabled",
            "iommu.interrupt-remapping",
            "group.viable:0000:01:00.0",
            "group.viable:0000:02:00.0",
        ]),
        case("not on", no_iommu, "iommu.enabled", Blocker, "no groups").also(follows),
        case(
            "no remapping",
            |f| f.iommu.interrupt_remapping = Measured::Value(false),
            "iommu.interrupt-remapping",
            Blocker,
            "IR-",
        ),
        case(
            "narrow",
            |f| f.iommu.address_width = Some(39),
            "iommu.address-width",
            Warning,
            "39-bit",
        ),
        case(
            "turned off by a word",
            |f| {
                words(f, "intremap=off");
                f.iommu.interrupt_remapping = Measured::Value(false);
            },
            "iommu.conflict",
            Warning,
            GRUB_LINE,
        )
        .also(&["iommu.interrupt-remapping"]),
        case(
            "turned off by a word, and on by a later one",
            |f| words(f, "intel_iommu=off intel_iommu=on"),
            "iommu.conflict",
            Info,
            "intel_iommu=off",
        ),
        case(
            "acs",
            |f| words(f, "pcie_acs_override=downstream,multifunction"),
            "iommu.acs-override",
            Warning,
            GRUB_LINE,
        ),
        case(
            "Debian leaves Intel graphics out",
            |f| {
                let igpu = f.functions[0].clone();
                let mut igpu = passthru_plan::facts::Function {
                    address: Address::new(0, 0, 2, 0),
                    driver: Some("i915".into()),
                    group: None,
                    ..igpu
                };
                igpu.class = passthru_plan::pci::Class(0x03_0000);
                igpu.ids = passthru_plan::Ids::new(0x8086, 0x4680);
                igpu.reset_methods = Some(vec!["flr".into()]);
                f.functions.push(igpu);
                f.functions.sort_by_key(|f| f.address);
            },
            "iommu.graphics-left-out",
            Info,
            "0000:00:02.0",
        )
        .also(&[
            "group.viable:0000:00:02.0",
            "card.reset:0000:00:02.0",
            "display.remains:0000:00:02.0",
        ]),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn a_capture_without_sysfs_is_not_taken_for_a_host_without_an_iommu() {
    let mut facts = healthy();
    no_iommu(&mut facts);
    facts.iommu.firmware_table = Measured::not("not part of this host's tree");
    let findings = doctor(&facts);
    assert_eq!(find(&findings, "iommu.enabled").status, Status::Unknown);
    assert_eq!(Verdict::of(&findings), Verdict::Unknown);
}

#[test]
fn the_remedy_for_the_firmware_names_the_menu() {
    let mut facts = healthy();
    no_iommu(&mut facts);
    facts.iommu.firmware_table = Measured::Value(None);
    let findings = doctor(&facts);
    let remedy = |id| find(&findings, id).remedy.clone().expect("a remedy");
    assert!(remedy("iommu.firmware").contains("\"VT-d\""));
    facts.machine.cpu.vendor = CpuVendor::Amd;
    facts.machine.cpu.virtualization = Measured::Value(false);
    let findings = doctor(&facts);
    let remedy = |id| find(&findings, id).remedy.clone().expect("a remedy");
    assert!(remedy("iommu.firmware").contains("\"IOMMU\""));
    assert!(remedy("cpu.virtualization").contains("\"SVM Mode\""));
}

fn into_group_12(facts: &mut Facts, address: Address) {
    at(facts, address).group = Some(12);
    regroup(facts);
}

#[test]
fn the_groups() {
    let cases = [
        case(
            "with the disk",
            |f| into_group_12(f, NVME),
            "group.viable:0000:02:00.0",
            Warning,
            "the host would lose / on nvme0n1p2",
        ),
        case(
            "with a device nobody uses",
            |f| {
                into_group_12(f, NIC);
                f.uses.retain(|u| u.address != NIC);
            },
            "group.viable:0000:02:00.0",
            Warning,
            "no use of it by the host was seen",
        ),
        case(
            "RMRR",
            |f| {
                let group = f.groups.iter_mut().find(|g| g.id == 12).expect("its group");
                group.reserved.push(ReservedRegion {
                    start: 0x7b80_0000,
                    end: 0x7fff_ffff,
                    kind: "direct".into(),
                });
            },
            "group.reserved:0000:02:00.0",
            Warning,
            "0x7b800000-0x7fffffff direct",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn bridges_and_functions_without_a_driver_do_not_block() {
    let mut facts = healthy();
    into_group_12(&mut facts, GUEST_BRIDGE);
    at(&mut facts, NIC).driver = None;
    into_group_12(&mut facts, NIC);
    let findings = doctor(&facts);
    let finding = find(&findings, "group.viable:0000:02:00.0");
    assert_eq!(finding.status, Status::Yes, "{:?}", finding.evidence);
    assert!(finding.evidence[1].contains("0000:00:03.0"));
}

#[test]
fn relaxable_regions_do_not_block() {
    let mut facts = healthy();
    facts.groups[4].reserved[0].kind = "direct-relaxable".into();
    assert_eq!(news(&facts), []);
}

#[test]
fn no_card_that_can_be_given_away_is_a_blocker() {
    let mut facts = healthy();
    facts.functions.retain(|f| f.address.bus != 1);
    facts.display.cards.remove(0);
    into_group_12(&mut facts, NVME);
    let findings = doctor(&facts);
    assert_eq!(
        find(&findings, "group.viable:0000:02:00.0").severity,
        Blocker
    );
    assert_eq!(Verdict::of(&findings), Verdict::Blocked);
}

#[test]
fn the_cards() {
    let cases = [
        case(
            "a twin",
            |f| at(f, HOST_GPU).ids = passthru_plan::Ids::new(0x10de, 0x1f08),
            "card.twins:0000:02:00.0",
            Info,
            "0000:01:00.0 (the same board)",
        )
        .also(&["card.twins:0000:01:00.0"]),
        case(
            "Polaris",
            |f| at(f, GUEST_GPU).ids = passthru_plan::Ids::new(0x1002, 0x67df),
            "card.reset:0000:02:00.0",
            Warning,
            "Polaris",
        ),
        case(
            "no reset",
            |f| at(f, GUEST_GPU).reset_methods = Some(Vec::new()),
            "card.reset:0000:02:00.0",
            Warning,
            "empty",
        ),
        case(
            "NVIDIA that must not see a bus reset",
            |f| {
                at(f, GUEST_GPU).ids = passthru_plan::Ids::new(0x10de, 0x2342);
                at(f, GUEST_GPU).reset_methods = Some(vec!["bus".into()]);
            },
            "card.reset:0000:02:00.0",
            Warning,
            "bus",
        ),
        case(
            "no address",
            |f| {
                at(f, GUEST_GPU).bars[1] = Bar {
                    index: 1,
                    start: 0,
                    size: 16 << 30,
                    flags: 0x14_220c,
                };
            },
            "card.bars-unassigned:0000:02:00.0",
            Warning,
            "16 GiB",
        ),
        case(
            "virtual functions",
            |f| {
                at(f, GUEST_GPU).sriov = Some(Sriov {
                    total: 7,
                    enabled: 2,
                });
            },
            "card.sriov:0000:02:00.0",
            Warning,
            "2 of 7",
        ),
        case(
            "Thunderbolt",
            |f| at(f, GUEST_GPU).removable = true,
            "card.removable:0000:02:00.0",
            Warning,
            "removable",
        ),
        case(
            "asleep",
            |f| {
                at(f, GUEST_GPU).runtime_status = Some("suspended".into());
                at(f, GUEST_GPU).power_state = Some("D3cold".into());
            },
            "card.suspended:0000:02:00.0",
            Info,
            "D3cold",
        ),
        case(
            "BIOS",
            |f| f.machine.firmware = Measured::Value(Firmware::Bios),
            "card.rom:0000:01:00.0",
            Info,
            "boot_vga",
        ),
        case(
            "a keyboard on the card",
            |f| {
                f.uses.push(Use {
                    address: GUEST_AUDIO,
                    kind: UseKind::Keyboard,
                    detail: "the keyboard (Cherry)".into(),
                });
            },
            "card.uses:0000:02:00.0",
            Warning,
            "Cherry",
        ),
        case(
            "no card",
            |f| {
                f.functions.retain(|f| !f.class.is_display());
                f.display.cards.clear();
            },
            "card.present",
            Blocker,
            "class 03",
        ),
        case(
            "two sockets",
            |f| {
                at(f, GUEST_GPU).numa_node = Some(1);
                at(f, NVME).numa_node = Some(0);
            },
            "card.numa:0000:02:00.0",
            Info,
            "node 1",
        )
        .also(&["card.numa:0000:01:00.0"]),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn the_display() {
    let only_one = |f: &mut Facts| {
        f.functions.retain(|f| f.address.bus != 2);
        f.display.cards.truncate(1);
        regroup(f);
    };
    let mut facts = healthy();
    only_one(&mut facts);
    facts.machine.encrypted_root = Measured::Value(true);
    let findings = doctor(&facts);
    let finding = find(&findings, "display.remains:0000:01:00.0");
    assert_eq!((finding.status, finding.severity), (Status::No, Warning));
    assert_eq!(find(&findings, "display.disk-password").status, Status::No);
    assert_eq!(Verdict::of(&findings), Verdict::Ready);

    case(
        "firmware console on a 3D controller",
        |f| {
            at(f, GUEST_GPU).class = passthru_plan::pci::Class(0x03_8000);
            f.display.firmware_consoles = vec!["BOOTFB".into()];
            f.display.firmware_framebuffer = Some(GUEST_GPU);
        },
        "display.firmware-console",
        Warning,
        "BOOTFB",
    )
    .run();
    case(
        "mux",
        |f| f.machine.gpu_mux_discrete = Some(true),
        "display.mux",
        Warning,
        "gpu_mux_mode",
    )
    .run();
}

#[test]
fn kernels_and_boot() {
    fn cloud_kernel() -> InstalledKernel {
        InstalledKernel {
            release: "6.12.48+deb13-cloud-amd64".into(),
            vfio_pci: ModuleState::Missing,
            ..healthy().kernel.installed[0].clone()
        }
    }
    let cases = [
        case(
            "one kernel without",
            |f| f.kernel.installed.push(cloud_kernel()),
            "kernel.vfio-pci",
            Warning,
            "cloud-amd64: has no vfio-pci",
        ),
        case(
            "no kernel with",
            |f| f.kernel.installed = vec![cloud_kernel()],
            "kernel.vfio-pci",
            Blocker,
            "cloud",
        ),
        case(
            "no more modules",
            |f| f.kernel.modules_disabled = true,
            "kernel.modules-disabled",
            Warning,
            "modules_disabled is 1",
        ),
        case(
            "an unclear loader",
            |f| f.boot.loader = Measured::not("GRUB and systemd-boot are both there"),
            "boot.loader",
            Warning,
            "both there",
        ),
        case(
            "an unsupported generator",
            |f| f.boot.generator = Measured::Value(Generator::NixOs),
            "boot.initramfs",
            Warning,
            "NixOS",
        ),
        case(
            "full",
            |f| f.boot.boot_free = Measured::Value(60 << 20),
            "boot.space",
            Warning,
            "72 MiB",
        ),
        case(
            "no recovery",
            |f| {
                file(f, "/boot/grub/grub.cfg", "");
                file(f, "/etc/default/grub", "GRUB_DISABLE_RECOVERY=true\n");
            },
            "boot.fallback",
            Warning,
            "/etc/default/grub line 1: GRUB_DISABLE_RECOVERY=true",
        ),
        case(
            "hidden",
            |f| file(f, "/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\n"),
            "boot.menu",
            Info,
            "line 2: GRUB_TIMEOUT=0",
        ),
        case(
            "grub.cfg unreadable",
            |f| {
                let file = f.files.get_mut("/boot/grub/grub.cfg").expect("it is there");
                file.text = Measured::not("permission denied");
            },
            "boot.fallback",
            Warning,
            "permission denied",
        )
        .also(&["leftovers.unreadable"]),
    ];
    cases.iter().for_each(Case::run);
}

/// What helps depends on who looked: nobody who is root already is sent to be root.
#[test]
fn root_on_the_host_is_not_told_to_be_root_on_the_host() {
    use passthru_plan::facts::Reading;
    let said = |reading| {
        let facts = Facts {
            reading,
            ..Facts::default()
        };
        let remedies = doctor(&facts).into_iter().filter_map(|one| one.remedy);
        remedies.collect::<Vec<_>>().join("\n")
    };
    for again in ["Run it", "sudo passthru doctor", "passthru capture"] {
        assert!(!said(Reading::Root).contains(again), "{again}");
        assert!(said(Reading::Copy).contains(again), "{again}");
    }
    assert!(said(Reading::User).contains("Run it as root: sudo passthru doctor"));
    assert!(!said(Reading::User).contains("on the host itself"));
}
