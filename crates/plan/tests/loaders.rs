//! Who carries the words to the kernel command line: GRUB's layouts, kernelstub, rpm-ostree, and the
//! stacks that are refused. Entries that are files are in `menus.rs`.

mod common;

use common::{menu::*, *};
use passthru_plan::{Change, Facts, Intent, Measured, Plan, facts::*, plan::plan};

/// Edits made, and the menu made anew where the command would.
fn grub_done(facts: &Facts, plan: &Plan) -> Facts {
    let mut facts = facts.clone();
    for change in &plan.changes {
        let only = Plan {
            changes: vec![change.clone()],
            ..plan.clone()
        };
        match change {
            Change::Run { argv, outputs, .. } if argv[0].ends_with("-mkconfig") => {
                assert_eq!(outputs[0].staged.as_ref(), argv.last());
                let menu = grub_cfg(
                    &plan.words.join(" "),
                    facts.files.contains_key("/etc/grub.d/42_passthru"),
                );
                write(
                    &mut facts,
                    &outputs[0].path,
                    &format!("{menu}source ${{config_directory}}/custom.cfg\n"),
                );
            }
            Change::Run { argv, .. } if argv[0].ends_with("-reboot") => {
                facts.boot.one_shot = Measured::Value(argv.last().cloned());
            }
            _ => facts = applied(&facts, &only),
        }
    }
    facts
}

#[test]
fn grub_without_drop_ins_gets_a_block_in_its_defaults() {
    let facts = arch_grub();
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(plan1.refusals, []);
    let done = grub_done(&facts, &plan1);
    let text = done.text("/etc/default/grub").expect("the defaults");
    assert!(
        text.starts_with(GRUB_DEFAULTS),
        "the lines above stay: {text}"
    );
    assert!(!edits(&plan1).contains(&"/etc/default/grub.d/zz-passthru.cfg"));
    assert_eq!(plan(&done, &plan1.intent).changes, []);

    let script =
        format!("{text}\nprintf '%s|%s' \"$PASSTHRU_WITHOUT\" \"$GRUB_CMDLINE_LINUX_DEFAULT\"");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("a shell");
    let expected = format!("quiet|quiet {}", plan1.words.join(" "));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "as a shell reads it"
    );

    // A line below the block would overrule it: the plan puts the block last again.
    let mut later = done.clone();
    write(
        &mut later,
        "/etc/default/grub",
        &format!("{text}GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"),
    );
    let again = plan(&later, &plan1.intent);
    assert!(edits(&again).contains(&"/etc/default/grub"));
    assert_eq!(plan(&grub_done(&later, &again), &plan1.intent).changes, []);
}

#[test]
fn grub_without_drop_ins_loses_words_that_cannot_stay() {
    let mut facts = without_iommu(arch_grub());
    facts.machine.cpu.vendor = CpuVendor::Amd;
    facts.iommu.firmware_table = Measured::Value(Some("IVRS".into()));
    let defaults = GRUB_DEFAULTS.replace("\"quiet\"", "'quiet amd_iommu=off'");
    write(&mut facts, "/etc/default/grub", &defaults);
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro quiet amd_iommu=off".into());
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(plan1.refusals, []);
    assert_eq!(
        edits(&plan1)
            .iter()
            .filter(|path| **path == "/etc/default/grub")
            .count(),
        1
    );
    let done = grub_done(&facts, &plan1);
    let text = done.text("/etc/default/grub").expect("the defaults");
    assert!(
        text.starts_with(&GRUB_DEFAULTS.replace("\"quiet\"", "'quiet'")),
        "{text}"
    );
    assert!(text.contains("PASSTHRU_RESTORED=\"amd_iommu=off\""));
    assert_eq!(plan(&done, &plan1.intent).changes, []);
}

#[test]
fn grub2_has_names_of_its_own() {
    let facts = opensuse();
    let first = plan(&facts, &gpu("01:00.0"));
    assert_eq!(first.refusals, []);
    let lines = commands(&first.changes);
    assert!(
        lines.contains(&"edit /boot/grub2/custom.cfg".into()),
        "{lines:?}"
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("grub2-reboot passthru-trial")
    );
    let direct = plan(&facts, &without_trial(&gpu("01:00.0")));
    let lines = commands(&direct.changes);
    assert_eq!(
        lines.last().map(String::as_str),
        Some("grub2-mkconfig -o /boot/grub2/grub.cfg.passthru")
    );
    assert_eq!(
        plan(&grub_done(&facts, &direct), &direct.intent).changes,
        []
    );
}

