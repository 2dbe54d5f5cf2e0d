//! What guides leave behind is put right, on every boot stack: each mistake is injected into a host,
//! repaired in memory, and looked for again.

mod common;

use common::{menu::*, *};
use passthru_plan::{
    Change, Facts, Intent, Measured, Plan,
    doctor::doctor,
    facts::*,
    intent::TrialBoot,
    plan::{keep, plan},
    text::{bls, kargs, merge},
    verify,
    verify::State,
};
use proptest::prelude::*;

const DEFAULT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet";

fn repair() -> Intent {
    Intent {
        repair: true,
        trial: TrialBoot::Never,
        ..Intent::default()
    }
}

fn repair_with_card() -> Intent {
    Intent {
        gpu: gpu("01:00.0").gpu,
        ..repair()
    }
}

fn dracut(mut facts: Facts) -> Facts {
    facts.boot.generator = Measured::Value(Generator::Dracut);
    facts
}

fn arch() -> Facts {
    let mut facts = arch_grub();
    facts.boot.generator = Measured::Value(Generator::Mkinitcpio);
    facts.boot.mkinitcpio_dropins = Measured::Value(true);
    write(
        &mut facts,
        "/etc/mkinitcpio.conf",
        "MODULES=()\nHOOKS=(base udev)\n",
    );
    write(
        &mut facts,
        "/etc/mkinitcpio.d/linux.preset",
        "PRESETS=('default')\ndefault_image=\"/boot/initramfs-linux.img\"\n",
    );
    facts
}

fn stacks() -> Vec<(&'static str, Facts)> {
    vec![
        ("GRUB", debian()),
        ("GRUB, dracut", dracut(debian())),
        ("GRUB without drop-ins", arch_grub()),
        ("GRUB, mkinitcpio", arch()),
        ("GRUB 2", dracut(opensuse())),
        ("systemd-boot", systemd_boot_host()),
        ("systemd-boot, dracut", dracut(systemd_boot_host())),
        ("unified images", dracut(unified_host())),
        ("entries by hand", by_hand()),
        ("GRUB with entries", dracut(fedora())),
    ]
}

/// Puts `word` on every kernel command line of the host, as guides say, and boots with it.
fn with_word(facts: &mut Facts, word: &str) {
    let add = |line: &str| kargs::edited(line, &[word.to_owned()], |_| false);
    let running = facts.kernel.cmdline.value().expect("a command line");
    facts.kernel.cmdline = Measured::Value(add(running));
    for (path, file) in &mut facts.files {
        let text = file.text.value().expect("a text").clone();
        let text = if path == "/etc/default/grub" {
            text.replace(DEFAULT, &format!("{DEFAULT} {word}"))
        } else if path == CMDLINE {
            format!("{}\n", add(text.trim_end()))
        } else if path.contains("/loader/entries/") && text.contains("options") {
            bls::with_words(&text, &[word.to_owned()], |_| false)
        } else {
            continue;
        };
        file.text = Measured::Value(text);
    }
    for entry in facts.boot.entries.iter_mut().filter(|e| e.unified) {
        entry.options = Measured::Value(add(entry.options.value().expect("a command line")));
    }
    let chosen = facts.boot.default_entry.clone();
    reread(facts);
    facts.boot.default_entry = chosen;
}

/// The host after the edits of `plan` and a reboot into the default entry: only what edits say.
fn after(facts: &Facts, plan: &Plan) -> Facts {
    let mut after = facts.clone();
    for change in &plan.changes {
        if let Change::Edit {
            path,
            before,
            after: text,
            mode,
            ..
        } = change
        {
            assert_eq!(after.text(path), before.as_deref(), "{path}");
            match text {
                Some(text) => after.files.insert(path.clone(), text_file(text, *mode)),
                None => after.files.remove(path),
            };
        }
    }
    // What makes unified images takes the file.
    let line = after.text(CMDLINE).map(|text| text.trim_end().to_owned());
    for entry in after.boot.entries.iter_mut().filter(|e| e.unified) {
        entry.options = Measured::Value(line.clone().expect("a command line"));
    }
    let chosen = after.boot.default_entry.clone();
    reread(&mut after);
    after.boot.default_entry = chosen;
    let configured = match after.boot.default_entry.as_ref() {
        Some(path) => {
            let mut entries = after.boot.entries.iter();
            let entry = entries.find(|e| e.path == *path).expect("the entry");
            entry.options.value().expect("a command line").clone()
        }
        None => {
            let text = after.text("/etc/default/grub").expect("GRUB's defaults");
            let drop_in = after.text("/etc/default/grub.d/zz-passthru.cfg");
            let values = passthru_plan::text::shell::evaluate([text].into_iter().chain(drop_in));
            let normal = values["GRUB_CMDLINE_LINUX_DEFAULT"].clone();
            format!("root=UUID=1 ro {}", normal.expect("a value"))
        }
    };
    after.kernel.cmdline = Measured::Value(configured);
    after
}

