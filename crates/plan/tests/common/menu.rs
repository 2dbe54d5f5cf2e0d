//! Hosts whose boot entries are files, and what their tools make of a plan.

use passthru_plan::{
    Change, Expect, Facts, Intent, Measured, Plan,
    facts::*,
    intent::TrialBoot,
    plan::{keep, plan},
    text::{bls, kargs, systemd_boot},
    verify,
    verify::State,
};

use super::{RELEASE, applied, debian, gpu, text_file};

pub const ESP: &str = "/boot/efi";
pub const TOKEN: &str = "1ab00000000040008000000000000001";
pub const OLD: &str = "6.12.43+deb13-amd64";
pub const WITHOUT: &str = "/boot/efi/loader/entries/_-passthru-without.conf";
pub const TRIAL: &str = "/boot/efi/loader/entries/_-passthru-trial.conf";
pub const CMDLINE: &str = "/etc/kernel/cmdline";
pub const OPTIONS: &str =
    "root=UUID=1 ro quiet systemd.machine_id=1ab00000000040008000000000000001";

pub fn write(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), text_file(text, 0o644));
}

/// An entry as kernel-install of systemd 257 writes it.
pub fn entry_text(release: &str, options: &str) -> String {
    format!(
        "# Boot Loader Specification type#1 entry\n\
         # File created by /usr/lib/kernel/install.d/90-loaderentry.install (systemd 257.13-1~deb13u1)\n\
         title      Debian GNU/Linux 13 (trixie)\nversion    {release}\nmachine-id {TOKEN}\nsort-key   debian\n\
         options    {options}\nlinux      /{TOKEN}/{release}/linux\ninitrd     /{TOKEN}/{release}/initrd.img-{release}\n"
    )
}

pub fn entry_path(release: &str) -> String {
    format!("{ESP}/loader/entries/{TOKEN}-{release}.conf")
}

/// What observing would make of the entries' files.
pub fn reread(facts: &mut Facts) {
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
pub fn systemd_boot_host() -> Facts {
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
pub fn unified_host() -> Facts {
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
pub fn by_hand() -> Facts {
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
pub fn fedora() -> Facts {
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
pub fn done(facts: &Facts, plan: &Plan) -> Facts {
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
                    anew,
                    once,
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
                    anew,
                    once,
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

pub fn reread_entries(facts: &mut Facts) {
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
pub fn kernel_install(facts: &mut Facts, release: &str) {
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
pub fn started(facts: &Facts, plan: &Plan, path: &str) -> Facts {
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

pub fn commands(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Edit { path, .. } => format!("edit {path}"),
            Change::Copy { to, .. } => format!("copy {to}"),
            Change::Run { argv, .. } => argv.join(" "),
            other => panic!("no change of a host: {other:?}"),
        })
        .filter(|line| {
            !line.contains("/etc/systemd/")
                && !line.contains("initramfs-tools")
                && !line.contains("modprobe.d")
        })
        .collect()
}

pub fn without_trial(intent: &Intent) -> Intent {
    Intent {
        trial: TrialBoot::Never,
        ..intent.clone()
    }
}

/// From before to after with a trial between, on any stack that has one.
pub fn through_a_trial(facts: &Facts, trial_path: &str) -> (Plan, Facts, Plan, Facts) {
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

/// Arch: grub-mkconfig knows no drop-ins.
pub fn arch_grub() -> Facts {
    let mut facts = debian();
    facts.boot.grub_dropins = Measured::Value(false);
    facts
}

/// openSUSE before its loaders of today: other names, and a file of its own.
pub fn opensuse() -> Facts {
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
