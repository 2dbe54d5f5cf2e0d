//! A crash anywhere leaves a host that recovers to before or after, never between.
//!
//! `stop` leaves what a kill leaves: the engine returns from wherever it is and writes nothing
//! more. Every point is tried, one after the other, in apply, in undo, in recovery itself. A few
//! are tried with a real process and SIGKILL.

use std::{fs, path::Path, process::Command};

use passthru_host::transaction::{self, Failure, RecoveredEnd, Silent, State};
use passthru_plan::Plan;

use crate::world::*;

/// How many points `work` passes.
fn points(work: impl FnOnce(&passthru_host::transaction::Options<'_>)) -> u64 {
    let options = options("*=count");
    work(&options);
    options.failpoints.passed()
}

fn apply_points(plan: &Plan) -> u64 {
    points(|options| {
        let world = World::new();
        transaction::apply(&world.root, &world.tools, plan, options, &mut Silent).unwrap();
    })
}

/// Recovers and says whether the transaction is in force now.
#[track_caller]
fn recover(world: &World) -> bool {
    world.recover().unwrap();
    match world.states()[..] {
        [State::Applied] => true,
        [] | [State::RolledBack | State::Undone] => false,
        ref other => panic!("between: {other:?}"),
    }
}

#[test]
fn apply_stopped_anywhere_recovers() {
    let (before, after) = {
        let world = World::new();
        let before = world.tree();
        world.apply(&plan()).unwrap();
        (before, world.tree())
    };
    let count = apply_points(&plan());
    assert!(count > 100, "{count} points");
    let mut held = 0;
    for k in 1..=count {
        let world = World::new();
        // The same times of all files in all worlds.
        let stopped = world.apply_with(&plan(), &format!("*=stop@{k}"));
        assert_eq!(stopped.unwrap_err(), Failure::Stopped, "point {k}");
        if recover(&world) {
            assert_eq!(world.tree().content(), after.content(), "point {k}");
            held += 1;
            world.undo(None).unwrap();
        }
        world.tree().assert_is(&before, &format!("point {k}"));
        // And it can be done again.
        world.apply(&plan()).unwrap();
        world.undo(None).unwrap();
        world
            .tree()
            .assert_is(&before, &format!("again after point {k}"));
    }
    assert!(held > 0, "the last point is after the commit");
}

#[test]
fn recovery_stopped_anywhere_recovers() {
    let before = World::new().tree();
    let count = apply_points(&plan());
    // Every point of recovery, for some of the points of apply.
    for k in (1..=count).step_by(13) {
        let crashed = || {
            let world = World::new();
            let _ = world.apply_with(&plan(), &format!("*=stop@{k}"));
            world
        };
        let recovery = points(|options| {
            let world = crashed();
            transaction::recover(&world.root, &world.tools, options, &mut Silent).unwrap();
        });
        for j in 1..=recovery {
            let world = crashed();
            let stopped = world.recover_with(&format!("*=stop@{j}"));
            assert_eq!(stopped.unwrap_err(), Failure::Stopped, "points {k}, {j}");
            assert!(!recover(&world), "points {k}, {j}");
            world.tree().assert_is(&before, &format!("points {k}, {j}"));
        }
    }
}

#[test]
fn rolling_back_stopped_anywhere_recovers() {
    let failing = || {
        let world = World::new();
        world.tools.fault.set(Fault::Fail);
        world
    };
    let before = World::new().tree();
    let count = points(|options| {
        let world = failing();
        let failed = transaction::apply(&world.root, &world.tools, &plan(), options, &mut Silent);
        assert_eq!(failed.unwrap_err().exit_status(), 4);
    });
    for k in 1..=count {
        let world = failing();
        let stopped = world.apply_with(&plan(), &format!("*=stop@{k}"));
        assert_eq!(stopped.unwrap_err(), Failure::Stopped, "point {k}");
        assert!(!recover(&world), "point {k}");
        world.tree().assert_is(&before, &format!("point {k}"));
    }
}

#[test]
fn undo_stopped_anywhere_recovers() {
    let applied = || {
        let world = World::new();
        world.apply(&plan()).unwrap();
        world
    };
    let before = World::new().tree();
    let after = applied().tree();
    let count = points(|options| {
        let world = applied();
        transaction::undo(&world.root, &world.tools, None, options, &mut Silent).unwrap();
    });
    let mut ends = [0, 0];
    for k in 1..=count {
        let world = applied();
        let stopped = world.undo_with(None, &format!("*=stop@{k}"));
        assert_eq!(stopped.unwrap_err(), Failure::Stopped, "point {k}");
        if recover(&world) {
            // It had not begun.
            assert_eq!(world.tree().content(), after.content(), "point {k}");
            world.undo(None).unwrap();
            ends[0] += 1;
        } else {
            ends[1] += 1;
        }
        world.tree().assert_is(&before, &format!("point {k}"));
    }
    assert!(ends.iter().all(|&n| n > 0), "{ends:?}");
}

#[test]
fn images_that_are_made_beside_are_whole_wherever_apply_stops() {
    let before = World::new().tree();
    let count = apply_points(&plan_beside());
    let mut states = [false; 2];
    for k in 1..=count {
        let world = World::new();
        let old = ["1", "2"].map(|kernel| world.read(&format!("/boot/initrd.img-{kernel}")));
        let stopped = world.apply_with(&plan_beside(), &format!("*=stop@{k}"));
        assert_eq!(stopped.unwrap_err(), Failure::Stopped, "point {k}");
        for (kernel, old) in ["1", "2"].iter().zip(old) {
            let now = world.read(&format!("/boot/initrd.img-{kernel}"));
            let checked = now.contains("softdep") && now.ends_with("}}");
            assert!(now == old || checked, "point {k}: {now}");
            states[usize::from(now == old)] = true;
        }
        if !recover(&world) {
            world.tree().assert_is(&before, &format!("point {k}"));
        }
    }
    assert_eq!(states, [true; 2]);

    let world = World::new();
    world.tools.fault.set(Fault::Delete);
    world.apply(&plan_beside()).unwrap_err();
    world.tree().assert_is(&before, "half an image");
}

#[test]
fn undo_with_merges_and_commands_stopped_anywhere_recovers() {
    for plan in [plan(), plan_beside()] {
        undo_stopped_anywhere(&plan);
    }
}

fn undo_stopped_anywhere(plan: &passthru_plan::Plan) {
    let changed = || {
        let world = World::new();
        world.apply(plan).unwrap();
        world.write(GRUB, &GRUB_AFTER.replace("iommu=pt", "iommu=pt splash"));
        world.write("/boot/vmlinuz-3", "kernel");
        world.write("/usr/lib/modules/3/modules.order", "");
        world.tools.update_initramfs();
        world.tools.grub_mkconfig(CONFIG);
        world
    };
    let count = points(|options| {
        let world = changed();
        transaction::undo(&world.root, &world.tools, None, options, &mut Silent).unwrap();
    });
    for k in 1..=count {
        let world = changed();
        let _ = world.undo_with(None, &format!("*=stop@{k}"));
        if recover(&world) {
            world.undo(None).unwrap();
        }
        assert_eq!(
            world.read(GRUB),
            GRUB_TEXT.replace("quiet", "quiet splash"),
            "point {k}"
        );
        assert!(!world.exists(RULES) && !world.exists(DEEP), "point {k}");
        for kernel in ["1", "2", "3"] {
            let image = world.read(&format!("/boot/initrd.img-{kernel}"));
            assert!(!image.contains("softdep"), "point {k}: {kernel}");
        }
        let config = world.read(CONFIG);
        assert!(
            config.contains("splash") && !config.contains("iommu"),
            "point {k}"
        );
        assert!(config.contains("vmlinuz-3"), "point {k}");
    }
}

/// The user edits a file between the crash and the recovery: his words stay.
#[test]
fn recovery_keeps_what_the_user_did_after_the_crash() {
    let world = World::new();
    let stopped = world.apply_with(&plan(), "apply.step.4.before=stop");
    assert_eq!(stopped.unwrap_err(), Failure::Stopped);
    world.write(GRUB, &GRUB_AFTER.replace("TIMEOUT=5", "TIMEOUT=9"));
    let recovered = world.recover().unwrap().unwrap();
    assert_eq!(recovered.end, RecoveredEnd::RolledBack);
    assert_eq!(recovered.notes.len(), 1);
    assert_eq!(
        world.read(GRUB),
        GRUB_TEXT.replace("TIMEOUT=5", "TIMEOUT=9")
    );
}

/// Packages were upgraded between the crash and the recovery: the saved images are of the old ones.
#[test]
fn recovery_makes_images_anew_if_packages_changed_after_the_crash() {
    let world = World::new();
    let old = world.read("/boot/initrd.img-1");
    let stopped = world.apply_with(&plan(), "apply.step.5.before=stop");
    assert_eq!(stopped.unwrap_err(), Failure::Stopped);
    world.write("/var/lib/dpkg/status", "Package: linux\nVersion: 2\n");
    world.tools.update_initramfs();
    world.tools.runs.borrow_mut().clear();
    world.recover().unwrap().unwrap();
    assert_eq!(*world.tools.runs.borrow(), ["update-initramfs"]);
    let new = world.read("/boot/initrd.img-1");
    assert!(new != old && !new.contains("softdep"));
}

/// The host lost power in the middle of a command. What was written since it is up again is not of
/// that command.
#[test]
fn recovery_tells_what_was_written_after_a_reboot() {
    let crashed = |boot_time: u64| {
        let world = World::new();
        let boot = "/proc/sys/kernel/random/boot_id";
        world.write(boot, "first\n");
        let stopped = world.apply_with(&plan(), "apply.step.4.after=stop");
        assert_eq!(stopped.unwrap_err(), Failure::Stopped);
        world.write(boot, "second\n");
        world.write("/proc/stat", &format!("cpu 1\nbtime {boot_time}\n"));
        world.tools.runs.borrow_mut().clear();
        world
    };
    let old = World::new().tree();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let name = "boot/initrd.img-1";
    // The images are from before this boot: half of them perhaps, so they are put back.
    let world = crashed(now + 100);
    world.recover().unwrap().unwrap();
    assert_eq!(world.tree().0[name], old.0[name]);
    assert!(world.tools.runs.borrow().is_empty());
    // They are from this boot: somebody made them anew, for a reason that is not ours to judge.
    let world = crashed(now - 100);
    world.tools.update_initramfs();
    world.recover().unwrap().unwrap();
    assert_eq!(*world.tools.runs.borrow(), ["update-initramfs"]);
    assert!(!world.read("/boot/initrd.img-1").contains("softdep"));
}

#[test]
fn undo_of_an_interrupted_transaction_does_not_undo_the_one_before() {
    let world = World::new();
    world
        .apply(&of(vec![edit("/etc/first", None, Some("x\n"))]))
        .unwrap();
    for number in [None, Some(3)] {
        let _ = world.apply_with(&plan(), "apply.step.3.after=stop");
        let undone = world.undo(number).unwrap();
        assert_eq!(undone.recovered.unwrap().end, RecoveredEnd::RolledBack);
        assert!(world.exists("/etc/first") && !world.exists(RULES));
    }
    assert_eq!(
        world.states(),
        [State::Applied, State::RolledBack, State::RolledBack]
    );
}

#[test]
fn a_torn_line_counts_as_not_written() {
    let world = World::new();
    let before = world.tree();
    for k in 1.. {
        let stopped = world.apply_with(&plan(), &format!("journal.torn=stop@{k}"));
        if stopped.is_ok() {
            assert!(k > 10);
            break;
        }
        let journal = format!("/var/lib/passthru/transactions/{k}/journal");
        assert!(!world.read(&journal).ends_with('\n'), "{k}");
        assert_eq!(transaction::history(&world.root).unwrap().len(), k);
        world.recover().unwrap();
        world.tree().assert_is(&before, &format!("torn {k}"));
    }
}

#[test]
fn a_journal_that_is_damaged_inside_is_not_guessed_at() {
    let world = World::new();
    world.apply(&plan()).unwrap();
    let journal = "/var/lib/passthru/transactions/1/journal";
    let text = world
        .read(journal)
        .replacen("\"intent\"", "\"in\u{1}ent\"", 1);
    world.write(journal, &text);
    let after = world.tree();
    for failure in [
        world.undo(None).unwrap_err(),
        transaction::history(&world.root).unwrap_err(),
    ] {
        let text = failure.to_string();
        assert!(
            text.contains("journal") && text.contains("line 2"),
            "{text}"
        );
    }
    world.tree().assert_is(&after, "left");
}

/// A real process that is killed. Run by the tests below; alone it does nothing.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_applies() {
    let Ok(path) = std::env::var("PASSTHRU_TEST_HOST") else {
        return;
    };
    let world = World::open(temporary(), path.into());
    let options = transaction::Options {
        inspect: &Reader,
        ..transaction::Options::default()
    };
    match std::env::var("PASSTHRU_TEST_DO").as_deref() {
        Ok("undo") => {
            let _ = transaction::undo(&world.root, &world.tools, None, &options, &mut Silent);
        }
        _ => {
            let _ = transaction::apply(&world.root, &world.tools, &plan(), &options, &mut Silent);
        }
    }
}