fn has(facts: &Facts, id: &str) -> bool {
    doctor(facts).iter().any(|finding| finding.id == id)
}

fn edited(plan: &Plan) -> Vec<&str> {
    edits(plan)
}

/// Undo's own code brings every text back.
fn comes_back(plan: &Plan) {
    for change in &plan.changes {
        if let Change::Edit {
            path,
            before: Some(before),
            after: Some(after),
            ..
        } = change
        {
            assert_eq!(
                merge::take_back(before, after, after).text,
                *before,
                "{path}"
            );
        }
    }
}

/// Found, repaired, not found, nothing left to do, and back.
fn law(what: &str, facts: &Facts, intent: &Intent, id: &str) {
    assert!(has(facts, id), "{what}: doctor does not find {id}");
    let first = plan(facts, intent);
    assert_eq!(first.refusals, [], "{what}");
    assert!(!edited(&first).is_empty(), "{what}: nothing is edited");
    assert!(first.reboot, "{what}");
    let repaired = after(facts, &first);
    let left = doctor(&repaired)
        .into_iter()
        .find(|finding| finding.id == id);
    assert_eq!(left, None, "{what}");
    let second = plan(&repaired, &first.intent);
    assert_eq!(second.refusals, [], "{what}");
    assert_eq!(edited(&second), [""; 0], "{what}: edits are left");
    if intent.gpu.is_empty() {
        assert_eq!(second.changes, [], "{what}");
        assert_eq!(
            verify(&repaired, &first.intent).state,
            State::Done,
            "{what}"
        );
    }
    comes_back(&first);
}

#[test]
fn words_that_guides_ask_for() {
    for (word, id) in [
        ("video=efifb:off", "cmdline.efifb-off"),
        ("video=vesafb:off,efifb:off", "cmdline.efifb-off"),
        ("video=simplefb:off,HDMI-A-1:1920x1080", "cmdline.efifb-off"),
        ("initcall_blacklist=sysfb_init", "cmdline.sysfb-blacklist"),
        (
            "initcall_blacklist=sysfb_init,other_init",
            "cmdline.sysfb-blacklist",
        ),
        ("amd_iommu=on", "cmdline.amd-iommu-on"),
        ("iommu=1", "cmdline.iommu-unknown"),
        ("iommu=on", "cmdline.iommu-unknown"),
        ("pci-stub.ids=10de:1f08", "cmdline.pci-stub"),
        ("pci_stub.ids=10de:1f08", "cmdline.pci-stub"),
        (
            "module_blacklist=xhci_pci,floppy",
            "modprobe.blacklist-needed",
        ),
        ("modprobe.blacklist=i915", "modprobe.blacklist-gpu-driver"),
    ] {
        for (stack, mut facts) in stacks() {
            let what = format!("{word} on {stack}");
            with_word(&mut facts, word);
            law(&what, &facts, &repair(), id);
            // Before the reboot the word is still there.
            let first = plan(&facts, &repair());
            let mut applied = after(&facts, &first);
            applied.kernel.cmdline = facts.kernel.cmdline.clone();
            if !facts.boot.unified_kernel_image {
                let state = verify(&applied, &first.intent).state;
                assert_eq!(state, State::RebootNeeded, "{what}");
            }
            // With a card, and the repair in the same transaction.
            law(&what, &facts, &repair_with_card(), id);
        }
    }
}

#[test]
fn dracuts_word_where_initramfs_tools_is() {
    for (stack, mut facts) in stacks() {
        with_word(&mut facts, "rd.driver.pre=vfio-pci,other");
        let plan = plan(&facts, &repair());
        if facts.boot.generator.is(&Generator::InitramfsTools) {
            let words = after(&facts, &plan).kernel.cmdline;
            let words = words.value().expect("a command line");
            assert!(
                kargs::has_word(words, "rd.driver.pre=other"),
                "{stack}: {words}"
            );
        } else {
            assert_eq!(plan.changes, [], "{stack}");
        }
    }
}

