//! Doctor on a healthy host with one mistake of a guide on it, or one message in its log.

mod common;

use common::{case::*, two_gpus::*};
use passthru_plan::{
    Facts, Measured,
    Severity::{Info, Warning},
    Status,
    doctor::doctor,
    facts::{BootLoader, CpuVendor, Generator},
};

const GRUB_LINE: &str = "/etc/default/grub line 3 (GRUB_CMDLINE_LINUX_DEFAULT)";

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
                );
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
                );
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
                );
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
                );
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
                );
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
                );
            },
            "modprobe.no-conf-suffix",
            Warning,
            "/etc/modprobe.d/vfio is about vfio",
        ),
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
                );
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
                );
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
                );
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
    let cases = [
        case(
            "suffix",
            |f| dracut(f, "vfio", "force_drivers+=\" vfio_pci \"\n"),
            "initramfs.dracut-suffix",
            Warning,
            "vfio is not read",
        ),
        case(
            "spaces",
            |f| dracut(f, "v.conf", "force_drivers+=\"vfio_pci vfio\"\n"),
            "initramfs.dracut-spaces",
            Warning,
            "v.conf line 1",
        ),
        case(
            "add",
            |f| dracut(f, "v.conf", "add_drivers+=\" vfio_pci \"\n"),
            "initramfs.dracut-add-drivers",
            Warning,
            "v.conf line 1",
        ),
        case(
            "virqfd",
            |f| dracut(f, "v.conf", "force_drivers+=\" vfio_pci vfio_virqfd \"\n"),
            "initramfs.vfio-virqfd",
            Warning,
            "v.conf line 1",
        ),
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
        ),
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
                );
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
    script(
        &mut facts,
        "/etc/libvirt/hooks/qemu.d/stats.py",
        "#!/usr/bin/python3\nnames = [ \"a\", \"b\"]\n",
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
            "symptom.apparmor",
            "audit: type=1400 audit(1.2:3): apparmor=\"DENIED\" operation=\"open\" profile=\"libvirt-6f5a0e4c\" name=\"/srv/card.rom\" pid=7 comm=\"qemu-system-x86\" requested_mask=\"r\" denied_mask=\"r\"",
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
        "Delete video=efifb:off in /etc/default/grub line 3 (GRUB_CMDLINE_LINUX_DEFAULT). Then run: sudo update-grub, and reboot. Or have it done: sudo passthru apply --repair."
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
