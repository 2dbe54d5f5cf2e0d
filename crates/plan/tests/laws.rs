//! Laws that hold for every host: random machines with cards, twins, bridges and odd drivers.

mod common;

use std::collections::BTreeMap;

use common::*;
use passthru_plan::{
    Change, Facts, Intent, Measured,
    doctor::doctor,
    facts::{Candidate, ConfigFile, Function, UseKind},
    intent::{Selector, TrialBoot},
    plan, verify,
    verify::State,
};
use proptest::prelude::*;

/// One random function on bus 1 to 4.
fn any_function() -> impl Strategy<Value = Function> {
    let at = (1_u8..4, 0_u8..2, 0_u8..4);
    let class = prop::sample::select(
        &[
            0x03_0000, 0x03_0200, 0x04_0300, 0x0c_0330, 0x0c_0500, 0x06_0100, 0x06_0400, 0x02_0000,
        ][..],
    );
    let id = prop::sample::select(&["10de:1f08", "10de:10f9", "1002:67df", "8086:a36d"][..]);
    let board = prop::option::of(prop::sample::select(&["1043:86f0", "1458:3fc7"][..]));
    let driver = prop::option::of(prop::sample::select(
        &[
            "nouveau",
            "amdgpu",
            "snd_hda_intel",
            "xhci_hcd",
            "pcieport",
            "vfio-pci",
        ][..],
    ));
    (
        at,
        class,
        id,
        board,
        driver,
        prop::option::of(0_u32..40),
        any::<bool>(),
        prop::option::of(1_u8..4),
    )
        .prop_map(
            |((bus, device, number), class, id, board, driver, group, builtin, parent)| {
                let mut f = function(
                    &format!("0000:{bus:02x}:{device:02x}.{number}"),
                    class,
                    id,
                    driver,
                    group,
                );
                f.subsystem = board.map(ids);
                f.candidates = driver
                    .filter(|driver| *driver != "vfio-pci")
                    .map(|driver| Candidate {
                        module: driver.into(),
                        builtin,
                    })
                    .into_iter()
                    .collect();
                f.parent = parent.map(|bus| address(&format!("0000:{bus:02x}:00.0")));
                f
            },
        )
}

fn any_host() -> impl Strategy<Value = Facts> {
    let uses = prop::collection::vec(
        (
            1_u8..4,
            prop::sample::select(&[UseKind::Mount, UseKind::Keyboard][..]),
        ),
        0..2,
    );
    (
        prop::collection::vec(any_function(), 0..10),
        any::<bool>(),
        any::<Option<bool>>(),
        uses,
    )
        .prop_map(|(functions, iommu, remapping, uses)| {
            let mut facts = debian();
            facts.functions.extend(functions);
            facts.functions.sort_by_key(|f| f.address);
            facts.functions.dedup_by_key(|f| f.address);
            regroup(&mut facts);
            for (bus, kind) in uses {
                let at = address(&format!("0000:{bus:02x}:00.0"));
                facts.uses.push(passthru_plan::facts::Use {
                    address: at,
                    kind,
                    detail: "something".into(),
                });
            }
            if let Some(remapping) = remapping {
                facts.iommu.interrupt_remapping = Measured::Value(remapping);
            }
            if iommu { facts } else { without_iommu(facts) }
        })
}

fn any_intent() -> impl Strategy<Value = Intent> {
    let at = (1_u8..4, 0_u8..2, 0_u8..4).prop_map(|(bus, device, function)| {
        Selector::at(address(&format!("0000:{bus:02x}:{device:02x}.{function}")))
    });
    (
        prop::collection::vec(at.clone(), 0..3),
        prop::collection::vec(at, 0..2),
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(gpu, with, [headless, unsafe_interrupts, iommu_only])| Intent {
                gpu,
                with,
                headless,
                allow_unsafe_interrupts: unsafe_interrupts,
                iommu_only,
                ..Intent::default()
            },
        )
}

