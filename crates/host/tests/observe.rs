//! Functions, groups and their drivers, on trees written for each question.
#![allow(clippy::unwrap_used)]

mod observe_builder;

use observe_builder::{Host, Pci};
use passthru_host::observe::{Wanted, observe};
use passthru_plan::{Address, Ids, facts::ModuleState};

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
