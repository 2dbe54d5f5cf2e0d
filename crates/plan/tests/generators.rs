//! Initramfs generators beside Debian's two: what is written for mkinitcpio, booster and rpm-ostree, and
//! what is refused.

mod common;

use common::*;
use passthru_plan::{
    Change, Facts, Intent, Measured, Plan,
    facts::*,
    intent::TrialBoot,
    plan,
    text::{merge, mkinitcpio},
};
use proptest::prelude::*;

const CONFIG: &str = "/etc/mkinitcpio.conf";
const PRESET: &str = "/etc/mkinitcpio.d/linux.preset";
const DROP_IN: &str = "/etc/mkinitcpio.conf.d/zz-passthru.conf";
const LINES: &str =
    "# Written by passthru: its hook, behind those above.\nHOOKS+=(passthru)\n# End of passthru\n";

fn write(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), text_file(text, 0o644));
}

/// Arch with GRUB, as far as the generator goes.
fn arch() -> Facts {
    let mut facts = debian();
    facts.boot.generator = Measured::Value(Generator::Mkinitcpio);
    facts.boot.mkinitcpio_dropins = Measured::Value(true);
    facts.boot.grub_dropins = Measured::Value(false);
    facts.kernel.installed[0]
        .image
        .as_mut()
        .expect("an image")
        .path = "/boot/initramfs-linux.img".into();
    write(&mut facts, CONFIG, "MODULES=()\nHOOKS=(base udev)\n");
    write(
        &mut facts,
        PRESET,
        "PRESETS=('default' 'fallback')\ndefault_image=\"/boot/initramfs-linux.img\"\nfallback_image=\"/boot/fallback.img\"\n",
    );
    facts
}

fn of(facts: &Facts) -> Plan {
    let intent = Intent {
        trial: TrialBoot::Never,
        ..gpu("01:00.0")
    };
    plan(facts, &intent)
}

fn after<'p>(plan: &'p Plan, wanted: &str) -> Option<&'p str> {
    plan.changes.iter().find_map(|change| match change {
        Change::Edit { path, after, .. } if path == wanted => after.as_deref(),
        _ => None,
    })
}

fn runs(plan: &Plan) -> Vec<String> {
    let runs = plan.changes.iter().filter_map(|change| match change {
        Change::Run { argv, .. } => Some(argv.join(" ")),
        _ => None,
    });
    runs.collect()
}

fn why(plan: &Plan) -> &str {
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    &plan.refusals[0].why
}

#[test]
fn a_drop_in_where_it_is_read_and_every_image_of_the_presets() {
    let plan = of(&arch());
    assert_eq!(plan.refusals, []);
    assert_eq!(after(&plan, DROP_IN), Some(LINES));
    assert_eq!(after(&plan, CONFIG), None);
    let Some(Change::Run {
        outputs, expect, ..
    }) = plan.changes.iter().find(
        |change| matches!(change, Change::Run { argv, .. } if argv[..] == ["mkinitcpio", "-P"]),
    )
    else {
        panic!("mkinitcpio is not run: {:?}", runs(&plan));
    };
    let outputs: Vec<_> = outputs.iter().map(|output| output.path.as_str()).collect();
    assert_eq!(outputs, ["/boot/fallback.img", "/boot/initramfs-linux.img"]);
    assert_eq!(expect.len(), 2, "each image is looked into");
}

#[test]
fn dracut_makes_each_image_beside_the_only_one_that_grub_has() {
    let in_place = |plan: &Plan| plan.notices.iter().any(|n| n.id == "initramfs.in-place");
    let mut facts = debian();
    facts.boot.generator = Measured::Value(Generator::Dracut);
    let mut later = facts.kernel.installed[0].clone();
    later.release = "7.1.0".into();
    later.image.as_mut().expect("an image").path = "/boot/initrd.img-7.1.0".into();
    facts.kernel.installed.push(later);
    let first = &facts.kernel.installed[0];
    let release = first.release.clone();
    let path = first.image.as_ref().expect("an image").path.clone();
    let plan = of(&facts);
    assert_eq!(plan.refusals, []);
    assert!(!in_place(&plan));
    let command = |path: &str, release: &str| format!("dracut --force {path}.passthru {release}");
    let made = [
        command(&path, &release),
        command("/boot/initrd.img-7.1.0", "7.1.0"),
    ];
    assert_eq!(runs(&plan)[..2], made);
    for change in &plan.changes {
        if let Change::Run {
            argv,
            outputs,
            family,
            anew,
            expect,
            ..
        } = change
            && argv[0] == "dracut"
        {
            assert_eq!(outputs[0].staged.as_ref(), Some(&argv[2]));
            assert_eq!(family.as_deref(), Some("/boot/initrd.img-*"));
            let (later, output) = anew
                .as_ref()
                .and_then(|anew| anew.of("/boot/initrd.img-*", "/boot/initrd.img-8"))
                .expect("a command for later kernels");
            assert_eq!(later.join(" "), command("/boot/initrd.img-8", "8"));
            assert_eq!(
                output.staged.as_deref(),
                Some("/boot/initrd.img-8.passthru")
            );
            assert_eq!(expect.len(), 1);
        }
    }

    // Hooks would be told the wrong path; then all are made in place, which the plan says.
    facts.boot.post_update_hooks = vec!["theirs".into()];
    let plan = of(&facts);
    assert!(in_place(&plan));
    assert_eq!(runs(&plan)[0], "dracut --force --regenerate-all");
    assert!(in_place(&of(&arch())), "mkinitcpio");
    assert!(!in_place(&of(&debian())), "initramfs-tools");
}

