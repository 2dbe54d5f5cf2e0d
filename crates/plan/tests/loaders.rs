//! Who carries the words to the kernel command line: every boot stack, from before to after, and back.

mod common;

use common::*;
use passthru_plan::{
    Change, Expect, Facts, Intent, Measured, Plan,
    facts::*,
    intent::TrialBoot,
    plan::{keep, plan},
    text::{bls, kargs, systemd_boot},
    verify,
    verify::State,
};

const ESP: &str = "/boot/efi";
const TOKEN: &str = "1ab00000000040008000000000000001";
const OLD: &str = "6.12.43+deb13-amd64";
const WITHOUT: &str = "/boot/efi/loader/entries/_-passthru-without.conf";
const TRIAL: &str = "/boot/efi/loader/entries/_-passthru-trial.conf";
const CMDLINE: &str = "/etc/kernel/cmdline";
const OPTIONS: &str = "root=UUID=1 ro quiet systemd.machine_id=1ab00000000040008000000000000001";

fn write(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), text_file(text, 0o644));
}

/// An entry as kernel-install of systemd 257 writes it.
fn entry_text(release: &str, options: &str) -> String {
    format!(
        "# Boot Loader Specification type#1 entry\n\
         # File created by /usr/lib/kernel/install.d/90-loaderentry.install (systemd 257.13-1~deb13u1)\n\
         title      Debian GNU/Linux 13 (trixie)\nversion    {release}\nmachine-id {TOKEN}\nsort-key   debian\n\
         options    {options}\nlinux      /{TOKEN}/{release}/linux\ninitrd     /{TOKEN}/{release}/initrd.img-{release}\n"
    )
}

fn entry_path(release: &str) -> String {
    format!("{ESP}/loader/entries/{TOKEN}-{release}.conf")
}

