//! IOMMU, machine, displays, files and logs.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::Host;
use passthru_host::observe::{Wanted, observe};
use passthru_plan::{
    Address, Measured,
    facts::{CpuVendor, Firmware},
};

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn an_empty_tree_is_all_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let root = passthru_host::Root::open(directory.path()).unwrap();
    let facts = observe(&root, Wanted::everything_with_images());
    assert!(facts.functions.is_empty());
    assert!(facts.unreadable[0].starts_with("/sys/bus/pci/devices cannot be listed"));
    for why in [
        facts.iommu.firmware_table.why_not(),
        facts.iommu.interrupt_remapping.why_not(),
        facts.machine.firmware.why_not(),
        facts.machine.cpu.virtualization.why_not(),
        facts.machine.hypervisor.why_not(),
        facts.machine.encrypted_root.why_not(),
        facts.kernel.cmdline.why_not(),
        facts.kernel.loaded.why_not(),
        facts.boot.loader.why_not(),
        facts.boot.generator.why_not(),
        facts.boot.boot_free.why_not(),
        facts.log.why_not(),
    ] {
        assert!(
            why.is_some_and(|why| !why.is_empty() && why != "not looked at"),
            "{why:?}"
        );
    }
}

#[test]
fn the_iommu() {
    let host = Host::new();
    host.file("sys/firmware/acpi/tables/DMAR", "")
        .file("sys/firmware/acpi/tables/APIC", "");
    host.file("sys/class/iommu/dmar0/intel-iommu/cap", "d2008c40660462\n");
    host.file("sys/class/iommu/dmar1/intel-iommu/cap", "d2008c222f0686\n");
    host.file("sys/kernel/irq/0/chip_name", "IO-APIC\n");
    host.file("sys/kernel/irq/9/chip_name", "IR-IO-APIC\n");
    let iommu = host.facts().iommu;
    assert_eq!(iommu.firmware_table, Measured::Value(Some("DMAR".into())));
    assert_eq!(iommu.units, ["dmar0", "dmar1"]);
    assert_eq!(iommu.interrupt_remapping, Measured::Value(true));
    assert_eq!(iommu.address_width, Some(39));
    host.file("sys/kernel/irq/9/chip_name", "IO-APIC\n");
    assert_eq!(
        host.facts().iommu.interrupt_remapping,
        Measured::Value(false)
    );
}

