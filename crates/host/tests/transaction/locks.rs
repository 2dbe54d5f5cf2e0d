//! One passthru at a time, and none while packages are being changed.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use passthru_host::transaction::{self, Event, Failure, Options, Progress, Silent, State};

use crate::{crash::child, world::*};

/// Ends with the test, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `command` and waits until it has said a line with `word`.
fn started(mut command: Command, word: &str) -> Killed {
    let mut child = Killed(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines: Box<dyn BufRead> = if word.contains("failpoint") {
        Box::new(BufReader::new(child.0.stderr.take().unwrap()))
    } else {
        Box::new(BufReader::new(child.0.stdout.take().unwrap()))
    };
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended");
    }
    child
}

#[test]
fn two_at_a_time_do_not_go() {
    let world = World::new();
    let before = world.tree();
    let dir = temporary();
    let file = dir.path().join("reached");
    let mut command = child("crash::child_applies", &world.path, "apply.checks=pause");
    command.env("PASSTHRU_FAILPOINT_FILE", &file);
    let other = started(command, "failpoint apply.checks reached");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "failpoint apply.checks reached\n"
    );
    let pid = other.0.id();
    for failure in [
        world.apply(&plan()).unwrap_err(),
        world.undo(None).unwrap_err(),
        world.recover().unwrap_err(),
    ] {
        let text = failure.to_string();
        assert!(matches!(failure, Failure::Unchanged(_)), "{text}");
        assert!(text.contains(&format!("process {pid}")), "{text}");
    }
    // Looking is allowed.
    assert_eq!(world.states(), [State::Applying]);
    drop(other);
    world.recover().unwrap().unwrap();
    world.tree().assert_is(&before, "recovered");
}

/// A package manager.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_holds_the_package_lock() {
    let Ok(path) = std::env::var("PASSTHRU_TEST_HOST") else {
        return;
    };
    let file = fs::File::options().write(true).open(path).unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    println!("locked");
    std::thread::sleep(Duration::from_secs(600));
}

struct Waits(Vec<String>);

impl Progress for Waits {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Waiting { whom, .. } = event {
            self.0.push(whom.to_owned());
        }
    }
}

#[test]
fn a_running_package_manager_is_waited_for_or_refused() {
    for lock in ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"] {
        let world = World::new();
        let before = world.tree();
        let command = child("locks::child_holds_the_package_lock", &world.real(lock), "");
        let other = started(command, "locked");
        let pid = other.0.id().to_string();
        let failure = world.apply(&plan()).unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, Failure::Unchanged(_)), "{text}");
        assert!(text.contains(&pid) && text.contains(lock), "{text}");
        world.tree().assert_is(&before, "refused");
        // Waiting ends when the time is over …
        let options = Options {
            patience: Duration::from_millis(200),
            ..options("")
        };
        let begun = Instant::now();
        let mut waits = Waits(vec![]);
        transaction::apply(&world.root, &world.tools, &plan(), &options, &mut waits).unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(200));
        assert!(waits.0[0].contains(&pid), "{:?}", waits.0);
        // … or the package manager is done.
        let options = Options {
            patience: Duration::from_secs(60),
            ..crate::world::options("")
        };
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(other);
        });
        transaction::apply(&world.root, &world.tools, &plan(), &options, &mut Silent).unwrap();
        ending.join().unwrap();
        world.undo(None).unwrap();
        world.tree().assert_is(&before, "undone");
    }
}

/// The service of a trial boot waits for hours.
#[test]
fn whoever_waits_for_a_package_manager_keeps_nobody_else_waiting() {
    let world = World::new();
    world.apply(&plan()).unwrap();
    world.write("/var/lib/pacman/db.lck", "");
    let path = world.path.clone();
    let waiting = std::thread::spawn(move || {
        let world = World::open(temporary(), path);
        let options = Options {
            patience: Duration::from_secs(2),
            ..options("")
        };
        let mut waits = Waits(vec![]);
        transaction::undo(&world.root, &world.tools, None, &options, &mut waits).unwrap_err()
    });
    std::thread::sleep(Duration::from_millis(300));
    let failure = world.undo(None).unwrap_err().to_string();
    assert!(
        failure.contains("if no pacman runs, remove that file"),
        "{failure}"
    );
    assert!(!waiting.is_finished());
    let failure = waiting.join().unwrap().to_string();
    assert!(failure.contains("pacman"), "{failure}");
    fs::remove_file(world.real("/var/lib/pacman/db.lck")).unwrap();
    world.undo(None).unwrap();
}

#[test]
fn guests_do_not_wait_for_package_managers() {
    let world = World::new();
    world.write("/var/lib/pacman/db.lck", "");
    world.apply(&crate::guest::new()).unwrap();
    world.undo(None).unwrap();
}

#[test]
fn pacman_is_recognised() {
    let world = World::new();
    world.write("/var/lib/pacman/db.lck", "");
    let failure = world.apply(&plan()).unwrap_err();
    assert!(failure.to_string().contains("pacman"), "{failure}");
}

#[test]
fn a_state_directory_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    fs::create_dir_all(world.real("/var/lib/passthru")).unwrap();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(world.real("/var/lib/passthru"), open).unwrap();
    let failure = world.apply(&plan()).unwrap_err();
    assert!(failure.to_string().contains("nobody else"), "{failure}");
}