/// Pop!_OS 22.04: kernelstub, with the systemd-boot of that time.
fn pop() -> Facts {
    let mut facts = systemd_boot_host();
    facts.files.retain(|path, _| !path.contains("/loader/"));
    facts.boot.loader = Measured::Value(BootLoader::Kernelstub);
    facts.boot.loader_info = Some("systemd-boot 249.11-0ubuntu3".into());
    facts.boot.post_update_hooks = vec!["zz-kernelstub".into()];
    for (name, suffix) in [("current", ""), ("oldkern", "-previous")] {
        write(
            &mut facts,
            &format!("{ESP}/loader/entries/Pop_OS-{name}.conf"),
            &format!(
                "title Pop!_OS\nlinux /EFI/Pop_OS-1/vmlinuz{suffix}.efi\ninitrd /EFI/Pop_OS-1/initrd.img{suffix}\noptions root=UUID=1 ro quiet splash\n"
            ),
        );
    }
    write(
        &mut facts,
        "/boot/efi/loader/loader.conf",
        "default Pop_OS-current\n",
    );
    write(&mut facts, "/etc/kernelstub/configuration", "{}\n");
    reread(&mut facts);
    facts.boot.default_entry = Some(format!("{ESP}/loader/entries/Pop_OS-current.conf"));
    facts
}

#[test]
fn kernelstub_is_asked_once_and_never_to_take_out() {
    let facts = pop();
    let plan1 = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan1.refusals, []);
    let lines = commands(&plan1.changes);
    assert!(
        lines.contains(&"kernelstub".into()),
        "the new initramfs: {lines:?}"
    );
    let keep = &plan1.trial.as_ref().expect("a trial").keep;
    let lines = commands(keep);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("kernelstub --add-options vfio-pci.ids=")),
        "{lines:?}"
    );
    let outputs = keep.iter().find_map(|change| match change {
        Change::Run { argv, outputs, .. } if argv[0] == "kernelstub" => Some(outputs),
        _ => None,
    });
    assert_eq!(
        outputs.expect("the command").len(),
        7,
        "configuration, two entries, kernels and images"
    );

    let mut facts = without_iommu(facts);
    facts.machine.cpu.vendor = CpuVendor::Amd;
    facts.iommu.firmware_table = Measured::Value(Some("IVRS".into()));
    let path = format!("{ESP}/loader/entries/Pop_OS-current.conf");
    let text = facts
        .text(&path)
        .expect("an entry")
        .replace("quiet", "amd_iommu=off quiet");
    write(&mut facts, &path, &text);
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro amd_iommu=off".into());
    let chosen = facts.boot.default_entry.clone();
    reread(&mut facts);
    facts.boot.default_entry = chosen;
    assert!(refusals(&facts, &gpu("01:00.0")).contains(&"stack.kernelstub".into()));
}

#[test]
fn an_old_loader_without_a_default_would_start_ours() {
    let mut facts = systemd_boot_host();
    facts.boot.loader_info = Some("systemd-boot 249.11-0ubuntu3".into());
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["stack.loader-version"]);
    write(
        &mut facts,
        "/boot/efi/loader/loader.conf",
        "default 1ab0*\n",
    );
    assert_eq!(refusals(&facts, &gpu("01:00.0")), [""; 0]);
}

#[test]
fn stacks_that_are_not_written_to_say_what_to_do() {
    for (loader, id, word) in [
        (
            BootLoader::NixOs,
            "stack.nixos",
            "boot.kernelParams = [ \"intel_iommu=on\"",
        ),
        (BootLoader::Refind, "stack.loader", "refind_linux.conf"),
        (
            BootLoader::Bootc,
            "stack.loader",
            "kargs = [\"intel_iommu=on\"",
        ),
        (
            BootLoader::TransactionalUpdate,
            "stack.loader",
            "transactional-update",
        ),
        (
            BootLoader::Sdbootutil,
            "stack.loader",
            "sdbootutil update-all-entries",
        ),
        (BootLoader::Limine, "stack.loader", "limine-update"),
        (BootLoader::SdbootManage, "stack.loader", "LINUX_OPTIONS"),
    ] {
        let mut facts = without_iommu(debian());
        facts.boot.loader = Measured::Value(loader);
        let plan1 = plan(&facts, &gpu("01:00.0"));
        let ids: Vec<_> = plan1.refusals.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, [id]);
        let way_out = &plan1.refusals[0].way_out;
        assert!(way_out.contains(word), "{way_out}");
        assert!(way_out.contains("vfio-pci"), "{way_out}");
        assert_eq!(plan1.changes, []);
    }
}

