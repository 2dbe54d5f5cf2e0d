//! The attributes of one PCI function that reading its ROM needs
//! (`Documentation/ABI/testing/sysfs-bus-pci`, `sysfs-devices-power`).

use std::{
    fs::File,
    io::{self, Read, Write},
    time::Duration,
};

use passthru_plan::{Address, rom::LONGEST};
use rustix::fs::{Mode, OFlags};

use crate::root::Root;

/// A function's attributes; a trait, because a file cannot stand in for an attribute that is read as
/// something else than was written to it.
pub(super) trait Device {
    /// The text of an attribute.
    fn get(&self, name: &str) -> Option<String>;
    /// Writes an attribute in one write.
    fn set(&self, name: &str, value: &str) -> io::Result<()>;
    /// A driver has the function.
    fn has_driver(&self) -> bool;
    /// The bytes of `rom`, as many as a ROM can have.
    fn rom(&self) -> io::Result<Vec<u8>>;
    /// Where an attribute is, for messages.
    fn path(&self, name: &str) -> String;
    /// Lets some time pass.
    fn wait(&self, time: Duration);
}

/// A function under a root.
pub(super) struct Live<'a> {
    root: &'a Root,
    directory: String,
}

impl<'a> Live<'a> {
    pub(super) fn new(root: &'a Root, address: Address) -> Self {
        Self {
            root,
            directory: format!("/sys/bus/pci/devices/{address}"),
        }
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let path = format!("{}/{name}", self.directory);
        let opened = self
            .root
            .open_at(&path, flags | OFlags::NOFOLLOW, Mode::empty());
        opened.map(File::from).map_err(|error| error.source)
    }
}

impl Device for Live<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.root.attribute(&format!("{}/{name}", self.directory))
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        // One write, and with the line feed: `pci_write_rom` (drivers/pci/pci-sysfs.c) takes only the two
        // bytes "0\n" for off, and everything else for on, a "0" alone included.
        let text = format!("{value}\n");
        let length = self.open(name, OFlags::WRONLY)?.write(text.as_bytes())?;
        if length == text.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    fn has_driver(&self) -> bool {
        self.root.exists(&format!("{}/driver", self.directory))
    }

    fn rom(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // The attribute is as long as the address range, 16 MiB at most.
        self.open("rom", OFlags::RDONLY | OFlags::NONBLOCK)?
            .take(LONGEST as u64)
            .read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn path(&self, name: &str) -> String {
        let path = format!("{}/{name}", self.directory);
        self.root.display(&path).display().to_string()
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
