//! What is read from a host, on trees written for each question.

mod observe_builder;

use std::io::Write;

use observe_builder::{Host, Pci, cpio};
use passthru_host::observe::{ImageProblem, Wanted, observe, read_image};
use passthru_plan::{
    Address, Ids, Measured,
    facts::{BootLoader, CpuVendor, Firmware, Generator, ModuleState, UseKind},
};

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn a_function_with_everything() {
    let host = Host::new();
    host.function(&Pci {
        address: "0000:00:01.0",
        above: "pci0000:00",
        class: 0x06_0400,
        ids: (0x8086, 0x1901),
        subsystem: (0, 0),
        driver: Some("pcieport"),
        group: Some(1),
    });
    let place = host.function(&Pci {
        driver: Some("nouveau"),
        group: Some(1),
        ..Pci::default()
    });
    for (name, text) in [
        ("revision", "0xa1\n"),
        ("boot_vga", "1\n"),
        ("driver_override", "(null)\n"),
        ("numa_node", "-1\n"),
        ("power_state", "D3hot\n"),
        ("power/runtime_status", "suspended\n"),
        ("reset_method", "flr bus\n"),
        ("sriov_totalvfs", "16\n"),
        ("sriov_numvfs", "2\n"),
        (
            "resource",
            "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n",
        ),
        ("rom", ""),
    ] {
        host.file(&format!("{place}/{name}"), text);
    }
    host.link(
        "sys/bus/pci/drivers/nouveau/module",
        "../../../../module/nouveau",
    );
    host.file("sys/kernel/iommu_groups/1/type", "DMA-FQ\n");
    host.file(
        "sys/kernel/iommu_groups/1/reserved_regions",
        "0x00000000fee00000 0x00000000feefffff msi\n",
    );
    let facts = observe(&host.root(), Wanted::devices());
    let gpu = facts.function(at("0000:01:00.0")).unwrap();
    assert_eq!(gpu.class.0, 0x03_0000);
    assert_eq!(gpu.ids, Ids::new(0x10de, 0x1f08));
    assert_eq!(gpu.subsystem, Some(Ids::new(0x1043, 0x86f0)));
    assert_eq!(gpu.revision, Some(0xa1));
    assert_eq!(gpu.driver.as_deref(), Some("nouveau"));
    assert_eq!(gpu.driver_module.as_deref(), Some("nouveau"));
    assert_eq!(gpu.driver_override, None);
    assert_eq!(gpu.group, Some(1));
    assert_eq!(gpu.boot_vga, Some(true));
    assert_eq!(gpu.bars.len(), 1);
    assert_eq!(gpu.bars[0].size, 16 << 20);
    assert_eq!(
        gpu.reset_methods.as_deref(),
        Some(&["flr".to_owned(), "bus".to_owned()][..])
    );
    assert!(gpu.rom);
    assert_eq!(gpu.numa_node, None);
    assert_eq!(gpu.sriov.map(|s| (s.total, s.enabled)), Some((16, 2)));
    assert_eq!(gpu.power_state.as_deref(), Some("D3hot"));
    assert_eq!(gpu.runtime_status.as_deref(), Some("suspended"));
    assert_eq!(gpu.parent, Some(at("0000:00:01.0")));
    let bridge = facts.function(at("0000:00:01.0")).unwrap();
    assert_eq!(bridge.subsystem, None);
    assert_eq!(bridge.parent, None);
    // This host has the attribute, so a function without it has no reset.
    assert_eq!(bridge.reset_methods, Some(Vec::new()));
    let group = facts.group(1).unwrap();
    assert_eq!(group.functions, [at("0000:00:01.0"), at("0000:01:00.0")]);
    assert_eq!(group.kind.as_deref(), Some("DMA-FQ"));
    assert_eq!(group.reserved[0].kind, "msi");
}