/// This test binary, about to carry out the plan on the host at `path`.
pub(crate) fn child(test: &str, path: &Path, failpoints: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("PASSTHRU_TEST_HOST", path)
        .env("PASSTHRU_FAILPOINT", failpoints);
    command
}

#[test]
fn a_killed_process_leaves_a_host_that_recovers() {
    use std::os::unix::process::ExitStatusExt;
    let before = World::new().tree();
    for point in [
        "apply.begin",
        "apply.journal-written",
        "apply.step.1.before",
        "apply.step.1.after",
        "apply.step.4.after",
        "apply.step.5.journaled",
        "apply.activate",
        "apply.checks",
        "apply.commit",
        "write.temp",
        "write.rename",
        "write.fsync",
        "journal.torn=abort@5; x",
    ] {
        let world = World::new();
        let status = child(
            "crash::child_applies",
            &world.path,
            &format!("{point}=abort"),
        )
        .output()
        .unwrap()
        .status;
        assert_eq!(status.signal(), Some(9), "{point}");
        assert!(!recover(&world), "{point}");
        world.tree().assert_is(&before, point);
    }
    for point in ["undo.begin", "undo.step.0", "undo.step.3", "undo.commit"] {
        let world = World::new();
        world.apply(&plan()).unwrap();
        let status = child(
            "crash::child_applies",
            &world.path,
            &format!("{point}=abort"),
        )
        .env("PASSTHRU_TEST_DO", "undo")
        .output()
        .unwrap()
        .status;
        assert_eq!(status.signal(), Some(9), "{point}");
        if recover(&world) {
            world.undo(None).unwrap();
        }
        world.tree().assert_is(&before, point);
    }
}

