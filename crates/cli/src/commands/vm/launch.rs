//! A guest is started and seen to run, or is ended again.

use std::time::Duration;

use passthru_host::{
    Exec,
    libvirt::{Libvirt, Started, State},
};

use super::guest::{self, Waited};
use crate::{cancel::Cancel, out::Out, show::waiting::Waiting};

/// How long a guest that was started has to be running.
const RUNNING: Duration = Duration::from_secs(20);

/// Why a guest does not run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// It is certain that it does not.
    Ended(String),
    /// libvirt could not be asked, or not be made to end it.
    Unclear(String),
}

/// Starts the guest and sees it run; if it does not, says why, and leaves none behind.
pub(super) fn start(
    name: &str,
    libvirt: &Libvirt<'_>,
    exec: &dyn Exec,
    cancel: &Cancel,
    out: &mut Out,
) -> Result<(), NotStarted> {
    let mut waiting = Waiting::new(format!("starting {name}: its memory is being prepared"));
    let started = libvirt.start(name, &mut |time| waiting.alive(out, time));
    // The flag that ended virsh would end every other question.
    let later = Libvirt::new(exec, None);
    let stopped = |why: &str| match later.is_active(name) {
        Ok(false) => NotStarted::Ended(why.to_owned()),
        Ok(true) => match later.destroy(name) {
            Ok(()) => NotStarted::Ended(why.to_owned()),
            Err(error) => NotStarted::Unclear(format!(
                "{why}; it was to be ended and still starts ({error})"
            )),
        },
        Err(error) => NotStarted::Unclear(format!("{why}; {error}")),
    };
    match started {
        // Whoever runs under that name now, it is not this start's to end.
        Err(error) => {
            let why = error.to_string();
            return Err(match later.is_active(name) {
                Ok(false) => NotStarted::Ended(why),
                Ok(true) => NotStarted::Unclear(why),
                Err(error) => NotStarted::Unclear(format!("{why}; {error}")),
            });
        }
        Ok(Started::Cut) => return Err(stopped("stopped before it ran")),
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
    let log = "/var/log/libvirt/qemu has a log of it";
    match (waited, state) {
        (Ok(Waited::Yes), State::Running) => Ok(()),
        (Ok(Waited::Cancelled), _) => Err(stopped("stopped before it ran")),
        (Ok(_), State::ShutOff) => Err(NotStarted::Ended(format!("it ended at once; {log}"))),
        (Ok(_), _) => Err(stopped(&format!(
            "libvirt started it, and it does not run; {log}"
        ))),
        (Err(error), _) => Err(NotStarted::Unclear(error.message().to_owned())),
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

    /// A libvirt that starts the guest and answers nothing else.
    struct Mute;

    impl Exec for Mute {
        fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
            Ok(Output {
                status: Some(i32::from(argv[4] != "start")),
                text: "error: failed to connect to the hypervisor\n".to_owned(),
            })
        }

        fn watch(
            &self,
            argv: &[&str],
            _: &Watch<'_>,
            _: &mut dyn FnMut(Sign<'_>),
        ) -> Result<(Output, End), ExecError> {
            Ok((self.run(argv)?, End::Itself))
        }
    }

    #[test]
    fn a_guest_that_nobody_can_ask_about_may_be_running() {
        let (cancel, mut out) = (Cancel::default(), Out::new(Color::Never, true, 0));
        let libvirt = Libvirt::new(&Mute, Some(cancel.flag()));
        let not = start("gaming", &libvirt, &Mute, &cancel, &mut out).unwrap_err();
        assert!(matches!(not, NotStarted::Unclear(_)), "{not:?}");
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
            assert_eq!(why, NotStarted::Ended("stopped before it ran".into()));
            assert_eq!(*exec.asked.borrow(), expected);
        }
    }
}