const REFUSED: [BootLoader; 7] = [
    BootLoader::NixOs,
    BootLoader::Refind,
    BootLoader::Bootc,
    BootLoader::TransactionalUpdate,
    BootLoader::Sdbootutil,
    BootLoader::Limine,
    BootLoader::SdbootManage,
];

#[test]
fn a_way_out_by_hand_names_the_modules_and_no_word_of_passthrus() {
    for loader in REFUSED {
        for (generator, line) in [
            (
                Generator::Dracut,
                "force_drivers+=\" vfio_pci vfio vfio_iommu_type1 \"",
            ),
            (
                Generator::Mkinitcpio,
                "MODULES+=(vfio_pci vfio vfio_iommu_type1)",
            ),
        ] {
            let mut facts = without_iommu(debian());
            facts.boot.loader = Measured::Value(loader);
            facts.boot.generator = Measured::Value(generator);
            let planned = plan(&facts, &gpu("01:00.0"));
            let way_out = &planned.refusals[0].way_out;
            for word in ["passthru.load", "passthru.bind", "passthru.trial"] {
                assert!(!way_out.contains(word), "{loader:?}: {way_out}");
            }
            let by_image = matches!(loader, BootLoader::NixOs | BootLoader::Bootc);
            assert!(way_out.contains(line) || by_image, "{loader:?}: {way_out}");
        }
    }
}

#[test]
fn functions_that_ids_cannot_express_are_left_to_libvirt() {
    for loader in REFUSED {
        let mut facts = debian();
        facts.boot.loader = Measured::Value(loader);
        let twin = function(
            "0000:02:00.0",
            0x03_0000,
            "10de:1f08",
            Some("nouveau"),
            Some(7),
        );
        let board = facts
            .functions
            .iter()
            .find(|f| f.address == address("0000:01:00.0"))
            .and_then(|f| f.subsystem);
        facts.functions.push(Function {
            subsystem: board,
            ..twin
        });
        regroup(&mut facts);
        let way_out = &plan(&facts, &gpu("01:00.0")).refusals[0].way_out;
        assert!(way_out.contains("managed='yes'"), "{loader:?}: {way_out}");
    }
}

#[test]
fn a_container_image_with_rpm_ostree_is_changed_by_it() {
    let mut facts = without_iommu(debian());
    facts.boot.loader = Measured::Value(BootLoader::Bootc);
    facts.boot.generator = Measured::Value(Generator::RpmOstree);
    facts.boot.rpm_ostree = true;
    let way_out = &plan(&facts, &gpu("01:00.0")).refusals[0].way_out;
    assert!(
        way_out.contains("sudo rpm-ostree kargs --append-if-missing=\"intel_iommu=on\" --append-if-missing=\"vfio-pci.ids="),
        "{way_out}"
    );
    assert!(way_out.contains("sudo rpm-ostree initramfs --enable"));
    assert!(way_out.contains("force_drivers"));
}

#[test]
fn the_nixos_module_is_complete() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::NixOs);
    let plan1 = plan(&facts, &gpu("01:00.0"));
    let (_, module) = plan1.refusals[0]
        .way_out
        .split_once("\n\n")
        .expect("the module");
    assert_eq!(
        module,
        "{ ... }:\n{\n  boot.kernelParams = [ \"vfio-pci.ids=10de:1f08,10de:10f9,10de:1adb\" ];\n  boot.initrd.kernelModules = [ \"vfio_pci\" \"vfio\" \"vfio_iommu_type1\" ];\n  boot.extraModprobeConfig = \"options vfio-pci ids=10de:1f08,10de:10f9,10de:1adb\";\n}\n"
    );
}

