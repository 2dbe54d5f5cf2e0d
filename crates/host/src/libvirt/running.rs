//! libvirt's guests while they run: states, starting, stopping, addresses.

use std::{sync::atomic::AtomicBool, time::Duration};

use passthru_plan::guest::run::address::{self, Found, Source};

use super::{Libvirt, LibvirtError, VIRSH, said};
use crate::exec::{End, Sign, Watch};

/// What a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs.
    Running,
    /// It is held.
    Paused,
    /// It is shut off.
    ShutOff,
    /// On its way down, crashed, or asleep.
    Other,
}

/// How a guest is asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As by its power button.
    Acpi,
    /// By qemu-guest-agent in it.
    Agent,
}

/// How long a guest may take to start: all of a large guest's memory is cleared and pinned first.
const START: Duration = Duration::from_secs(15 * 60);

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs.
    Yes,
    /// It was cancelled, or took longer than a quarter of an hour; libvirt may still be at it.
    Cut,
}

impl Libvirt<'_> {
    /// All domains and what they do, in libvirt's order. Words for states are translated, so each
    /// state is asked for.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn states(&self) -> Result<Vec<(String, State)>, LibvirtError> {
        let mut known = Vec::new();
        for (flag, state) in [
            ("--state-running", State::Running),
            ("--state-paused", State::Paused),
            ("--state-shutoff", State::ShutOff),
        ] {
            let names = self.names(&["list", "--all", flag, "--name"])?;
            known.extend(names.into_iter().map(|name| (name, state)));
        }
        let all = self.domains()?;
        let of = |name: &String| {
            let found = known.iter().find(|(one, _)| one == name);
            found.map_or(State::Other, |(_, state)| *state)
        };
        Ok(all.iter().map(|name| (name.clone(), of(name))).collect())
    }

    /// The domain as it runs, as libvirt writes it; as it would start, if it does not run.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn now(&self, name: &str) -> Result<String, LibvirtError> {
        self.ask(&["dumpxml", &format!("--domain={name}")])
    }

    /// Names of the networks that are active.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn networks(&self) -> Result<Vec<String>, LibvirtError> {
        self.names(&["net-list", "--name"])
    }

    /// Names of all networks that are defined, or of those that start with the host.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn all_networks(&self, autostart: bool) -> Result<Vec<String>, LibvirtError> {
        let mut arguments = vec!["net-list", "--all", "--name"];
        arguments.extend(autostart.then_some("--autostart"));
        self.names(&arguments)
    }

    /// Starts the domain, which is shut off, and tells `alive` about once a second that it is still
    /// at it.
    ///
    /// # Errors
    /// What libvirt said.
    pub fn start(
        &self,
        name: &str,
        alive: &mut dyn FnMut(Duration),
    ) -> Result<Started, LibvirtError> {
        let name = format!("--domain={name}");
        let argv: Vec<&str> = VIRSH.iter().copied().chain(["start", &name]).collect();
        let watch = self.patience(START);
        let (output, end) = self.exec.watch(&argv, &watch, &mut |sign| {
            if let Sign::Alive(time) = sign {
                alive(time);
            }
        })?;
        match end {
            End::Itself if output.success() => Ok(Started::Yes),
            End::Itself => Err(LibvirtError::Refused {
                said: said(&output.text),
            }),
            End::Deadline | End::Cancelled => Ok(Started::Cut),
        }
    }

    /// Asks the guest to shut down; it may take its time, or not listen.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn shutdown(&self, name: &str, way: Way) -> Result<(), LibvirtError> {
        let mode = match way {
            Way::Acpi => "--mode=acpi",
            Way::Agent => "--mode=agent",
        };
        self.ask(&["shutdown", &format!("--domain={name}"), mode])
            .map(drop)
    }

    /// Ends the guest as if its power were cut.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn destroy(&self, name: &str) -> Result<(), LibvirtError> {
        self.ask(&["destroy", &format!("--domain={name}")])
            .map(drop)
    }

    /// Addresses of the running domain that `source` knows.
    ///
    /// # Errors
    /// See [`LibvirtError`]; an agent that does not answer is one.
    pub fn addresses(&self, name: &str, source: Source) -> Result<Vec<Found>, LibvirtError> {
        let flag = match source {
            Source::Lease => "--source=lease",
            Source::Agent => "--source=agent",
            Source::Neighbour => "--source=arp",
        };
        let text = self.ask(&["domifaddr", &format!("--domain={name}"), flag, "--full"])?;
        Ok(address::domifaddr(&text, source))
    }

    /// Hands the terminal to the domain's serial console until it is left; gives virsh's exit status.
    ///
    /// # Errors
    /// If virsh could not be started.
    pub fn console(&self, name: &str) -> Result<Option<i32>, LibvirtError> {
        let name = format!("--domain={name}");
        // Not quiet: virsh says that it is connected, and how to leave.
        let argv = ["virsh", "--connect", "qemu:///system", "console", &name];
        Ok(self.exec.terminal(&argv)?)
    }

    fn patience(&self, deadline: Duration) -> Watch<'_> {
        let cancel: Option<&AtomicBool> = self.cancel;
        Watch {
            deadline,
            grace: Duration::from_secs(2),
            cancel,
        }
    }
}