#[test]
fn apply_recovers_before_it_begins() {
    let world = World::new();
    let before = world.tree();
    let _ = world.apply_with(&plan(), "apply.commit=stop");
    let applied = world.apply(&plan()).unwrap();
    assert_eq!((applied.number, applied.recovered.unwrap().number), (2, 1));
    assert_eq!(world.states(), [State::RolledBack, State::Applied]);
    // An interrupted undo is finished by asking for it again.
    let _ = world.undo_with(None, "undo.step.2=stop");
    let undone = world.undo(None).unwrap();
    assert_eq!(
        (undone.number, undone.recovered.unwrap().end),
        (2, RecoveredEnd::Undone)
    );
    world.tree().assert_is(&before, "undone");
}

/// A command that outlives the killed passthru is ended before its files are put back.
#[test]
fn an_orphaned_command_is_ended() {
    use std::os::unix::process::CommandExt;
    let world = World::new();
    let _ = world.apply_with(&plan(), "apply.step.4.after=stop");
    let mut orphan = Command::new("sleep")
        .arg("600")
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = orphan.id();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let start = rest.split_whitespace().nth(19).unwrap();
    let journal = "/var/lib/passthru/transactions/1/journal";
    let line = format!(
        "{{\"time\":1,\"event\":\"running\",\"step\":4,\"pid\":{pid},\"start\":{start}}}\n"
    );
    world.write(journal, &(world.read(journal) + &line));
    let reaper = std::thread::spawn(move || orphan.wait().unwrap());
    world.recover().unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(reaper.join().unwrap().signal(), Some(15));
}
