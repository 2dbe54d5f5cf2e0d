//! What passthru must do on real hosts.

mod harness;
mod iommu_off;
mod no_remap;
mod power_cut;
mod static_binding;
mod twins;
mod without_words;

use crate::error::Result;
use crate::session::Lab;

/// A story with a host in it, which succeeds or says what was not as promised.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it proves, in one sentence.
    pub about: &'static str,
    /// Which runs it belongs to.
    pub set: Set,
    /// Does it.
    pub run: fn(&Lab<'_>) -> Result<()>,
}

/// Which runs a scenario belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// `core` and `all`.
    Core,
    /// `all`.
    Full,
    /// None: it tries the lab itself.
    Harness,
}

/// All of them.
pub static SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "static",
        about: "doctor, apply, reboot, verify, a guest with the card, undo, every byte back",
        set: Set::Core,
        run: static_binding::run,
    },
    Scenario {
        name: "without-words",
        about: "a bound host started from its recovery entry behaves as before",
        set: Set::Core,
        run: without_words::run,
    },
    Scenario {
        name: "power-cut",
        about: "the power goes at five points of apply; the host boots and recovers",
        set: Set::Core,
        run: power_cut::run,
    },
    Scenario {
        name: "twins",
        about: "of two identical cards one is bound, the other keeps its drivers",
        set: Set::Core,
        run: twins::run,
    },
    Scenario {
        name: "iommu-off",
        about: "an IOMMU switched off on the command line: one plan, one reboot, done",
        set: Set::Full,
        run: iommu_off::run,
    },
    Scenario {
        name: "no-remap",
        about: "without interrupt remapping apply refuses, and works with consent",
        set: Set::Full,
        run: no_remap::run,
    },
    Scenario {
        name: "harness",
        about: "the lab itself, without passthru: a card bound by hand, a guest, reboots, a power cut",
        set: Set::Harness,
        run: harness::run,
    },
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