#[test]
fn missing_attributes_come_from_uevent_or_modalias() {
    let host = Host::new();
    host.file(
        "sys/bus/pci/devices/10000:e1:00.0/uevent",
        "DRIVER=nvme\nPCI_CLASS=10802\nPCI_ID=144D:A808\nPCI_SUBSYS_ID=144D:A801\n\0\0\0\0",
    );
    host.file(
        "sys/bus/pci/devices/0000:02:00.0/modalias",
        "pci:v000010DEd00001F08sv00001043sd000086F0bc03sc00i00\n",
    );
    host.file("sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086\0\0\n");
    host.file("sys/bus/pci/devices/0000:03:00.0/device", "0x1533\0");
    host.file("sys/bus/pci/devices/0000:03:00.0/class", "0x020000");
    let facts = host.facts();
    assert_eq!(facts.unreadable, Vec::<String>::new());
    let nvme = facts.function(at("10000:e1:00.0")).unwrap();
    assert_eq!(
        (nvme.class.0, nvme.driver.as_deref()),
        (0x01_0802, Some("nvme"))
    );
    assert_eq!(nvme.subsystem, Some(Ids::new(0x144d, 0xa801)));
    let gpu = facts.function(at("0000:02:00.0")).unwrap();
    assert_eq!(
        (gpu.class.0, gpu.ids),
        (0x03_0000, Ids::new(0x10de, 0x1f08))
    );
    let nic = facts.function(at("0000:03:00.0")).unwrap();
    assert_eq!((nic.ids, nic.subsystem), (Ids::new(0x8086, 0x1533), None));
}

#[test]
fn what_makes_no_sense_is_named_and_left_out() {
    let host = Host::new();
    let place = host.plain("0000:00:02.0", 0x03_0000);
    host.file(&format!("{place}/vendor"), "0x80");
    host.file(&format!("{place}/class"), "garbage");
    host.file("sys/bus/pci/devices/0000:00:03.0/class", "0x0300");
    host.directory("sys/bus/pci/devices/not-an-address");
    host.plain("0000:00:1f.0", 0x06_0100);
    let facts = host.facts();
    let known: Vec<_> = facts.functions.iter().map(|f| f.address).collect();
    assert_eq!(known, [at("0000:00:1f.0")]);
    let said = facts.unreadable.join("\n");
    assert!(
        said.contains("/sys/bus/pci/devices/0000:00:02.0 has no readable class"),
        "{said}"
    );
    assert!(
        said.contains("/sys/bus/pci/devices/0000:00:03.0 has no readable vendor"),
        "{said}"
    );
    assert!(said.contains("not-an-address"), "{said}");
}

#[test]
fn groups_are_the_union_of_both_sides() {
    let host = Host::new();
    host.plain("0000:00:02.0", 0x03_0000);
    // Only the directory of groups names this one, together with a device that is not PCI.
    host.link(
        "sys/kernel/iommu_groups/7/devices/0000:00:02.0",
        "../../../../devices/x",
    );
    host.link(
        "sys/kernel/iommu_groups/7/devices/amd-platform",
        "../../../../devices/y",
    );
    host.directory("sys/kernel/iommu_groups/8/devices");
    // Only the function's own link says so.
    let place = host.plain("0000:00:03.0", 0x02_0000);
    host.link(
        &format!("{place}/iommu_group"),
        "../../../kernel/iommu_groups/3",
    );
    let facts = host.facts();
    let groups: Vec<_> = facts
        .groups
        .iter()
        .map(|g| (g.id, g.functions.clone()))
        .collect();
    assert_eq!(
        groups,
        [(3, vec![at("0000:00:03.0")]), (7, vec![at("0000:00:02.0")])]
    );
    assert_eq!(facts.function(at("0000:00:02.0")).unwrap().group, Some(7));
}

#[test]
fn below_something_removable_everything_is() {
    let host = Host::new();
    let dock = host.function(&Pci {
        address: "0000:05:00.0",
        above: "pci0000:00/0000:00:07.0",
        class: 0x06_0400,
        ..Pci::default()
    });
    host.file(&format!("{dock}/removable"), "removable\n");
    host.function(&Pci {
        address: "0000:06:00.0",
        above: "pci0000:00/0000:00:07.0/0000:05:00.0",
        ..Pci::default()
    });
    host.plain("0000:00:02.0", 0x03_0000);
    let facts = host.facts();
    let removable: Vec<_> = facts.functions.iter().map(|f| f.removable).collect();
    assert_eq!(removable, [false, true, true]);
}

