//! Plans for a small Debian host: what a careful engineer would do, and what is refused.

mod common;

use common::*;
use passthru_plan::{
    Change, Facts, Intent, Measured, Plan,
    facts::{BootLoader, Generator, ModuleState, ReservedRegion, UseKind},
    plan,
    plan::Method,
    verify,
    verify::State,
};

fn refusals(facts: &Facts, intent: &Intent) -> Vec<String> {
    let plan = plan(facts, intent);
    assert!(
        plan.refusals.is_empty() || plan.changes.is_empty(),
        "a refused plan does nothing"
    );
    plan.refusals.into_iter().map(|r| r.id).collect()
}

fn notices(plan: &Plan) -> Vec<&str> {
    plan.notices.iter().map(|n| n.id.as_str()).collect()
}

fn edits(plan: &Plan) -> Vec<&str> {
    plan.changes
        .iter()
        .filter_map(|change| match change {
            Change::Edit { path, .. } => Some(path.as_str()),
            Change::Run { .. } => None,
        })
        .collect()
}

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
fn a_built_in_driver_is_remembered_after_it_let_go() {
    let facts = debian();
    let first = plan(&facts, &gpu("01:00.0"));
    let mut running = rebooted(&applied(&facts, &first), &first);
    // Nothing lists the devices of built-in drivers: once it let go, its name is gone.
    running
        .functions
        .iter_mut()
        .filter(|f| f.address == address("0000:01:00.2"))
        .for_each(|f| f.candidates.clear());
    assert_eq!(plan(&running, &first.intent).changes, []);
    assert_eq!(verify(&running, &first.intent).state, State::Done);
}

#[test]
fn words_are_added_only_where_live_facts_say_they_are_needed() {
    assert_eq!(
        plan(&debian(), &gpu("01:00.0"))
            .words
            .iter()
            .filter(|w| w.contains("iommu"))
            .count(),
        0
    );
    let off = plan(&without_iommu(debian()), &gpu("01:00.0"));
    assert_eq!(off.words[0], "intel_iommu=on");
    assert!(notices(&off).contains(&"groups.unknown"));
}

#[test]
fn the_iommu_step_can_be_taken_alone() {
    let intent = Intent {
        iommu_only: true,
        ..Intent::default()
    };
    let step = plan(&without_iommu(debian()), &intent);
    assert_eq!(step.refusals, []);
    assert_eq!(step.words, ["intel_iommu=on"]);
    assert_eq!(
        edits(&step),
        [
            "/etc/default/grub.d/zz-passthru.cfg",
            "/etc/grub.d/42_passthru"
        ]
    );
    assert_eq!(plan(&debian(), &intent).changes, [], "it is on already");
}

#[test]
fn a_left_over_intel_iommu_off_is_overruled_and_stays_in_the_users_file() {
    let mut facts = without_iommu(debian());
    let defaults = GRUB_DEFAULTS.replace(
        "GRUB_CMDLINE_LINUX=\"\"",
        "GRUB_CMDLINE_LINUX=\"intel_iommu=off\"",
    );
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&defaults, 0o644));
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro intel_iommu=off quiet".into());
    let plan = plan(&facts, &gpu("01:00.0"));
    assert!(plan.words.contains(&"intel_iommu=on".into()));
    assert!(!edits(&plan).contains(&"/etc/default/grub"));
}

#[test]
fn words_that_nothing_overrules_are_taken_out_where_they_stand() {
    let mut facts = without_iommu(debian());
    facts.machine.cpu.vendor = passthru_plan::facts::CpuVendor::Amd;
    facts.iommu.firmware_table = Measured::Value(Some("IVRS".into()));
    let defaults = GRUB_DEFAULTS.replace("\"quiet\"", "'quiet amd_iommu=off'");
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&defaults, 0o644));
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro quiet amd_iommu=off".into());
    let plan = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan.refusals, []);
    let change = plan
        .changes
        .iter()
        .find(|c| matches!(c, Change::Edit { path, .. } if path == "/etc/default/grub"));
    let Some(Change::Edit {
        after: Some(after), ..
    }) = change
    else {
        panic!("the file is edited")
    };
    assert_eq!(*after, GRUB_DEFAULTS.replace("\"quiet\"", "'quiet'"));
    assert!(
        plan.words.iter().all(|w| !w.contains("iommu")),
        "amd_iommu knows no \"on\""
    );
}