/// What observing would make of the entries' files.
fn reread(facts: &mut Facts) {
    let mut entries: Vec<BootEntry> = facts
        .boot
        .entries
        .iter()
        .filter(|e| e.unified)
        .cloned()
        .collect();
    for (path, file) in &facts.files {
        let Some((place, name)) = path.split_once("/loader/entries/") else {
            continue;
        };
        let text = file.text.value().expect("a text");
        let value = |key| bls::value(text, key).map(String::from);
        let real = |value: &str| format!("{place}{value}");
        entries.push(BootEntry {
            path: path.clone(),
            id: systemd_boot::without_counter(name).0,
            unified: false,
            title: value("title"),
            version: value("version"),
            sort_key: value("sort-key"),
            machine_id: value("machine-id"),
            linux: bls::value(text, "linux").map(real),
            initrds: bls::values(text, "initrd").map(real).collect(),
            options: Measured::Value(bls::options(text)),
        });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let order: Vec<systemd_boot::Entry<'_>> = entries
        .iter()
        .map(|entry| systemd_boot::Entry {
            id: &entry.id,
            sort_key: entry.sort_key.as_deref(),
            machine_id: entry.machine_id.as_deref(),
            version: entry.version.as_deref(),
            exhausted: false,
        })
        .collect();
    let first = systemd_boot::default_entry(&order, systemd_boot::Choice::default());
    facts.boot.default_entry = first.map(|number| entries[number].path.clone());
    facts.boot.entries = entries;
}

/// Debian 13 with systemd-boot, two kernels, as the lab's host has it.
fn systemd_boot_host() -> Facts {
    let mut facts = debian();
    facts.files.remove("/etc/default/grub");
    facts.files.remove("/boot/grub/grub.cfg");
    let mut older = facts.kernel.installed[0].clone();
    older.release = OLD.into();
    older.image.as_mut().expect("an image").path = format!("/boot/initrd.img-{OLD}");
    facts.kernel.installed.insert(0, older);
    for release in [OLD, RELEASE] {
        write(
            &mut facts,
            &entry_path(release),
            &entry_text(release, OPTIONS),
        );
        let image = format!("/boot/vmlinuz-{release}");
        facts.boot.kernel_images.insert(release.into(), image);
    }
    write(&mut facts, "/boot/efi/loader/loader.conf", "timeout 3\n");
    facts.kernel.cmdline = Measured::Value(format!("initrd=\\x\\initrd.img {OPTIONS}"));
    facts.program = Measured::Value("/usr/local/bin/passthru".into());
    let boot = &mut facts.boot;
    boot.loader = Measured::Value(BootLoader::SystemdBootKernelInstall);
    boot.loader_info = Some("systemd-boot 257.13-1~deb13u1".into());
    boot.post_update_hooks = vec!["systemd-boot".into()];
    boot.one_shot = Measured::Value(None);
    boot.secure_boot = Measured::Value(false);
    boot.partition = Some(BootPartition {
        path: ESP.into(),
        file_system: "vfat".into(),
        read_only: false,
        free: Measured::Value(900 << 20),
    });
    reread(&mut facts);
    facts
}

/// The same with unified images by kernel-install and ukify, made from dracut's initramfs.
fn unified_host() -> Facts {
    let mut facts = systemd_boot_host();
    facts
        .files
        .retain(|path, _| !path.contains("/loader/entries/"));
    write(
        &mut facts,
        "/etc/kernel/install.conf",
        "layout=uki\nuki_generator=ukify\n",
    );
    write(&mut facts, CMDLINE, "root=UUID=1 ro quiet\n");
    facts.boot.loader = Measured::Value(BootLoader::UnifiedKernelImage);
    facts.boot.unified_kernel_image = true;
    facts.boot.post_update_hooks.clear();
    facts.boot.entries = [OLD, RELEASE]
        .map(|release| BootEntry {
            path: format!("{ESP}/EFI/Linux/{TOKEN}-{release}.efi"),
            id: format!("{TOKEN}-{release}.efi"),
            unified: true,
            title: Some("Debian GNU/Linux 13 (trixie)".into()),
            version: Some(release.into()),
            sort_key: Some("debian".into()),
            options: Measured::Value("root=UUID=1 ro quiet".into()),
            ..BootEntry::default()
        })
        .to_vec();
    reread(&mut facts);
    facts
}

/// Arch with entries written by hand and a fallback image.
fn by_hand() -> Facts {
    let mut facts = systemd_boot_host();
    facts
        .files
        .retain(|path, _| !path.contains("/loader/entries/"));
    facts.boot.loader = Measured::Value(BootLoader::SystemdBoot);
    facts.boot.post_update_hooks.clear();
    let entry = |title: &str, image: &str| {
        format!(
            "title\t{title}\nlinux\t/vmlinuz-linux\ninitrd\t/intel-ucode.img\ninitrd\t/{image}\noptions\troot=UUID=1  rw\n"
        )
    };
    write(
        &mut facts,
        "/boot/efi/loader/entries/arch.conf",
        &entry("Arch Linux", "initramfs-linux.img"),
    );
    write(
        &mut facts,
        "/boot/efi/loader/entries/arch-fallback.conf",
        &entry(
            "Arch Linux (fallback initramfs)",
            "initramfs-linux-fallback.img",
        ),
    );
    write(
        &mut facts,
        "/boot/efi/loader/entries/windows.conf",
        "title Windows\nefi /EFI/Microsoft/Boot/bootmgfw.efi\n",
    );
    write(
        &mut facts,
        "/boot/efi/loader/loader.conf",
        "default arch.conf\ntimeout 3\n",
    );
    reread(&mut facts);
    facts.boot.default_entry = Some("/boot/efi/loader/entries/arch.conf".into());
    facts
}

/// Fedora: GRUB with entries that are files.
fn fedora() -> Facts {
    let mut facts = systemd_boot_host();
    facts.files.retain(|path, _| !path.contains("/loader/"));
    facts.boot.loader = Measured::Value(BootLoader::GrubBls);
    facts.boot.loader_info = None;
    facts.boot.grubenv_read_only = Measured::Value(None);
    facts.boot.post_update_hooks.clear();
    for (id, title) in [
        (RELEASE, "Fedora Linux 43"),
        ("0-rescue-1ab0", "Fedora Linux (0-rescue)"),
    ] {
        write(
            &mut facts,
            &format!("/boot/loader/entries/{TOKEN}-{id}.conf"),
            &format!(
                "title {title}\nversion {id}\nlinux /vmlinuz-{id}\ninitrd /initramfs-{id}.img $tuned_initrd\noptions root=UUID=1 ro rhgb quiet $tuned_params\ngrub_users $grub_users\n"
            ),
        );
    }
    write(&mut facts, CMDLINE, "root=UUID=1 ro rhgb quiet\n");
    reread(&mut facts);
    facts.boot.default_entry = Some(format!("/boot/loader/entries/{TOKEN}-{RELEASE}.conf"));
    facts
}

/// What the host looks like once `plan` was applied.
fn done(facts: &Facts, plan: &Plan) -> Facts {
    let mut facts = facts.clone();
    for change in &plan.changes {
        let only = Plan {
            changes: vec![change.clone()],
            ..plan.clone()
        };
        let Change::Run { argv, expect, .. } = change else {
            facts = applied(&facts, &only);
            reread_entries(&mut facts);
            continue;
        };
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        match argv[..] {
            ["bootctl", "set-oneshot", name] | ["grub2-reboot", name] => {
                facts.boot.one_shot = Measured::Value((!name.is_empty()).then(|| name.into()));
            }
            ["grub2-editenv", _, "unset", "next_entry"] => {
                facts.boot.one_shot = Measured::Value(None);
            }
            ["update-initramfs", ..] => {
                let images: Vec<Expect> = expect
                    .iter()
                    .filter(|expect| matches!(expect, Expect::Image { path, .. } if !path.starts_with(ESP)))
                    .cloned()
                    .collect();
                let Change::Run {
                    outputs,
                    family,
                    undo,
                    why,
                    ..
                } = change.clone()
                else {
                    unreachable!()
                };
                let change = Change::Run {
                    argv: vec!["update-initramfs".into()],
                    undo,
                    outputs,
                    family,
                    expect: images,
                    why,
                };
                facts = applied(
                    &facts,
                    &Plan {
                        changes: vec![change],
                        ..plan.clone()
                    },
                );
                if !facts.boot.post_update_hooks.is_empty() {
                    for release in [OLD, RELEASE] {
                        kernel_install(&mut facts, release);
                    }
                }
            }
            ["kernel-install", "add", release, image, initrd] => {
                assert_eq!(initrd, format!("/boot/initrd.img-{release}"));
                assert_eq!(image, format!("/boot/vmlinuz-{release}"));
                kernel_install(&mut facts, release);
            }
            _ => panic!("no stand-in for {argv:?}"),
        }
        for expected in expect {
            if let Expect::EntryWords {
                path,
                words,
                absent,
            } = expected
            {
                let entry = facts
                    .boot
                    .entries
                    .iter()
                    .find(|e| e.path == *path)
                    .expect("the entry");
                let options = entry.options.value().expect("a command line");
                assert_eq!(bls::mistakes(options, words, absent), Vec::<String>::new());
            }
        }
    }
    facts
}

fn reread_entries(facts: &mut Facts) {
    let chosen = facts.boot.default_entry.clone();
    reread(facts);
    if chosen
        .as_ref()
        .is_some_and(|path| facts.boot.entries.iter().any(|e| e.path == *path))
    {
        let by_place = facts.boot.default_entry.clone().unwrap_or_default();
        assert!(
            !by_place.contains("passthru"),
            "an entry of ours would start by default"
        );
        facts.boot.default_entry = chosen;
    }
}

/// What kernel-install writes: words of /etc/kernel/cmdline, or of the running boot.
fn kernel_install(facts: &mut Facts, release: &str) {
    let running = facts
        .kernel
        .cmdline
        .value()
        .expect("a command line")
        .clone();
    let mut options = facts.text(CMDLINE).map_or_else(
        || {
            running
                .split(' ')
                .filter(|word| !word.starts_with("initrd="))
                .collect::<Vec<_>>()
                .join(" ")
        },
        |text| text.split_whitespace().collect::<Vec<_>>().join(" "),
    );
    let unified = facts
        .boot
        .entries
        .iter_mut()
        .find(|e| e.unified && e.version.as_deref() == Some(release));
    if let Some(entry) = unified {
        entry.options = Measured::Value(options);
        return;
    }
    if !options.contains("systemd.machine_id=") {
        options = format!("{options} systemd.machine_id={TOKEN}");
    }
    let chosen = facts.boot.default_entry.clone();
    write(facts, &entry_path(release), &entry_text(release, &options));
    reread(facts);
    facts.boot.default_entry = chosen;
}

/// The host after it was started with the entry `id`.
fn started(facts: &Facts, plan: &Plan, path: &str) -> Facts {
    let mut facts = facts.clone();
    let entry = facts
        .boot
        .entries
        .iter()
        .find(|e| e.path == path)
        .expect("the entry");
    let options = entry.options.value().expect("a command line").clone();
    facts.kernel.cmdline = Measured::Value(format!("initrd=\\x\\initrd.img {options}"));
    facts.boot.one_shot = Measured::Value(None);
    facts.kernel.loaded = Measured::Value(vec!["i915".into(), "vfio_pci".into()]);
    let bound: Vec<_> = plan.bindings.iter().map(|b| b.function.address).collect();
    for f in facts
        .functions
        .iter_mut()
        .filter(|f| bound.contains(&f.address))
    {
        f.driver = Some("vfio-pci".into());
        f.driver_module = Some("vfio_pci".into());
    }
    facts
        .display
        .cards
        .retain(|card| card.function.is_none_or(|f| !bound.contains(&f)));
    facts
}

fn commands(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Edit { path, .. } => format!("edit {path}"),
            Change::Copy { to, .. } => format!("copy {to}"),
            Change::Run { argv, .. } => argv.join(" "),
        })
        .filter(|line| {
            !line.contains("/etc/systemd/")
                && !line.contains("initramfs-tools")
                && !line.contains("modprobe.d")
        })
        .collect()
}