#[test]
fn candidates_of_all_kernels_without_offers_of_vfio() {
    let host = Host::new();
    host.function(&Pci::default());
    host.plain("0000:00:14.0", 0x0c_0330);
    host.link("lib", "usr/lib");
    let one = "usr/lib/modules/6.1.0-9-amd64";
    let two = "usr/lib/modules/6.1.0-10-amd64";
    host.file(
        &format!("{one}/modules.alias"),
        "alias pci:v000010DEd*sv*sd*bc03sc00i* nouveau\nalias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n\
         alias pci:v*d*sv*sd*bc0Csc03i30* xhci-pci\n",
    );
    host.file(
        &format!("{two}/modules.alias"),
        "alias pci:v000010DEd00001F08sv*sd*bc03sc*i* nvidia\nalias pci:v00001002d*sv*sd*bc03sc00i* amdgpu\n",
    );
    host.file(
        &format!("{one}/modules.dep"),
        "kernel/drivers/vfio/pci/vfio-pci.ko:\n",
    );
    host.file(
        &format!("{two}/modules.builtin.modinfo"),
        b"xhci_pci.license=GPL\0xhci_pci.alias=pci:v*d*sv*sd*bc0Csc03i30*\0",
    );
    host.file(
        &format!("{two}/modules.builtin"),
        "kernel/drivers/usb/host/xhci-pci.ko\nkernel/drivers/vfio/pci/vfio-pci.ko\n",
    );
    host.directory("usr/lib/modules/6.1.0-8-amd64/misc-left-behind");
    let facts = host.facts();
    let of = |address| {
        let function = facts.function(at(address)).unwrap();
        let list = function.candidates.iter();
        list.map(|c| (c.module.as_str(), c.builtin))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("0000:01:00.0"), [("nouveau", false), ("nvidia", false)]);
    assert_eq!(of("0000:00:14.0"), [("xhci_pci", true)]);
    let kernels: Vec<_> = facts
        .kernel
        .installed
        .iter()
        .map(|k| (k.release.as_str(), k.vfio_pci))
        .collect();
    assert_eq!(
        kernels,
        [
            ("6.1.0-9-amd64", ModuleState::Module),
            ("6.1.0-10-amd64", ModuleState::BuiltIn)
        ]
    );
    // The device list needs the candidates too.
    let devices = observe(&host.root(), Wanted::devices());
    assert_eq!(devices.functions, facts.functions);
}

#[test]
fn a_bound_driver_that_is_built_in_is_a_candidate() {
    let host = Host::new();
    for (address, driver) in [("0000:00:14.0", "xhci_hcd"), ("0000:00:15.0", "vfio-pci")] {
        host.function(&Pci {
            address,
            above: "pci0000:00",
            class: 0x0c_0330,
            driver: Some(driver),
            ..Pci::default()
        });
    }
    host.link(
        "sys/bus/pci/drivers/xhci_hcd/module",
        "../../../../module/xhci_pci",
    );
    let modules = "lib/modules/6.8.0-90-generic";
    host.file(
        &format!("{modules}/modules.builtin"),
        "kernel/drivers/usb/host/xhci-pci.ko\nkernel/drivers/vfio/pci/vfio-pci.ko\n",
    );
    let facts = host.facts();
    let candidates = &facts.functions[0].candidates;
    assert_eq!(candidates.len(), 1);
    assert!(candidates[0].module == "xhci_pci" && candidates[0].builtin);
    assert!(facts.functions[1].candidates.is_empty());
}

#[test]
fn names_from_the_hosts_list_or_none() {
    let host = Host::new();
    host.function(&Pci::default());
    assert_eq!(host.facts().functions[0].name, None);
    host.file(
        "usr/share/hwdata/pci.ids",
        "10de  NVIDIA Corporation\n\t1f08  TU106\n",
    );
    assert_eq!(
        host.facts().functions[0].name.as_deref(),
        Some("NVIDIA Corporation TU106")
    );
    assert_eq!(
        host.facts().functions[0].label(),
        "NVIDIA Corporation TU106"
    );
}

