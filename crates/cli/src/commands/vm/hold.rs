//! What the host gives a guest while it runs, set and put back: huge pages, and CPUs of its own.

use std::time::{Duration, Instant};

use passthru_host::{
    Exec, Root, confine,
    held::{HeldError, Store},
    pools::{self, Grown},
};
use passthru_plan::{
    Facts, Refusal,
    guest::{
        Domain,
        run::{
            Held, Ready,
            held::Confined,
            isolation::{self, Isolation},
            pages,
        },
    },
    text::{cpulist::CpuSet, quote::word},
};

use super::functions;
use crate::error::{Error, Kind};

/// How long another passthru is waited for that starts a guest.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
const BEAT: Duration = Duration::from_millis(200);

/// Why nothing is set.
pub(super) enum NotSet {
    /// A reason that has a way out; everything is as before.
    Refused(Refusal),
    /// It failed; what could not be put back.
    Failed(String, Vec<String>),
}

/// The host, as far as guests hold something of it.
pub(super) struct Hold<'a> {
    pub(super) root: &'a Root,
    pub(super) exec: &'a dyn Exec,
    pub(super) store: &'a Store<'a>,
    /// The host's CPUs that are online.
    pub(super) online: CpuSet,
}

impl<'a> Hold<'a> {
    pub(super) fn new(
        root: &'a Root,
        exec: &'a dyn Exec,
        store: &'a Store<'a>,
        facts: &Facts,
    ) -> Self {
        Self {
            root,
            exec,
            store,
            online: isolation::online(facts),
        }
    }

    /// Sets what the guest needs. It is written down before it is done, so that what an interrupted
    /// passthru leaves can be put back.
    pub(super) fn set(
        &self,
        domain: &Domain,
        ready: &Ready,
        others: &[Held],
    ) -> Result<Held, NotSet> {
        let mut held = Held {
            schema: 1,
            name: domain.name.clone(),
            uuid: domain.uuid.clone(),
            functions: functions::before(self.root, domain),
            ..Held::default()
        };
        let plain = |error: &dyn std::fmt::Display| NotSet::Failed(error.to_string(), Vec::new());
        for raise in &ready.raise {
            let raised = pools::intend(self.root, raise, others).map_err(|e| plain(&e))?;
            held.pools.push(raised);
        }
        if let Some(isolation) = &ready.isolation {
            held.isolation = Some(self.confined(isolation, others).map_err(NotSet::Refused)?);
        }
        self.store.save(&held).map_err(|e| plain(&e))?;
        match self.carry_out(domain, &held, ready, others) {
            Ok(()) => Ok(held),
            Err(NotSet::Failed(why, _)) => Err(NotSet::Failed(why, self.put_back(&held, others))),
            Err(NotSet::Refused(refusal)) => match self.put_back(&held, others) {
                left if left.is_empty() => Err(NotSet::Refused(refusal)),
                left => Err(NotSet::Failed(refusal.why, left)),
            },
        }
    }

    fn confined(&self, isolation: &Isolation, others: &[Held]) -> Result<Confined, Refusal> {
        let before = match isolation::before(others) {
            Some(before) => before.to_vec(),
            None => confine::allowed(self.exec).map_err(|e| not_here(&e))?,
        };
        Ok(Confined {
            guest: isolation.guest.clone(),
            before,
        })
    }

    fn carry_out(
        &self,
        domain: &Domain,
        held: &Held,
        ready: &Ready,
        others: &[Held],
    ) -> Result<(), NotSet> {
        let failed = |error: &dyn std::fmt::Display| NotSet::Failed(error.to_string(), Vec::new());
        for (raised, raise) in held.pools.iter().zip(&ready.raise) {
            match pools::grow(self.root, raised).map_err(|e| failed(&e))? {
                Grown::Yes => {}
                Grown::Short(got) => {
                    return Err(NotSet::Refused(pages::fragmented(domain, raise, got)));
                }
            }
        }
        if let Some(confined) = &held.isolation {
            let left = isolation::left(&self.online, others, Some(&confined.guest));
            let units = isolation::confine(&confined.before, &left);
            confine::allow(self.root, self.exec, &units, &self.online).map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Puts back what the guest held, and forgets it. What could not be put back stays written down,
    /// and is named.
    pub(super) fn put_back(&self, held: &Held, others: &[Held]) -> Vec<String> {
        let mut left = Vec::new();
        let mut rest = Held {
            pools: Vec::new(),
            isolation: None,
            ..held.clone()
        };
        for raised in &held.pools {
            match pools::shrink(self.root, raised, others) {
                Ok(true) => {}
                Ok(false) => left.push(format!(
                    "Some huge pages of {} are still in use; they go when they are freed.",
                    raised.pool
                )),
                Err(error) => {
                    left.push(format!("Huge pages were not given back: {error}"));
                    rest.pools.push(raised.clone());
                }
            }
        }
        if let Some(confined) = &held.isolation {
            let units = isolation::after(confined, others, &self.online);
            if let Err(error) = confine::allow(self.root, self.exec, &units, &self.online) {
                left.push(format!(
                    "The host's own processes are still confined: {error}"
                ));
                rest.isolation = Some(confined.clone());
            }
        }
        let noted = if rest.is_light() {
            self.store.forget(&held.uuid)
        } else {
            self.store.save(&rest)
        };
        left.extend(noted.err().map(|error| error.to_string()));
        left
    }
}

/// Isolation that this host cannot do.
pub(super) fn not_here(error: &confine::ConfineError) -> Refusal {
    Refusal {
        id: "guest.start.isolate.not-here".into(),
        why: format!("The host's processes cannot be kept off the guest's CPUs: {error}."),
        way_out: "Start it without --isolate.".into(),
    }
}

/// What all guests hold, for one that starts or stops; an error if another passthru is at it.
pub(super) fn store(root: &Root) -> Result<Store<'_>, Error> {
    Store::open(root).map_err(|error| unread(&error))
}

/// The same for a guest that has ended already: another guest that is being started is waited for.
pub(super) fn store_later<'a>(root: &'a Root, name: &str) -> Result<Store<'a>, Error> {
    let begun = Instant::now();
    loop {
        match Store::open(root) {
            Ok(store) => return Ok(store),
            Err(HeldError::Busy(_)) if begun.elapsed() < PATIENCE => {}
            Err(error) => {
                return Err(Error::new(
                    Kind::NotRolledBack,
                    format!("{name} is shut off, but what it held was not put back: {error}"),
                )
                .hint(format!("sudo passthru vm release {}", word(name))));
            }
        }
        std::thread::sleep(BEAT);
    }
}

/// Guests' holdings that cannot be read or written.
pub(super) fn unread(error: &HeldError) -> Error {
    let is_busy = matches!(error, HeldError::Busy(_));
    let shown = Error::new(
        Kind::NothingChanged,
        format!("{error}; nothing was changed"),
    );
    if is_busy {
        shown.hint("try again when it is done")
    } else {
        shown
    }
}

/// What the guest with this UUID holds, and what all others do.
pub(super) fn split(all: Vec<Held>, uuid: &str) -> (Option<Held>, Vec<Held>) {
    let (mut own, others): (Vec<Held>, Vec<Held>) =
        all.into_iter().partition(|held| held.uuid == uuid);
    (own.pop(), others)
}
