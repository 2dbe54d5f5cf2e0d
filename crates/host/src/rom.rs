//! Reading a card's option ROM: the card is woken, the ROM is switched on, read and switched off again,
//! and the card's power management is put back, whatever happens in between.
//!
//! `device.rs` the attributes of one function, `guest.rs` who uses it, `file.rs` ROMs as files.

mod apparmor;
mod device;
mod file;
mod guest;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use passthru_plan::{
    Address,
    facts::Function,
    rom::vfct::{self, VfctError},
};
use rustix::io::Errno;

pub use apparmor::{AppArmorRule, apparmor_rule, closed_by_apparmor};
pub use file::{DIRECTORY, install, load, load_from, save};

use crate::root::{PathError, Root};
use device::{Device, Live};

/// Where firmware leaves AMD's video BIOSes.
const VFCT: &str = "/sys/firmware/acpi/tables/VFCT";
/// How long a card may take to wake up. PCI allows a function 100 ms after D3cold (PCI Express 6.0,
/// section 6.6.1); bridges above it and firmware methods come on top.
const WAKE: Duration = Duration::from_secs(5);
/// Between two looks at the power state.
const LOOK: Duration = Duration::from_millis(10);

/// A ROM as it was read; whether it is one is still to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they come from.
    pub source: Source,
}

/// Where a ROM was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The function's `rom` attribute.
    Function,
    /// The ACPI table VFCT, under the function's own address.
    Vfct,
    /// The ACPI table VFCT, under another address: the only entry with the function's ids.
    VfctElsewhere,
}

/// How far a failed dump came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was touched.
    Before,
    /// Something was switched and is as before.
    Restored,
    /// Something is not as before; the hints say what.
    Left,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DumpError {
    /// What and where.
    pub message: String,
    /// Ways out.
    pub hints: Vec<String>,
    /// How far it came.
    pub stage: Stage,
}

impl DumpError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            stage: Stage::Before,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// The option ROM of `function`, read from the card. On a root that is not the running machine's there
/// is nothing to switch: there its `rom` file is only read.
///
/// # Errors
/// If a guest has the card, if the kernel would give the copy in memory instead, or if the ROM cannot
/// be read; also if something could not be put back afterwards.
pub fn dump(root: &Root, function: &Function) -> Result<Dump, DumpError> {
    refuse(root, function)?;
    let device = Live::new(root, function.address);
    let bytes = if root.is_live() {
        read_switched(&device, function.address)?
    } else {
        device
            .rom()
            .map_err(|error| unreadable(function.address, &error))?
    };
    Ok(Dump {
        bytes,
        source: Source::Function,
    })
}

/// What speaks against touching the function.
fn refuse(root: &Root, function: &Function) -> Result<(), DumpError> {
    let address = function.address;
    let vfct = |error: DumpError| {
        match root.exists(VFCT) {
        true => error.hint(format!(
            "this host's firmware keeps video BIOSes in the ACPI table VFCT: passthru rom dump {address} --from-vfct"
        )),
        false => error,
    }
    };
    if !function.rom {
        return Err(vfct(DumpError::new(format!(
            "{address} has no option ROM that the kernel could read (no `rom` in /sys/bus/pci/devices/{address}); nothing was done"
        ))
        .hint("a guest gets along without one unless the card is its boot display")));
    }
    if function.has_rom_shadow() {
        return Err(vfct(DumpError::new(format!(
            "{address} was the boot display of a legacy boot: for it the kernel reads the copy in memory at \
             0xc0000, which has no UEFI part and was changed by the code that ran; nothing was done"
        ))
        .hint("make another graphics card the primary one in the firmware setup, boot, and read this one again")
        .hint("or switch legacy boot (CSM) off in the firmware setup, if the host is installed for UEFI")));
    }
    if let Some(holder) = guest::holder(root, address) {
        return Err(DumpError::new(format!(
            "{address} is in use by a guest ({holder}); nothing was done"
        ))
        .hint("shut the guest down, then read the ROM"));
    }
    Ok(())
}

