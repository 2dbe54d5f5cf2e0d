//! Huge pages on every boot stack: they stay when a second card is applied without a word about them,
//! and go when they are asked to.

use std::time::Duration;

use passthru_host::transaction::{self, Options, Silent};
use passthru_plan::{Intent, Plan, intent::Selector, plan};

use crate::{
    booted, facts, host_of, intent, reboot,
    tools::Tools,
    trees::{STACKS, Stack},
};

/// The second card.
const OTHER: &str = "02:00.0";
const PAGES: [&str; 2] = ["hugepagesz=2M", "hugepages=512"];

fn done(stack: &Stack, host: &crate::observe_builder::Host, intent: &Intent) -> Plan {
    let plan = plan(&facts(host), intent);
    assert_eq!(plan.refusals, [], "{}", stack.name);
    let tools = Tools {
        root: host.path().to_owned(),
    };
    let options = Options {
        deadline: Duration::from_secs(60),
        ..Options::default()
    };
    transaction::apply(&host.root(), &tools, &plan, &options, &mut Silent)
        .unwrap_or_else(|failure| panic!("{}: {failure:?}", stack.name));
    plan
}

fn has_pages(host: &crate::observe_builder::Host) -> bool {
    let line = booted(&facts(host)).expect("a command line");
    let found = PAGES.map(|page| line.split_whitespace().filter(|word| *word == page).count());
    assert!(found == [0, 0] || found == [1, 1], "{line}");
    found == [1, 1]
}

#[test]
fn they_stay_with_another_card_and_go_when_asked() {
    let mut tried = 0;
    for stack in &STACKS {
        let host = host_of(stack, true);
        host.file(
            "/proc/meminfo",
            "MemTotal: 33554432 kB\nMemAvailable: 30000000 kB\n",
        );
        let mut first = intent();
        first.hugepages_kib = Some(1 << 20);
        first.hugepage_size = passthru_plan::guest::hugepages::PageSize::Mib2;
        if !plan(&facts(&host), &intent()).refusals.is_empty() {
            continue;
        }
        tried += 1;
        let planned = done(stack, &host, &first);
        assert!(has_pages(&host), "{}", stack.name);
        reboot(&host, &facts(&host), &planned.words);

        let second = Intent {
            gpu: vec![Selector::at(OTHER.parse().unwrap())],
            ..intent()
        };
        if let [refusal] = &plan(&facts(&host), &second).refusals[..] {
            // It cannot change the list of cards.
            assert_eq!(refusal.id, "stack.kernelstub", "{}", stack.name);
            continue;
        }
        done(stack, &host, &second);
        assert!(has_pages(&host), "{}: they stay", stack.name);
        assert_eq!(plan(&facts(&host), &second).changes, [], "{}", stack.name);

        let third = Intent {
            no_hugepages: true,
            ..second
        };
        let planned = plan(&facts(&host), &third);
        if planned.notices.iter().any(|one| one.id == "hugepages.left") {
            // The stack keeps no record of whose these words are.
            assert!(planned.changes.is_empty(), "{}", stack.name);
            continue;
        }
        done(stack, &host, &third);
        assert!(!has_pages(&host), "{}: they go", stack.name);
    }
    assert!(tried > 5, "{tried}");
}
