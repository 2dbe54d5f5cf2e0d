//! Plans for a small Debian host: what a careful engineer would do, and what is refused.

mod common;

use common::*;
use passthru_plan::{
    Intent, Measured,
    facts::{BootLoader, Generator, ModuleState, ReservedRegion, UseKind},
    plan, verify,
    verify::State,
};

#[test]
fn the_whole_plan_for_a_card_of_four_functions() {
    insta::assert_json_snapshot!(plan(&debian(), &gpu("01:00.0")));
}

#[test]
fn a_plan_is_done_when_it_is_applied_and_booted() {
    for facts in [debian(), without_iommu(debian())] {
        let intent = gpu("01:00.0");
        let first = plan(&facts, &intent);
        assert_eq!(first.refusals, []);
        let configured = applied(&facts, &first);
        let waiting = verify(&configured, &first.intent);
        assert_eq!(
            (waiting.state, waiting.drift),
            (State::RebootNeeded, vec![])
        );
        let mut running = rebooted(&configured, &first);
        running
            .functions
            .iter_mut()
            .for_each(|f| f.group = debian().function(f.address).and_then(|f| f.group));
        running.iommu = debian().iommu;
        regroup(&mut running);
        let done = verify(&running, &first.intent);
        assert_eq!((done.state, done.drift), (State::Done, vec![]));
        let again = plan(&running, &first.intent);
        assert_eq!(again.changes, []);
        assert_eq!(again.words, first.words);
    }
}

#[test]
fn a_damaged_image_is_no_image() {
    let facts = debian();
    let first = plan(&facts, &gpu("01:00.0"));
    let mut configured = applied(&facts, &first);
    let image = configured.kernel.installed[0].image.as_mut();
    image.expect("an image").damage = Some("ends in the middle (truncated?)".into());
    assert_eq!(verify(&configured, &first.intent).state, State::Drifted);
}

#[test]
fn the_only_screen_and_the_only_network_are_not_given_away_unseen() {
    let mut facts = debian();
    facts.display.cards[0].connectors[0].connected = false;
    facts.display.cards[1]
        .connectors
        .push(passthru_plan::facts::Connector {
            name: "card1-DP-1".into(),
            connected: true,
            unknown: false,
            enabled: true,
        });
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["display.only"]);

    let mut facts = debian();
    facts.uses.retain(|u| u.kind != UseKind::DefaultRoute);
    facts.uses.push(passthru_plan::facts::Use {
        address: address("0000:01:00.3"),
        kind: UseKind::Network,
        detail: "network on eth0".into(),
    });
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["host.network"]);
}

#[test]
fn a_card_with_its_own_switch_travels_whole() {
    let mut facts = debian();
    facts.functions.retain(|f| f.address.bus != 1);
    let bridge = |at: &str, id: &str, above: &str| {
        under(
            function(at, 0x06_0400, id, Some("pcieport"), Some(1)),
            above,
        )
    };
    facts.functions.extend([
        bridge("0000:01:00.0", "8086:4fa1", "0000:00:01.0"),
        bridge("0000:02:01.0", "8086:4fa4", "0000:01:00.0"),
        bridge("0000:02:04.0", "8086:4fa4", "0000:01:00.0"),
        under(
            function("0000:03:00.0", 0x03_0000, "8086:56a0", Some("xe"), Some(8)),
            "0000:02:01.0",
        ),
        under(
            function(
                "0000:04:00.0",
                0x04_0300,
                "8086:4f90",
                Some("snd_hda_intel"),
                Some(9),
            ),
            "0000:02:04.0",
        ),
    ]);
    regroup(&mut facts);
    let plan = plan(&facts, &gpu("03:00.0"));
    let taken: Vec<_> = plan
        .bindings
        .iter()
        .map(|b| b.function.address.to_string())
        .collect();
    assert_eq!(taken, ["0000:03:00.0", "0000:04:00.0"]);
}

