//! USB devices that are plugged in (`Documentation/ABI/testing/sysfs-bus-usb`).

use alloc::{
    format,
    string::{String, ToString},
};
use serde::{Deserialize, Serialize};

use crate::pci::Ids;

/// A USB device. Only what the kernel keeps in memory is read, so a suspended one stays suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsbDevice {
    /// Bus and port, as its directory in /sys/bus/usb/devices is called: `1-2.3`.
    pub port: String,
    /// `idVendor` and `idProduct`.
    pub ids: Ids,
    /// `product`, if it says its name.
    pub name: Option<String>,
    /// `serial`, if it has one.
    pub serial: Option<String>,
    /// It is a hub (`bDeviceClass` 09).
    pub hub: bool,
    /// One of its interfaces is a keyboard (class 03, protocol 01 of the boot interface; HID 1.11,
    /// section 4.3).
    pub keyboard: bool,
}

impl UsbDevice {
    /// Its port and name, for a sentence.
    pub fn words(&self) -> String {
        let name = self.name.clone().unwrap_or_else(|| self.ids.to_string());
        match &self.serial {
            Some(serial) => format!("{name} (serial {serial}) in port {}", self.port),
            None => format!("{name} in port {}", self.port),
        }
    }
}
