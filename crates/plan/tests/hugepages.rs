//! Memory that is set aside at boot: words, refusals, and what came of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use passthru_plan::{
    Facts, Intent, Measured,
    facts::{HugepagePool, Node},
    intent::TrialBoot,
    plan, verify,
    verify::State,
};

const GIB: u64 = 1 << 20;

fn intent(kib: u64) -> Intent {
    Intent {
        hugepages_kib: Some(kib),
        trial: TrialBoot::Never,
        ..gpu("01:00.0")
    }
}

fn host() -> Facts {
    let mut facts = debian();
    facts.machine.memory.total_kib = Some(64 * GIB);
    facts.machine.cpu.gigabyte_pages = Measured::Value(true);
    facts
}

fn node(id: u32, pages: u64) -> Node {
    Node {
        id,
        cpus: Default::default(),
        total_kib: Measured::Value(32 * GIB),
        free_kib: Measured::Value(32 * GIB),
        hugepages: vec![HugepagePool {
            page_kib: GIB,
            total: pages,
            free: pages,
        }],
    }
}

fn words(facts: &Facts, kib: u64) -> Vec<String> {
    let plan = plan(facts, &intent(kib));
    assert_eq!(plan.refusals, [], "{kib}");
    assert!(plan.notices.iter().any(|n| n.id == "hugepages.taken"));
    plan.words
}

fn refused(facts: &Facts, kib: u64) -> String {
    let plan = plan(facts, &intent(kib));
    assert_eq!(plan.changes, []);
    plan.refusals[0].id.clone()
}

#[test]
fn pages_are_as_large_as_the_memory_and_the_processor_allow() {
    let mut facts = host();
    let pair = |words: Vec<String>| -> String {
        let at = words
            .iter()
            .position(|word| word.starts_with("hugepagesz"))
            .unwrap();
        words[at..at + 2].join(" ")
    };
    assert_eq!(pair(words(&facts, 16 * GIB)), "hugepagesz=1G hugepages=16");
    assert_eq!(
        pair(words(&facts, 16 * GIB + 2048)),
        "hugepagesz=2M hugepages=8193"
    );
    facts.machine.cpu.gigabyte_pages = Measured::Value(false);
    assert_eq!(pair(words(&facts, GIB)), "hugepagesz=2M hugepages=512");
    // On the card's node.
    let mut facts = host();
    facts.topology.nodes = vec![node(0, 0), node(1, 0)];
    for function in &mut facts.functions {
        function.numa_node = Some(1);
    }
    assert_eq!(
        pair(words(&facts, 16 * GIB)),
        "hugepagesz=1G hugepages=1:16"
    );
}

#[test]
fn what_cannot_be_set_aside_is_refused() {
    assert_eq!(refused(&host(), 16 * GIB + 1), "guest.memory.odd");
    assert_eq!(refused(&host(), 63 * GIB), "guest.memory.too-much");
    let mut facts = host();
    let line = facts.kernel.cmdline.value().unwrap().clone();
    facts.kernel.cmdline = Measured::Value(format!("{line} hugepages=4"));
    assert_eq!(refused(&facts, 16 * GIB), "hugepages.other");
}

#[test]
fn it_stays_as_planned_and_says_if_the_kernel_found_less() {
    let before = host();
    let intent = intent(16 * GIB);
    let first = plan(&before, &intent);
    let mut facts = rebooted(&applied(&before, &first), &first);
    assert_eq!(plan(&facts, &intent).changes, []);
    facts.topology.nodes = vec![node(0, 16)];
    let verification = verify(&facts, &intent);
    assert_eq!(verification.state, State::Done, "{:?}", verification.drift);
    facts.topology.nodes = vec![node(0, 11)];
    let verification = verify(&facts, &intent);
    assert_eq!(verification.state, State::Drifted);
    assert!(
        verification.drift[0].contains("11"),
        "{:?}",
        verification.drift
    );
}

fn pages(words: &[String]) -> Vec<&str> {
    let about = |word: &&str| word.starts_with("hugepages");
    words.iter().map(String::as_str).filter(about).collect()
}

#[test]
fn other_memory_replaces_what_an_earlier_change_set_aside() {
    let before = host();
    let first = plan(&before, &intent(16 * GIB));
    let applied_first = applied(&before, &first);
    let facts = rebooted(&applied_first, &first);
    let second = plan(&facts, &intent(8 * GIB));
    assert_eq!(second.refusals, []);
    assert_eq!(pages(&second.words), ["hugepagesz=1G", "hugepages=8"]);
    // The running boot still has the old words.
    let waiting = applied(&facts, &second);
    assert_eq!(plan(&waiting, &second.intent).changes, []);
    assert_eq!(plan(&waiting, &second.intent).refusals, []);
    // A word that stands somewhere else is somebody's.
    let mut facts = facts;
    let line = facts.kernel.cmdline.value().unwrap().clone();
    facts.kernel.cmdline = Measured::Value(format!("hugepages=4 {line}"));
    assert_eq!(refused(&facts, 8 * GIB), "hugepages.other");
}

#[test]
fn they_go_when_asked() {
    let before = host();
    let first = plan(&before, &intent(16 * GIB));
    let facts = rebooted(&applied(&before, &first), &first);
    let off = Intent {
        no_hugepages: true,
        trial: TrialBoot::Never,
        ..gpu("01:00.0")
    };
    let second = plan(&facts, &off);
    assert_eq!((second.refusals.len(), pages(&second.words).len()), (0, 0));
    let waiting = applied(&facts, &second);
    assert_eq!(plan(&waiting, &off).changes, []);
    let both = Intent {
        hugepages_kib: Some(GIB),
        ..off
    };
    assert_eq!(plan(&waiting, &both).refusals[0].id, "hugepages.both");
}
