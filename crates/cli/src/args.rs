//! What can be typed. Types only: what it means is decided by the commands.

#[cfg(test)]
mod said;
pub(crate) mod vm;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use passthru_plan::{Address, Selector, intent};

const NOTES: &str = "\
Looking changes nothing. Every change can be taken back: `sudo passthru undo`.
Try it without touching this machine: `passthru demo`.";

/// What every command ends with; [`crate::error`] keeps to it.
pub(crate) const EXIT_STATUS: &str = "  0  yes; done; nothing to do
  1  no: a check failed, a plan is refused, or something stood in the way before the first change
  2  the command line makes no sense, or something could not be read; nothing was changed
  3  done; the host has to be rebooted
  4  it failed, and everything is as before
  5  it failed, and something is not as before";

/// Takes this host from bare metal to a virtual machine that owns its GPU, and back.
///
/// Without a command: where this host stands, and the one next command.
#[derive(Debug, Parser)]
#[command(
    name = "passthru",
    version,
    max_term_width = 100,
    arg_required_else_help = false,
    subcommand_help_heading = "Commands",
    after_help = NOTES,
    after_long_help = format!("{NOTES}\n\nExit status:\n{EXIT_STATUS}")
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The host whose root directory is DIR, such as a mounted image.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        conflicts_with = "host",
        hide_short_help = true
    )]
    pub(crate) root: Option<PathBuf>,
    /// The host in FILE, made by `passthru capture` (reading commands only).
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) host: Option<PathBuf>,
    /// Answer yes to every question.
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Say more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour; NO_COLOR and CLICOLOR_FORCE are heeded.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_short_help = true
    )]
    pub(crate) color: Color,
    /// Stand-ins for the host's tools; only for a root made by `demo --write-sample`.
    #[arg(long, global = true, hide = true, requires = "root")]
    pub(crate) sample_tools: bool,
}

impl Global {
    /// As if a written sample host were named, with the stand-ins for its tools, and agreed to.
    pub(crate) fn sample(root: &Path) -> Self {
        Self {
            json: false,
            root: Some(root.to_owned()),
            host: None,
            yes: true,
            verbose: 0,
            color: Color::Auto,
            sample_tools: true,
        }
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that can.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check whether this host is ready, with evidence and remedies.
    Doctor,
    /// Show IOMMU groups and cards: what travels together, and what is in the way.
    Devices(Devices),
    /// Choose a card step by step, see the plan, confirm, apply.
    Setup,
    /// Show everything that would change, and change nothing.
    Plan(Want),
    /// Carry a plan out as one transaction.
    Apply(Apply),
    /// Check after the reboot that everything is as planned.
    Verify,
    /// Keep a trial boot.
    Confirm(Confirm),
    /// Take a transaction back, to the byte.
    Undo(Undo),
    /// Finish what an interrupted run left.
    Recover,
    /// Show what was done here, and when.
    History,
    /// Guests: make, change, check, start and stop them.
    Vm(vm::Vm),
    /// Read, check and trim option ROMs, such as a card's video BIOS.
    Rom(Rom),
    /// Write this host to a file that can be shared; serial numbers are masked.
    Capture(Capture),
    /// Walk through the whole cycle on a built-in sample host: no root, no reboot.
    Demo(Demo),
    /// Where this host stands, as without a command.
    #[command(hide = true)]
    Status,
    /// Shell completions and manual pages.
    #[command(hide = true)]
    Generate(Generate),
}

impl Command {
    /// It is there to change something.
    pub(crate) fn acts(&self) -> bool {
        match self {
            Self::Setup
            | Self::Apply(_)
            | Self::Confirm(_)
            | Self::Undo(_)
            | Self::Recover
            | Self::Rom(Rom {
                what: RomVerb::Dump(_),
            }) => true,
            Self::Vm(vm) => match &vm.what {
                vm::What::New(new) => !new.dry_run,
                vm::What::Edit(edit) => !edit.dry_run,
                vm::What::Start(_) | vm::What::Stop(_) | vm::What::Release(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}

/// `passthru devices`.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Show every function, not only cards and what is in their way.
    #[arg(long)]
    pub(crate) all: bool,
    /// Show every function by bus, below the bridge it hangs on.
    #[arg(long, conflicts_with = "all")]
    pub(crate) tree: bool,
}

/// What is wanted: flags, or an intent file.
#[derive(Debug, Args)]
pub(crate) struct Want {
    /// The card to give away, by any of its functions: `01:00.0`, or with what it must be,
    /// `01:00.0=10de:1f08/1043:86f0`. May be repeated.
    #[arg(long, value_name = "ADDR[=IDS]")]
    pub(crate) gpu: Vec<Selector>,
    /// Another function of the card's group that may be given away with it. May be repeated.
    #[arg(long, value_name = "ADDR[=IDS]")]
    pub(crate) with: Vec<Selector>,
    /// When the card is bound to vfio-pci.
    #[arg(long, value_name = "HOW")]
    pub(crate) binding: Option<Binding>,
    /// The host may lose its only display.
    #[arg(long)]
    pub(crate) headless: bool,
    /// Go ahead without interrupt remapping: a guest could then disturb the host.
    #[arg(long)]
    pub(crate) allow_unsafe_interrupts: bool,
    /// Only turn the IOMMU on; bind nothing yet.
    #[arg(long)]
    pub(crate) iommu_only: bool,
    /// Put right what guides and other tools left behind, as `passthru doctor` names it; without
    /// --gpu and --iommu-only nothing else is done.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Set memory aside for guests at every boot, in huge pages, such as 16G; together with --gpu, on
    /// whose memory node they lie. What an earlier change set aside is replaced, or stays without it.
    #[arg(long, value_name = "SIZE", value_parser = vm::memory, requires = "gpu")]
    pub(crate) hugepages: Option<vm::Kib>,
    /// The size of these huge pages.
    #[arg(long, value_name = "SIZE", requires = "hugepages")]
    pub(crate) hugepage_size: Option<vm::PageSize>,
    /// Take away huge pages that an earlier change set aside.
    #[arg(long, conflicts_with = "hugepages")]
    pub(crate) no_hugepages: bool,
    /// No trial boot: the change is there from the next boot on.
    #[arg(long)]
    pub(crate) no_trial: bool,
    /// Read what is wanted from a TOML file with the same words as keys, such as gpu = ["01:00.0"].
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["gpu", "with", "binding", "headless", "allow_unsafe_interrupts", "iommu_only", "repair", "hugepages", "hugepage_size", "no_hugepages", "no_trial"]
    )]
    pub(crate) intent: Option<PathBuf>,
}

/// When the card is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Binding {
    /// At boot, before any other driver.
    Static,
}

impl From<Binding> for intent::Binding {
    fn from(binding: Binding) -> Self {
        match binding {
            Binding::Static => Self::Static,
        }
    }
}

/// `passthru apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) want: Want,
    /// Wait this long for the package manager to finish; 0 refuses at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
}