#[test]
fn nothing_that_wakes_a_device_is_opened() {
    let host = Host::new();
    let place = host.function(&Pci::default());
    host.file(&format!("{place}/config"), [0; 64]);
    host.file(&format!("{place}/rom"), [0; 64]);
    let root = host.root().recording();
    observe(&root, Wanted::everything_with_images());
    for (path, seen) in root.seen() {
        let read = seen == passthru_host::root::Seen::File;
        let wakes = ["/config", "/rom", "/vpd"]
            .iter()
            .any(|name| path.ends_with(name));
        assert!(!(read && wakes), "{path} was read");
    }
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

/// Block devices by name and place, with `dev` numbers and what they stand on.
fn disks(host: &Host, devices: &[(&str, &str, &str, &[&str], &str)]) {
    for (name, number, place, slaves, uuid) in devices {
        host.link(
            &format!("sys/class/block/{name}"),
            &format!("../../devices/{place}"),
        );
        host.link(
            &format!("sys/dev/block/{number}"),
            &format!("../../devices/{place}"),
        );
        host.file(&format!("sys/devices/{place}/dev"), format!("{number}\n"));
        for slave in *slaves {
            host.link(
                &format!("sys/devices/{place}/slaves/{slave}"),
                &format!("../../{slave}"),
            );
        }
        if !uuid.is_empty() {
            host.file(&format!("sys/devices/{place}/dm/uuid"), uuid);
        }
    }
}

fn uses(host: &Host) -> Vec<(String, UseKind, String)> {
    let uses = host.facts().uses.into_iter();
    uses.map(|u| (u.address.to_string(), u.kind, u.detail))
        .collect()
}

#[test]
fn disks_through_luks_lvm_raid_and_multipath() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:17.0", 0x01_0601),
        ("0000:01:00.0", 0x01_0802),
        ("0000:02:00.0", 0x01_0802),
    ] {
        host.plain(address, class);
    }
    host.file(
        "proc/self/mountinfo",
        "22 1 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
         23 22 259:2 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
         24 22 9:127 / /srv/data rw - xfs /dev/md127 rw\n\
         25 22 254:1 /var/lib /mnt/bind rw - ext4 /dev/mapper/vg-root rw\n\
         26 22 259:9 / /multi rw - xfs /dev/nvme2n1 rw\n\
         27 22 0:5 / /proc rw - proc proc rw\n",
    );
    host.file(
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/mapper/vg-swap partition 1 0 -2\n/swapfile file 1 0 -3\n",
    );
    host.link("dev/mapper/vg-swap", "../dm-2");
    host.link(
        "sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2",
        "../../../pci0000:00/0000:02:00.0/nvme/nvme2",
    );
    disks(
        &host,
        &[
            (
                "nvme0n1",
                "259:1",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1",
                &[],
                "",
            ),
            (
                "nvme0n1p1",
                "259:2",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1",
                &[],
                "",
            ),
            (
                "nvme0n1p3",
                "259:4",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p3",
                &[],
                "",
            ),
            (
                "dm-0",
                "254:0",
                "virtual/block/dm-0",
                &["nvme0n1p3"],
                "CRYPT-LUKS2-x-crypt",
            ),
            ("dm-1", "254:1", "virtual/block/dm-1", &["dm-0"], "LVM-x"),
            ("dm-2", "254:2", "virtual/block/dm-2", &["dm-0"], "LVM-y"),
            (
                "sda",
                "8:0",
                "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda",
                &[],
                "",
            ),
            (
                "sdb",
                "8:16",
                "pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sdb",
                &[],
                "",
            ),
            ("md127", "9:127", "virtual/block/md127", &["sda", "sdb"], ""),
            (
                "nvme2n1",
                "259:9",
                "virtual/nvme-subsystem/nvme-subsys2/nvme2n1",
                &[],
                "",
            ),
        ],
    );
    let text = |s: &str| s.to_owned();
    assert_eq!(
        uses(&host),
        [
            (
                text("0000:00:17.0"),
                UseKind::Mount,
                text("/srv/data on sda, sdb (RAID)")
            ),
            (
                text("0000:01:00.0"),
                UseKind::RootDisk,
                text("/ on nvme0n1p3 (LVM, LUKS)")
            ),
            (
                text("0000:01:00.0"),
                UseKind::RootDisk,
                text("/boot/efi on nvme0n1p1")
            ),
            (
                text("0000:01:00.0"),
                UseKind::Swap,
                text("swap on nvme0n1p3 (LVM, LUKS)")
            ),
            (
                text("0000:02:00.0"),
                UseKind::Mount,
                text("/multi on nvme2n1")
            ),
        ]
    );
    assert_eq!(host.facts().machine.encrypted_root, Measured::Value(true));
}

