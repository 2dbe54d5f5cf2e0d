//! `passthru vm edit`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use passthru_plan::{Address, Ids, Selector, guest::edit::Port};

use super::{Bus, Input, Pages, cores};

/// `passthru vm edit`.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The guest's name.
    #[arg(
        required_unless_present = "xml",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) name: String,
    /// Read its XML from a file in place of libvirt; only with --dry-run.
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub(crate) xml: Option<PathBuf>,
    /// Show what would be changed, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) card: Card,
    #[command(flatten)]
    pub(crate) cpus: Cpus,
    #[command(flatten)]
    pub(crate) devices: Devices,
}

/// Cards and their ROMs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cards")]
pub(crate) struct Card {
    /// Give it a card, by any of its functions: `01:00.0`, or with what it must be,
    /// `01:00.0=10de:1f08`. All of its functions go. May be repeated, as may the others.
    #[arg(long, value_name = "ADDR[=IDS]")]
    pub(crate) add_gpu: Vec<Selector>,
    /// Another function to give it with a card, such as one of the card's group. May be repeated.
    #[arg(long, value_name = "ADDR[=IDS]", requires = "add_gpu")]
    pub(crate) with: Vec<Selector>,
    /// Take a card away.
    #[arg(long, value_name = "ADDR")]
    pub(crate) remove_gpu: Vec<Address>,
    /// Let it see the option ROM in this file on a function that it owns.
    #[arg(long, value_name = "ADDR=FILE", value_parser = rom)]
    pub(crate) rom: Vec<(Address, String)>,
    /// Let it see no option ROM on a function.
    #[arg(long, value_name = "ADDR")]
    pub(crate) rom_off: Vec<Address>,
    /// Let it see the function's own option ROM.
    #[arg(long, value_name = "ADDR")]
    pub(crate) no_rom: Vec<Address>,
    /// Hide from it that it is a guest: the answer to Code 43 of NVIDIA drivers older than 465 (March
    /// 2021), and of no others.
    #[arg(long, conflicts_with = "no_hide")]
    pub(crate) hide: bool,
    /// Hide it no more: no driver of today needs it, and it costs speed.
    #[arg(long)]
    pub(crate) no_hide: bool,
    /// No screen but the card's: takes away SPICE and what hangs on it, and the QXL card.
    #[arg(long)]
    pub(crate) no_screen: bool,
}

/// Processors and memory.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "Processors and memory",
    group = ArgGroup::new("cores").args(cores::ALL).multiple(true).requires("pin")
)]
pub(crate) struct Cpus {
    /// Pin its CPUs to cores of the host (see `passthru vm pin`).
    #[arg(long, conflicts_with = "no_pin")]
    pub(crate) pin: bool,
    /// How many CPUs; as many as it has if left out.
    #[arg(long, value_name = "N", requires = "pin")]
    pub(crate) cpus: Option<u32>,
    /// Pin nothing.
    #[arg(long)]
    pub(crate) no_pin: bool,
    #[command(flatten)]
    pub(crate) pages: Pages,
    /// Memory in ordinary pages.
    #[arg(long, conflicts_with = "hugepages")]
    pub(crate) no_hugepages: bool,
    #[command(flatten)]
    pub(crate) cores: cores::Cores,
}

/// USB devices, disks, keyboard and mouse.
#[derive(Debug, Args)]
#[command(next_help_heading = "USB devices, disks, keyboard and mouse")]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Take a USB device away, by what it is or by its port.
    #[arg(long, value_name = "VENDOR:PRODUCT|PORT", value_parser = usb)]
    pub(crate) remove_usb: Vec<Usb>,
    /// Give it a whole disk, by its name in /dev/disk/by-id.
    #[arg(long, value_name = "PATH")]
    pub(crate) add_disk: Vec<String>,
    /// The same, for a disk with a system that the guest is to start: volumes on it are the guest's.
    #[arg(long, value_name = "PATH")]
    pub(crate) transplant: Vec<String>,
    /// How it sees these disks. Every system has a driver for sata, and virtio is faster.
    #[arg(long, value_name = "BUS", default_value = "sata")]
    pub(crate) disk_bus: Bus,
    /// Take a disk away, a device or an image. What is on it stays.
    #[arg(long, value_name = "PATH")]
    pub(crate) remove_disk: Vec<String>,
    /// Share it no more.
    #[arg(long, value_name = "PATH")]
    pub(crate) remove_evdev: Vec<String>,
}

/// A USB device, by what it is or by where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Usb {
    /// What it is.
    Ids(Ids),
    /// Where it is.
    Port(Port),
}

fn rom(text: &str) -> Result<(Address, String), String> {
    let (address, file) = text
        .split_once('=')
        .ok_or("not a function and its file, such as 01:00.0=/usr/share/kvm/card.rom")?;
    let address = address
        .parse()
        .map_err(|e: passthru_plan::pci::BadAddress| e.to_string())?;
    Ok((address, file.to_owned()))
}

fn usb(text: &str) -> Result<Usb, String> {
    let ids = text.parse().map(Usb::Ids);
    ids.or_else(|_| text.parse().map(Usb::Port))
        .map_err(|_| "neither VENDOR:PRODUCT such as 046d:c52b nor a port such as 1-2.3".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_with_files_and_usb_devices() {
        let (address, file) = rom("01:00.0=/a=b.rom").unwrap();
        assert_eq!(address.to_string(), "0000:01:00.0");
        assert_eq!(file, "/a=b.rom");
        assert!(rom("01:00.0").is_err() && rom("/a=01:00.0").is_err());
        assert!(matches!(usb("046d:c52b"), Ok(Usb::Ids(_))));
        assert!(matches!(usb("1-2.3"), Ok(Usb::Port(_))));
        assert!(usb("mouse").is_err());
    }
}
