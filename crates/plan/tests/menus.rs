//! Boot entries that are files of their own: systemd-boot, unified images, GRUB with BLS entries; from
//! before to after, and back.

mod common;

use common::{menu::*, *};
use passthru_plan::{
    Change, Expect, Measured,
    facts::*,
    plan::{keep, plan},
    text::{bls, kargs},
};

#[test]
fn systemd_boot_with_kernel_install() {
    let facts = systemd_boot_host();
    let (first, applied, second, kept) = through_a_trial(&facts, TRIAL);
    assert_eq!(
        commands(&first.changes),
        [
            &format!("copy {ESP}/passthru/{RELEASE}/linux"),
            &format!("copy {ESP}/passthru/{RELEASE}/initrd.img-{RELEASE}"),
            &format!("edit {WITHOUT}"),
            "edit /etc/kernel/cmdline",
            "bootctl set-oneshot _-passthru-without.conf",
            "update-initramfs -u -k all",
            &format!("edit {TRIAL}"),
            "bootctl set-oneshot _-passthru-trial.conf",
        ]
    );
    assert_eq!(applied.text(CMDLINE), Some(format!("{OPTIONS}\n").as_str()));
    let without = applied.text(WITHOUT).expect("the way back");
    assert_eq!(bls::options(without), OPTIONS);
    assert_eq!(bls::value(without, "sort-key"), None);
    assert_eq!(
        bls::value(without, "linux"),
        Some(format!("/passthru/{RELEASE}/linux").as_str())
    );
    assert_eq!(
        bls::value(without, "title"),
        Some("Debian GNU/Linux 13 (trixie) without passthru")
    );
    let trial = applied.text(TRIAL).expect("the trial");
    assert_eq!(
        bls::value(trial, "linux"),
        Some(format!("/{TOKEN}/{RELEASE}/linux").as_str())
    );
    assert_eq!(
        bls::options(trial),
        format!(
            "{OPTIONS} {} {}",
            first.words.join(" "),
            first.trial.as_ref().expect("a trial").words.join(" ")
        )
    );
    assert_eq!(
        commands(&second.changes),
        [
            "edit /etc/kernel/cmdline",
            &format!("edit {}", entry_path(OLD)),
            &format!("edit {}", entry_path(RELEASE)),
            &format!("edit {TRIAL}"),
        ]
    );
    for release in [OLD, RELEASE] {
        assert_eq!(
            kept.text(&entry_path(release)),
            Some(entry_text(release, &format!("{OPTIONS} {}", first.words.join(" "))).as_str()),
            "as kernel-install would write it"
        );
    }
}

#[test]
fn systemd_boot_without_a_trial() {
    let facts = systemd_boot_host();
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(plan1.trial, None);
    let lines = commands(&plan1.changes);
    assert_eq!(
        lines.last().map(String::as_str),
        Some("bootctl set-oneshot ")
    );
    let applied = done(&facts, &plan1);
    assert_eq!(plan(&applied, &plan1.intent).changes, []);
    assert_eq!(applied.boot.one_shot.value(), Some(&None));
}

#[test]
fn an_initramfs_that_no_hook_copies_is_copied_by_kernel_install() {
    let mut facts = systemd_boot_host();
    facts.boot.post_update_hooks.clear();
    let (first, ..) = through_a_trial(&facts, TRIAL);
    let lines = commands(&first.changes);
    assert!(
        lines.contains(&format!(
            "kernel-install add {OLD} /boot/vmlinuz-{OLD} /boot/initrd.img-{OLD}"
        )),
        "{lines:?}"
    );
    let run = first.changes.iter().find_map(|change| match change {
        Change::Run {
            argv,
            outputs,
            expect,
            ..
        } if argv[0] == "kernel-install" => Some((outputs, expect)),
        _ => None,
    });
    let (outputs, expect) = run.expect("the command");
    assert_eq!(outputs.len(), 3, "entry, kernel and initramfs");
    assert!(
        expect
            .iter()
            .any(|expect| matches!(expect, Expect::Image { path, .. } if path.starts_with(ESP)))
    );
}

