//! A guest is started and seen to run, or is ended again.

use std::time::Duration;

use passthru_host::{
    Exec,
    libvirt::{Libvirt, Started, State},
};
use passthru_plan::text::quote::word;

use super::guest::{self, Waited};
use crate::{cancel::Cancel, out::Out, show::waiting::Waiting};

/// How long a guest that was started has to be running.
const RUNNING: Duration = Duration::from_secs(20);

/// Starts the guest and sees it run; if it does not, says why, and leaves none behind.
pub(super) fn start(
    name: &str,
    libvirt: &Libvirt<'_>,
    exec: &dyn Exec,
    cancel: &Cancel,
    out: &mut Out,
) -> Result<(), String> {
    let mut waiting = Waiting::new(format!("starting {name}: its memory is being prepared"));
    let started = libvirt.start(name, &mut |time| waiting.alive(out, time));
    let stopped = || {
        // The flag that ended virsh would end every other question.
        let libvirt = Libvirt::new(exec, None);
        match libvirt.is_active(name) {
            Ok(true) => libvirt.destroy(name).map_err(|error| {
                format!(
                    "{name} was to be stopped and still starts ({error}): virsh destroy {}",
                    word(name)
                )
            }),
            _ => Ok(()),
        }
    };
    match started {
        Err(error) => return Err(error.to_string()),
        Ok(Started::Cut) => {
            stopped()?;
            return Err("stopped before it ran".into());
        }
        Ok(Started::Yes) => {}
    }
    let what = format!("waiting for {name} to run");
    let mut state = State::Other;
    let waited = guest::wait(RUNNING, what, Some(cancel), out, &mut || {
        let states = libvirt.states()?;
        let found = states.iter().find(|(one, _)| one == name);
        state = found.map_or(State::ShutOff, |(_, state)| *state);
        Ok(matches!(state, State::Running | State::ShutOff))
    });
    match (waited, state) {
        (Ok(Waited::Yes), State::Running) => Ok(()),
        (Ok(Waited::Cancelled), _) => {
            stopped()?;
            Err("stopped before it ran".into())
        }
        (Ok(_), State::ShutOff) => {
            Err("it ended at once; /var/log/libvirt/qemu has a log of it".into())
        }
        (Ok(_), _) => {
            stopped()?;
            Err(
                "libvirt started it, and it does not run; /var/log/libvirt/qemu has a log of it"
                    .into(),
            )
        }
        (Err(error), _) => Err(error.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, sync::atomic::Ordering};

    use passthru_host::exec::{End, ExecError, Output, Sign, Watch};

    use super::*;
    use crate::args::Color;

    /// A libvirt that goes on starting a guest after virsh was ended.
    struct Stubborn {
        /// The guest runs once virsh was ended.
        goes_on: bool,
        asked: RefCell<Vec<String>>,
    }

    impl Exec for Stubborn {
        fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
            let verb = argv[4];
            self.asked.borrow_mut().push(verb.to_owned());
            let text = match verb {
                "list" if self.goes_on => "gaming\n\n",
                _ => "\n",
            };
            Ok(Output {
                status: Some(0),
                text: text.to_owned(),
            })
        }

        fn watch(
            &self,
            argv: &[&str],
            watch: &Watch<'_>,
            _: &mut dyn FnMut(Sign<'_>),
        ) -> Result<(Output, End), ExecError> {
            let output = self.run(argv)?;
            let cancelled = watch
                .cancel
                .is_some_and(|flag| flag.load(Ordering::Relaxed));
            Ok((
                output,
                if cancelled {
                    End::Cancelled
                } else {
                    End::Itself
                },
            ))
        }
    }

    #[test]
    fn a_start_that_is_cancelled_leaves_no_guest_behind() {
        for (goes_on, expected) in [
            (true, &["start", "list", "destroy"][..]),
            (false, &["start", "list"]),
        ] {
            let exec = Stubborn {
                goes_on,
                asked: RefCell::default(),
            };
            let cancel = Cancel::default();
            cancel.flag().store(true, Ordering::Relaxed);
            let libvirt = Libvirt::new(&exec, Some(cancel.flag()));
            let mut out = Out::new(Color::Never, true, 0);
            let why = start("gaming", &libvirt, &exec, &cancel, &mut out).unwrap_err();
            assert_eq!(why, "stopped before it ran");
            assert_eq!(*exec.asked.borrow(), expected);
        }
    }
}