#[test]
fn a_trial_that_may_wait_in_the_initramfs_says_so() {
    let mut facts = arch();
    facts.boot.grubenv_read_only = Measured::Value(None);
    facts.program = Measured::Value("/usr/local/bin/passthru".into());
    let menu = format!(
        "{}\nsource ${{config_directory}}/custom.cfg\n",
        grub_cfg("", false)
    );
    write(&mut facts, "/boot/grub/grub.cfg", &menu);
    let waits = |facts: &Facts| {
        let plan = plan(facts, &gpu("01:00.0"));
        assert!(plan.trial.is_some(), "{:?}", plan.notices);
        plan.notices.iter().any(|notice| notice.id == "trial.waits")
    };
    assert!(waits(&facts));
    facts.boot.generator = Measured::Value(Generator::InitramfsTools);
    assert!(!waits(&facts));
}

#[test]
fn a_configuration_that_a_preset_names_gets_the_lines_itself() {
    let mut facts = arch();
    let text = format!(
        "ALL_config='{CONFIG}'\nPRESETS=(default)\ndefault_image=/boot/initramfs-linux.img\n"
    );
    write(&mut facts, PRESET, &text);
    let expected = format!("MODULES=()\nHOOKS=(base udev)\n{LINES}");
    let plan = of(&facts);
    assert_eq!(after(&plan, CONFIG), Some(expected.as_str()));
    assert_eq!(after(&plan, DROP_IN), None);

    // So does mkinitcpio.conf where drop-ins are not read.
    let mut facts = arch();
    facts.boot.mkinitcpio_dropins = Measured::Value(false);
    assert_eq!(after(&of(&facts), CONFIG), Some(expected.as_str()));
    write(&mut facts, CONFIG, &expected);
    assert_eq!(after(&of(&facts), CONFIG), None, "once is enough");
}

#[test]
fn what_cannot_be_added_to_is_refused() {
    let mut facts = arch();
    write(&mut facts, CONFIG, "HOOKS=\"base udev\"\n");
    assert!(why(&of(&facts)).contains("one text instead of a list"));

    let mut facts = arch();
    let text = "default_config=/etc/mine.conf\nPRESETS=(default)\ndefault_image=/boot/x\n";
    write(&mut facts, PRESET, text);
    assert!(why(&of(&facts)).contains("/etc/mine.conf"));

    let mut facts = arch();
    facts.files.remove(PRESET);
    assert!(why(&of(&facts)).contains("no preset"));

    let mut facts = arch();
    write(&mut facts, CONFIG, "HOOKS=(base)\nCOMPRESSION=\"lz4\"\n");
    assert_eq!(of(&facts).refusals[0].id, "stack.compression");
}

#[test]
fn booster_takes_ids_and_nothing_else() {
    let mut facts = arch();
    facts.boot.generator = Measured::Value(Generator::Booster);
    // The fixture's card has a function whose driver is built in.
    let refused = of(&facts);
    assert_eq!(refused.refusals[0].id, "binding.by-address");
    for function in &mut facts.functions {
        for candidate in &mut function.candidates {
            candidate.builtin = false;
        }
    }
    let plan = of(&facts);
    assert_eq!(plan.refusals, []);
    assert_eq!(
        after(&plan, "/etc/booster.yaml"),
        Some("modules_force_load: vfio_pci,vfio_iommu_type1\n")
    );
    assert_eq!(runs(&plan)[0], "/usr/lib/booster/regenerate_images");
}

