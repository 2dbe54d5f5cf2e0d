//! The words on the kernel command line: which are added, merged, overruled or taken out.

mod common;

use common::*;
use passthru_plan::{Change, Intent, Measured, plan, plan::Method, verify, verify::State};

/// The Debian host with an AMD card beside the NVIDIA one.
fn with_a_second_card() -> passthru_plan::Facts {
    let mut facts = debian();
    facts.functions.push(function(
        "0000:02:00.0",
        0x03_0000,
        "1002:67df",
        Some("amdgpu"),
        Some(7),
    ));
    regroup(&mut facts);
    facts
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
    let facts = with_a_second_card();
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
    let facts = with_a_second_card();
    let first = plan(&facts, &gpu("01:00.0"));
    let both = plan(&applied(&facts, &first), &gpu("02:00.0"));
    assert_eq!(
        both.words[0],
        "vfio-pci.ids=10de:1f08,10de:10f9,10de:1adb,1002:67df"
    );
    assert_eq!(both.words[1..], first.words[1..]);
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
