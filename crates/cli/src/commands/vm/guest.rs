//! A guest by its name, and waiting for it.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use passthru_host::libvirt::{Libvirt, LibvirtError, State};
use passthru_plan::{guest::Domain, text::quote::word};

use super::carry;
use crate::{
    cancel::Cancel,
    error::{Error, Result},
    out::Out,
    show::waiting::Waiting,
};

/// How often libvirt is asked while something is waited for.
const BEAT: Duration = Duration::from_millis(500);

/// What the guest `name` does.
pub(super) fn state(libvirt: &Libvirt<'_>, name: &str) -> Result<State> {
    let states = libvirt.states().map_err(|e| carry::libvirt(&e))?;
    if let Some((_, state)) = states.iter().find(|(one, _)| one == name) {
        return Ok(*state);
    }
    let known: Vec<String> = states.into_iter().map(|(name, _)| name).collect();
    Err(unknown(name, &known))
}

/// libvirt has no guest `name`; those it has.
pub(super) fn unknown(name: &str, known: &[String]) -> Error {
    let error = Error::input(format!("libvirt knows no guest {name}"));
    if known.is_empty() {
        error.hint("there is none yet; passthru vm new makes one")
    } else {
        error.hint(format!("it knows {}", known.join(", ")))
    }
}

/// The guest `name` as it runs, or as it would start.
pub(super) fn now(libvirt: &Libvirt<'_>, name: &str) -> Result<Domain> {
    let xml = libvirt.now(name).map_err(|e| carry::libvirt(&e))?;
    parse(name, &xml)
}

/// The guest that `xml` describes.
pub(super) fn parse(name: &str, xml: &str) -> Result<Domain> {
    Domain::parse(xml).map_err(|error| {
        Error::input(format!("{name}: {error}")).hint(format!("sudo virsh dumpxml {}", word(name)))
    })
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It came.
    Yes,
    /// It did not come in time.
    Deadline,
    /// Somebody asked to stop.
    Cancelled,
}

/// Waits until `done`, for `deadline`; asks at once, and then twice a second.
pub(super) fn wait(
    deadline: Duration,
    what: String,
    cancel: Option<&Cancel>,
    out: &mut Out,
    done: &mut dyn FnMut() -> std::result::Result<bool, LibvirtError>,
) -> Result<Waited> {
    let begun = Instant::now();
    let mut waiting = Waiting::new(what);
    loop {
        let cancelled = || cancel.is_some_and(|c| c.flag().load(Ordering::Relaxed));
        match done() {
            Ok(true) => return Ok(Waited::Yes),
            // The question itself was cut short.
            Err(LibvirtError::Silent(_)) if cancelled() => return Ok(Waited::Cancelled),
            Err(error) => return Err(carry::libvirt(&error)),
            Ok(false) => {}
        }
        if cancelled() {
            return Ok(Waited::Cancelled);
        }
        let time = begun.elapsed();
        if time >= deadline {
            return Ok(Waited::Deadline);
        }
        waiting.alive(out, time);
        std::thread::sleep(BEAT.min(deadline.saturating_sub(time)));
    }
}