#[test]
fn rpm_ostree_makes_a_deployment() {
    let mut facts = without_iommu(debian());
    facts.boot.loader = Measured::Value(BootLoader::RpmOstree);
    facts.boot.generator = Measured::Value(Generator::RpmOstree);
    facts.kernel.cmdline =
        Measured::Value("BOOT_IMAGE=(hd0)/x root=UUID=1 rw ostree=/ostree/boot.1/x".into());
    let intent = Intent {
        iommu_only: true,
        ..Intent::default()
    };
    let plan1 = plan(&facts, &intent);
    assert_eq!(plan1.refusals, []);
    let [Change::Run { argv, undo, .. }] = &plan1.changes[..] else {
        panic!("{:?}", plan1.changes)
    };
    assert_eq!(
        argv.join(" "),
        "rpm-ostree kargs --append-if-missing=intel_iommu=on"
    );
    assert_eq!(
        undo.as_ref().expect("undo").join(" "),
        "rpm-ostree kargs --delete-if-present=intel_iommu=on"
    );
    assert!(notices(&plan1).contains(&"boot.previous-deployment"));
    // The new deployment is what starts next.
    facts.boot.entries = vec![BootEntry {
        path: "/boot/loader/entries/ostree-2.conf".into(),
        options: Measured::Value("root=UUID=1 rw ostree=/ostree/boot.0/x intel_iommu=on".into()),
        ..BootEntry::default()
    }];
    facts.boot.default_entry = Some("/boot/loader/entries/ostree-2.conf".into());
    assert_eq!(plan(&facts, &intent).changes, []);
}

#[test]
fn a_command_line_with_an_open_quote_is_left_alone() {
    let mut facts = systemd_boot_host();
    write(
        &mut facts,
        &entry_path(OLD),
        &entry_text(OLD, &format!("{OPTIONS} dyndbg=\"file x")),
    );
    reread(&mut facts);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["stack.entries"]);
}

/// What is named as the way back is what the boot menu will have.
#[test]
fn the_way_back_is_part_of_the_plan() {
    let way = |facts: &Facts, intent: &Intent| {
        let plan = plan(facts, intent);
        assert_eq!(plan.refusals, [], "{:?}", facts.boot.loader);
        let way = plan.way_back.clone().expect("a way back");
        assert!(plan.outcome.contains(&way.stays) || plan.trial.is_some());
        // It is stored with the plan, and plans without it are still read.
        let text = serde_json::to_string(&plan).expect("text");
        let mut value: serde_json::Value = serde_json::from_str(&text).expect("a plan");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
        value.as_object_mut().expect("an object").remove("way_back");
        let old: Plan = serde_json::from_value(value).expect("an old plan");
        assert_eq!(old.way_back, None);
        way
    };
    let card = without_trial(&gpu("01:00.0"));
    for facts in [systemd_boot_host(), unified_host()] {
        let back = way(&facts, &card);
        assert!(back.choice.contains("\"… without passthru\""), "{back:?}");
        assert!(!back.stays.contains("recovery"), "{back:?}");
    }
    assert!(way(&debian(), &card).stays.contains("recovery"));
    let mut bare = debian();
    let menu = grub_cfg("", true).replace("-recovery-", "-simple-");
    write(&mut bare, "/boot/grub/grub.cfg", &menu);
    assert!(!way(&bare, &card).stays.contains("recovery"));
    // Nothing that is done before a trial touches the default entry.
    let tried = way(&systemd_boot_host(), &gpu("01:00.0"));
    assert!(tried.choice.contains("default entry"), "{tried:?}");
}

#[test]
fn a_menu_for_zfs_is_refused() {
    let mut facts = debian();
    facts.boot.grub_zfs = true;
    assert_eq!(
        refusals(&facts, &gpu("01:00.0")),
        [""; 0],
        "the root is ext4"
    );
    facts.kernel.cmdline =
        Measured::Value("BOOT_IMAGE=/x root=ZFS=rpool/ROOT/ubuntu_1 ro quiet".into());
    let planned = plan(&facts, &gpu("01:00.0"));
    assert_eq!(planned.refusals.len(), 1);
    assert!(planned.refusals[0].why.contains("10_linux_zfs"));
    assert!(planned.refusals[0].way_out.contains("sudo update-grub"));
    facts.boot.grub_zfs = false;
    assert_eq!(
        refusals(&facts, &gpu("01:00.0")),
        [""; 0],
        "Debian's 10_linux does it"
    );
}
