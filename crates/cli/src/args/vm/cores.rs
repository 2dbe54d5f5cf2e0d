//! Which cores of the host a guest gets: options of every command that pins.

use clap::{Args, ValueEnum};
use passthru_plan::{facts, guest::CoreWish};

/// Names of all of these options, for commands that take them only with others.
pub(crate) const ALL: [&str; 4] = ["threads", "leave", "kind", "l3"];

/// Which cores of the host a guest gets.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Which cores of the host")]
pub(crate) struct Cores {
    /// Threads of each core the guest uses; the core's other threads stay idle.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Physical cores that stay with the host (2, or 1 of up to 4, if left out).
    #[arg(long, value_name = "N")]
    leave: Option<u32>,
    /// Which kind of core, on processors that have two.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Stay in this L3 cache, by its number in the map of `passthru vm pin`.
    #[arg(long, value_name = "N")]
    l3: Option<usize>,
}

/// Kinds of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The fast ones.
    Performance,
    /// The small ones.
    Efficiency,
}

impl From<Kind> for facts::CoreKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Performance => Self::Performance,
            Kind::Efficiency => Self::Efficiency,
        }
    }
}

impl From<&Cores> for CoreWish {
    fn from(cores: &Cores) -> Self {
        Self {
            threads: cores.threads,
            leave_to_host: cores.leave,
            kind: cores.kind.map(Into::into),
            l3: cores.l3,
        }
    }
}