#[test]
fn parts_that_are_not_wrong_stay_in_their_place() {
    for (stack, mut facts) in stacks() {
        with_word(&mut facts, "video=efifb:off,HDMI-A-1:1920x1080 last=1");
        let repaired = after(&facts, &plan(&facts, &repair()));
        let words = repaired.kernel.cmdline.value().expect("a command line");
        assert!(
            words.contains("quiet video=HDMI-A-1:1920x1080 last=1")
                || words.contains(" video=HDMI-A-1:1920x1080 last=1"),
            "{stack}: {words}"
        );
    }
}

#[test]
fn words_that_are_the_users_to_judge_stay() {
    for word in [
        "iommu=pt",
        "nomodeset",
        "vfio-pci.disable_idle_d3=1",
        "kvm.ignore_msrs=1",
        "vfio_iommu_type1.allow_unsafe_interrupts=1",
        "video=HDMI-A-1:1920x1080",
        "module_blacklist=floppy",
    ] {
        for (stack, mut facts) in stacks() {
            with_word(&mut facts, word);
            let plan = plan(&facts, &repair());
            assert_eq!(plan.refusals, [], "{word} on {stack}");
            assert_eq!(plan.changes, [], "{word} on {stack}");
        }
    }
}

/// A file, its text with the mistake, the text without, and the finding.
type File = (&'static str, &'static str, &'static str, &'static str);

const FILES: &[File] = &[
    (
        "/etc/modprobe.d/vfio.conf",
        "# mine\noptions vfio-pci ids=10de:1f08 10de:10f9 disable_vga=1\n\n# end\n",
        "# mine\noptions vfio-pci ids=10de:1f08,10de:10f9 disable_vga=1\n\n# end\n",
        "ids.malformed",
    ),
    (
        "/etc/modprobe.d/b.conf",
        "# a\nblacklist xhci_hcd\nblacklist floppy\n",
        "# a\nblacklist floppy\n",
        "modprobe.blacklist-xhci-hcd",
    ),
    (
        "/etc/modprobe.d/b.conf",
        "install xhci-pci \\\n  /bin/false\nblacklist pcspkr",
        "blacklist pcspkr",
        "modprobe.blacklist-needed",
    ),
    (
        "/etc/modprobe.d/b.conf",
        "blacklist i915\r\nblacklist floppy\r\n",
        "blacklist floppy\r\n",
        "modprobe.blacklist-gpu-driver",
    ),
    (
        "/etc/modprobe.d/b.conf",
        "blacklist nouveau\nblacklist nvidia\nalias a b\n",
        "alias a b\n",
        "modprobe.blacklist-gpu-driver",
    ),
    (
        "/etc/modprobe.d/b.conf",
        "install snd_hda_intel /usr/bin/true\n# kept\n",
        "# kept\n",
        "modprobe.blacklist-needed",
    ),
    (
        "/etc/modprobe.d/stub.conf",
        "options pci-stub ids=10de:1f08\noptions kvm x=1\n",
        "options kvm x=1\n",
        "cmdline.pci-stub",
    ),
    (
        "/etc/initramfs-tools/modules",
        "# modules\nvfio\nvfio_virqfd\n\next4\n",
        "# modules\nvfio\n\next4\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/initramfs-tools/modules",
        "vfio\n options vfio-pci ids=10de:1f08\next4",
        "vfio\next4",
        "initramfs.options-in-modules",
    ),
    (
        "/etc/initramfs-tools/modules",
        "vfio-pci ids=10de:1f08 10de:10f9\next4\n",
        "vfio-pci ids=10de:1f08,10de:10f9\next4\n",
        "ids.malformed",
    ),
    (
        "/etc/modules",
        "# /etc/modules\nvfio_virqfd\nloop\n",
        "# /etc/modules\nloop\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/modules-load.d/vfio.conf",
        "vfio\nvfio-virqfd\n",
        "vfio\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/dracut.conf.d/vfio.conf",
        "# early\nforce_drivers+=\" vfio_pci vfio vfio_iommu_type1 vfio_virqfd \"\n",
        "# early\nforce_drivers+=\" vfio_pci vfio vfio_iommu_type1 \"\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/dracut.conf",
        "add_drivers+=' vfio_virqfd '\nhostonly=yes\n",
        "add_drivers+=' '\nhostonly=yes\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/mkinitcpio.conf",
        "# MODULES\nMODULES=(vfio_pci vfio vfio_virqfd)\nHOOKS=(base udev)\n",
        "# MODULES\nMODULES=(vfio_pci vfio)\nHOOKS=(base udev)\n",
        "initramfs.vfio-virqfd",
    ),
    (
        "/etc/mkinitcpio.conf.d/vfio.conf",
        "MODULES+=(\n  vfio_virqfd\n  vfio\n)\n",
        "MODULES+=(\n  vfio\n)\n",
        "initramfs.vfio-virqfd",
    ),
];