#[test]
fn the_machine() {
    let host = Host::new();
    let efivars = "sys/firmware/efi/efivars";
    host.file(
        &format!("{efivars}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
        [6, 0, 0, 0, 1],
    );
    host.file(
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: vmx hypervisor\n",
    );
    host.file("sys/class/dmi/id/sys_vendor", "QEMU\n");
    host.file(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    host.file("etc/os-release", "ID=debian\nVERSION_ID=\"13\"\n");
    host.file("dev/kvm", "");
    host.file("sys/devices/platform/asus-nb-wmi/gpu_mux_mode", "0\n");
    let machine = host.facts().machine;
    assert_eq!(machine.firmware, Measured::Value(Firmware::Efi));
    assert_eq!(machine.secure_boot, Measured::Value(true));
    assert_eq!(machine.lockdown, Measured::Value("integrity".into()));
    assert_eq!(machine.hypervisor, Measured::Value(Some("QEMU".into())));
    assert_eq!(machine.cpu.vendor, CpuVendor::Intel);
    assert_eq!(machine.distribution.unwrap().id, "debian");
    assert!(machine.kvm_device);
    assert_eq!(machine.gpu_mux_discrete, Some(true));
}

#[test]
fn a_short_secure_boot_variable_is_not_measured() {
    let host = Host::new();
    host.file(
        "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        [6, 0],
    );
    assert!(
        host.facts()
            .machine
            .secure_boot
            .why_not()
            .unwrap()
            .contains("shorter")
    );
}

#[test]
fn displays() {
    let host = Host::new();
    for (card, place) in [
        ("card10", "pci0000:00/0000:00:02.0/drm/card10"),
        (
            "card1",
            "pci0000:00/0000:00:01.0/0000:01:00.0/virtio3/drm/card1",
        ),
    ] {
        host.link(
            &format!("sys/class/drm/{card}"),
            &format!("../../devices/{place}"),
        );
        host.file(&format!("sys/devices/{place}/boot_display"), "1\n");
    }
    host.file("sys/class/drm/card1-HDMI-A-1/status", "connected\n");
    host.file("sys/class/drm/card1-HDMI-A-1/enabled", "enabled\n");
    host.file("sys/class/drm/card10-DP-1/status", "disconnected\n");
    host.link(
        "sys/bus/platform/devices/simple-framebuffer.0",
        "../../../devices/pci0000:00/0000:00:02.0/simple-framebuffer.0",
    );
    host.file("proc/fb", "0 EFI VGA\n");
    host.file(
        "proc/iomem",
        "00000000-00000000 : PCI Bus 0000:00\n  00000000-00000000 : 0000:00:02.0\n    00000000-00000000 : BOOTFB\n",
    );
    let display = host.facts().display;
    let cards: Vec<_> = display
        .cards
        .iter()
        .map(|c| (c.name.as_str(), c.function))
        .collect();
    assert_eq!(
        cards,
        [
            ("card1", Some(at("0000:01:00.0"))),
            ("card10", Some(at("0000:00:02.0")))
        ]
    );
    assert_eq!(display.cards[0].boot_display, Some(true));
    assert!(display.cards[0].has_monitor() && display.cards[0].connectors[0].enabled);
    assert_eq!(display.cards[0].connectors.len(), 1);
    assert!(!display.cards[1].has_monitor());
    assert_eq!(display.firmware_framebuffer, Some(at("0000:00:02.0")));
    assert_eq!(display.fbdevs, ["0 EFI VGA"]);
    assert_eq!(display.firmware_consoles, ["BOOTFB"]);
}

#[test]
fn files_with_their_modes() {
    let host = Host::new();
    host.executable("/etc/initramfs-tools/hooks/x", "#!/bin/sh\n");
    host.file("/etc/dracut.conf.d/passthru", "forgot the suffix");
    host.file("/etc/modprobe.d/readme", "not read by modprobe");
    host.file("/etc/modprobe.d/bad.conf", [0xff, 0xfe]);
    host.link("/etc/modprobe.d/off.conf", "/dev/null");
    host.link("/etc/default/grub", "../../../../../../etc/elsewhere");
    host.file("/etc/elsewhere", "GRUB_TIMEOUT=1\n");
    host.executable("/etc/initramfs/post-update.d/refind", "");
    host.file("/etc/initramfs/post-update.d/readme", "");
    host.executable(
        "/usr/sbin/grub-mkconfig",
        "for x in ${sysconfdir}/default/grub.d/*.cfg\n",
    );
    let facts = host.facts();
    assert_eq!(facts.files["/etc/initramfs-tools/hooks/x"].mode, 0o755);
    assert!(facts.files.contains_key("/etc/dracut.conf.d/passthru"));
    assert!(facts.files.contains_key("/etc/modprobe.d/readme"));
    let bad = facts.files["/etc/modprobe.d/bad.conf"].text.why_not();
    assert!(bad.unwrap().contains("UTF-8"));
    assert_eq!(facts.text("/etc/modprobe.d/off.conf"), Some(""));
    // `..` stops at the top of the host.
    assert_eq!(facts.text("/etc/default/grub"), Some("GRUB_TIMEOUT=1\n"));
    assert_eq!(facts.boot.post_update_hooks, ["refind"]);
    assert_eq!(facts.boot.grub_dropins, Measured::Value(true));
}

#[test]
fn hooks_of_the_layout_that_guides_use() {
    let host = Host::new();
    const HOOKS: &str = "/etc/libvirt/hooks";
    host.file(&format!("{HOOKS}/kvm.conf"), "VIRSH_GPU_VIDEO=x\n");
    let start = format!("{HOOKS}/qemu.d/win10/prepare/begin/start.sh");
    host.executable(&start, "#!/bin/sh\n");
    host.executable(&format!("{HOOKS}/qemu.d/plain"), "#!/bin/sh\n");
    host.file(&format!("{HOOKS}/qemu.d/a/b/c/d/too-deep"), "x");
    host.file(
        &format!("{HOOKS}/qemu.d/win10/program"),
        vec![b'x'; 300 << 10],
    );
    // Links to directories may lead anywhere, also in a circle.
    host.link(&format!("{HOOKS}/qemu.d/win11"), "win10");
    host.link(&format!("{HOOKS}/qemu.d/win10/circle"), "..");
    let facts = host.facts();
    let below: Vec<&str> = facts
        .files
        .keys()
        .filter_map(|path| path.strip_prefix(HOOKS))
        .collect();
    assert_eq!(
        below,
        [
            "/kvm.conf",
            "/qemu.d/plain",
            "/qemu.d/win10/prepare/begin/start.sh",
            "/qemu.d/win10/program"
        ]
    );
    assert_eq!(facts.files[&start].mode, 0o755);
    let program = &facts.files[&format!("{HOOKS}/qemu.d/win10/program")];
    assert!(
        program
            .text
            .why_not()
            .unwrap()
            .contains("larger than 256 KiB")
    );
    for i in 0..300 {
        host.file(&format!("{HOOKS}/qemu.d/many/{i}"), "x");
    }
    let facts = host.facts();
    let rest = &facts.files[&format!("{HOOKS}/qemu.d")];
    assert!(rest.text.why_not().unwrap().contains("more than 256"));
    assert!(facts.files.len() < 300 && facts.unreadable.is_empty());
}

#[test]
fn log_lines_that_name_a_trouble() {
    let host = Host::new();
    host.file(
        "var/log/kern.log",
        "kernel: usb 1-1: not ready\nkernel: vfio-pci 0000:01:00.0: not ready 1023ms after FLR; waiting\n\
         kernel: AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:00.0]\n",
    );
    host.file(
        "var/log/libvirt/qemu/win.log",
        "qemu: vfio: group 1 is not viable\nother\n",
    );
    let log = host.facts().log;
    assert_eq!(
        log.value().unwrap(),
        &[
            "kernel: vfio-pci 0000:01:00.0: not ready 1023ms after FLR; waiting",
            "kernel: AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:00.0]",
            "win.log: qemu: vfio: group 1 is not viable",
        ]
    );
    let lines = [
        "vfio-pci 0000:01:00.0: BAR 1: cannot reserve [mem 0xc0000000-0xcfffffff]",
        "vfio-pci 0000:01:00.0: Invalid PCI ROM data signature: expecting 0x52494350",
        "vfio_iommu_type1_attach_group: No interrupt remapping for device",
        "Timed out during operation: cannot acquire state change lock",
    ];
    host.file("var/log/kern.log", lines.join("\n"));
    assert_eq!(host.facts().log.value().unwrap()[..4], lines);
    let many: String = (0..200)
        .map(|n| format!("DMAR: [DMA Read] fault {n}\n"))
        .collect();
    host.file("var/log/kern.log", many);
    let log = host.facts().log;
    assert_eq!(log.value().unwrap().len(), 50);
    assert!(log.value().unwrap()[48].contains("fault 199"));
}
