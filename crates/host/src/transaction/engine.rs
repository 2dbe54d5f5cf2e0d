//! What every part of a transaction needs at hand, and the error they share.

use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::Errno;

use super::{Event, Failure, Options, Progress, Reason};
use crate::{
    exec::Exec,
    journal::{self, STATE},
    lock::{LockError, PackageLocks, StateLock},
    root::{PathError, Root},
    write::{self, WriteError, Writer},
};

/// Why a part of a transaction did not work.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A failpoint stopped the engine: touch nothing more.
    Stopped,
    /// An error with the way out.
    Failed(Reason),
}

impl From<Reason> for Trouble {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

impl From<PathError> for Trouble {
    fn from(error: PathError) -> Self {
        Self::Failed(explain(&error))
    }
}

impl From<WriteError> for Trouble {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped => Self::Stopped,
            WriteError::Failed(error) => error.into(),
        }
    }
}

impl Trouble {
    /// As a failure before anything was changed.
    pub(super) fn unchanged(self) -> Failure {
        match self {
            Self::Stopped => Failure::Stopped,
            Self::Failed(reason) => Failure::Unchanged(reason),
        }
    }
}

/// What can be done about an I/O error.
fn explain(error: &PathError) -> Reason {
    use std::io::ErrorKind;
    let errno = error.source.raw_os_error().map(Errno::from_raw_os_error);
    let way_out = match errno {
        Some(Errno::ACCESS | Errno::PERM) => "run passthru as root",
        Some(Errno::NOSPC | Errno::DQUOT) => "free space on that file system and try again",
        Some(Errno::ROFS) => "mount that file system writable and try again",
        Some(Errno::IO) => "look at the kernel log for errors of that disk",
        _ if error.source.kind() == ErrorKind::PermissionDenied => "put that right and try again",
        _ if error
            .path
            .to_string_lossy()
            .contains("/passthru/transactions/") =>
        {
            "what passthru kept about this transaction is damaged: the files it saved are beside it, \
             in saved/; put them back by hand and move the directory away"
        }
        _ => "put that right and try again",
    };
    Reason::new(error.to_string(), way_out)
}

/// The locks of one call, held until dropped.
pub(super) struct Claim {
    packages: Option<PackageLocks>,
    _state: StateLock,
}

impl Claim {
    /// Keeps package managers away from now on, if that was not asked for.
    pub(super) fn keep_packages(&mut self, engine: &Engine<'_>) -> Result<(), Trouble> {
        if self.packages.is_none() {
            self.packages = Some(engine.package_locks()?);
        }
        Ok(())
    }
}

/// The doors, the options and the listener of one call.
pub(super) struct Engine<'a> {
    pub(super) root: &'a Root,
    pub(super) exec: &'a dyn Exec,
    pub(super) options: &'a Options<'a>,
    progress: RefCell<&'a mut dyn Progress>,
    /// Something is being taken back, which nobody may stop halfway.
    returning: Cell<bool>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        root: &'a Root,
        exec: &'a dyn Exec,
        options: &'a Options<'a>,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Self {
            root,
            exec,
            options,
            progress: RefCell::new(progress),
            returning: Cell::new(false),
        }
    }

    /// Does what takes something back. Whoever asked for an end gets it by this: from here on nothing
    /// is cancelled, no command either.
    pub(super) fn to_the_end<T>(&self, work: impl FnOnce() -> T) -> T {
        let outer = self.returning.replace(true);
        let result = work();
        self.returning.set(outer);
        result
    }

    /// What tells commands that the user wants no more of it.
    pub(super) fn cancel(&self) -> Option<&'a AtomicBool> {
        self.options.cancel.filter(|_| !self.returning.get())
    }

    /// Tells the listener.
    pub(super) fn tell(&self, event: Event<'_>) {
        self.progress.borrow_mut().event(event);
    }

    /// Passes the failpoint `name`.
    pub(super) fn point(&self, name: impl std::fmt::Display) -> Result<(), Trouble> {
        Ok(write::hit(&self.options.failpoints, self.root, name, "/")?)
    }

    /// A writer whose temporary files carry `token`.
    pub(super) fn writer(&self, token: &str) -> Writer<'a> {
        Writer::new(self.root, &self.options.failpoints, token)
    }

    /// The user wants no more of it.
    pub(super) fn cancelled(&self) -> bool {
        self.cancel()
            .is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// An error if the user wants no more of it.
    pub(super) fn go_on(&self) -> Result<(), Trouble> {
        if self.cancelled() {
            return Err(Reason::new("cancelled", "run it again when you are ready").into());
        }
        Ok(())
    }

    /// Nobody else is at this host from now on; with `packages`, no package manager either. Those are
    /// waited for first: whoever waits, perhaps for hours, keeps nobody from undoing.
    pub(super) fn claim(&self, packages: bool) -> Result<Claim, Trouble> {
        let packages = packages.then(|| self.package_locks()).transpose()?;
        Ok(Claim {
            packages,
            _state: self.lock()?,
        })
    }

    /// Makes sure that there is a state directory and that nobody else is at it.
    fn lock(&self) -> Result<StateLock, Trouble> {
        let token = Writer::token().map_err(|e| self.root.error(STATE, e))?;
        journal::prepare(&self.writer(&token), self.root)?;
        StateLock::take(self.root, &format!("{STATE}/lock")).map_err(|e| match e {
            LockError::Held(whom) => Reason::new(
                format!("{whom} is at work on this host"),
                "wait until it is done",
            )
            .into(),
            LockError::Failed(error) => error.into(),
            LockError::Cancelled => Reason::new("cancelled", "run it again").into(),
        })
    }

    /// Keeps package managers away; waits for a running one as long as the options say.
    fn package_locks(&self) -> Result<PackageLocks, Trouble> {
        let mut waiting = |whom: &str, left| {
            self.tell(Event::Waiting { whom, left });
            !self.cancelled()
        };
        PackageLocks::take(self.root, self.options.patience, &mut waiting).map_err(|e| match e {
            LockError::Held(whom) => Reason::new(
                format!("{whom} is changing packages, and may be rebuilding boot images"),
                "wait until it is done, then run passthru again",
            )
            .into(),
            LockError::Failed(error) => error.into(),
            LockError::Cancelled => Reason::new("cancelled", "run it again").into(),
        })
    }

    /// The boot this host is in, if its root is a running one.
    pub(super) fn boot(&self) -> Option<String> {
        self.root.attribute("/proc/sys/kernel/random/boot_id")
    }

    /// Changes whenever packages are installed or removed: when their database was written.
    pub(super) fn packages(&self) -> Option<String> {
        [
            "/var/lib/dpkg/status",
            "/usr/lib/sysimage/rpm/rpmdb.sqlite",
            "/var/lib/rpm/rpmdb.sqlite",
            "/var/lib/pacman/local",
        ]
        .iter()
        .find_map(|path| self.root.meta(path).ok())
        .map(|meta| format!("{}.{:09} {}", meta.mtime.0, meta.mtime.1, meta.size))
    }
}