#[test]
fn an_amd_processor_keeps_its_own_functions() {
    let mut facts = without_iommu(debian());
    facts.functions.extend([
        function("0000:06:00.0", 0x03_0000, "1002:1638", Some("amdgpu"), None),
        function(
            "0000:06:00.1",
            0x04_0300,
            "1002:1637",
            Some("snd_hda_intel"),
            None,
        ),
        function(
            "0000:06:00.3",
            0x0c_0330,
            "1022:1639",
            Some("xhci_hcd"),
            None,
        ),
    ]);
    let plan = plan(&facts, &gpu("06:00.0"));
    let taken: Vec<_> = plan
        .bindings
        .iter()
        .map(|b| b.function.address.function)
        .collect();
    assert_eq!(taken, [0, 1]);
    assert!(notices(&plan).contains(&"groups.left-in-slot"));
}

#[test]
fn what_the_host_needs_is_refused() {
    let with = |at: &str, kind, detail: &str| {
        let mut facts = debian();
        facts.uses.retain(|u| u.kind != kind);
        facts.uses.push(passthru_plan::facts::Use {
            address: address(at),
            kind,
            detail: detail.into(),
        });
        refusals(&facts, &gpu("01:00.0"))
    };
    assert_eq!(
        with("0000:01:00.2", UseKind::RootDisk, "/ on sdb2 (USB)"),
        ["host.storage"]
    );
    assert_eq!(
        with("0000:01:00.2", UseKind::Swap, "swap on sdb3"),
        ["host.storage"]
    );
    assert_eq!(
        with("0000:01:00.2", UseKind::DefaultRoute, "the default route"),
        ["host.network"]
    );
    assert_eq!(
        with("0000:01:00.2", UseKind::Keyboard, "a keyboard"),
        ["host.keyboard"]
    );
}

#[test]
fn a_shared_group_is_refused_and_the_way_out_is_named() {
    let mut facts = debian();
    let mut nic = function("0000:03:00.0", 0x02_0000, "8086:1539", Some("igb"), Some(1));
    facts.functions.push(nic.clone());
    regroup(&mut facts);
    let plan_shared = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan_shared.refusals[0].id, "group.shared");
    assert!(
        plan_shared.refusals[0]
            .way_out
            .contains("--with 0000:03:00.0")
    );
    let with = Intent {
        with: vec!["03:00.0".parse().expect("a selector")],
        ..gpu("01:00.0")
    };
    assert_eq!(refusals(&facts, &with), [""; 0]);

    // Driverless and pcieport members do not stand in the way; a used one does, for good.
    nic.driver = None;
    facts.functions.pop();
    facts.functions.push(nic);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), [""; 0]);
    let mut facts = debian();
    facts
        .functions
        .iter_mut()
        .filter(|f| f.address == address("0000:00:17.0"))
        .for_each(|f| f.group = Some(1));
    regroup(&mut facts);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["group.host-device"]);
}

#[test]
fn the_only_display_needs_the_word_headless() {
    let mut facts = debian();
    facts
        .functions
        .retain(|f| f.address != address("0000:00:02.0"));
    facts
        .display
        .cards
        .retain(|c| c.function != Some(address("0000:00:02.0")));
    facts.display.cards[0]
        .connectors
        .push(passthru_plan::facts::Connector {
            name: "card1-DP-1".into(),
            connected: true,
            unknown: false,
            enabled: true,
        });
    regroup(&mut facts);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["display.only"]);
    let headless = plan(
        &facts,
        &Intent {
            headless: true,
            ..gpu("01:00.0")
        },
    );
    assert_eq!(headless.refusals, []);
    assert!(notices(&headless).contains(&"display.headless"));
}

