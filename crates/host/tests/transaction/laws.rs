//! Laws over generated hosts and plans.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use passthru_plan::Change;
use proptest::prelude::*;

use crate::world::*;

/// A few files in a few directories.
const PATHS: [&str; 6] = [
    "/etc/a",
    "/etc/b.d/one",
    "/etc/b.d/two",
    "/etc/b.d/deep/down/three",
    "/usr/x",
    "/usr/y/z",
];

#[derive(Debug, Clone)]
struct Case {
    /// Text and mode of the files that exist.
    files: BTreeMap<usize, (String, u32)>,
    /// New texts, in order; `None` removes.
    edits: Vec<(usize, Option<String>)>,
    /// Commands are run in between.
    commands: bool,
}

fn text() -> impl Strategy<Value = String> {
    "([a-c]{0,3}\n){0,5}[a-c]{0,2}"
}

fn case() -> impl Strategy<Value = Case> {
    let mode = prop_oneof![Just(0o644), Just(0o600), Just(0o755), Just(0o440)];
    (
        proptest::collection::btree_map(0..PATHS.len(), (text(), mode), 0..PATHS.len()),
        proptest::collection::vec((0..PATHS.len(), proptest::option::of(text())), 1..8),
        any::<bool>(),
    )
        .prop_map(|(files, edits, commands)| Case {
            files,
            edits,
            commands,
        })
}

impl Case {
    fn world(&self) -> World {
        let world = World::new();
        for (index, (text, mode)) in &self.files {
            world.write(PATHS[*index], text);
            let mode = fs::Permissions::from_mode(*mode);
            fs::set_permissions(world.real(PATHS[*index]), mode).unwrap();
        }
        world
    }

    /// The edits as steps that fit together, and what the files will hold.
    fn plan(&self) -> (passthru_plan::Plan, BTreeMap<usize, Option<String>>) {
        let mut now: BTreeMap<usize, Option<String>> = self
            .files
            .iter()
            .map(|(index, (text, _))| (*index, Some(text.clone())))
            .collect();
        let mut changes: Vec<Change> = Vec::new();
        for (index, after) in &self.edits {
            let before = now.insert(*index, after.clone()).flatten();
            changes.push(edit(PATHS[*index], before.as_deref(), after.as_deref()));
        }
        if self.commands {
            changes.push(edit(GRUB, Some(GRUB_TEXT), Some(GRUB_AFTER)));
            let at = changes.len() / 2;
            changes.insert(at, without_checks(initramfs()));
            changes.push(grub());
        }
        (of(changes), now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn apply_does_what_the_plan_says_and_undo_takes_it_back(case in case()) {
        let world = case.world();
        let before = world.tree();
        let (plan, expected) = case.plan();
        world.apply(&plan).unwrap();
        for (index, text) in expected {
            match text {
                Some(text) => prop_assert_eq!(world.read(PATHS[index]), text),
                None => prop_assert!(!world.exists(PATHS[index])),
            }
        }
        let undone = world.undo(None).unwrap();
        prop_assert_eq!(undone.notes, Vec::<String>::new());
        world.tree().assert_is(&before, "undone");
    }

    #[test]
    fn a_crash_at_any_point_recovers(case in case(), at in any::<prop::sample::Index>()) {
        let world = case.world();
        let before = world.tree();
        let (plan, _) = case.plan();
        let counting = options("*=count");
        passthru_host::transaction::apply(
            &world.root,
            &world.tools,
            &plan,
            &counting,
            &mut passthru_host::transaction::Silent,
        )
        .unwrap();
        world.undo(None).unwrap();
        world.tree().assert_is(&before, "undone");
        let k = at.index(usize::try_from(counting.failpoints.passed()).unwrap()) + 1;
        // Shorter plans journals differ by a point or two: a run that comes through is fine too.
        let _ = world.apply_with(&plan, &format!("*=stop@{k}"));
        world.recover().unwrap();
        if world.states().last() == Some(&passthru_host::transaction::State::Applied) {
            world.undo(None).unwrap();
        }
        world.tree().assert_is(&before, "recovered");
    }

    #[test]
    fn a_journal_of_any_bytes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..2000) {
        let world = World::new();
        world.apply(&of(vec![edit("/etc/x", None, Some("x"))])).unwrap();
        let after = world.tree();
        let journal = world.real("/var/lib/passthru/transactions/1/journal");
        let mut text = fs::read(&journal).unwrap();
        text.truncate(cut);
        text.extend(&bytes);
        fs::write(&journal, &text).unwrap();
        // Looking changes nothing, whatever it finds.
        let _ = passthru_host::transaction::history(&world.root);
        world.tree().assert_is(&after, "looked at");
        prop_assert_eq!(fs::read(&journal).unwrap(), text);
        // And whatever is done about it, it is not a panic.
        let _ = world.recover();
        let _ = world.undo(None);
    }
}