#[test]
fn files_that_guides_write() {
    for (path, wrong, right, id) in FILES {
        for (stack, mut facts) in stacks() {
            let what = format!("{path} ({id}) on {stack}");
            write(&mut facts, path, wrong);
            law(&what, &facts, &repair(), id);
            let plan = plan(&facts, &repair());
            assert_eq!(after(&facts, &plan).text(path), Some(*right), "{what}");
        }
    }
}

#[test]
fn the_images_are_made_anew_where_they_hold_the_file() {
    let runs = |facts: &Facts| -> Vec<String> {
        let plan = plan(facts, &repair());
        let runs = plan.changes.iter().filter_map(|change| match change {
            Change::Run { argv, outputs, .. } => {
                assert!(argv[0] != "grub-mkconfig", "the command line stays");
                assert!(!outputs.is_empty() || argv[0] == "bootctl", "{argv:?}");
                Some(argv[0].clone())
            }
            _ => None,
        });
        assert_eq!(plan.trial, None);
        runs.collect()
    };
    let with = |mut facts: Facts, path: &str, text: &str| {
        write(&mut facts, path, text);
        facts
    };
    let blacklist = "blacklist xhci_pci\n";
    let modprobe = "/etc/modprobe.d/b.conf";
    assert_eq!(
        runs(&with(debian(), modprobe, blacklist)),
        ["update-initramfs"]
    );
    assert_eq!(runs(&with(arch(), modprobe, blacklist)), ["mkinitcpio"]);
    assert_eq!(
        runs(&with(dracut(debian()), modprobe, blacklist)),
        ["dracut"]
    );
    assert_eq!(
        runs(&with(debian(), "/etc/modules", "vfio_virqfd\n")),
        [""; 0]
    );
    // The images that the loader reads lie on a file system where no write is whole: the way back
    // comes first.
    assert_eq!(
        runs(&with(systemd_boot_host(), modprobe, blacklist)),
        ["bootctl", "update-initramfs", "bootctl"]
    );
}

#[test]
fn files_that_nothing_reads_go_with_a_plan_that_binds() {
    for (path, id) in [
        ("/etc/modprobe.d/vfio", "modprobe.no-conf-suffix"),
        ("/etc/dracut.conf.d/10-vfio.txt", "initramfs.dracut-suffix"),
    ] {
        for (stack, mut facts) in stacks() {
            let what = format!("{path} on {stack}");
            write(&mut facts, path, "options vfio-pci ids=10de:1f08\n");
            let alone = plan(&facts, &repair());
            assert_eq!(alone.changes, [], "{what}");
            assert_eq!(notices(&alone), ["repair.unread-left"], "{what}");
            law(&what, &facts, &repair_with_card(), id);
        }
    }
    let mut facts = debian();
    write(
        &mut facts,
        "/etc/modprobe.d/vfio.conf.bak",
        "options vfio-pci ids=1:2\n",
    );
    assert!(!has(&facts, "modprobe.no-conf-suffix"));
    assert!(!edits(&plan(&facts, &repair_with_card())).contains(&"/etc/modprobe.d/vfio.conf.bak"));
}