#[test]
fn unified_images() {
    let facts = unified_host();
    let (first, applied, second, kept) = through_a_trial(&facts, TRIAL);
    assert_eq!(
        commands(&first.changes),
        [
            &format!("copy {ESP}/EFI/passthru/{RELEASE}/{TOKEN}-{RELEASE}.efi"),
            &format!("edit {WITHOUT}"),
            "bootctl set-oneshot _-passthru-without.conf",
            "update-initramfs -u -k all",
            &format!("kernel-install add {OLD} /boot/vmlinuz-{OLD} /boot/initrd.img-{OLD}"),
            &format!(
                "kernel-install add {RELEASE} /boot/vmlinuz-{RELEASE} /boot/initrd.img-{RELEASE}"
            ),
            &format!("edit {TRIAL}"),
            "bootctl set-oneshot _-passthru-trial.conf",
        ]
    );
    let trial = applied.text(TRIAL).expect("the trial");
    assert_eq!(
        bls::value(trial, "efi"),
        Some(format!("/EFI/Linux/{TOKEN}-{RELEASE}.efi").as_str())
    );
    assert!(bls::options(trial).starts_with("root=UUID=1 ro quiet "));
    assert_eq!(
        bls::value(applied.text(WITHOUT).expect("the way back"), "efi"),
        Some(format!("/EFI/passthru/{RELEASE}/{TOKEN}-{RELEASE}.efi").as_str())
    );
    assert_eq!(
        commands(&second.changes),
        [
            "edit /etc/kernel/cmdline",
            "bootctl set-oneshot _-passthru-without.conf",
            &format!("kernel-install add {OLD} /boot/vmlinuz-{OLD} /boot/initrd.img-{OLD}"),
            &format!(
                "kernel-install add {RELEASE} /boot/vmlinuz-{RELEASE} /boot/initrd.img-{RELEASE}"
            ),
            &format!("edit {TRIAL}"),
            "bootctl set-oneshot ",
        ]
    );
    assert_eq!(
        kept.text(CMDLINE),
        Some(format!("root=UUID=1 ro quiet {}\n", first.words.join(" ")).as_str())
    );
}

#[test]
fn unified_images_under_secure_boot() {
    let mut facts = unified_host();
    facts.boot.secure_boot = Measured::Value(true);
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["stack.signed-images"]);
    facts.boot.signer = Some("/etc/kernel/uki.conf".into());
    let plan1 = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan1.refusals, []);
    assert_eq!(plan1.trial, None);
    assert!(notices(&plan1).contains(&"trial.impossible"));
}

#[test]
fn an_image_that_the_firmware_starts_has_no_trial() {
    let mut facts = unified_host();
    facts.boot.loader_info = None;
    let plan1 = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan1.trial, None);
    let lines = commands(&plan1.changes);
    assert!(
        lines.iter().all(|line| !line.starts_with("bootctl")),
        "{lines:?}"
    );
    assert_eq!(plan(&done(&facts, &plan1), &plan1.intent).changes, []);
}

#[test]
fn entries_by_hand() {
    let facts = by_hand();
    let (first, applied, second, kept) = through_a_trial(&facts, TRIAL);
    assert_eq!(
        commands(&first.changes)[..3],
        [
            format!("copy {ESP}/passthru/linux/vmlinuz-linux"),
            format!("copy {ESP}/passthru/linux/intel-ucode.img"),
            format!("copy {ESP}/passthru/linux/initramfs-linux.img"),
        ]
    );
    let without = applied.text(WITHOUT).expect("the way back");
    assert_eq!(
        bls::values(without, "initrd").collect::<Vec<_>>(),
        [
            "/passthru/linux/intel-ucode.img",
            "/passthru/linux/initramfs-linux.img"
        ]
    );
    assert_eq!(
        commands(&second.changes),
        [
            "edit /boot/efi/loader/entries/arch.conf",
            &format!("edit {TRIAL}")
        ]
    );
    let words = first.words.join(" ");
    let before = facts
        .text("/boot/efi/loader/entries/arch.conf")
        .expect("an entry");
    assert_eq!(
        kept.text("/boot/efi/loader/entries/arch.conf"),
        Some(
            before
                .replace("root=UUID=1  rw", &format!("root=UUID=1  rw {words}"))
                .as_str()
        )
    );
}