#[test]
fn btrfs_and_zfs_of_several_disks() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:17.0", 0x01_0601),
        ("0000:01:00.0", 0x01_0802),
        ("0000:02:00.0", 0x01_0802),
    ] {
        host.plain(address, class);
    }
    host.file(
        "proc/self/mountinfo",
        "22 1 0:25 /@ / rw - btrfs /dev/sda2 rw\n23 22 0:25 /@home /home rw - btrfs /dev/sda2 rw\n\
         24 22 0:40 / /tank rw - zfs tank/data rw\n",
    );
    for member in ["sda2", "nvme0n1"] {
        host.directory(&format!("sys/fs/btrfs/0f/devices/{member}"));
    }
    host.file(
        "run/udev/data/b259:5",
        "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n",
    );
    disks(
        &host,
        &[
            (
                "sda2",
                "8:2",
                "pci0000:00/0000:00:17.0/ata1/block/sda/sda2",
                &[],
                "",
            ),
            (
                "nvme0n1",
                "259:1",
                "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1",
                &[],
                "",
            ),
            (
                "nvme1n1",
                "259:5",
                "pci0000:00/0000:02:00.0/nvme/nvme1/nvme1n1",
                &[],
                "",
            ),
        ],
    );
    let found: Vec<_> = uses(&host)
        .into_iter()
        .map(|(a, k, d)| format!("{a} {k:?} {d}"))
        .collect();
    assert_eq!(
        found,
        [
            "0000:00:17.0 RootDisk / on sda2",
            "0000:00:17.0 Mount /home on sda2",
            "0000:01:00.0 RootDisk / on nvme0n1",
            "0000:01:00.0 Mount /home on nvme0n1",
            "0000:02:00.0 Mount /tank on nvme1n1",
        ]
    );
    // Without udev's database nobody knows which disks the pool has: every controller may hold it.
    std::fs::remove_dir_all(host.path().join("run")).unwrap();
    let tank = uses(&host)
        .into_iter()
        .filter(|(_, _, detail)| detail.contains("may"));
    assert_eq!(tank.count(), 3);
}

#[test]
fn networks_and_input() {
    let host = Host::new();
    for (address, class) in [
        ("0000:00:14.0", 0x0c_0330),
        ("0000:03:00.0", 0x02_0000),
        ("0000:04:00.0", 0x02_0000),
    ] {
        host.plain(address, class);
    }
    for (name, place) in [
        ("enp3s0", "pci0000:00/0000:03:00.0/net/enp3s0"),
        ("enp4s0", "pci0000:00/0000:04:00.0/net/enp4s0"),
        ("bond0", "virtual/net/bond0"),
        ("bond0.7", "virtual/net/bond0.7"),
        ("br0", "virtual/net/br0"),
        ("lo", "virtual/net/lo"),
    ] {
        host.link(
            &format!("sys/class/net/{name}"),
            &format!("../../devices/{place}"),
        );
        host.file(&format!("sys/devices/{place}/carrier"), "1\n");
    }
    host.link("sys/devices/virtual/net/br0/lower_bond0.7", "../bond0.7");
    host.link("sys/devices/virtual/net/bond0.7/lower_bond0", "../bond0");
    host.file("sys/devices/virtual/net/bond0/bonding/slaves", "enp3s0\n");
    host.file(
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
         br0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    );
    host.file(
        "proc/bus/input/devices",
        "N: Name=\"USB Keyboard\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/1-2/input/input5\n\
         H: Handlers=sysrq kbd event3\nB: KEY=1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe\n\n\
         N: Name=\"AT keyboard\"\nS: Sysfs=/devices/platform/i8042/serio0/input/input1\n\
         H: Handlers=sysrq kbd event1\nB: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n\n\
         N: Name=\"Mouse\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/1-3/input/input6\n\
         H: Handlers=mouse0 event4\nB: KEY=1f0000 0 0 0 0\n\n",
    );
    let found: Vec<_> = uses(&host)
        .into_iter()
        .map(|(a, k, d)| format!("{a} {k:?} {d}"))
        .collect();
    assert_eq!(
        found,
        [
            "0000:00:14.0 Keyboard keyboard \"USB Keyboard\"",
            "0000:00:14.0 Mouse mouse \"Mouse\"",
            "0000:03:00.0 DefaultRoute default route on br0 over enp3s0",
            "0000:04:00.0 Network network on enp4s0",
        ]
    );
}

/// A loader situation: files with their text, and the answer (`None`: not measured).
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<BootLoader>);

