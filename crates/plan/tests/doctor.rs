//! Doctor on a healthy host, and on the same host with one thing wrong at a time.

mod common;

use common::*;
use passthru_plan::{
    Address, Facts, Finding, Measured, Severity, Status, Verdict,
    doctor::doctor,
    facts::{
        Bar, BootLoader, CpuVendor, Firmware, Generator, InstalledKernel, ModuleState,
        ReservedRegion, Sriov, Use, UseKind,
    },
};
use proptest::prelude::*;

fn find<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    findings.iter().find(|f| f.id == id).unwrap_or_else(|| {
        let ids: Vec<_> = findings.iter().map(|f| f.id.as_str()).collect();
        panic!("no finding {id} among {ids:?}")
    })
}

/// Ids whose answer is not the one of the healthy host, with the new answer.
fn news(facts: &Facts) -> Vec<Finding> {
    let before = doctor(&healthy());
    let answer = |f: &Finding| (f.id.clone(), f.status);
    doctor(facts)
        .into_iter()
        .filter(|f| !before.iter().any(|old| answer(old) == answer(f)))
        .collect()
}

#[test]
fn a_healthy_host_is_ready_and_nothing_is_wrong() {
    let findings = doctor(&healthy());
    assert_eq!(Verdict::of(&findings), Verdict::Ready);
    let wrong: Vec<_> = findings
        .iter()
        .filter(|f| f.status != Status::Yes)
        .map(|f| (f.id.as_str(), f.severity))
        .collect();
    // One GPU has the host's picture: that is said, and no more.
    assert_eq!(wrong, [("display.remains:0000:01:00.0", Info)]);
    for prefix in [
        "cmdline.",
        "modprobe.",
        "initramfs.",
        "hooks.",
        "ids.",
        "symptom.",
    ] {
        assert!(
            findings.iter().all(|f| !f.id.starts_with(prefix)),
            "{prefix}"
        );
    }
}

#[test]
fn ids_are_unique_and_every_no_has_a_remedy() {
    for facts in [healthy(), everything_wrong(), Facts::default()] {
        let findings = doctor(&facts);
        let mut ids: Vec<_> = findings.iter().map(|f| &f.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), findings.len());
        for finding in &findings {
            assert!(!finding.evidence.is_empty(), "{}", finding.id);
            assert!(!finding.why.is_empty(), "{}", finding.id);
            let needs = finding.status != Status::Yes;
            assert_eq!(finding.remedy.is_some(), needs, "{}", finding.id);
        }
    }
}

/// What is done to the healthy host; then the one finding that must come of it: id, severity, and a
/// piece of its evidence. Other findings may follow from it where `also` says so.
struct Case {
    name: &'static str,
    spoil: fn(&mut Facts),
    id: &'static str,
    severity: Severity,
    evidence: &'static str,
    also: &'static [&'static str],
}

const fn case(
    name: &'static str,
    spoil: fn(&mut Facts),
    id: &'static str,
    severity: Severity,
    evidence: &'static str,
) -> Case {
    Case {
        name,
        spoil,
        id,
        severity,
        evidence,
        also: &[],
    }
}

impl Case {
    const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    fn run(&self) {
        let mut facts = healthy();
        (self.spoil)(&mut facts);
        let news = news(&facts);
        let ids: Vec<_> = news.iter().map(|f| f.id.as_str()).collect();
        let expected: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| *id == self.id || self.also.contains(id))
            .collect();
        assert_eq!(ids, expected, "{}: something else came of it", self.name);
        let finding = find(&news, self.id);
        assert_eq!(finding.severity, self.severity, "{}", self.name);
        assert!(
            finding.evidence.iter().any(|e| e.contains(self.evidence)),
            "{}: {:?}",
            self.name,
            finding.evidence
        );
        for also in self.also {
            find(&news, also);
        }
    }
}

use Severity::{Blocker, Info, Warning};

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
            "4.0 GiB",
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