#[test]
fn firmware_and_hardware_limits_are_refused() {
    let mut facts = debian();
    facts.groups[1].reserved.push(ReservedRegion {
        start: 0,
        end: 0xfff,
        kind: "direct".into(),
    });
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["group.reserved"]);

    let mut facts = debian();
    facts.iommu.interrupt_remapping = Measured::Value(false);
    assert_eq!(
        refusals(&facts, &gpu("01:00.0")),
        ["iommu.interrupt-remapping"]
    );
    let consent = plan(
        &facts,
        &Intent {
            allow_unsafe_interrupts: true,
            ..gpu("01:00.0")
        },
    );
    assert_eq!(
        consent.words[0],
        "vfio_iommu_type1.allow_unsafe_interrupts=1"
    );
    assert!(notices(&consent).contains(&"iommu.unsafe-interrupts"));

    let mut facts = without_iommu(debian());
    facts.iommu.firmware_table = Measured::Value(None);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["iommu.firmware"]);
}

#[test]
fn boot_stacks_that_are_not_supported_are_refused_by_name() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::Limine);
    facts.boot.generator = Measured::Value(Generator::NixOs);
    assert_eq!(
        refusals(&facts, &gpu("01:00.0")),
        ["stack.loader", "stack.initramfs"]
    );
    facts.boot.loader = Measured::not("both GRUB and systemd-boot are installed");
    facts.boot.generator = Measured::Value(Generator::InitramfsTools);
    assert!(
        plan(&facts, &gpu("01:00.0")).refusals[0]
            .why
            .contains("both GRUB and systemd-boot")
    );
}

#[test]
fn an_image_that_could_not_be_checked_is_not_made() {
    let mut facts = debian();
    let path = "/etc/initramfs-tools/initramfs.conf";
    facts.files.insert(
        path.into(),
        text_file("MODULES=most\nCOMPRESS=lz4\n", 0o644),
    );
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["stack.compression"]);
    facts.files.insert(
        "/etc/initramfs-tools/conf.d/z".into(),
        text_file("COMPRESS=zstd\n", 0o644),
    );
    assert_eq!(refusals(&facts, &gpu("01:00.0")), [""; 0]);
}

#[test]
fn a_card_that_moved_is_not_mistaken_for_another() {
    let refused = plan(&debian(), &gpu("01:00.1=10de:1f08"));
    assert_eq!(refused.refusals[0].id, "card.moved");
    assert!(refused.refusals[0].way_out.contains("0000:01:00.0"));
    assert_eq!(refusals(&debian(), &gpu("09:00.0")), ["card.not-found"]);
    assert_eq!(refusals(&debian(), &gpu("00:01.0")), ["card.bridge"]);
    assert_eq!(refusals(&debian(), &Intent::default()), ["card.none"]);
}

#[test]
fn every_kernel_counts() {
    let mut facts = debian();
    let mut cloud = facts.kernel.installed[0].clone();
    cloud.release = "6.12.48+deb13-cloud-amd64".into();
    cloud.vfio_pci = ModuleState::Missing;
    facts.kernel.installed.push(cloud);
    let some = plan(&facts, &gpu("01:00.0"));
    assert!(notices(&some).contains(&"kernel.without-vfio-pci"));
    facts.kernel.installed.remove(0);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["kernel.vfio-pci"]);
}

#[test]
fn verify_names_the_device_the_driver_and_the_reason() {
    let facts = debian();
    let first = plan(&facts, &gpu("01:00.0"));
    let mut running = rebooted(&applied(&facts, &first), &first);
    for f in running
        .functions
        .iter_mut()
        .filter(|f| f.address == address("0000:01:00.1"))
    {
        f.driver = Some("snd_hda_intel".into());
    }
    let found = verify(&running, &first.intent);
    assert_eq!(found.state, State::Drifted);
    assert!(
        found.drift[0].starts_with("0000:01:00.1: snd_hda_intel was bound before vfio-pci"),
        "{:?}",
        found.drift
    );

    let mut running = rebooted(&applied(&facts, &first), &first);
    running.files.remove("/etc/modprobe.d/passthru.conf");
    let found = verify(&running, &first.intent);
    assert_eq!(found.state, State::Drifted);
    assert!(
        found.drift[0].starts_with("/etc/modprobe.d/passthru.conf is missing"),
        "{:?}",
        found.drift
    );
}