#[test]
fn boot_loaders() {
    const INFO: &str = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    const STUB: &str = "/sys/firmware/efi/efivars/StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    const GRUB: (&str, &str) = ("/boot/grub/grub.cfg", "");
    const GRUB2: (&str, &str) = ("/boot/grub2/grub.cfg", "");
    const SD: (&str, &str) = ("/boot/efi/EFI/systemd/systemd-bootx64.efi", "");
    const KERNEL: (&str, &str) = ("/lib/modules/6.12.1/modules.dep", "");
    let cases: &[Case<'_>] = &[
        ("Debian", &[GRUB], Some(BootLoader::Grub)),
        ("openSUSE classic", &[GRUB2], Some(BootLoader::Grub2)),
        (
            "Fedora",
            &[
                GRUB2,
                ("/etc/default/grub", "GRUB_ENABLE_BLSCFG=true\n"),
                ("/boot/loader/entries/a-6.12.1.conf", ""),
            ],
            Some(BootLoader::GrubBls),
        ),
        (
            "systemd-boot runs beside an old GRUB",
            &[
                GRUB,
                SD,
                KERNEL,
                (INFO, "systemd-boot 257"),
                ("/boot/efi/loader/entries/ab12-6.12.1+3.conf", ""),
            ],
            Some(BootLoader::SystemdBootKernelInstall),
        ),
        (
            "Arch by hand",
            &[
                KERNEL,
                (INFO, "systemd-boot 258"),
                ("/boot/loader/entries/arch.conf", ""),
            ],
            Some(BootLoader::SystemdBoot),
        ),
        (
            "systemd-boot without entries",
            &[(INFO, "systemd-boot 258")],
            None,
        ),
        (
            "a UKI",
            &[(INFO, "systemd-boot 258"), (STUB, "systemd-stub 258")],
            Some(BootLoader::UnifiedKernelImage),
        ),
        (
            "Pop",
            &[
                ("/etc/os-release", "ID=pop\n"),
                (INFO, "systemd-boot 249"),
                ("/etc/kernelstub/configuration", "{}"),
            ],
            Some(BootLoader::Kernelstub),
        ),
        (
            "Limine says so",
            &[GRUB, (INFO, "Limine 9.2")],
            Some(BootLoader::Limine),
        ),
        (
            "Limine on BIOS",
            &[("/boot/limine.conf", "")],
            Some(BootLoader::Limine),
        ),
        (
            "rEFInd",
            &[(INFO, "rEFInd 0.14.2")],
            Some(BootLoader::Refind),
        ),
        (
            "NixOS",
            &[("/etc/NIXOS", ""), (INFO, "systemd-boot 257")],
            Some(BootLoader::NixOs),
        ),
        (
            "Proxmox",
            &[GRUB, ("/etc/kernel/proxmox-boot-uuids", "1234-ABCD\n")],
            Some(BootLoader::ProxmoxBootTool),
        ),
        (
            "Proxmox with plain GRUB",
            &[GRUB, ("/etc/kernel/proxmox-boot-uuids", "\n")],
            Some(BootLoader::Grub),
        ),
        (
            "Silverblue",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                GRUB2,
            ],
            Some(BootLoader::RpmOstree),
        ),
        (
            "Bluefin",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                ("/usr/bin/bootc", ""),
                (
                    "/ostree/deploy/default/deploy/0a.0.origin",
                    "[origin]\ncontainer-image-reference=ostree-image-signed:x\n",
                ),
            ],
            Some(BootLoader::Bootc),
        ),
        (
            "ostree with a hidden origin",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                ("/usr/bin/bootc", ""),
            ],
            None,
        ),
        (
            "MicroOS",
            &[
                ("/etc/os-release", "ID=opensuse-microos\n"),
                ("/usr/sbin/transactional-update", ""),
                GRUB2,
            ],
            Some(BootLoader::TransactionalUpdate),
        ),
        (
            "Tumbleweed with BLS",
            &[
                ("/usr/bin/sdbootutil", ""),
                ("/etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2-bls\"\n"),
            ],
            Some(BootLoader::Sdbootutil),
        ),
        (
            "Tumbleweed classic",
            &[
                GRUB2,
                ("/usr/bin/sdbootutil", ""),
                ("/etc/sysconfig/bootloader", "LOADER_TYPE=grub2-efi\n"),
            ],
            Some(BootLoader::Grub2),
        ),
        ("two GRUBs", &[GRUB, GRUB2], None),
        ("GRUB and Limine", &[GRUB, ("/boot/limine.conf", "")], None),
        (
            "GRUB and Limine, started by GRUB",
            &[
                GRUB,
                ("/boot/limine.conf", ""),
                ("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro\n"),
            ],
            Some(BootLoader::Grub),
        ),
        ("nothing", &[], None),
    ];
    for (name, files, expected) in cases {
        let host = Host::new();
        for (path, text) in *files {
            if path.contains("efivars") {
                let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
                host.file(
                    path,
                    [6, 0, 0, 0].into_iter().chain(units).collect::<Vec<_>>(),
                );
            } else {
                host.file(path, text);
            }
        }
        let boot = host.facts().boot;
        assert_eq!(boot.loader.value(), expected.as_ref(), "{name}: {boot:?}");
        if let Some(why) = boot.loader.why_not() {
            assert!(why.len() > 20, "{name}: {why}");
        }
    }
}

