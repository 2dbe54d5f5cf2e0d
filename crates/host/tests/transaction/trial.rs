//! A trial boot is two transactions that go together; copies, and what is in no file.

use passthru_host::transaction::{self, Failure, Silent, State, TrialState};
use passthru_plan::{Change, Plan, facts::Health, plan::Trial};

use crate::world::*;

const COPY: &str = "/boot/passthru/1/vmlinuz-1";

/// A copy of a kernel, new images, and an entry that is started once.
fn tried() -> Plan {
    let mut plan = of(vec![
        edit(RULES, None, Some("softdep nouveau pre: vfio-pci\n")),
        Change::Copy {
            from: "/boot/vmlinuz-1".into(),
            to: COPY.into(),
            why: "test".into(),
        },
        once("without"),
        without_checks(initramfs()),
        once("trial"),
    ]);
    plan.trial = Some(Trial {
        entry: "trial".into(),
        words: vec![],
        keep: vec![],
        baseline: Health::default(),
    });
    plan
}

/// What makes transaction `number` permanent.
fn keeping(number: u32) -> Plan {
    let mut plan = of(vec![edit(GRUB, Some(GRUB_TEXT), Some(GRUB_AFTER)), grub()]);
    plan.continues = Some(number);
    plan
}

#[test]
fn a_copy_and_a_one_shot_are_made_and_taken_back() {
    let world = World::new();
    let before = world.tree();
    world.apply(&tried()).unwrap();
    assert_eq!(world.read(COPY), world.read("/boot/vmlinuz-1"));
    assert_eq!(world.read(ONCE), "trial");
    world.undo(None).unwrap();
    world.tree().assert_is(&before, "undone");
}

#[test]
fn apply_and_undo_stopped_anywhere_recover() {
    let before = World::new().tree();
    for what in ["apply", "undo"] {
        let mut point = 0;
        loop {
            point += 1;
            let world = World::new();
            let failpoint = format!("*=stop@{point}");
            let stopped = if what == "apply" {
                world.apply_with(&tried(), &failpoint).err()
            } else {
                world.apply(&tried()).unwrap();
                world.undo_with(None, &failpoint).err()
            };
            let Some(stopped) = stopped else {
                assert!(point > 50, "{point} points of {what}");
                break;
            };
            assert_eq!(stopped, Failure::Stopped, "{what}, point {point}");
            world.recover().unwrap();
            match world.states()[..] {
                [State::Applied] => {
                    assert_eq!(world.read(ONCE), "trial", "{what}, point {point}");
                    world.undo(None).unwrap();
                }
                [] | [State::RolledBack | State::Undone] => {}
                ref other => panic!("between: {other:?}"),
            }
            world
                .tree()
                .assert_is(&before, &format!("{what}, point {point}"));
        }
    }
}

#[test]
fn a_command_that_fails_leaves_no_one_shot() {
    let world = World::new();
    let before = world.tree();
    world.tools.fault.set(Fault::Delete);
    assert_eq!(world.apply(&tried()).unwrap_err().exit_status(), 4);
    world.tree().assert_is(&before, "rolled back");
}

#[test]
fn a_copy_never_replaces_a_file() {
    let world = World::new();
    world.write(COPY, "mine");
    let before = world.tree();
    assert_eq!(world.apply(&tried()).unwrap_err().exit_status(), 1);
    world.tree().assert_is(&before, "refused");
}

#[test]
fn a_trial_and_what_keeps_it_go_together() {
    for number in [None, Some(1), Some(2)] {
        let world = World::new();
        let before = world.tree();
        world.apply(&tried()).unwrap();
        let pending = transaction::on_trial(&world.root).unwrap().unwrap();
        assert_eq!(pending.number, 1);
        world.apply(&keeping(1)).unwrap();
        assert!(transaction::on_trial(&world.root).unwrap().is_none());
        let records = transaction::history(&world.root).unwrap();
        assert_eq!(records[0].trial, Some(TrialState::Kept));
        assert_eq!(transaction::chain(&records, number.unwrap_or(2)), [2, 1]);
        world.undo(number).unwrap();
        assert_eq!(world.states(), [State::Undone, State::Undone]);
        world.tree().assert_is(&before, "both undone");
    }
}

#[test]
fn between_the_two_undos_the_trial_is_pending_again() {
    let before = World::new().tree();
    let mut between = 0;
    for point in 1.. {
        let world = World::new();
        world.apply(&tried()).unwrap();
        world.apply(&keeping(1)).unwrap();
        if world.undo_with(None, &format!("*=stop@{point}")).is_ok() {
            break;
        }
        world.recover().unwrap();
        if world.states() == [State::Applied, State::Undone] {
            assert!(transaction::on_trial(&world.root).unwrap().is_some());
            between += 1;
        }
        if world.states().contains(&State::Applied) {
            world.undo(None).unwrap();
        }
        world.tree().assert_is(&before, &format!("point {point}"));
    }
    assert!(between > 0, "the two are undone one after the other");
}

#[test]
fn one_trial_at_a_time() {
    let world = World::new();
    world.apply(&tried()).unwrap();
    let before = world.tree();
    let other = of(vec![edit(DEEP, None, Some("#!/bin/sh\n"))]);
    let failure = world.apply(&other).unwrap_err();
    assert_eq!(failure.exit_status(), 1);
    assert!(failure.to_string().contains("transaction 1 is on trial"));
    world.tree().assert_is(&before, "refused");
}

#[test]
fn why_a_trial_was_taken_back_stays_in_the_history() {
    let world = World::new();
    world.apply(&tried()).unwrap();
    let reasoned = transaction::Options {
        reason: Some("the trial boot did not come up"),
        ..options("")
    };
    transaction::undo(&world.root, &world.tools, None, &reasoned, &mut Silent).unwrap();
    let records = transaction::history(&world.root).unwrap();
    assert_eq!(records[0].state, State::Undone);
    let reason = records[0].reason.as_deref();
    assert_eq!(reason, Some("the trial boot did not come up"));
}

/// rpm-ostree's arguments are in no file, and the second transaction builds on those of the first.
#[test]
fn commands_that_leave_no_file_are_taken_back_in_order() {
    let world = World::new();
    world.apply(&of(vec![once("one")])).unwrap();
    world.apply(&of(vec![once("two")])).unwrap();
    let failure = world.undo(Some(1)).unwrap_err();
    assert!(matches!(&failure, Failure::Usage(_)), "{failure:?}");
    assert!(failure.reason().unwrap().way_out.contains("undo 2 first"));
    world.undo(Some(2)).unwrap();
    world.undo(Some(1)).unwrap();
}