#[test]
fn lists_of_ids_become_one() {
    for (stack, mut facts) in stacks() {
        write(
            &mut facts,
            "/etc/modprobe.d/vfio.conf",
            "options vfio-pci ids=10de:1f08 10de:10f9 disable_vga=1\n",
        );
        with_word(&mut facts, "vfio-pci.ids=10de:10f9,1912:0014");
        let alone = plan(&facts, &repair());
        assert!(notices(&alone).contains(&"repair.ids-left"), "{stack}");
        law(stack, &facts, &repair_with_card(), "ids.competing");
        let plan = plan(&facts, &repair_with_card());
        let repaired = after(&facts, &plan);
        assert_eq!(
            repaired.text("/etc/modprobe.d/vfio.conf"),
            Some("options vfio-pci disable_vga=1\n"),
            "{stack}"
        );
        let words = repaired.kernel.cmdline.value().expect("a command line");
        let lists = kargs::values(words, "vfio-pci.ids");
        assert_eq!(lists.len(), 1, "{stack}: {words}");
        assert!(
            lists[0].contains("1912:0014"),
            "{stack}: what names nothing here is kept: {words}"
        );
    }
}

/// The most common case: the card is bound, its sound is not, for a blank cut the list.
#[test]
fn a_list_that_acts_for_half_of_the_card() {
    let mut facts = debian();
    write(
        &mut facts,
        "/etc/modprobe.d/vfio.conf",
        "options vfio-pci ids=10de:1f08 10de:10f9\nsoftdep nouveau pre: vfio-pci\n",
    );
    for f in &mut facts.functions {
        if f.address == address("0000:01:00.0") {
            f.driver = Some("vfio-pci".into());
        }
    }
    let plan = plan(&facts, &repair_with_card());
    assert_eq!(plan.refusals, []);
    let repaired = after(&facts, &plan);
    assert_eq!(
        repaired.text("/etc/modprobe.d/vfio.conf"),
        Some("softdep nouveau pre: vfio-pci\n")
    );
    assert!(
        plan.words.iter().any(|word| word.contains("10de:10f9")),
        "{:?}",
        plan.words
    );
}

#[test]
fn a_list_of_another_card_that_acts_is_carried_over() {
    let mut facts = debian();
    let other = function(
        "0000:05:00.0",
        0x02_0000,
        "8086:1521",
        Some("vfio-pci"),
        Some(9),
    );
    facts.functions.push(other);
    regroup(&mut facts);
    write(
        &mut facts,
        "/etc/modprobe.d/nic.conf",
        "options vfio-pci ids=8086:1521\n",
    );
    let plan = plan(&facts, &repair_with_card());
    assert_eq!(plan.refusals, []);
    assert!(
        plan.words.iter().any(|word| word.contains("8086:1521")),
        "{:?}",
        plan.words
    );
    assert_eq!(
        after(&facts, &plan).text("/etc/modprobe.d/nic.conf"),
        Some("")
    );
    law(
        "another card's list",
        &{
            let mut facts = facts.clone();
            write(
                &mut facts,
                "/etc/modprobe.d/a.conf",
                "options vfio-pci ids=10de:1f08\n",
            );
            facts
        },
        &repair_with_card(),
        "ids.competing",
    );
}

#[test]
fn a_blacklist_that_only_guests_feel_is_left_and_said() {
    let mut facts = debian();
    write(
        &mut facts,
        "/etc/modprobe.d/b.conf",
        "blacklist nouveau\nblacklist nvidia\n",
    );
    let bound = plan(&facts, &repair_with_card());
    assert!(notices(&bound).contains(&"repair.blacklist-left"));
    assert!(!edits(&bound).contains(&"/etc/modprobe.d/b.conf"));
    // vfio-pci has the card already, and perhaps only because nouveau may not load.
    for f in &mut facts.functions {
        if f.address.slot() == address("0000:01:00.0").slot() {
            f.driver = Some("vfio-pci".into());
        }
    }
    let alone = plan(&facts, &repair());
    assert_eq!(alone.changes, []);
    assert_eq!(
        notices(&alone),
        ["repair.blacklist-left", "repair.blacklist-left"]
    );
}

#[test]
fn nvidias_own_blacklist_stays() {
    let mut facts = debian();
    for f in &mut facts.functions {
        f.candidates
            .retain(|candidate| candidate.module != "nvidia");
    }
    write(
        &mut facts,
        "/etc/modprobe.d/nvidia-installer-disable-nouveau.conf",
        "blacklist nouveau\noptions nouveau modeset=0\n",
    );
    assert_eq!(plan(&facts, &repair()).changes, []);
    write(
        &mut facts,
        "/etc/modprobe.d/mine.conf",
        "blacklist nouveau\n",
    );
    assert_eq!(
        edits(&plan(&facts, &repair())),
        ["/etc/modprobe.d/mine.conf"]
    );
}