#[test]
fn grub_with_entries_of_its_own() {
    let facts = fedora();
    let (first, applied, second, _) =
        through_a_trial(&facts, "/boot/loader/entries/~passthru-trial.conf");
    let lines = commands(&first.changes);
    assert!(
        lines.contains(&"grub2-reboot ~passthru-without".into()),
        "{lines:?}"
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("grub2-reboot ~passthru-trial")
    );
    let trial = applied
        .text("/boot/loader/entries/~passthru-trial.conf")
        .expect("the trial");
    assert_eq!(
        bls::value(trial, "initrd"),
        Some(format!("/initramfs-{RELEASE}.img $tuned_initrd").as_str())
    );
    assert!(trial.contains("grub_users $grub_users\n"));
    assert_eq!(
        commands(&second.changes),
        [
            "edit /etc/kernel/cmdline",
            &format!("edit /boot/loader/entries/{TOKEN}-{RELEASE}.conf"),
            "edit /boot/loader/entries/~passthru-trial.conf",
        ],
        "the rescue entry stays as it is"
    );
}

#[test]
fn a_word_that_was_there_is_nobodys_to_take() {
    let mut facts = without_iommu(systemd_boot_host());
    for release in [OLD, RELEASE] {
        let text = entry_text(release, &format!("intel_iommu=on {OPTIONS}"));
        write(&mut facts, &entry_path(release), &text);
    }
    reread(&mut facts);
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    let kept = done(&facts, &plan1);
    let options = bls::options(kept.text(&entry_path(RELEASE)).expect("an entry"));
    assert_eq!(
        kargs::values(&options, "intel_iommu"),
        ["on"],
        "not twice: {options}"
    );
}

#[test]
fn words_that_nothing_overrules_go_and_stay_in_the_way_back() {
    let mut facts = without_iommu(systemd_boot_host());
    facts.machine.cpu.vendor = CpuVendor::Amd;
    facts.iommu.firmware_table = Measured::Value(Some("IVRS".into()));
    for release in [OLD, RELEASE] {
        write(
            &mut facts,
            &entry_path(release),
            &entry_text(release, &format!("amd_iommu=off {OPTIONS}")),
        );
    }
    facts.kernel.cmdline = Measured::Value(format!("amd_iommu=off {OPTIONS}"));
    reread(&mut facts);
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(plan1.refusals, []);
    let kept = done(&facts, &plan1);
    assert!(
        !kept
            .text(&entry_path(RELEASE))
            .expect("an entry")
            .contains("amd_iommu")
    );
    assert!(
        kept.text(WITHOUT)
            .expect("the way back")
            .contains("amd_iommu=off")
    );
    assert!(!kept.text(CMDLINE).expect("the file").contains("amd_iommu"));
    assert_eq!(plan(&kept, &plan1.intent).changes, []);
}

#[test]
fn dormant_ids_on_the_command_line_are_taken_out() {
    let mut facts = systemd_boot_host();
    for release in [OLD, RELEASE] {
        write(
            &mut facts,
            &entry_path(release),
            &entry_text(release, &format!("vfio-pci.ids=8086:15bc {OPTIONS}")),
        );
    }
    reread(&mut facts);
    let plan1 = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(plan1.refusals, []);
    let kept = done(&facts, &plan1);
    assert!(
        !kept
            .text(&entry_path(RELEASE))
            .expect("an entry")
            .contains("8086:15bc")
    );
    assert!(!kept.text(CMDLINE).expect("the file").contains("8086:15bc"));
    assert_eq!(plan(&kept, &plan1.intent).changes, []);
}

#[test]
fn a_second_card_keeps_the_first() {
    let facts = two_gpus::healthy();
    drop(facts);
    let mut facts = systemd_boot_host();
    facts.functions.push(function(
        "0000:02:00.0",
        0x03_0000,
        "1002:67df",
        Some("amdgpu"),
        Some(7),
    ));
    regroup(&mut facts);
    let (first, _, _, kept) = through_a_trial(&facts, TRIAL);
    let running = started(&kept, &first, &entry_path(RELEASE));
    let second = plan(&running, &gpu("02:00.0"));
    assert_eq!(second.refusals, []);
    let applied = done(&running, &second);
    for entry in applied.boot.entries.iter().filter(|e| !e.is_passthrus()) {
        let options = entry.options.value().expect("a command line");
        assert!(
            first
                .words
                .iter()
                .all(|word| kargs::has_word(options, word)),
            "{options}"
        );
        assert!(!options.contains("67df"));
    }
    let tried = started(&applied, &second, TRIAL);
    let kept = done(&tried, &keep(&tried, &second, 2));
    assert_eq!(plan(&kept, &second.intent).changes, []);
    let options = bls::options(kept.text(&entry_path(RELEASE)).expect("an entry"));
    assert_eq!(
        kargs::values(&options, "vfio-pci.ids").len(),
        1,
        "{options}"
    );
    assert_eq!(
        bls::options(kept.text(WITHOUT).expect("the way back")),
        OPTIONS
    );
}