#[test]
fn generators() {
    let cases: &[(&str, &[(&str, &str)], Option<Generator>)] = &[
        (
            "Debian, with dracut's tools beside",
            &[
                (
                    "/usr/sbin/update-initramfs",
                    "#!/bin/sh\nmkinitramfs -o x\n",
                ),
                ("/usr/bin/dracut", ""),
            ],
            Some(Generator::InitramfsTools),
        ),
        (
            "Debian with dracut",
            &[
                ("/usr/sbin/update-initramfs", "#!/bin/sh\ndracut --force\n"),
                ("/usr/bin/dracut", ""),
            ],
            Some(Generator::Dracut),
        ),
        (
            "Fedora",
            &[("/usr/bin/dracut", "")],
            Some(Generator::Dracut),
        ),
        (
            "Arch",
            &[("/usr/bin/mkinitcpio", "")],
            Some(Generator::Mkinitcpio),
        ),
        (
            "booster",
            &[("/usr/bin/booster", "")],
            Some(Generator::Booster),
        ),
        (
            "two",
            &[("/usr/bin/mkinitcpio", ""), ("/usr/bin/dracut", "")],
            None,
        ),
        (
            "two, one hooked",
            &[
                ("/usr/bin/mkinitcpio", ""),
                ("/usr/bin/dracut", ""),
                ("/usr/share/libalpm/hooks/90-dracut-install.hook", ""),
            ],
            Some(Generator::Dracut),
        ),
        (
            "two, one chosen",
            &[
                ("/usr/bin/mkinitcpio", ""),
                ("/usr/bin/dracut", ""),
                (
                    "/etc/kernel/install.conf",
                    "layout=uki\ninitrd_generator=mkinitcpio\n",
                ),
            ],
            Some(Generator::Mkinitcpio),
        ),
        ("NixOS", &[("/etc/NIXOS", "")], Some(Generator::NixOs)),
        (
            "ostree",
            &[("/run/ostree-booted", ""), ("/usr/bin/dracut", "")],
            Some(Generator::RpmOstree),
        ),
        ("none", &[], None),
    ];
    for (name, files, expected) in cases {
        let host = Host::new();
        for (path, text) in *files {
            host.file(path, text);
        }
        let boot = host.facts().boot;
        assert_eq!(
            boot.generator.value(),
            expected.as_ref(),
            "{name}: {boot:?}"
        );
    }
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
    assert!(!facts.files.contains_key("/etc/modprobe.d/readme"));
    let bad = facts.files["/etc/modprobe.d/bad.conf"].text.why_not();
    assert!(bad.unwrap().contains("UTF-8"));
    assert_eq!(facts.text("/etc/modprobe.d/off.conf"), Some(""));
    // `..` stops at the top of the host.
    assert_eq!(facts.text("/etc/default/grub"), Some("GRUB_TIMEOUT=1\n"));
    assert_eq!(facts.boot.post_update_hooks, ["refind"]);
    assert!(facts.boot.grub_dropins);
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
    let many: String = (0..200)
        .map(|n| format!("DMAR: [DMA Read] fault {n}\n"))
        .collect();
    host.file("var/log/kern.log", many);
    let log = host.facts().log;
    assert_eq!(log.value().unwrap().len(), 50);
    assert!(log.value().unwrap()[48].contains("fault 199"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn images_plain_gzip_and_zstd() {
    let early = cpio(&[("kernel/x86/microcode/AuthenticAMD.bin", Some(&[7; 3000]))]);
    let large = vec![b'x'; 400_000];
    let main = cpio(&[
        (".", None),
        ("etc/modprobe.d", None),
        (
            "./etc/modprobe.d/passthru.conf",
            Some(b"options vfio-pci ids=10de:1f08\n"),
        ),
        ("etc/modprobe.d/large.conf", Some(&large)),
        (
            "usr/lib/modules/6.12/kernel/drivers/vfio/pci/vfio-pci.ko.xz",
            Some(b"\0binary\xff"),
        ),
    ]);
    let host = Host::new();
    for packed in [main.clone(), gzip(&main), zstd(&main)] {
        let image = [early.clone(), packed].concat();
        host.file("boot/initrd.img-6.12", &image);
        let content = read_image(&host.root(), "/boot/initrd.img-6.12", &["etc/*"]).unwrap();
        assert_eq!(
            content.entries,
            [
                "etc/modprobe.d",
                "etc/modprobe.d/large.conf",
                "etc/modprobe.d/passthru.conf",
                "kernel/x86/microcode/AuthenticAMD.bin",
                "usr/lib/modules/6.12/kernel/drivers/vfio/pci/vfio-pci.ko.xz",
            ]
        );
        let texts: Vec<_> = content.texts.keys().collect();
        assert_eq!(texts, ["etc/modprobe.d/passthru.conf"]);
        // Cut inside an archive, it is never taken for whole.
        let packed = early.len()..image.len();
        for end in [3, 100, packed.start + 20, packed.end - packed.len() / 3] {
            host.file("boot/cut", &image[..end]);
            assert!(
                read_image(&host.root(), "/boot/cut", &[]).is_err(),
                "cut at {end}"
            );
        }
    }
}

#[test]
fn images_that_other_tools_must_open() {
    let host = Host::new();
    for (bytes, word) in [
        (&b"\xfd7zXZ\0rest"[..], "xz"),
        (b"\x02\x21\x4c\x18rest", "lz4"),
        (b"MZ\x90\0rest..", "unified"),
        (b"garbage!", "neither"),
    ] {
        host.file("boot/i", bytes);
        let error = read_image(&host.root(), "/boot/i", &[]).unwrap_err();
        assert!(error.needs_other_tool());
        assert!(error.to_string().contains(word), "{error}");
    }
    host.file("boot/i", [0; 4096]);
    let error = read_image(&host.root(), "/boot/i", &[]).unwrap_err();
    assert!(matches!(error.problem, ImageProblem::Empty) && !error.needs_other_tool());
    let error = read_image(&host.root(), "/boot/none", &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("/boot/none cannot be opened"),
        "{error}"
    );
}

#[test]
fn kernels_and_their_images() {
    let host = Host::new();
    host.link("lib", "usr/lib");
    for release in ["6.12.9-amd64", "6.12.48-amd64"] {
        host.file(
            &format!("usr/lib/modules/{release}/modules.dep"),
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n",
        );
        host.file(&format!("boot/vmlinuz-{release}"), "");
    }
    host.file(
        "usr/lib/modules/7.0-arch1/modules.dep",
        "kernel/drivers/vfio/vfio_virqfd.ko:\n",
    );
    host.file("usr/lib/modules/7.0-arch1/pkgbase", "linux\n");
    host.file("boot/vmlinuz-linux", "")
        .file("boot/initramfs-linux.img", "x");
    let image = gzip(&cpio(&[("conf/modules", Some(b"vfio-pci\n"))]));
    host.file("boot/initrd.img-6.12.48-amd64", &image);
    host.file("proc/sys/kernel/osrelease", "6.12.48-amd64\n");
    host.file("proc/cmdline", "BOOT_IMAGE=/vmlinuz ro  quiet\n");
    let kernel = host.facts().kernel;
    let names: Vec<_> = kernel
        .installed
        .iter()
        .map(|k| k.release.as_str())
        .collect();
    assert_eq!(names, ["6.12.9-amd64", "6.12.48-amd64", "7.0-arch1"]);
    assert!(kernel.installed.iter().all(|k| k.bootable));
    assert_eq!(kernel.installed[0].image, None);
    let made = kernel.installed[1].image.as_ref().unwrap();
    assert_eq!(made.size, image.len() as u64);
    assert_eq!(made.entries.value().unwrap(), &["conf/modules"]);
    assert_eq!(made.texts["conf/modules"], "vfio-pci\n");
    assert!(kernel.installed[2].has_vfio_virqfd);
    assert_eq!(
        kernel.installed[2].image.as_ref().unwrap().path,
        "/boot/initramfs-linux.img"
    );
    assert!(
        kernel.installed[2]
            .image
            .as_ref()
            .unwrap()
            .entries
            .value()
            .is_none()
    );
    assert_eq!(
        kernel.cmdline.value().unwrap(),
        "BOOT_IMAGE=/vmlinuz ro  quiet"
    );
    let closed = observe(&host.root(), Wanted::all()).kernel;
    let image = closed.installed[1].image.as_ref().unwrap();
    assert_eq!(image.entries.why_not(), Some("the image was not opened"));
}