fn no_iommu(facts: &mut Facts) {
    facts.groups.clear();
    facts.iommu.units.clear();
    for f in &mut facts.functions {
        f.group = None;
    }
    facts.iommu.interrupt_remapping = Measured::Value(false);
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
            |f| words(f, "intremap=off"),
            "iommu.conflict",
            Warning,
            GRUB_LINE,
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
    .also(&["display.remains:0000:01:00.0"])
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
            |f| f.boot.generator = Measured::Value(Generator::Booster),
            "boot.initramfs",
            Warning,
            "booster",
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
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn words_left_by_guides() {
    let cases = [
        case(
            "efifb",
            |f| words(f, "video=efifb:off,vesafb:off"),
            "cmdline.efifb-off",
            Warning,
            GRUB_LINE,
        ),
        case(
            "sysfb",
            |f| words(f, "initcall_blacklist=sysfb_init"),
            "cmdline.sysfb-blacklist",
            Warning,
            GRUB_LINE,
        ),
        case(
            "nomodeset",
            |f| words(f, "nomodeset"),
            "cmdline.nomodeset",
            Warning,
            "/proc/cmdline",
        ),
        case(
            "amd",
            |f| words(f, "amd_iommu=on"),
            "cmdline.amd-iommu-on",
            Info,
            GRUB_LINE,
        ),
        case(
            "intel on amd",
            |f| {
                f.machine.cpu.vendor = CpuVendor::Amd;
                words(f, "intel_iommu=on");
            },
            "cmdline.intel-iommu-on-amd",
            Info,
            GRUB_LINE,
        ),
        case(
            "iommu=1",
            |f| words(f, "iommu=1"),
            "cmdline.iommu-unknown",
            Info,
            "iommu=1",
        ),
        case(
            "pt",
            |f| words(f, "iommu=pt"),
            "cmdline.iommu-pt",
            Info,
            GRUB_LINE,
        ),
        case(
            "unsafe",
            |f| words(f, "vfio_iommu_type1.allow_unsafe_interrupts=1"),
            "cmdline.unsafe-interrupts",
            Warning,
            GRUB_LINE,
        ),
        case(
            "unsafe as an option",
            |f| {
                file(
                    f,
                    "/etc/modprobe.d/iommu.conf",
                    "options vfio_iommu_type1 allow_unsafe_interrupts=1\n",
                )
            },
            "cmdline.unsafe-interrupts",
            Warning,
            "/etc/modprobe.d/iommu.conf line 1",
        ),
        case(
            "rd",
            |f| words(f, "rd.driver.pre=vfio-pci"),
            "cmdline.rd-driver-pre",
            Info,
            GRUB_LINE,
        ),
        case(
            "msrs",
            |f| words(f, "kvm.ignore_msrs=1"),
            "cmdline.kvm-ignore-msrs",
            Info,
            GRUB_LINE,
        ),
        case(
            "preempt",
            |f| words(f, "preempt=voluntary"),
            "cmdline.preempt",
            Info,
            GRUB_LINE,
        ),
        case(
            "stub",
            |f| words(f, "pci-stub.ids=10de:1f08"),
            "cmdline.pci-stub",
            Warning,
            GRUB_LINE,
        ),
        case(
            "d3",
            |f| words(f, "vfio_pci.disable_idle_d3=1"),
            "cmdline.disable-idle-d3",
            Info,
            GRUB_LINE,
        ),
        case(
            "serial",
            |f| words(f, "console=ttyS0"),
            "cmdline.console-serial-only",
            Warning,
            GRUB_LINE,
        ),
        case(
            "serial menu",
            |f| {
                file(
                    f,
                    "/etc/default/grub",
                    "GRUB_TIMEOUT=5\nGRUB_TERMINAL=serial\n",
                )
            },
            "cmdline.grub-terminal-serial-only",
            Warning,
            "/etc/default/grub line 2",
        ),
        case(
            "text",
            |f| {
                file(
                    f,
                    "/etc/default/grub",
                    "GRUB_TIMEOUT=5\nGRUB_GFXPAYLOAD_LINUX=text\n",
                )
            },
            "cmdline.gfxpayload-text",
            Info,
            "/etc/default/grub line 2",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn good_words_are_left_alone() {
    for good in [
        "console=tty0 console=ttyS0,115200",
        "intel_iommu=on",
        "video=HDMI-A-1:1920x1080",
        "kvm.ignore_msrs=0",
        "iommu=nopt",
        "intel_iommu=on,sm_on",
    ] {
        let mut facts = healthy();
        words(&mut facts, good);
        assert_eq!(news(&facts), [], "{good}");
    }
}

const SOFTDEPS: &str = "softdep nouveau pre: vfio-pci\nsoftdep snd_hda_intel pre: vfio-pci\n";

fn softdeps(facts: &mut Facts) {
    file(facts, "/etc/modprobe.d/softdep.conf", SOFTDEPS);
}

#[test]
fn lists_of_ids() {
    let cases = [
        case(
            "blank in modprobe.d",
            |f| {
                softdeps(f);
                file(
                    f,
                    "/etc/modprobe.d/vfio.conf",
                    "# mine\noptions vfio-pci ids=10de:1f08 10de:10f9\n",
                );
            },
            "ids.malformed",
            Warning,
            "/etc/modprobe.d/vfio.conf line 2: \"10de:10f9\"",
        ),
        case(
            "<<",
            |f| words(f, "vfio-pci.ids=<<10de:1f08"),
            "ids.malformed",
            Warning,
            "\"<<10de:1f08\"",
        ),
        case(
            "blank on the command line",
            |f| {
                softdeps(f);
                words(f, "vfio-pci.ids=10de:1f08, 10de:10f9");
            },
            "ids.malformed",
            Warning,
            GRUB_LINE,
        ),
        case(
            "two lists",
            |f| {
                softdeps(f);
                words(f, "vfio-pci.ids=10de:1f08");
                file(
                    f,
                    "/etc/modprobe.d/vfio.conf",
                    "options vfio-pci ids=10de:10f9\n",
                );
            },
            "ids.competing",
            Warning,
            "/etc/modprobe.d/vfio.conf line 1: ids=10de:10f9",
        ),
        case(
            "the same list twice",
            |f| {
                softdeps(f);
                file(
                    f,
                    "/etc/modprobe.d/a.conf",
                    "options vfio-pci ids=10de:1f08,10de:10f9\n",
                );
                file(
                    f,
                    "/etc/initramfs-tools/modules",
                    "vfio_pci ids=10de:10f9,10de:1f08\n",
                );
            },
            "ids.competing",
            Info,
            "/etc/initramfs-tools/modules line 1",
        ),
        case(
            "a race",
            |f| {
                file(
                    f,
                    "/etc/modprobe.d/vfio.conf",
                    "options vfio-pci ids=10de:1f08\n",
                )
            },
            "modprobe.softdep-missing",
            Warning,
            "nouveau may take it first",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn blacklists() {
    let cases = [
        case(
            "xhci_hcd",
            |f| file(f, "/etc/modprobe.d/b.conf", "\nblacklist xhci_hcd\n"),
            "modprobe.blacklist-xhci-hcd",
            Info,
            "/etc/modprobe.d/b.conf line 2",
        ),
        case(
            "xhci_pci",
            |f| file(f, "/etc/modprobe.d/b.conf", "blacklist xhci_pci\n"),
            "modprobe.blacklist-needed",
            Warning,
            "every USB port",
        ),
        case(
            "install",
            |f| {
                file(
                    f,
                    "/etc/modprobe.d/b.conf",
                    "install snd_hda_intel /bin/false\n",
                )
            },
            "modprobe.blacklist-needed",
            Warning,
            "/etc/modprobe.d/b.conf line 1",
        ),
        case(
            "module_blacklist",
            |f| words(f, "module_blacklist=nvme,floppy"),
            "modprobe.blacklist-needed",
            Warning,
            GRUB_LINE,
        ),
        case(
            "amdgpu",
            |f| file(f, "/etc/modprobe.d/b.conf", "blacklist amdgpu\n"),
            "modprobe.blacklist-gpu-driver",
            Warning,
            "0000:01:00.0 (Radeon RX 6400): the host cannot use it",
        ),
        case(
            "nouveau, and vfio-pci has the card",
            |f| {
                at(f, GUEST_GPU).driver = Some("vfio-pci".into());
                file(f, "/etc/modprobe.d/b.conf", "blacklist nouveau\n");
            },
            "modprobe.blacklist-gpu-driver",
            Info,
            "vfio-pci has it",
        ),
        case(
            "no suffix",
            |f| {
                file(
                    f,
                    "/etc/modprobe.d/vfio",
                    "options vfio-pci ids=10de:1f08\n",
                )
            },
            "modprobe.no-conf-suffix",
            Warning,
            "/etc/modprobe.d/vfio is about vfio",
        )
        // The planner reads it too: it may come to be read one day.
        .also(&["modprobe.softdep-missing"]),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn nouveau_blacklisted_for_nvidia_is_in_order() {
    let mut facts = healthy();
    at(&mut facts, GUEST_GPU)
        .candidates
        .push(passthru_plan::facts::Candidate {
            module: "nvidia".into(),
            builtin: false,
        });
    file(
        &mut facts,
        "/etc/modprobe.d/nvidia.conf",
        "blacklist nouveau\n",
    );
    assert_eq!(news(&facts), []);
}

#[test]
fn initramfs_files() {
    let cases = [
        case(
            "options",
            |f| {
                file(
                    f,
                    "/etc/initramfs-tools/modules",
                    "vfio\noptions vfio-pci ids=10de:1f08\n",
                )
            },
            "initramfs.options-in-modules",
            Warning,
            "/etc/initramfs-tools/modules line 2",
        ),
        case(
            "virqfd",
            |f| file(f, "/etc/initramfs-tools/modules", "vfio\nvfio_virqfd\n"),
            "initramfs.vfio-virqfd",
            Info,
            "/etc/initramfs-tools/modules line 2: vfio_virqfd",
        ),
        case(
            "modules-load.d",
            |f| file(f, "/etc/modules-load.d/vfio-pci.conf", "vfio-pci\n"),
            "initramfs.modules-load",
            Info,
            "/etc/modules-load.d/vfio-pci.conf line 1",
        ),
        case(
            "after udev",
            |f| {
                script(
                    f,
                    "/etc/initramfs-tools/scripts/init-top/vfio.sh",
                    "#!/bin/sh\necho vfio-pci\n",
                )
            },
            "initramfs.script-after-udev",
            Warning,
            "init-top/vfio.sh",
        ),
        case(
            "not executable",
            |f| {
                file(
                    f,
                    "/etc/initramfs-tools/scripts/init-top/bind_vfio",
                    "#!/bin/sh\necho vfio-pci\n",
                )
            },
            "initramfs.script-not-executable",
            Warning,
            "0644",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn dracut_and_mkinitcpio_files() {
    fn dracut(facts: &mut Facts, name: &str, text: &str) {
        facts.boot.generator = Measured::Value(Generator::Dracut);
        file(facts, &format!("/etc/dracut.conf.d/{name}"), text);
    }
    // The planner does not support dracut yet and says so; when it does, drop it here.
    let also = &["boot.initramfs"];
    let cases = [
        case(
            "suffix",
            |f| dracut(f, "vfio", "force_drivers+=\" vfio_pci \"\n"),
            "initramfs.dracut-suffix",
            Warning,
            "vfio is not read",
        )
        .also(also),
        case(
            "spaces",
            |f| dracut(f, "v.conf", "force_drivers+=\"vfio_pci vfio\"\n"),
            "initramfs.dracut-spaces",
            Warning,
            "v.conf line 1",
        )
        .also(also),
        case(
            "add",
            |f| dracut(f, "v.conf", "add_drivers+=\" vfio_pci \"\n"),
            "initramfs.dracut-add-drivers",
            Warning,
            "v.conf line 1",
        )
        .also(also),
        case(
            "virqfd",
            |f| dracut(f, "v.conf", "force_drivers+=\" vfio_pci vfio_virqfd \"\n"),
            "initramfs.vfio-virqfd",
            Warning,
            "v.conf line 1",
        )
        .also(also),
        case(
            "mkinitcpio",
            |f| {
                f.boot.generator = Measured::Value(Generator::Mkinitcpio);
                file(
                    f,
                    "/etc/mkinitcpio.conf",
                    "MODULES=(vfio_pci vfio vfio_virqfd)\n",
                );
            },
            "initramfs.vfio-virqfd",
            Warning,
            "/etc/mkinitcpio.conf line 1",
        )
        .also(also),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn virqfd_is_in_order_on_old_kernels() {
    let mut facts = healthy();
    facts.kernel.installed[0].has_vfio_virqfd = true;
    file(&mut facts, "/etc/initramfs-tools/modules", "vfio_virqfd\n");
    assert_eq!(news(&facts), []);
}

#[test]
fn libvirt_hooks() {
    const QEMU: &str = "/etc/libvirt/hooks/qemu";
    let cases = [
        case(
            "blank",
            |f| {
                script(
                    f,
                    QEMU,
                    "#!/bin/bash\nif [ -f \"$P\" ] && [ -s \"$P\"]; then :; fi\n",
                )
            },
            "hooks.missing-blank",
            Warning,
            "/etc/libvirt/hooks/qemu line 2",
        ),
        case(
            "eval",
            |f| script(f, QEMU, "#!/bin/bash\n  eval \\\"$file\\\" \"$@\"\n"),
            "hooks.eval",
            Warning,
            "/etc/libvirt/hooks/qemu line 2",
        ),
        case(
            "virsh",
            |f| {
                script(
                    f,
                    "/etc/libvirt/hooks/qemu.d/win/prepare/begin/start.sh",
                    "#!/bin/bash\n# virsh in a comment\nvirsh nodedev-detach pci_0000_02_00_0\n",
                );
            },
            "hooks.virsh",
            Warning,
            "start.sh line 3",
        ),
        case(
            "mode",
            |f| file(f, QEMU, "#!/bin/sh\n"),
            "hooks.not-executable",
            Warning,
            QEMU,
        ),
        case(
            "copy",
            |f| script(f, "/etc/libvirt/hooks/qemu.d/gpu.bak", "#!/bin/sh\n"),
            "hooks.stray-file",
            Warning,
            "gpu.bak",
        ),
        case(
            "variable",
            |f| {
                file(
                    f,
                    "/etc/libvirt/hooks/kvm.conf",
                    "VIRSH_GPU_USB=pci_0000_02_00_2\n",
                );
                script(
                    f,
                    "/etc/libvirt/hooks/qemu.d/x",
                    "#!/bin/sh\necho $VIRSH_GPU_USB\necho $VIRSH_USB\n",
                );
            },
            "hooks.undefined-variable",
            Warning,
            "qemu.d/x line 3",
        ),
        case(
            "device list",
            |f| {
                file(
                    f,
                    "/etc/libvirt/qemu.conf",
                    "#user = \"root\"\ncgroup_device_acl = [\n  \"/dev/null\", \"/dev/kvmfr0\"\n]\n",
                );
            },
            "libvirt.device-acl",
            Warning,
            "line 2: cgroup_device_acl lacks /dev/full",
        ),
        case(
            "relaxed",
            |f| file(f, "/etc/libvirt/qemu.conf", "relaxed_acs_check = 1\n"),
            "libvirt.relaxed-acs",
            Info,
            "line 1",
        ),
    ];
    cases.iter().for_each(Case::run);
}

#[test]
fn a_good_hook_is_left_alone() {
    let mut facts = healthy();
    script(
        &mut facts,
        "/etc/libvirt/hooks/qemu",
        "#!/bin/bash\ndeclare -A map\nmap[\"x\"]=1\necho ${map[\"x\"]}\n[[ \"$1\" == \"win\" ]] && exit 0\nsystemctl stop virtlogd # virshell\n",
    );
    file(
        &mut facts,
        "/etc/libvirt/hooks/qemu.d/old.bak",
        "#!/bin/sh\n",
    );
    assert_eq!(news(&facts), []);
}

#[test]
fn symptoms_in_the_log() {
    let lines = [
        (
            "symptom.group-not-viable",
            "vfio 0000:02:00.0: group 12 is not viable",
        ),
        (
            "symptom.interrupt-remapping",
            "vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param \"allow_unsafe_interrupts\" to enable VFIO IOMMU support on this platform",
        ),
        (
            "symptom.reserved-region",
            "vfio-pci 0000:02:00.0: Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device without a 1:1 mapping. Contact your platform vendor.",
        ),
        (
            "symptom.reserved-region",
            "vfio-pci 0000:02:00.0: Device is ineligible for IOMMU domain attach due to platform RMRR requirement.  Contact your platform vendor.",
        ),
        (
            "symptom.bar-reserved",
            "vfio-pci 0000:02:00.0: BAR 1: can't reserve [mem 0xc0000000-0xcfffffff 64bit pref]",
        ),
        (
            "symptom.rom",
            "vfio-pci 0000:02:00.0: Invalid PCI ROM header signature: expecting 0xaa55, got 0xffff",
        ),
        (
            "symptom.reset",
            "vfio-pci 0000:02:00.0: not ready 65535ms after FLR; giving up",
        ),
        (
            "symptom.reset",
            "vfio-pci 0000:02:00.0: Unable to change power state from D3cold to D0, device inaccessible",
        ),
        (
            "symptom.memlock",
            "vfio_pin_pages_remote: RLIMIT_MEMLOCK (67108864) exceeded",
        ),
        (
            "symptom.memlock",
            "qemu-system-x86_64: VFIO_MAP_DMA failed: Cannot allocate memory",
        ),
        (
            "symptom.address-width",
            "qemu-system-x86_64: VFIO_MAP_DMA failed: Invalid argument",
        ),
        (
            "symptom.sriov",
            "vfio-pci 0000:02:00.0: Cannot bind to PF with SR-IOV enabled",
        ),
        (
            "symptom.nvidia-in-use",
            "NVRM: Attempting to remove device 0000:02:00.0 with non-zero usage count!",
        ),
        (
            "symptom.hook-hangs",
            "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainCreate)",
        ),
        (
            "symptom.dma-fault",
            "vfio-pci 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0010 address=0xfe flags=0x0020]",
        ),
        (
            "symptom.dma-fault",
            "DMAR: [DMA Write NO_PASID] Request device [02:00.0] fault addr 0xfe",
        ),
    ];
    for (id, line) in lines {
        let mut facts = healthy();
        facts.log = Measured::Value(vec![line.into()]);
        let news = news(&facts);
        let ids: Vec<_> = news.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(ids, [id], "{line}");
        assert_eq!(news[0].evidence, [line]);
    }
    let mut facts = healthy();
    facts.log = Measured::Value(vec!["group 12 is not viable".into(); 5]);
    assert_eq!(
        find(&doctor(&facts), "symptom.group-not-viable").evidence[3],
        "… and 2 more such lines"
    );
    facts.log = Measured::not("permission denied");
    assert_eq!(
        find(&doctor(&facts), "symptoms.log").status,
        Status::Unknown
    );
}

#[test]
fn remedies_fit_the_boot_loader() {
    let remedy = |loader| {
        let mut facts = healthy();
        words(&mut facts, "video=efifb:off");
        facts.boot.loader = Measured::Value(loader);
        let findings = doctor(&facts);
        find(&findings, "cmdline.efifb-off")
            .remedy
            .clone()
            .expect("a remedy")
    };
    assert_eq!(
        remedy(BootLoader::Grub),
        "Delete video=efifb:off in /etc/default/grub line 3 (GRUB_CMDLINE_LINUX_DEFAULT). Then run: sudo update-grub, and reboot."
    );
    assert_eq!(
        remedy(BootLoader::GrubBls),
        "Run: sudo grubby --update-kernel=ALL --remove-args=\"video=efifb:off\", then reboot."
    );
}

#[test]
fn what_passthru_wrote_is_no_leftover() {
    let mut facts = healthy();
    let plan = passthru_plan::plan(
        &facts,
        &passthru_plan::Intent {
            gpu: vec![passthru_plan::Selector::at(GUEST_GPU)],
            ..passthru_plan::Intent::default()
        },
    );
    assert_eq!(plan.refusals, []);
    for change in &plan.changes {
        if let passthru_plan::Change::Edit {
            path,
            after: Some(after),
            mode,
            ..
        } = change
        {
            if *mode == 0o755 {
                script(&mut facts, path, after);
            } else {
                file(&mut facts, path, after);
            }
        }
    }
    let running = facts.kernel.cmdline.value().cloned().unwrap_or_default();
    facts.kernel.cmdline = Measured::Value(format!("{running} {}", plan.words.join(" ")));
    assert_eq!(news(&facts), []);
}

/// One host with every mistake of the guides on it.
fn everything_wrong() -> Facts {
    let mut f = healthy();
    words(
        &mut f,
        "amd_iommu=on intel_iommu=on iommu=pt iommu=1 intel_iommu=off video=efifb:off pcie_acs_override=downstream kvm.ignore_msrs=1 preempt=voluntary rd.driver.pre=vfio-pci vfio-pci.ids=<<10de:1f08, 10de:10f9 console=ttyS0 module_blacklist=snd_hda_intel",
    );
    no_iommu(&mut f);
    f.boot.boot_free = Measured::Value(10 << 20);
    f.machine.encrypted_root = Measured::Value(true);
    f.machine.hypervisor = Measured::Value(Some("VMware".into()));
    f.log = Measured::not("permission denied");
    at(&mut f, GUEST_GPU).ids = passthru_plan::Ids::new(0x1002, 0x687f);
    file(
        &mut f,
        "/etc/modprobe.d/vfio.conf",
        "options vfio-pci ids=10de:1f08 10de:10f9\n",
    );
    file(
        &mut f,
        "/etc/modprobe.d/blacklist.conf",
        "blacklist xhci_hcd\nblacklist nouveau\nblacklist amdgpu\n",
    );
    file(
        &mut f,
        "/etc/initramfs-tools/modules",
        "vfio\nvfio_virqfd\noptions vfio-pci ids=10de:1f08\n",
    );
    file(&mut f, "/etc/modules-load.d/vfio-pci.conf", "vfio-pci\n");
    file(
        &mut f,
        "/etc/initramfs-tools/scripts/init-top/vfio.sh",
        "#!/bin/sh\necho vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override\n",
    );
    script(
        &mut f,
        "/etc/libvirt/hooks/qemu",
        "#!/bin/bash\nif [ -f \"$HOOKPATH\" ] && [ -s \"$HOOKPATH\"] && [ -x \"$HOOKPATH\" ]; then\n    eval \\\"$HOOKPATH\\\" \"$@\"\nfi\n",
    );
    script(
        &mut f,
        "/etc/libvirt/hooks/qemu.d/win10/prepare/begin/start.sh",
        "#!/bin/bash\nvirsh nodedev-detach $VIRSH_USB\n",
    );
    f
}

/// The findings as a person reads them.
fn render(findings: &[Finding]) -> String {
    let mut text = format!("verdict: {:?}\n", Verdict::of(findings));
    for f in findings {
        text += &format!(
            "\n{:?} {:?} {}\n  {}\n",
            f.status, f.severity, f.id, f.title
        );
        for line in &f.evidence {
            text += &format!("  - {line}\n");
        }
        text += &format!("  why: {}\n", f.why);
        if let Some(remedy) = &f.remedy {
            text += &format!("  do:  {remedy}\n");
        }
    }
    text
}

#[test]
fn the_healthy_host_reads_well() {
    insta::assert_snapshot!(render(&doctor(&healthy())));
}

#[test]
fn the_host_with_everything_wrong_reads_well() {
    insta::assert_snapshot!(render(&doctor(&everything_wrong())));
}

/// Texts like those that stand in the files doctor reads.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "options ",
        "vfio-pci ",
        "ids=",
        "10de:1f08",
        ",",
        " ",
        "\n",
        "\"",
        "'",
        "\\",
        "blacklist ",
        "install ",
        "/bin/false",
        "nouveau",
        "amdgpu",
        "GRUB_CMDLINE_LINUX_DEFAULT=",
        "+=",
        "GRUB_TERMINAL=serial\n",
        "console=ttyS0",
        "video=efifb:off",
        "iommu=",
        "off",
        "force_drivers+=\"",
        "eval \"$",
        "[ -s \"$X\"]",
        "virsh ",
        "$VIRSH_",
        "${",
        "é…",
        "cgroup_device_acl = [",
        "]",
        "#",
        "module_blacklist=",
        "softdep ",
        "pre: ",
        "menuentry 'x' {",
        "}",
        "linux /v ",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|v| v.concat())
}

const PATHS: [&str; 16] = [
    "/etc/default/grub",
    "/etc/default/grub.d/x.cfg",
    "/boot/grub/grub.cfg",
    "/etc/kernel/cmdline",
    "/boot/loader/entries/a.conf",
    "/etc/modprobe.d/x.conf",
    "/etc/modprobe.d/x",
    "/etc/initramfs-tools/modules",
    "/etc/initramfs-tools/scripts/init-top/vfio",
    "/etc/dracut.conf.d/x.conf",
    "/etc/dracut.conf.d/x",
    "/etc/mkinitcpio.conf",
    "/etc/modules-load.d/x.conf",
    "/etc/libvirt/hooks/qemu",
    "/etc/libvirt/hooks/qemu.d/x.bak",
    "/etc/libvirt/qemu.conf",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_gives_an_answer_and_always_the_same(
        files in prop::collection::vec((prop::sample::select(PATHS.to_vec()), prop_oneof![soup(), any::<String>()], any::<u32>()), 0..12),
        cmdline in prop_oneof![soup(), any::<String>()],
        log in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let mut facts = healthy();
        for (path, text, mode) in files {
            file(&mut facts, path, &text);
            if let Some(file) = facts.files.get_mut(path) {
                file.mode = mode;
            }
        }
        facts.kernel.cmdline = Measured::Value(cmdline);
        facts.log = Measured::Value(log);
        let first = doctor(&facts);
        prop_assert_eq!(&first, &doctor(&facts));
        for finding in &first {
            prop_assert_eq!(finding.remedy.is_some(), finding.status != Status::Yes);
        }
    }
}