#[test]
fn files_of_packages_are_named_and_left() {
    let mut facts = debian();
    write(
        &mut facts,
        "/usr/lib/modprobe.d/other.conf",
        "blacklist xhci_pci\n",
    );
    let plan = plan(&facts, &repair());
    assert_eq!(plan.changes, []);
    assert_eq!(notices(&plan), ["repair.not-ours"]);
    assert!(
        plan.notices[0]
            .text
            .contains("dpkg -S /usr/lib/modprobe.d/other.conf")
    );
    // A file of the same name in /etc takes its place, and then nothing is wrong.
    write(&mut facts, "/etc/modprobe.d/other.conf", "# empty\n");
    let shadowed = passthru_plan::plan(&facts, &repair());
    assert_eq!(notices(&shadowed), [""; 0]);
}

#[test]
fn a_module_that_one_kernel_has_stays() {
    let mut facts = debian();
    let mut older = facts.kernel.installed[0].clone();
    older.release = "6.1.0-1-amd64".into();
    older.has_vfio_virqfd = true;
    facts.kernel.installed.push(older);
    write(&mut facts, "/etc/initramfs-tools/modules", "vfio_virqfd\n");
    assert_eq!(plan(&facts, &repair()).changes, []);
}

#[test]
fn a_host_without_leftovers_has_nothing_to_do() {
    for (stack, facts) in stacks() {
        let alone = plan(&facts, &repair());
        assert_eq!(alone.refusals, [], "{stack}");
        assert_eq!(alone.changes, [], "{stack}");
        assert!(!alone.reboot);
        let plain = Intent {
            repair: false,
            ..repair_with_card()
        };
        assert_eq!(
            plan(&facts, &repair_with_card()).changes,
            plan(&facts, &plain).changes,
            "{stack}"
        );
    }
}

#[test]
fn a_loader_that_is_not_written_to_is_refused_only_if_there_is_something() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::Limine);
    assert_eq!(refusals(&facts, &repair()), [""; 0]);
    write(&mut facts, "/etc/modprobe.d/b.conf", "blacklist xhci_pci\n");
    assert_eq!(refusals(&facts, &repair()), ["repair.stack"]);
}

#[test]
fn kernelstub_takes_no_word_out_and_it_is_said() {
    let mut facts = systemd_boot_host();
    facts.boot.loader = Measured::Value(BootLoader::Kernelstub);
    with_word(&mut facts, "amd_iommu=on");
    let plan = plan(&facts, &repair());
    assert_eq!(plan.changes, []);
    assert_eq!(notices(&plan), ["repair.word-elsewhere"]);
}

/// Words go onto a trial entry first, and the way back keeps them.
#[test]
fn words_are_taken_away_on_trial() {
    let intent = Intent {
        trial: TrialBoot::IfPossible,
        ..repair()
    };
    for mut facts in [systemd_boot_host(), opensuse()] {
        with_word(&mut facts, "video=efifb:off");
        let menu = "/boot/grub2/grub.cfg";
        if let Some(text) = facts.text(menu) {
            let text = text.replace(" quiet ", " quiet video=efifb:off ");
            write(&mut facts, menu, &text);
        }
        let first = plan(&facts, &intent);
        assert_eq!(first.refusals, []);
        assert!(first.trial.is_some(), "{:?}", first.notices);
        let trial = first
            .changes
            .iter()
            .find_map(|change| match change {
                Change::Edit { path, after, .. }
                    if path.ends_with("custom.cfg") || path.ends_with("-trial.conf") =>
                {
                    after.as_deref()
                }
                _ => None,
            })
            .expect("the trial entry");
        assert!(
            !trial.contains("efifb") && trial.contains("passthru.trial=1"),
            "{trial}"
        );
        let in_trial = {
            let mut after = facts.clone();
            for change in &first.changes {
                match change {
                    Change::Edit {
                        path,
                        after: Some(text),
                        mode,
                        ..
                    } => {
                        after.files.insert(path.clone(), text_file(text, *mode));
                    }
                    Change::Edit { path, .. } => {
                        after.files.remove(path);
                    }
                    _ => {}
                }
            }
            let chosen = after.boot.default_entry.clone();
            reread(&mut after);
            after.boot.default_entry = chosen;
            assert_eq!(
                verify(&after, &first.intent).state,
                State::Drifted,
                "the one-shot was not set"
            );
            after.kernel.cmdline = Measured::Value("root=UUID=1 ro quiet passthru.trial=1".into());
            after
        };
        let judged = verify(&in_trial, &first.intent);
        assert_eq!(judged.state, State::Done, "{:?}", judged.drift);
        let kept = keep(&in_trial, &first, 1);
        assert_eq!(kept.refusals, []);
        let done = after(&in_trial, &kept);
        assert!(!has(&done, "cmdline.efifb-off"));
        assert_eq!(plan(&done, &first.intent).changes, []);
        let keeps = done.files.iter().any(|(path, file)| {
            let text = file.text.value().expect("a text");
            (path == WITHOUT || text.contains("PASSTHRU_RESTORED=\"video=efifb:off\""))
                && text.contains("video=efifb:off")
        });
        assert!(keeps, "the way back starts the host as it was");
    }
}

