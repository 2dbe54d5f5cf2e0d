//! Locks: one passthru at a time, and none while a package manager runs.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, FlockOperation, Mode, OFlags},
    io::Errno,
    process::{Flock, FlockType, fcntl_getlk},
};

use crate::root::{PathError, Root};

/// The lock on the state directory, held until dropped.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

/// A lock was not had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody holds it; who, in words.
    Held(String),
    /// It could not be asked for.
    Failed(PathError),
    /// Waiting was cancelled.
    Cancelled,
}

impl From<PathError> for LockError {
    fn from(error: PathError) -> Self {
        Self::Failed(error)
    }
}

impl StateLock {
    /// Takes the lock `path`. flock(2) locks end with the process, however it ends, but a process it
    /// was just starting holds it until execve(2): so there is a moment's patience.
    pub(crate) fn take(root: &Root, path: &str) -> Result<Self, LockError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let mut file = File::from(root.open_at(path, flags, Mode::RUSR | Mode::WUSR)?);
        let until = Instant::now() + MOMENT;
        loop {
            match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                    std::thread::sleep(MOMENT / 20);
                }
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held(who(&mut file))),
                Err(e) => return Err(root.error(path, e).into()),
            }
        }
        // Who holds it is a courtesy to whoever is refused: a full disk must not stop us here.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// How long a lock is waited for that is about to go.
const MOMENT: Duration = Duration::from_millis(500);

/// Who wrote into the lock that he holds it, in words.
fn who(file: &mut File) -> String {
    let mut pid = String::new();
    // Only for the message: an empty file says "another process".
    let _ = file.read_to_string(&mut pid);
    match pid.trim() {
        "" => "another passthru".into(),
        pid => format!("another passthru (process {pid})"),
    }
}

/// Package managers' locks, held until dropped.
///
/// dpkg and apt lock with fcntl(2): such locks belong to the process, end with it, and end too when
/// the process closes any descriptor of the file.
#[derive(Debug, Default)]
pub(crate) struct PackageLocks {
    _held: Vec<OwnedFd>,
}

/// dpkg's locks, in the order apt takes them (Debian bug 882215 introduced the first).
const DPKG: [&str; 2] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"];
/// Locked by rpm with fcntl(2). Only looked at: tools that run meanwhile may ask rpm something.
const RPM: [&str; 2] = ["/usr/lib/sysimage/rpm/.rpm.lock", "/var/lib/rpm/.rpm.lock"];
/// Exists while pacman runs.
const PACMAN: &str = "/var/lib/pacman/db.lck";

impl PackageLocks {
    /// Takes what locks there are. Waits for their holders no longer than `patience`, telling
    /// `waiting` about once a second whom for and how much longer; `waiting` says false to stop.
    pub(crate) fn take(
        root: &Root,
        patience: Duration,
        waiting: &mut dyn FnMut(&str, Duration) -> bool,
    ) -> Result<Self, LockError> {
        let until = Instant::now() + patience;
        let mut told: Option<Instant> = None;
        loop {
            match Self::try_take(root) {
                Err(LockError::Held(whom)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(LockError::Held(whom));
                    }
                    if told.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                        told = Some(Instant::now());
                        if !waiting(&whom, left) {
                            return Err(LockError::Cancelled);
                        }
                    }
                    std::thread::sleep(left.min(Duration::from_millis(100)));
                }
                other => return other,
            }
        }
    }

    fn try_take(root: &Root) -> Result<Self, LockError> {
        let mut held = Vec::new();
        for path in DPKG {
            let Some(file) = open(root, path, OFlags::RDWR)? else {
                continue;
            };
            match fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => held.push(file),
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    return Err(LockError::Held(holder(root, &file, path)));
                }
                Err(e) => return Err(root.error(path, e).into()),
            }
        }
        for path in RPM {
            if let Some(file) = open(root, path, OFlags::RDONLY)?
                && fcntl_getlk(&file, &Flock::from(FlockType::ReadLock))
                    .is_ok_and(|lock| lock.is_some())
            {
                return Err(LockError::Held(holder(root, &file, path)));
            }
        }
        if root.exists(PACMAN) {
            // It stays behind when the power goes in the middle of it.
            return Err(LockError::Held(format!(
                "pacman ({PACMAN} exists; if no pacman runs, remove that file)"
            )));
        }
        Ok(Self { _held: held })
    }
}

fn open(root: &Root, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, PathError> {
    match root.open_at(path, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Who holds the lock on `file`, in words.
fn holder(root: &Root, file: &OwnedFd, path: &str) -> String {
    let pid = fcntl_getlk(file.as_fd(), &Flock::from(FlockType::WriteLock))
        .ok()
        .flatten()
        .and_then(|lock| lock.pid)
        .map(|pid| pid.as_raw_nonzero().get());
    match pid {
        Some(pid) => {
            let name = root.attribute(&format!("/proc/{pid}/comm"));
            let name = name.as_deref().unwrap_or("a package manager");
            format!("{name} (process {pid}, which holds {path})")
        }
        None => format!("a package manager ({path} is locked)"),
    }
}