/// Lines and words that guides leave, and some that are nobody's mistake.
fn spoiled() -> impl Strategy<Value = Facts> {
    let line = prop::sample::select(
        &[
            "options vfio-pci ids=10de:1f08 10de:10f9",
            "options vfio-pci ids=1002:67df,8086:a36d",
            "options vfio_pci ids=10de:1f08 disable_vga=1",
            "options pci-stub ids=10de:1f08",
            "blacklist nouveau",
            "blacklist amdgpu",
            "blacklist snd_hda_intel",
            "blacklist xhci_hcd",
            "install xhci_pci /bin/false",
            "softdep nouveau pre: vfio-pci",
            "# a comment",
            "",
        ][..],
    );
    let module = prop::sample::select(
        &[
            "vfio_virqfd",
            "options vfio-pci ids=10de:1f08",
            "vfio_pci ids=10de:1f08 10de:10f9",
            "ext4",
            "# vfio_virqfd",
        ][..],
    );
    let word = prop::sample::select(
        &[
            "video=efifb:off",
            "video=efifb:off,HDMI-A-1:1024x768",
            "amd_iommu=on",
            "iommu=1",
            "iommu=pt",
            "rd.driver.pre=vfio-pci",
            "pci-stub.ids=10de:1f08",
            "vfio-pci.ids=10de:1f08",
            "vfio-pci.ids=1002:67df,10de:10f9",
            "module_blacklist=nouveau,floppy",
            "modprobe.blacklist=xhci_pci",
            "mitigations=off",
        ][..],
    );
    let lines = |line| prop::collection::vec(line, 0..4);
    (
        any_host(),
        lines(line.clone()),
        lines(line),
        lines(module),
        lines(word),
        any::<bool>(),
    )
        .prop_map(|(mut facts, one, two, modules, words, drop_ins)| {
            let mut put = |path: &str, lines: &[&str]| {
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                facts.files.insert(path.into(), text_file(&text, 0o644));
            };
            put("/etc/modprobe.d/a.conf", &one);
            put("/etc/modprobe.d/b.conf", &two);
            put("/etc/initramfs-tools/modules", &modules);
            let words = words.join(" ");
            let text = GRUB_DEFAULTS.replace("\"quiet", &format!("\"quiet {words}"));
            facts
                .files
                .insert("/etc/default/grub".into(), text_file(&text, 0o644));
            facts.boot.grub_dropins = Measured::Value(drop_ins);
            booted(facts)
        })
}

/// The host with what GRUB's defaults say on its kernel command line.
fn booted(mut facts: Facts) -> Facts {
    let texts = ["/etc/default/grub", "/etc/default/grub.d/zz-passthru.cfg"];
    let texts = texts.iter().filter_map(|path| facts.text(path));
    let mut values = passthru_plan::text::shell::evaluate(texts);
    let normal = values.remove("GRUB_CMDLINE_LINUX_DEFAULT").flatten();
    facts.kernel.cmdline =
        Measured::Value(format!("root=UUID=1 ro {}", normal.unwrap_or_default()));
    facts
}