#[test]
fn a_word_that_comes_back_is_the_users() {
    let mut facts = debian();
    with_word(&mut facts, "amd_iommu=on");
    let mut repaired = after(&facts, &plan(&facts, &repair()));
    with_word(&mut repaired, "amd_iommu=on");
    let card = plan(
        &repaired,
        &Intent {
            repair: false,
            ..repair_with_card()
        },
    );
    assert_eq!(card.refusals, []);
    for change in &card.changes {
        if let Change::Run { expect, .. } = change {
            assert!(
                !format!("{expect:?}").contains("amd_iommu=on"),
                "{expect:?}"
            );
        }
    }
}

#[test]
fn passthrus_own_words_are_no_leftovers() {
    let facts = debian();
    let bound = plan(
        &facts,
        &Intent {
            repair: false,
            ..repair_with_card()
        },
    );
    let mut applied = applied(&facts, &bound);
    applied.kernel.cmdline = rebooted(&applied, &bound).kernel.cmdline;
    assert_eq!(plan(&applied, &repair()).changes, []);
    // And a list that adds nothing to passthru's goes.
    write(
        &mut applied,
        "/etc/modprobe.d/vfio.conf",
        "options vfio-pci ids=10de:1f08\n",
    );
    let repair = plan(&applied, &repair());
    assert_eq!(repair.refusals, []);
    assert_eq!(edits(&repair), ["/etc/modprobe.d/vfio.conf"]);
    assert_eq!(repair.words, bound.words);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines that are no mistake keep their bytes, and what is repaired stays so.
    #[test]
    fn other_lines_keep_their_bytes(
        modprobe in prop::collection::vec("(# .{0,9}|[ \t]{0,3}|options kvm x=[0-9]|softdep a pre: b|blacklist (floppy|xhci_hcd|xhci_pci|pcspkr)|install xhci_pci /bin/false)", 0..9),
        modules in prop::collection::vec("(# .{0,9}|[ \t]{0,3}|ext4|vfio( x=1)?|vfio_virqfd|options vfio-pci ids=1:2)", 0..9),
        ends in prop::sample::select(&["\n", "\r\n"][..]),
    ) {
        let text = |lines: &[String]| lines.iter().map(|line| line.clone() + ends).collect::<String>();
        let rest = |lines: &[String], wrong: &[&str]| {
            let kept: Vec<String> = lines
                .iter()
                .filter(|line| line.starts_with('#') || !wrong.iter().any(|wrong| line.contains(wrong)))
                .cloned()
                .collect();
            text(&kept)
        };
        // A comment that ends in a backslash goes on in the next line.
        prop_assume!(!modprobe.iter().any(|line| line.contains(['\\', '\r', '\u{b}', '\u{c}', '\u{85}'])));
        prop_assume!(!modules.iter().any(|line| line.contains(['\r'])));
        let mut facts = debian();
        let files = ["/etc/modprobe.d/x.conf", "/etc/initramfs-tools/modules"];
        write(&mut facts, files[0], &text(&modprobe));
        write(&mut facts, files[1], &text(&modules));
        let first = plan(&facts, &repair());
        prop_assert_eq!(&first.refusals, &[]);
        let repaired = after(&facts, &first);
        let expected = [rest(&modprobe, &["xhci"]), rest(&modules, &["virqfd", "options"])];
        for (path, expected) in files.iter().zip(&expected) {
            prop_assert_eq!(repaired.text(path), Some(expected.as_str()));
        }
        prop_assert_eq!(plan(&repaired, &repair()).changes, []);
        comes_back(&first);
    }
}