/// EndeavourOS: images are on the boot partition only, and no hook of the generator calls
/// kernel-install.
fn by_kernel_install() -> Facts {
    let mut facts = systemd_boot_host();
    facts.boot.post_update_hooks.clear();
    facts.boot.update_initramfs = false;
    facts.boot.generator = Measured::Value(Generator::Dracut);
    for kernel in &mut facts.kernel.installed {
        let release = &kernel.release;
        kernel.image.as_mut().expect("an image").path =
            format!("{ESP}/{TOKEN}/{release}/initrd.img-{release}");
    }
    facts
}

#[test]
fn kernel_install_makes_the_images_that_only_it_has() {
    let facts = by_kernel_install();
    let planned = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(planned.refusals, []);
    let mut seen = 0;
    for change in &planned.changes {
        let Change::Run {
            argv,
            outputs,
            expect,
            ..
        } = change
        else {
            continue;
        };
        assert_ne!(argv[0], "dracut");
        if argv[0] == "kernel-install" {
            // No image is handed over: the plugin makes one.
            assert_eq!(argv.len(), 4, "{argv:?}");
            let image = format!("{ESP}/{TOKEN}/{0}/initrd.img-{0}", argv[2]);
            assert!(outputs.iter().any(|output| output.path == image));
            assert!(expect.iter().any(|expect| matches!(
                expect,
                Expect::Image { path, texts, .. } if *path == image && !texts.is_empty()
            )));
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn images_here_and_there_are_refused() {
    let mut facts = by_kernel_install();
    facts.kernel.installed[0]
        .image
        .as_mut()
        .expect("an image")
        .path = format!("/boot/initramfs-{OLD}.img");
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["stack.initramfs"]);
}

#[test]
fn a_preset_with_a_command_line_of_its_own_is_refused() {
    const PRESET: &str = "/etc/mkinitcpio.d/linux.preset";
    let uki = "PRESETS=('default')\ndefault_uki=\"/boot/efi/EFI/Linux/arch.efi\"\n";
    for (line, refused) in [
        ("", false),
        ("default_options=\"-S autodetect\"\n", false),
        ("default_options=\"--cmdline /etc/kernel/cmdline\"\n", false),
        ("default_options=\"--cmdline /etc/kernel/other\"\n", true),
        ("default_options=\"--cmdline=/etc/kernel/other\"\n", true),
        ("default_options=\"--no-cmdline\"\n", true),
        ("default_cmdline=\"/etc/kernel/other\"\n", true),
    ] {
        let mut facts = unified_host();
        facts.files.remove("/etc/kernel/install.conf");
        facts.boot.generator = Measured::Value(Generator::Mkinitcpio);
        write(&mut facts, PRESET, &format!("{uki}{line}"));
        let planned = plan(&facts, &gpu("01:00.0"));
        let found = planned.refusals.iter().find(|r| r.why.contains(PRESET));
        assert_eq!(found.is_some(), refused, "{line}: {:?}", planned.refusals);
    }
}

/// Arch: the entry says no version, and an update replaces the kernel and removes its modules.
#[test]
fn a_way_back_whose_kernel_is_gone_is_renewed() {
    let mut facts = by_hand();
    facts
        .kernel
        .installed
        .retain(|kernel| kernel.release == RELEASE);
    facts.kernel.installed[0]
        .image
        .as_mut()
        .expect("an image")
        .path = format!("{ESP}/initramfs-linux.img");
    let intent = without_trial(&gpu("01:00.0"));
    let first = plan(&facts, &intent);
    assert_eq!(first.refusals, []);
    let mut updated = done(&facts, &first);
    let text = updated.text(WITHOUT).expect("the way back");
    assert!(
        text.contains(&format!("# Its kernel: {RELEASE}\n")),
        "{text}"
    );
    assert_eq!(plan(&updated, &intent).changes, []);
    let ids = |facts: &Facts| -> Vec<String> {
        let findings = passthru_plan::doctor::doctor(facts);
        let open = findings
            .iter()
            .filter(|f| f.status != passthru_plan::Status::Yes);
        open.map(|f| f.id.clone()).collect()
    };
    assert!(!ids(&updated).contains(&"boot.way-back".into()));

    updated.kernel.installed[0].release = "6.18.2-arch1-1".into();
    assert!(ids(&updated).contains(&"boot.way-back".into()));
    let said = passthru_plan::verify::verify(&updated, &first.intent);
    // An update is nothing that the change is judged by, least of all on trial.
    assert!(
        !said.drift.iter().any(|line| line.contains("The way back")),
        "{:?}",
        said.drift
    );
    // Whoever writes entries by hand may put any text where a release belongs.
    let mut by_hand = updated.clone();
    let entries = by_hand.boot.entries.iter_mut();
    for entry in entries.filter(|entry| !entry.is_passthrus()) {
        entry.version = Some(RELEASE.into());
    }
    assert!(!ids(&by_hand).contains(&"boot.way-back".into()));
    let again = plan(&updated, &intent);
    let renewed = after_of(&again, WITHOUT).expect("the way back anew");
    assert!(
        renewed.contains("# Its kernel: 6.18.2-arch1-1\n"),
        "{renewed}"
    );
    let copies = commands(&again.changes);
    assert!(
        copies.contains(&format!("copy {ESP}/passthru/6.18.2-arch1-1/vmlinuz-linux")),
        "{copies:?}"
    );
}

fn after_of<'p>(plan: &'p passthru_plan::Plan, wanted: &str) -> Option<&'p str> {
    plan.changes.iter().find_map(|change| match change {
        Change::Edit { path, after, .. } if path == wanted => after.as_deref(),
        _ => None,
    })
}

