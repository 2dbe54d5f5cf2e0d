//! `passthru vm`.

pub(crate) mod new;
pub(crate) mod show;

use clap::{Args, Subcommand, ValueEnum};
use passthru_plan::{Address, facts};

/// `passthru vm`.
#[derive(Debug, Args)]
pub(crate) struct Vm {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What can be done with guests.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Show which CPUs and which memory a guest should get, with the libvirt XML for it.
    Pin(Pin),
    /// Make a guest that owns a card.
    New(Box<new::New>),
    /// List the host's disks: the name to give to a guest, and what uses each.
    Disks,
    /// Show a guest of libvirt: its XML, or a script that starts it without libvirt.
    Show(show::Show),
}

/// `passthru vm pin`.
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The card of the guest, by any of its functions: its memory node is preferred.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gpu: Option<Address>,
    /// CPUs of the guest; as many as fit into one L3 cache if left out.
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u32>,
    /// Memory of the guest, such as 16G or 8192M.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory: Option<Kib>,
    /// Threads of each core the guest uses; the core's other threads stay idle.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,
    /// Physical cores that stay with the host (2, or 1 of up to 4, if left out).
    #[arg(long, value_name = "N")]
    pub(crate) leave: Option<u32>,
    /// Which kind of core, on processors that have two.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// Stay in this L3 cache, by its number in the map.
    #[arg(long, value_name = "N")]
    pub(crate) l3: Option<usize>,
}

/// Kinds of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
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

/// An amount of memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kib(pub(crate) u64);

/// `16G`, `16GiB`, `8192M`: units are powers of 1024, as in QEMU and libvirt's `unit='GiB'`.
pub(crate) fn memory(text: &str) -> Result<Kib, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "k" | "kib" => 1,
        "m" | "mib" => 1 << 10,
        "g" | "gib" => 1 << 20,
        "t" | "tib" => 1_u64 << 30,
        _ => return Err("not a size such as 16G or 8192M".into()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .map(Kib)
        .ok_or_else(|| "not a size such as 16G or 8192M".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(memory("16G"), Ok(Kib(16 << 20)));
        assert_eq!(memory("16GiB"), Ok(Kib(16 << 20)));
        assert_eq!(memory("8192m"), Ok(Kib(8192 << 10)));
        assert_eq!(memory("1T"), Ok(Kib(1 << 30)));
        for bad in [
            "",
            "16",
            "G",
            "16GB",
            "-1G",
            "1.5G",
            "99999999999999999999G",
            "18446744073709551615T",
        ] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }
}
