//! Commands that fail, hang and lie; disks that are full; a user who has enough of it.

use std::{fs, process::Command, sync::atomic::AtomicBool};

use passthru_host::transaction::{self, Event, Failure, Options, Progress, Silent, State};

use crate::world::*;

/// Applies on a host whose tools misbehave and expects everything to be as before.
#[track_caller]
fn rolled_back(fault: Fault) -> (World, String) {
    let world = World::new();
    let before = world.tree();
    world.tools.fault.set(fault);
    let failure = world.apply(&plan()).unwrap_err();
    assert_eq!(failure.exit_status(), 4, "{failure}");
    world.tree().assert_is(&before, &format!("{fault:?}"));
    assert_eq!(world.states(), [State::RolledBack]);
    (world, failure.to_string())
}

#[test]
fn a_failing_command_is_taken_back_and_quoted() {
    let (world, text) = rolled_back(Fault::Fail);
    assert!(
        text.contains("exit status 1") && text.contains("it did not work"),
        "{text}"
    );
    let record = transaction::history(&world.root).unwrap().remove(0);
    assert!(record.reason.unwrap().contains("exit status 1"));
    // Undoing it makes no sense.
    assert!(matches!(world.undo(Some(1)), Err(Failure::Usage(_))));
}

#[test]
fn a_command_that_deletes_is_taken_back() {
    rolled_back(Fault::Delete);
}

#[test]
fn a_lying_command_is_taken_back() {
    let (_, text) = rolled_back(Fault::Lie);
    assert!(
        text.contains("did not write /boot/grub/grub.cfg.passthru"),
        "{text}"
    );
    let (_, text) = rolled_back(Fault::Forget);
    assert!(
        text.contains("/boot/initrd.img-1: ") && text.contains("passthru.conf"),
        "{text}"
    );
}

#[test]
fn a_command_that_writes_over_an_edit_is_noticed() {
    let world = World::new();
    world.tools.fault.set(Fault::Meddle);
    // The menu is then made from a file without the words.
    let failure = world.apply(&plan()).unwrap_err();
    assert!(failure.to_string().contains("lacks iommu=pt"), "{failure}");
    let mut plan = plan();
    plan.changes.pop();
    let failure = world.apply(&plan).unwrap_err();
    assert_eq!(failure.exit_status(), 1, "{failure}");
    let world = World::new();
    world.tools.fault.set(Fault::Meddle);
    let failure = world.apply(&plan).unwrap_err();
    assert!(
        failure.to_string().contains("changed by somebody else"),
        "{failure}"
    );
}

#[test]
fn a_hanging_command_is_taken_back() {
    let (_, text) = rolled_back(Fault::Hang);
    assert!(text.contains("did not end within 60 s"), "{text}");
}

#[test]
fn a_missing_command_is_taken_back() {
    let world = World::new();
    let before = world.tree();
    let mut plan = plan();
    plan.changes.push(passthru_plan::Change::Run {
        argv: vec!["no-such-tool".into()],
        undo: None,
        outputs: vec![],
        family: None,
        anew: None,
        once: false,
        expect: vec![],
        why: "test".into(),
    });
    let failure = world.apply(&plan).unwrap_err();
    assert!(failure.to_string().contains("no-such-tool"));
    assert!(failure.reason().unwrap().way_out.contains("install"));
    world.tree().assert_is(&before, "taken back");
}

#[test]
fn ctrl_c_in_the_middle_of_a_command_leaves_before() {
    let world = World::new();
    let before = world.tree();
    world.tools.fault.set(Fault::Hang);
    let cancel = AtomicBool::new(false);
    let options = Options {
        cancel: Some(&cancel),
        ..options("")
    };
    let failure =
        transaction::apply(&world.root, &world.tools, &plan(), &options, &mut Silent).unwrap_err();
    assert!(matches!(&failure, Failure::RolledBack { reason, .. }
        if reason.what.contains("cancelled while grub-mkconfig")));
    world.tree().assert_is(&before, "cancelled");
    // Cancelled before it began: nothing at all happens.
    assert!(matches!(
        transaction::apply(&world.root, &world.tools, &plan(), &options, &mut Silent),
        Err(Failure::Unchanged(_))
    ));
    assert_eq!(world.states(), [State::RolledBack]);
}

/// Cancels at the k-th event.
struct CancelAt<'a>(u32, &'a AtomicBool);