#[test]
fn a_word_that_had_to_go_stays_in_the_entries_without_passthru() {
    let mut facts = without_iommu(debian());
    facts.machine.cpu.vendor = passthru_plan::facts::CpuVendor::Amd;
    facts.iommu.firmware_table = Measured::Value(Some("IVRS".into()));
    let line = "GRUB_CMDLINE_LINUX=\"iommu=off\"";
    let defaults = GRUB_DEFAULTS.replace("GRUB_CMDLINE_LINUX=\"\"", line);
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&defaults, 0o644));
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro quiet iommu=off".into());
    let intent = Intent {
        iommu_only: true,
        ..Intent::default()
    };
    let first = plan(&facts, &intent);
    assert_eq!((first.refusals.len(), first.words.len()), (0, 0));
    let configured = applied(&facts, &first);
    let drop_in = configured.text("/etc/default/grub.d/zz-passthru.cfg");
    let drop_in = drop_in.expect("a drop-in, for the entries that keep the word");
    assert!(drop_in.contains("PASSTHRU_RESTORED=\"iommu=off\""));
    assert!(drop_in.contains("GRUB_CMDLINE_LINUX_RECOVERY"));
    assert_eq!(plan(&configured, &first.intent).changes, []);
    let waiting = verify(&configured, &first.intent);
    assert_eq!(
        (waiting.state, waiting.drift),
        (State::RebootNeeded, vec![])
    );

    let composed = GRUB_DEFAULTS.replace("\"quiet\"", "\"quiet $EXTRA\"") + "EXTRA=1\n";
    let composed = format!("EXTRA=\"iommu=off\"\n{composed}");
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&composed, 0o644));
    assert_eq!(refusals(&facts, &intent), ["iommu.off-word"]);
}

#[test]
fn ids_that_lost_the_race_do_not_wake_up_in_every_entry() {
    let mut facts = debian();
    let old = "options vfio-pci ids=10de:1f08,10de:10f9 disable_vga=1\n";
    let path = "/etc/modprobe.d/vfio.conf";
    facts.files.insert(path.into(), text_file(old, 0o644));
    let defaults = GRUB_DEFAULTS.replace(
        "LINUX=\"\"",
        "LINUX=\"vfio-pci.ids=10de:1f08 console=tty0\"",
    );
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&defaults, 0o644));
    let first = plan(&facts, &gpu("01:00.0"));
    assert_eq!(first.refusals, []);
    let configured = applied(&facts, &first);
    assert_eq!(
        configured.text(path),
        Some("options vfio-pci disable_vga=1\n")
    );
    assert!(
        !configured
            .text("/etc/default/grub")
            .expect("it stays")
            .contains("ids")
    );
    assert_eq!(plan(&configured, &first.intent).changes, []);

    // Nothing the host uses is taken because an old list names it.
    let disk = "options vfio-pci ids=8086:a352,10de:1f08:1043:86f0\n";
    let mut stale = debian();
    stale.files.insert(path.into(), text_file(disk, 0o644));
    let first = plan(&stale, &gpu("01:00.0"));
    assert_eq!(first.words[0], "vfio-pci.ids=10de:1f08,10de:10f9,10de:1adb");
    assert!(edits(&first).contains(&path));
    let configured = applied(&stale, &first);
    assert_eq!(plan(&configured, &first.intent).changes, []);
    stale
        .functions
        .iter_mut()
        .filter(|f| f.address.bus == 1)
        .for_each(|f| f.driver = Some("vfio-pci".into()));
    assert_eq!(refusals(&stale, &gpu("01:00.0")), ["binding.other-ids"]);

    // A list that acts today is how the host is today.
    for f in facts.functions.iter_mut().filter(|f| f.address.bus == 1) {
        f.driver = Some("vfio-pci".into());
    }
    let second = plan(&facts, &gpu("01:00.0"));
    assert!(!edits(&second).contains(&path));
}