fn without_trial(intent: &Intent) -> Intent {
    Intent {
        trial: TrialBoot::Never,
        ..intent.clone()
    }
}

/// From before to after with a trial between, on any stack that has one.
fn through_a_trial(facts: &Facts, trial_path: &str) -> (Plan, Facts, Plan, Facts) {
    let first = plan(facts, &gpu("01:00.0"));
    assert_eq!(first.refusals, []);
    let trial = first.trial.as_ref().expect("a trial");
    assert!(trial.entry.ends_with("(trial)"), "{}", trial.entry);
    let applied = done(facts, &first);
    assert_eq!(
        plan(&applied, &first.intent).changes,
        [],
        "planned twice is planned once"
    );
    for entry in applied.boot.entries.iter().filter(|e| e.path != trial_path) {
        let options = entry.options.value().expect("a command line");
        assert!(!options.contains("passthru."), "{}: {options}", entry.path);
    }
    let tried = started(&applied, &first, trial_path);
    assert!(kargs::has_word(
        tried.kernel.cmdline.value().expect("read"),
        "passthru.trial=1"
    ));
    assert_eq!(plan(&tried, &first.intent).changes, []);
    let second = keep(&tried, &first, 1);
    assert_eq!(second.refusals, []);
    let kept = done(&tried, &second);
    assert!(!kept.files.contains_key(trial_path));
    let third = plan(&kept, &first.intent);
    assert_eq!(third.changes, []);
    assert_eq!(third.words, first.words);
    let running = started(
        &kept,
        &first,
        kept.boot.default_entry.as_deref().expect("a default"),
    );
    assert_eq!(verify(&running, &first.intent).drift, Vec::<String>::new());
    assert_eq!(verify(&running, &first.intent).state, State::Done);
    (first, applied, second, kept)
}

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

/// Arch: grub-mkconfig knows no drop-ins.
fn arch_grub() -> Facts {
    let mut facts = debian();
    facts.boot.grub_dropins = Measured::Value(false);
    facts
}

/// openSUSE before its loaders of today: other names, and a file of its own.
fn opensuse() -> Facts {
    let mut facts = arch_grub();
    facts.boot.loader = Measured::Value(BootLoader::Grub2);
    facts.boot.grubenv_read_only = Measured::Value(None);
    facts.boot.one_shot = Measured::Value(None);
    facts.program = Measured::Value("/usr/local/bin/passthru".into());
    let menu = facts.files.remove("/boot/grub/grub.cfg").expect("a menu");
    let text = format!(
        "{}source ${{config_directory}}/custom.cfg\n",
        menu.text.value().expect("a text")
    );
    write(&mut facts, "/boot/grub2/grub.cfg", &text);
    facts
}

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