impl Progress for CancelAt<'_> {
    fn event(&mut self, _: Event<'_>) {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[test]
fn ctrl_c_at_any_event_leaves_before_or_after() {
    let mut applied = 0;
    for k in 1..40 {
        let world = World::new();
        let before = world.tree();
        let cancel = AtomicBool::new(false);
        let options = Options {
            cancel: Some(&cancel),
            ..options("")
        };
        let mut progress = CancelAt(k, &cancel);
        // With a command that is taken back by another one.
        let mut plan = plan();
        plan.changes.insert(1, once("trial"));
        match transaction::apply(&world.root, &world.tools, &plan, &options, &mut progress) {
            Ok(_) => applied += 1,
            Err(failure) => {
                assert!(matches!(failure.exit_status(), 1 | 4), "{failure}");
                world.tree().assert_is(&before, &format!("event {k}"));
            }
        }
    }
    assert!((1..39).contains(&applied), "{applied}");
}

#[test]
fn ctrl_c_at_any_event_of_an_undo_leaves_before_or_after() {
    let applied = || {
        let world = World::new();
        let mut plan = plan();
        plan.changes.insert(1, once("trial"));
        world.apply(&plan).unwrap();
        // Its command will have to run again.
        world.tools.update_initramfs();
        world
    };
    let content = |world: &World| {
        let mut content = world.tree().content();
        content.retain(|path, _| !path.starts_with("boot/initrd"));
        content
    };
    let before = content(&World::new());
    let after = content(&applied());
    let mut ends = [0; 3];
    for k in 1..40 {
        let world = applied();
        let cancel = AtomicBool::new(false);
        let options = Options {
            cancel: Some(&cancel),
            ..options("")
        };
        let mut progress = CancelAt(k, &cancel);
        match transaction::undo(&world.root, &world.tools, None, &options, &mut progress) {
            Ok(_) => {
                assert_eq!(content(&world), before, "event {k}");
                ends[0] += 1;
            }
            Err(Failure::StillInForce { .. }) => {
                assert_eq!(content(&world), after, "event {k}");
                assert_eq!(world.states(), [State::Applied]);
                ends[1] += 1;
            }
            Err(Failure::Unchanged(_)) => ends[2] += 1,
            Err(failure) => panic!("event {k}: {failure:?}"),
        }
    }
    assert!(ends[..2].iter().all(|&count| count > 0), "{ends:?}");
}

#[test]
fn every_write_may_find_the_disk_full_or_broken() {
    let before = World::new().tree();
    for action in ["enospc", "error"] {
        for point in ["write.", "journal."] {
            let count = {
                let options = options(&format!("{point}*=count"));
                let world = World::new();
                transaction::apply(&world.root, &world.tools, &plan(), &options, &mut Silent)
                    .unwrap();
                options.failpoints.passed()
            };
            for k in 1..=count {
                let world = World::new();
                let what = format!("{point}*={action}@{k}");
                match world.apply_with(&plan(), &what) {
                    // The last line was written before the error: then it holds.
                    Ok(_) => panic!("{what}: an error was ignored"),
                    Err(failure) => {
                        let status = failure.exit_status();
                        assert!(matches!(status, 1 | 4), "{what}: {status} {failure}");
                        if action == "enospc" {
                            let text = failure.to_string();
                            assert!(text.contains("No space left"), "{what}: {text}");
                            assert!(failure.reason().unwrap().way_out.contains("free space"));
                        }
                    }
                }
                world.tree().assert_is(&before, &what);
            }
        }
    }
}

#[test]
fn every_write_of_undo_may_fail() {
    let before = World::new().tree();
    let applied = || {
        let world = World::new();
        world.apply(&plan()).unwrap();
        world
    };
    let count = {
        let options = options("*=count");
        let world = applied();
        transaction::undo(&world.root, &world.tools, None, &options, &mut Silent).unwrap();
        options.failpoints.passed()
    };
    let mut failed = 0;
    for k in 1..=count {
        let world = applied();
        let after = world.tree();
        match world.undo_with(None, &format!("*=enospc@{k}")) {
            // Making room afterwards is allowed to fail.
            Ok(_) => world.tree().assert_is(&before, &format!("point {k}")),
            Err(failure) => {
                failed += 1;
                assert!(matches!(failure.exit_status(), 1 | 4), "{k}: {failure:?}");
                world.tree().assert_is(&after, &format!("point {k}"));
                assert_eq!(world.states(), [State::Applied], "point {k}");
                world.undo(None).unwrap();
                world
                    .tree()
                    .assert_is(&before, &format!("again after point {k}"));
            }
        }
    }
    assert!(failed > 50, "{failed}");
}

#[test]
fn every_write_of_recovery_may_fail() {
    let before = World::new().tree();
    let crashed = || {
        let world = World::new();
        let _ = world.apply_with(&plan(), "apply.activate=stop");
        world
    };
    let count = {
        let options = options("*=count");
        let world = crashed();
        transaction::recover(&world.root, &world.tools, &options, &mut Silent).unwrap();
        options.failpoints.passed()
    };
    for k in 1..=count {
        let world = crashed();
        let _ = world.recover_with(&format!("*=error@{k}"));
        world.recover().unwrap();
        world.tree().assert_is(&before, &format!("point {k}"));
        assert_eq!(world.states(), [State::RolledBack], "point {k}");
    }
}

#[test]
fn an_undo_that_fails_leaves_the_transaction_in_force() {
    let world = World::new();
    world.apply(&plan()).unwrap();
    let after = world.tree();
    for k in 1..1000 {
        let what = format!("undo.step*=error@{k}");
        match world.undo_with(None, &what) {
            Ok(_) => {
                assert!(k > 5, "{k}");
                return;
            }
            Err(failure) => {
                assert_eq!(failure.exit_status(), 4, "{what}: {failure}");
                world.tree().assert_is(&after, &what);
                assert_eq!(world.states(), [State::Applied]);
            }
        }
    }
    panic!("undo never came to its end");
}

/// Every write fails from some point on, also those of taking back: the user is told what to do,
/// and the next start, with the disk healed, puts it right.
#[test]
fn what_cannot_be_taken_back_is_said_and_recovered_later() {
    let world = World::new();
    let before = world.tree();
    world.tools.fault.set(Fault::Fail);
    let failure = world
        .apply_with(&plan(), "rollback.step.*=error")
        .unwrap_err();
    assert!(
        matches!(failure, Failure::NotRolledBack { .. }),
        "{failure:?}"
    );
    world.recover().unwrap();
    world.tree().assert_is(&before, "recovered");
    // A saved copy that is damaged is never put in place.
    let world = World::new();
    let _ = world.apply_with(&plan(), "apply.commit=stop");
    let saved = fs::read_dir(world.real("/var/lib/passthru/transactions/1/saved")).unwrap();
    for entry in saved {
        let path = entry.unwrap().path();
        if fs::read_to_string(&path).unwrap() == GRUB_TEXT {
            fs::write(path, "damaged").unwrap();
        }
    }
    let failure = world.recover().unwrap_err();
    let Failure::NotRolledBack { stuck, .. } = &failure else {
        panic!("{failure:?}");
    };
    assert_eq!(failure.exit_status(), 5);
    assert_eq!(stuck.len(), 1);
    assert!(stuck[0].what.contains("damaged"), "{stuck:?}");
    assert!(stuck[0].way_out.contains("copy ") && stuck[0].way_out.contains("etc/default/grub"));
    assert_eq!(world.read(GRUB), GRUB_AFTER);
}

/// A file system of a few hundred KiB, really full.
struct Small {
    path: std::path::PathBuf,
    dir: Option<tempfile::TempDir>,
}

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "passthru-test",
            ])
            .arg(dir.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Self {
            path: dir.path().to_owned(),
            dir: Some(dir),
        })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        drop(self.dir.take());
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_changed() {
    let Some(small) = Small::mount("300k") else {
        return;
    };
    let world = World::at(temporary(), small.path.join("host"));
    let before = world.tree();
    let failure = world.apply(&plan()).unwrap_err();
    assert!(matches!(&failure, Failure::Unchanged(why) if why.what.contains("are needed")));
    world.tree().assert_is(&before, "refused");
}

#[test]
fn a_disk_that_fills_up_meanwhile_is_survived() {
    let Some(small) = Small::mount("1m") else {
        return;
    };
    let world = World::at(temporary(), small.path.join("host"));
    let before = world.tree();
    world.tools.fault.set(Fault::Fill);
    let failure = world.apply(&plan()).unwrap_err();
    fs::remove_file(world.real("/filler")).unwrap();
    if matches!(failure, Failure::NotRolledBack { .. }) {
        world.recover().unwrap().unwrap();
    }
    world.tree().assert_is(&before, "taken back");
    assert_eq!(world.states(), [State::RolledBack]);
}

#[test]
fn a_read_only_host_is_refused() {
    let Some(small) = Small::mount("2m") else {
        return;
    };
    let world = World::at(temporary(), small.path.join("host"));
    let remount = |how: &str| {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&small.path)
            .status();
        assert!(status.unwrap().success());
    };
    let before = world.tree();
    remount("ro");
    let failure = world.apply(&plan()).unwrap_err();
    assert!(
        matches!(&failure, Failure::Unchanged(why) if why.way_out.contains("writable")),
        "{failure:?}"
    );
    remount("rw");
    world.tree().assert_is(&before, "refused");
}