#[test]
fn two_transactions_are_both_as_planned() {
    let mut facts = debian();
    facts.functions.push(function(
        "0000:02:00.0",
        0x03_0000,
        "1002:67df",
        Some("amdgpu"),
        Some(7),
    ));
    regroup(&mut facts);
    let a = plan(&facts, &gpu("01:00.0"));
    let with_a = applied(&facts, &a);
    let b = plan(&with_a, &gpu("02:00.0"));
    let with_both = applied(&with_a, &b);
    for intent in [&a.intent, &b.intent] {
        assert_eq!(plan(&with_both, intent).changes, []);
    }
    let only = Intent {
        iommu_only: true,
        ..Intent::default()
    };
    assert_eq!(
        plan(&with_both, &only).words,
        b.words,
        "a binding is not lost"
    );
    let off = without_iommu(debian());
    let first = plan(&off, &only);
    let then = plan(&applied(&off, &first), &gpu("01:00.0"));
    let both = applied(&applied(&off, &first), &then);
    assert_eq!(plan(&both, &first.intent).changes, []);
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
fn a_remapping_word_that_did_not_help_is_refused() {
    let mut facts = debian();
    facts.iommu.interrupt_remapping = Measured::Value(false);
    let line = |words: &str| Measured::Value(format!("root=UUID=1 ro {words}"));
    facts.kernel.cmdline = line("nointremap");
    assert!(
        plan(&facts, &gpu("01:00.0"))
            .words
            .contains(&"intremap=on".into())
    );
    facts.kernel.cmdline = line("nointremap intremap=on");
    assert_eq!(
        refusals(&facts, &gpu("01:00.0")),
        ["iommu.interrupt-remapping"]
    );
}

#[test]
fn ids_of_all_sources_are_merged_into_the_last_word() {
    let mut facts = debian();
    facts.files.insert(
        "/etc/modprobe.d/old.conf".into(),
        text_file("options vfio-pci ids=1b21:2142\n", 0o644),
    );
    let defaults = GRUB_DEFAULTS.replace("\"quiet\"", "\"quiet vfio_pci.ids=8086:1533\"");
    facts
        .files
        .insert("/etc/default/grub".into(), text_file(&defaults, 0o644));
    let plan = plan(&facts, &gpu("01:00.0"));
    let word = plan
        .words
        .iter()
        .find(|w| w.starts_with("vfio-pci.ids="))
        .expect("an ids word");
    assert_eq!(
        word,
        "vfio-pci.ids=8086:1533,1b21:2142,10de:1f08,10de:10f9,10de:1adb"
    );
    assert!(notices(&plan).contains(&"binding.other-ids"));
}

#[test]
fn identical_twins_are_bound_by_address_and_other_boards_by_subsystem() {
    let mut facts = debian();
    let twin = |at: &str, class, id: &str, board: &str| {
        on_board(function(at, class, id, Some("nouveau"), Some(7)), board)
    };
    facts
        .functions
        .push(twin("0000:02:00.0", 0x03_0000, "10de:1f08", "1043:86f0"));
    facts
        .functions
        .push(twin("0000:02:00.1", 0x04_0300, "10de:10f9", "1458:3fc7"));
    regroup(&mut facts);
    let plan = plan(&facts, &gpu("01:00.0"));
    let methods: Vec<_> = plan.bindings.iter().map(|b| b.method).collect();
    assert_eq!(
        methods,
        [
            Method::ByAddress,
            Method::Ids,
            Method::ByAddress,
            Method::Ids
        ]
    );
    assert_eq!(
        plan.words,
        [
            "vfio-pci.ids=10de:10f9:1043:86f0,10de:1adb",
            "passthru.load=1",
            "passthru.bind=0000:01:00.0=10de:1f08/1043:86f0,0000:01:00.2=10de:1ada/1043:86f0"
        ]
    );
}

#[test]
fn a_second_card_joins_the_first() {
    let mut facts = debian();
    facts.functions.push(function(
        "0000:02:00.0",
        0x03_0000,
        "1002:67df",
        Some("amdgpu"),
        Some(7),
    ));
    regroup(&mut facts);
    let first = plan(&facts, &gpu("01:00.0"));
    let both = plan(&applied(&facts, &first), &gpu("02:00.0"));
    assert_eq!(
        both.words[0],
        "vfio-pci.ids=10de:1f08,10de:10f9,10de:1adb,1002:67df"
    );
    assert_eq!(both.words[1..], first.words[1..]);
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
    assert_eq!(notices(&headless), ["display.headless"]);
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
    facts.boot.generator = Measured::Value(Generator::Mkinitcpio);
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

#[test]
fn the_menu_is_checked_entry_by_entry() {
    use passthru_plan::rules::grub_mistakes;
    let words = ["passthru.load=1".to_owned()];
    assert_eq!(
        grub_mistakes(&grub_cfg(&words[0], true), &words, &[]),
        [""; 0]
    );
    let lacking = grub_mistakes(&grub_cfg("", true), &words, &[]);
    assert_eq!(lacking.len(), 2, "{lacking:?}");
    let everywhere = grub_cfg(&words[0], true).replace("single", "single passthru.load=1");
    assert!(grub_mistakes(&everywhere, &words, &[])[0].contains("must not carry"));
    assert_eq!(grub_mistakes("", &words, &[]).len(), 2);
    let no_way_back = grub_mistakes(&grub_cfg(&words[0], false), &words, &[]);
    assert!(no_way_back[0].contains("the way back"), "{no_way_back:?}");
}