/// `passthru confirm`.
#[derive(Debug, Args)]
pub(crate) struct Confirm {
    /// Keep it although a check says no.
    #[arg(long)]
    pub(crate) anyway: bool,
    /// As the service does: wait for the host to come to rest, keep the change or take it back.
    #[arg(long, hide = true, conflicts_with = "anyway")]
    pub(crate) at_boot: bool,
    /// Wait this long for the package manager to finish; 0 refuses at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
}

/// `passthru undo`.
#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// The transaction to take back; the latest in force if left out (see `passthru history`).
    #[arg(value_name = "N")]
    pub(crate) transaction: Option<u32>,
    /// Take back everything that is in force, the latest first.
    #[arg(long, conflicts_with = "transaction")]
    pub(crate) all: bool,
    /// Wait this long for the package manager to finish; 0 refuses at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
}

/// `passthru rom`.
#[derive(Debug, Args)]
#[command(
    after_help = "Most cards need no ROM file: a guest reads the ROM from the card. It is for a card that was \
        the host's boot display on a legacy boot, or whose ROM cannot be read. passthru downloads none."
)]
pub(crate) struct Rom {
    #[command(subcommand)]
    pub(crate) what: RomVerb,
}

/// What is done with a ROM.
#[derive(Debug, Subcommand)]
pub(crate) enum RomVerb {
    /// Say what is in a ROM file, and whether a guest can use it.
    Check(RomCheck),
    /// Read a card's ROM into a file; the card is left as it was.
    Dump(RomDump),
    /// Write a ROM alone to a new file, without what stands before and after it.
    Trim(RomTrim),
}

/// `passthru rom check`.
#[derive(Debug, Args)]
pub(crate) struct RomCheck {
    /// The file with the ROM.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The card that it should be for.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gpu: Option<Address>,
}

/// `passthru rom dump`.
#[derive(Debug, Args)]
pub(crate) struct RomDump {
    /// The card, such as 01:00.0: its first function, which holds the ROM.
    #[arg(value_name = "ADDR")]
    pub(crate) function: Address,
    /// Where to write it; a new file in this directory, named by ids and address, if left out.
    #[arg(value_name = "OUT", conflicts_with = "install")]
    pub(crate) out: Option<PathBuf>,
    /// Put it into /var/lib/passthru/vbios, where a guest of libvirt may read it.
    #[arg(long)]
    pub(crate) install: bool,
    /// Take it out of the ACPI table VFCT, where firmware keeps AMD's, and leave the card alone.
    #[arg(long)]
    pub(crate) from_vfct: bool,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `passthru rom trim`.
#[derive(Debug, Args)]
pub(crate) struct RomTrim {
    /// The file with the ROM in it.
    #[arg(value_name = "IN")]
    pub(crate) file: PathBuf,
    /// Where to write the ROM alone.
    #[arg(
        value_name = "OUT",
        required_unless_present = "install",
        conflicts_with = "install"
    )]
    pub(crate) out: Option<PathBuf>,
    /// Put it where guests of libvirt may read it, under the name of the file.
    #[arg(long)]
    pub(crate) install: bool,
    /// The card that it should be for, where no header in the file says where the ROM is.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gpu: Option<Address>,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `passthru capture`.
#[derive(Debug, Args)]
pub(crate) struct Capture {
    /// Where to write the archive (`.tar.gz`); it must not exist yet.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// `passthru demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Write the sample host to an empty directory and stop.
    #[arg(
        long,
        value_name = "DIR",
        hide = true,
        conflicts_with = "reboot_sample"
    )]
    pub(crate) write_sample: Option<PathBuf>,
    /// Change a written sample host as a reboot would, and stop.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) reboot_sample: Option<PathBuf>,
}

/// `passthru generate`.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(subcommand)]
    pub(crate) what: Generated,
}

/// What can be generated.
#[derive(Debug, Subcommand)]
pub(crate) enum Generated {
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory.
    Man {
        /// The directory; it is made if it is missing.
        dir: PathBuf,
    },
}