#[test]
fn rpm_ostree_keeps_arguments_that_are_there() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::RpmOstree);
    facts.boot.generator = Measured::Value(Generator::RpmOstree);
    facts.kernel.cmdline = Measured::Value("root=UUID=1 quiet".into());
    assert!(why(&of(&facts)).contains("not measured"));

    facts.boot.ostree_initramfs = Measured::Value(Some(vec!["-v".into()]));
    let plan = of(&facts);
    assert_eq!(plan.refusals, []);
    let make = "rpm-ostree initramfs --enable --arg=-v --arg=--add-drivers --arg=vfio_pci vfio_iommu_type1";
    assert_eq!(runs(&plan)[0], make);
    let undo = plan.changes.iter().find_map(|change| match change {
        Change::Run { argv, undo, .. } if argv[1] == "initramfs" => undo.clone(),
        _ => None,
    });
    assert_eq!(
        undo.expect("a way back").join(" "),
        "rpm-ostree initramfs --enable --arg=-v"
    );
    let words = plan.words.join(" ");
    assert!(runs(&plan)[1].starts_with("rpm-ostree kargs "), "{words}");
    assert!(
        plan.outcome
            .iter()
            .any(|line| line.contains("deployment that runs now"))
    );
}

#[test]
fn proxmox_writes_where_its_tool_reads() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::ProxmoxBootTool);
    facts.boot.loader_info = Some("systemd-boot 257".into());
    write(
        &mut facts,
        "/etc/kernel/cmdline",
        "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
    );
    let by_line = of(&facts);
    let line = after(&by_line, "/etc/kernel/cmdline").expect("the words");
    assert!(
        line.starts_with("root=ZFS=rpool/ROOT/pve-1 boot=zfs "),
        "{line}"
    );
    assert_eq!(
        runs(&by_line).last().map(String::as_str),
        Some("proxmox-boot-tool refresh")
    );
    assert!(
        by_line
            .outcome
            .iter()
            .any(|line| line.contains("pressing e"))
    );

    facts.boot.loader_info = None;
    let by_grub = of(&facts);
    assert!(after(&by_grub, "/etc/default/grub.d/zz-passthru.cfg").is_some());
    assert_eq!(after(&by_grub, "/etc/kernel/cmdline"), None);
    assert_eq!(
        runs(&by_grub).last().map(String::as_str),
        Some("proxmox-boot-tool refresh")
    );
}

fn config_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::from("HOOKS=(base udev # all\n  block)")),
        Just(String::from("MODULES=(btrfs)")),
        Just(String::from("COMPRESSION=\"zstd\"")),
        Just(String::from("COMPRESSION_OPTIONS=(-9 'a b')")),
        "# [a-z=()']{0,12}",
        "[ \t]{0,3}",
    ]
}

proptest! {
    #[test]
    fn the_lines_come_out_of_any_configuration_again(lines in prop::collection::vec(config_line(), 0..8), end in any::<bool>(), more in "[a-z]{0,6}") {
        let mut text = lines.join("\n");
        if end {
            text.push('\n');
        }
        let mut facts = arch();
        facts.boot.mkinitcpio_dropins = Measured::Value(false);
        write(&mut facts, CONFIG, &text);
        let plan = of(&facts);
        let edited = after(&plan, CONFIG).expect("an edit").to_owned();
        prop_assert!(edited.starts_with(&text));
        prop_assert_eq!(merge::take_back(&text, &edited, &edited).text, text.clone());
        // Somebody adds a line below, and undo leaves it there.
        let later = format!("{edited}# {more}\n");
        let merged = merge::take_back(&text, &edited, &later);
        let blank = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        prop_assert!(merged.text == format!("{text}{blank}# {more}\n") || merged.text == format!("{text}# {more}\n"), "{:?}", merged);
        write(&mut facts, CONFIG, &edited);
        let again = of(&facts);
        prop_assert_eq!(after(&again, CONFIG), None);
        let hooks = |text: &str| mkinitcpio::arrays(text).remove("HOOKS").unwrap_or_default();
        let mut expected = hooks(&text);
        expected.push("passthru".into());
        prop_assert_eq!(hooks(&edited), expected);
    }
}

#[test]
fn a_plan_that_would_cover_no_kernel_is_refused() {
    let mut facts = arch();
    facts.kernel.installed[0].bootable = false;
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["kernel.unknown"]);
    facts.kernel.installed.clear();
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["kernel.unknown"]);
    let mut bare = debian();
    bare.kernel.installed[0].image = None;
    assert_eq!(refusals(&bare, &gpu("01:00.0")), ["kernel.unknown"]);
}
