//! Laws that hold for every host: random machines with cards, twins, bridges and odd drivers.

mod common;

use common::*;
use passthru_plan::{
    Facts, Intent, Measured,
    facts::{Candidate, Function, UseKind},
    intent::Selector,
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
}