/// The ROM, with the card awake and its ROM switched on for as long as it takes.
fn read_switched(device: &dyn Device, address: Address) -> Result<Vec<u8>, DumpError> {
    let asleep = device
        .get("power/control")
        .filter(|control| control != "on");
    // What was switched, and what it was before; the last is put back first.
    let mut switched: Vec<(&str, String)> = Vec::new();
    let mut switch = |name: &'static str, value: &str, before: String| {
        device.set(name, value).map_err(|error| {
            DumpError::new(format!(
                "{}: cannot be switched: {error}",
                device.path(name)
            ))
        })?;
        switched.push((name, before));
        Ok(())
    };
    let result = (|| {
        if let Some(before) = asleep {
            switch("power/control", "on", before)?;
        }
        wake(device, address)?;
        // A function that no driver ever enabled may not answer in its address ranges, its ROM's
        // included. With a driver it is the driver's to say, and the kernel answers EBUSY
        // (`enable_store`, drivers/pci/pci-sysfs.c).
        let enabled = device.get("enable").is_none_or(|count| count != "0");
        if !enabled && !device.has_driver() {
            switch("enable", "1", "0".into())?;
        }
        switch("rom", "1", "0".into())?;
        device.rom().map_err(|error| unreadable(address, &error))
    })();
    let mut left = Vec::new();
    for (name, before) in switched.iter().rev() {
        if let Err(error) = device.set(name, before) {
            let path = device.path(name);
            left.push(format!(
                "{path}: cannot be put back ({error}); as root: echo {before} > {path}"
            ));
        }
    }
    if left.is_empty() {
        return result.map_err(|error| DumpError {
            stage: Stage::Restored,
            ..error
        });
    }
    let mut error = result.err().unwrap_or_else(|| {
        DumpError::new(format!(
            "the ROM of {address} was read, but not everything is as before; it was not written"
        ))
    });
    error.stage = Stage::Left;
    error.hints.splice(0..0, left);
    Err(error)
}

/// Waits until the function is in D0. The kernel says `unknown` of a function whose driver was taken
/// away while it was on (`pci_device_remove`, drivers/pci/pci-driver.c).
fn wake(device: &dyn Device, address: Address) -> Result<(), DumpError> {
    let mut state = String::new();
    for _ in 0..WAKE.as_millis() / LOOK.as_millis() {
        match device.get("power_state") {
            None => return Ok(()),
            Some(now) if matches!(now.as_str(), "D0" | "unknown") => return Ok(()),
            Some(now) => state = now,
        }
        device.wait(LOOK);
    }
    Err(DumpError::new(format!(
        "{address} does not wake up: it is still in {state} after {} seconds",
        WAKE.as_secs()
    ))
    .hint(format!(
        "look for the reason in the kernel log: sudo dmesg | grep -F {address}"
    )))
}

/// An error of reading `rom`, in words (`pci_read_rom`, drivers/pci/pci-sysfs.c).
fn unreadable(address: Address, error: &io::Error) -> DumpError {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::INVAL) => DumpError::new(format!(
            "the kernel does not give the ROM of {address}: it was switched off again while it was read"
        ))
        .hint("another program reads it too; try again"),
        Some(Errno::IO) => no_answer(address),
        Some(Errno::ACCESS | Errno::PERM) => DumpError::new(format!(
            "the ROM of {address} may not be read: {error}"
        ))
        .hint("it needs root on the host itself, outside of any container"),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => no_answer(address),
        _ => DumpError::new(format!("the ROM of {address} cannot be read: {error}")),
    }
}

fn no_answer(address: Address) -> DumpError {
    DumpError::new(format!(
        "the kernel finds no ROM on {address}: nothing in its address range begins with 55 aa, or its driver has the range switched off"
    ))
    .hint(format!("the kernel log says which: sudo dmesg | grep -F {address}"))
    .hint("graphics in a processor have no ROM of their own; AMD's is in the ACPI table VFCT: --from-vfct")
}

/// The option ROM of `function` as AMD's driver finds it in the ACPI table VFCT.
///
/// # Errors
/// If the host has no such table, it cannot be read, or it holds none for this function.
pub fn dump_vfct(root: &Root, function: &Function) -> Result<Dump, DumpError> {
    let table = root.read(VFCT).map_err(|error| no_table(root, &error))?;
    let entries = vfct::parse(&table).map_err(|error: VfctError| {
        DumpError::new(format!("{}: {error}", root.display(VFCT).display()))
    })?;
    let (address, ids) = (function.address, function.ids);
    let Some(entry) = vfct::find(&entries, address, ids) else {
        let there: Vec<String> = entries
            .iter()
            .map(|entry| {
                let (bus, device, function) = entry.place;
                format!("{bus:02x}:{device:02x}.{function:x} ({})", entry.ids)
            })
            .collect();
        let there = match there.as_slice() {
            [] => "it is empty".to_owned(),
            there => format!("it has {}", there.join(", ")),
        };
        return Err(DumpError::new(format!(
            "{} holds no video BIOS for {address} ({ids}): {there}",
            root.display(VFCT).display()
        )));
    };
    // The range lies within the table.
    let bytes = table.get(entry.image.clone()).unwrap_or_default().to_vec();
    let own = (
        u32::from(address.bus),
        u32::from(address.device),
        u32::from(address.function),
    );
    Ok(Dump {
        bytes,
        source: if entry.place == own {
            Source::Vfct
        } else {
            Source::VfctElsewhere
        },
    })
}

fn no_table(root: &Root, error: &PathError) -> DumpError {
    if error.is_missing() {
        return DumpError::new(format!(
            "{} is not there: this firmware hands over no video BIOS that way (only AMD graphics use it)",
            root.display(VFCT).display()
        ))
        .hint("without --from-vfct the ROM is read from the card");
    }
    DumpError::new(error.to_string()).hint("it needs root")
}
