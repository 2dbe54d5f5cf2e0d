//! `passthru vm list`, `start`, `stop`, `release`, `ip` and `console`.

use clap::Args;

/// `passthru vm start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The guest's name.
    pub(crate) name: String,
    /// Wait so many seconds for its address, and show it.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) wait: u64,
    /// Ask the kernel for the huge pages that are missing; they are given back when it is stopped.
    #[arg(long)]
    pub(crate) allocate_hugepages: bool,
    /// Keep the host's own processes off the guest's CPUs while it runs.
    #[arg(long)]
    pub(crate) isolate: bool,
    /// The host may lose its only picture while the guest runs.
    #[arg(long)]
    pub(crate) headless: bool,
}

/// `passthru vm stop`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The guest's name.
    pub(crate) name: String,
    /// Cut its power: it loses what it has not written to its disks.
    #[arg(long)]
    pub(crate) force: bool,
    /// How many seconds it has to shut down.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 120,
        conflicts_with = "force"
    )]
    pub(crate) timeout: u64,
}

/// `passthru vm release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The guest's name.
    pub(crate) name: String,
}

/// `passthru vm ip`.
#[derive(Debug, Args)]
pub(crate) struct Ip {
    /// The guest's name.
    pub(crate) name: String,
    /// Wait so many seconds for an address.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) wait: u64,
    /// Try to connect to the ports of SSH and remote desktop, and say which one answers.
    #[arg(long)]
    pub(crate) probe: bool,
}

/// `passthru vm console`.
#[derive(Debug, Args)]
pub(crate) struct Console {
    /// The guest's name.
    pub(crate) name: String,
}