proptest! {
    // Most random wishes are refused, and rightly so.
    #![proptest_config(ProptestConfig { max_global_rejects: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_question_has_the_same_answer(facts in any_host(), intent in any_intent()) {
        prop_assert_eq!(plan(&facts, &intent), plan(&facts, &intent));
        prop_assert_eq!(verify(&facts, &intent), verify(&facts, &intent));
    }

    #[test]
    fn a_refused_plan_changes_nothing_and_every_refusal_has_a_way_out(facts in any_host(), intent in any_intent()) {
        let plan = plan(&facts, &intent);
        prop_assert!(plan.refusals.is_empty() || (plan.changes.is_empty() && !plan.reboot));
        for refusal in &plan.refusals {
            prop_assert!(!refusal.why.is_empty() && !refusal.way_out.is_empty(), "{refusal:?}");
        }
    }

    #[test]
    fn planning_after_applying_asks_for_nothing(facts in any_host(), intent in any_intent()) {
        let first = plan(&facts, &intent);
        prop_assume!(first.refusals.is_empty());
        let configured = applied(&facts, &first);
        let second = plan(&configured, &first.intent);
        prop_assert_eq!(&second.changes, &[]);
        prop_assert_eq!(&second.words, &first.words);
        let state = verify(&configured, &first.intent).state;
        prop_assert!(matches!(state, State::RebootNeeded | State::Done), "{:?}", state);
    }

    #[test]
    fn a_bound_card_is_never_one_the_host_mounts(facts in any_host(), intent in any_intent()) {
        for bound in plan(&facts, &intent).bindings.iter().filter(|_| !plan(&facts, &intent).changes.is_empty()) {
            prop_assert!(facts.uses_of(bound.function.address).all(|u| u.kind != UseKind::Mount));
        }
    }

    /// What the ids word takes is what was planned, and nothing else on the host.
    #[test]
    fn ids_take_only_what_was_planned(facts in any_host(), intent in any_intent()) {
        let plan = plan(&facts, &intent);
        prop_assume!(plan.refusals.is_empty());
        let planned: Vec<_> = plan.bindings.iter().map(|b| b.function.address).collect();
        for word in plan.words.iter().filter_map(|w| w.strip_prefix("vfio-pci.ids=")) {
            for entry in passthru_plan::text::ids::List::parse(word).entries {
                for f in facts.functions.iter().filter(|f| entry.matches(f.ids, f.subsystem, f.class)) {
                    prop_assert!(planned.contains(&f.address), "{} is taken by {entry}", f.address);
                }
            }
        }
    }

    #[test]
    fn repairs_are_done_once_and_come_back(facts in spoiled(), intent in any_intent(), alone in any::<bool>()) {
        let wanted = if alone { Intent::default() } else { intent };
        let wanted = Intent { repair: true, trial: TrialBoot::Never, ..wanted };
        let first = plan(&facts, &wanted);
        prop_assume!(first.refusals.is_empty());
        let configured = applied(&facts, &first);
        let second = plan(&configured, &first.intent);
        prop_assert_eq!(&second.refusals, &[]);
        prop_assert_eq!(&second.changes, &[]);
        prop_assert_eq!(&second.words, &first.words);
        let judged = verify(&configured, &first.intent);
        prop_assert!(judged.state != State::Drifted, "{:?} {:?} {:?}", judged.drift, first.words, facts.kernel.cmdline);
        // Backwards, as undo goes, everything is as it was.
        let mut files = configured.files;
        for change in first.changes.iter().rev() {
            if let Change::Edit { path, before, after, .. } = change {
                let now = files.get(path).and_then(|file| file.text.value());
                prop_assert_eq!(now, after.as_ref());
                match before {
                    Some(text) => files.insert(path.clone(), text_file(text, 0o644)),
                    None => files.remove(path),
                };
            }
        }
        let texts = |files: &BTreeMap<String, ConfigFile>| -> Vec<(String, Option<String>)> {
            files
                .iter()
                .filter(|(path, _)| path.starts_with("/etc/"))
                .map(|(path, file)| (path.clone(), file.text.value().cloned()))
                .collect()
        };
        prop_assert_eq!(texts(&files), texts(&facts.files));
    }

    /// Where doctor says that the repair does it, the repair does.
    #[test]
    fn doctor_promises_what_is_kept(facts in spoiled()) {
        let wanted = Intent { repair: true, trial: TrialBoot::Never, ..Intent::default() };
        let plan = plan(&facts, &wanted);
        let repaired = booted(applied(&facts, &plan));
        let left: Vec<String> = doctor(&repaired).into_iter().map(|finding| finding.id).collect();
        for finding in doctor(&facts) {
            let remedy = finding.remedy.unwrap_or_default();
            if remedy.ends_with("Or have it done: sudo passthru apply --repair.") {
                prop_assert_eq!(&plan.refusals, &[]);
                prop_assert!(!left.contains(&finding.id), "{} is still there", finding.id);
            }
        }
    }
}