/// dracut finds images by releases, and those of Arch are named by packages.
#[test]
fn dracut_is_told_an_image_with_another_name() {
    let mut facts = by_hand();
    facts.boot.generator = Measured::Value(Generator::Dracut);
    facts
        .kernel
        .installed
        .retain(|kernel| kernel.release == RELEASE);
    let image = format!("{ESP}/initramfs-linux.img");
    facts.kernel.installed[0]
        .image
        .as_mut()
        .expect("an image")
        .path
        .clone_from(&image);
    let planned = plan(&facts, &without_trial(&gpu("01:00.0")));
    let lines = commands(&planned.changes);
    assert!(
        lines.contains(&format!("dracut --force {image}.passthru {RELEASE}")),
        "{lines:?}"
    );
}

/// EndeavourOS's plugin makes a fallback entry of every kernel from the same command line.
#[test]
fn a_fallback_that_kernel_install_makes_is_kept_and_said() {
    let mut facts = by_kernel_install();
    let fallback = entry_path(RELEASE).replace(".conf", "-fallback.conf");
    let text = entry_text(RELEASE, OPTIONS).replace("initrd.img", "initrd-fallback.img");
    write(&mut facts, &fallback, &text);
    reread(&mut facts);
    facts.boot.default_entry = Some(entry_path(RELEASE));
    let planned = plan(&facts, &without_trial(&gpu("01:00.0")));
    assert_eq!(planned.refusals, []);
    let notice = planned
        .notices
        .iter()
        .find(|n| n.id == "boot.fallback-words");
    assert!(notice.expect("a notice").text.contains("-fallback.conf"));
    let kept = planned.changes.iter().any(|change| match change {
        Change::Run { argv, outputs, .. } => {
            argv[0] == "kernel-install" && outputs.iter().any(|output| output.path == fallback)
        }
        _ => false,
    });
    assert!(kept, "{:#?}", planned.changes);
    assert!(!edits(&planned).contains(&fallback.as_str()));
    let alone = plan(&by_kernel_install(), &without_trial(&gpu("01:00.0")));
    assert!(!notices(&alone).contains(&"boot.fallback-words"));
}
