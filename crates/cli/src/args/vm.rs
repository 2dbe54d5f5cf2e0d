//! `passthru vm`.

pub(crate) mod check;
pub(crate) mod cores;
pub(crate) mod edit;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod show;

use clap::{Args, Subcommand, ValueEnum};
use passthru_plan::{
    Address, Ids,
    guest::{edit::Port, hugepages, spec},
    text::size,
};

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
    /// Show the guests of this host: what they do, and which card is whose.
    List,
    /// Start a guest, once nothing stands in its way.
    Start(run::Start),
    /// Shut a guest down, and see its card come back.
    Stop(run::Stop),
    /// Put back what the host gave a guest that ended by itself.
    Release(run::Release),
    /// Show a guest's address, and how to reach it.
    Ip(run::Ip),
    /// Open a guest's serial console.
    Console(run::Console),
    /// List the host's disks: the name to give to a guest, and what uses each.
    Disks,
    /// Change a guest of libvirt, and nothing in it that is not asked for.
    Edit(Box<edit::Edit>),
    /// Hold a guest of libvirt to this host: what keeps it from starting, and what makes it slow.
    Check(check::Check),
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
    #[command(flatten)]
    pub(crate) cores: cores::Cores,
}

/// Memory in huge pages.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Pages {
    /// Memory in huge pages, which the host sets aside (`passthru apply --hugepages`) or looks for
    /// when the guest starts (`passthru vm start --allocate-hugepages`).
    #[arg(
        long,
        value_name = "SIZE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "largest"
    )]
    pub(crate) hugepages: Option<PageSize>,
}

/// USB devices, keyboard and mouse of the host that a guest gets.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Input {
    /// Give it a USB device by what it is, as lsusb shows it: `046d:c52b`.
    #[arg(long, value_name = "VENDOR:PRODUCT")]
    pub(crate) add_usb: Vec<Ids>,
    /// Give it the USB device in a port, as /sys/bus/usb/devices names it: `1-2.3`.
    #[arg(long, value_name = "PORT")]
    pub(crate) add_usb_port: Vec<Port>,
    /// Share a keyboard or mouse, by its path in /dev/input/by-id; both control keys together switch
    /// it over.
    #[arg(long, value_name = "PATH")]
    pub(crate) evdev: Vec<String>,
}

/// Buses of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bus {
    /// Every system has a driver.
    Sata,
    /// Fast; Windows needs a driver for it.
    Virtio,
}

impl From<Bus> for spec::Bus {
    fn from(bus: Bus) -> Self {
        match bus {
            Bus::Sata => Self::Sata,
            Bus::Virtio => Self::Virtio,
        }
    }
}

/// Sizes of huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageSize {
    /// 1G where that divides the memory and the CPU has it, else 2M.
    Largest,
    /// The kernel finds them also when the host has run for a while.
    #[value(name = "2M")]
    Mib2,
    /// To be set aside at boot.
    #[value(name = "1G")]
    Gib1,
}

impl From<PageSize> for hugepages::PageSize {
    fn from(size: PageSize) -> Self {
        match size {
            PageSize::Largest => Self::Largest,
            PageSize::Mib2 => Self::Mib2,
            PageSize::Gib1 => Self::Gib1,
        }
    }
}

/// An amount of memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kib(pub(crate) u64);

/// `16G`, `16GiB`, `8192M`.
pub(crate) fn memory(text: &str) -> Result<Kib, size::BadSize> {
    size::parse_kib(text).map(Kib)
}
