//! PCI option ROMs, a graphics card's video BIOS among them: bytes to a chain of images, and what a
//! guest can do with it. Nothing here changes a byte: [`Rom::range`] only says which bytes are the ROM.
//!
//! `image.rs` one image (`error.rs` why there is none), `start.rs` where the first one is, `foreign.rs` files that are no ROM,
//! `judge/` findings, `vfct.rs` the ACPI table in which AMD firmware keeps video BIOSes.

#[cfg(test)]
mod builder;
mod bytes;
mod error;
mod foreign;
mod image;
mod judge;
mod start;
#[cfg(test)]
mod tests;
pub mod vfct;

use alloc::{format, string::String, vec::Vec};
use core::ops::Range;
use serde::Serialize;
use thiserror::Error;

pub use error::ImageError;
pub use foreign::Foreign;
pub use image::{Checksum, CodeType, Efi, Image, UNIT};
pub use judge::{judge, no_rom};
pub use start::{NvgiError, Start};

use crate::{facts::Function, pci::Ids};

/// No option ROM is longer: an expansion ROM's address register decodes at most 16 MiB (PCI Local
/// Bus Specification 3.0, section 6.2.5.2).
pub const LONGEST: usize = 16 << 20;

/// An option ROM in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rom {
    /// Bytes of the file.
    pub size: usize,
    /// How the first image was found.
    pub start: Start,
    /// The images, at least one, in the order of the file.
    pub images: Vec<Image>,
    /// How the chain of images ends.
    pub chain: Chain,
    /// NVIDIA's images after the last one that PCI knows.
    pub private: Private,
    /// What the bytes after the last image are.
    pub tail: Tail,
}

/// How a chain of images ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Chain {
    /// With an image that is marked as the last.
    Complete,
    /// The file ends before the last image that was found does.
    Truncated {
        /// Bytes of that image that are missing.
        missing: usize,
    },
    /// Something else stands where another image should.
    Broken {
        /// What, and what was expected.
        #[serde(serialize_with = "as_text")]
        error: ImageError,
    },
}

/// NVIDIA chains images of its own behind the last one that PCI knows. The kernel's `rom` file ends
/// before them (drivers/pci/rom.c), and only NVIDIA's driver reads them, from the card itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Private {
    /// The ROM has none.
    None,
    /// All of them are in the file.
    Present,
    /// Some or all are not in the file.
    Missing,
}

/// What follows the last image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Nothing.
    None,
    /// Padding: only bytes 0xff, an erased flash chip's.
    Ones,
    /// Padding: only zeros.
    Zeros,
    /// Something else.
    Data,
}

/// Why there is no ROM in a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotRom {
    /// The file is something else.
    #[error("{0}")]
    Foreign(#[from] Foreign),
    /// It begins as NVIDIA's flash files do, but the rest does not hold.
    #[error("an NVIDIA flash file (NVGI) that cannot be followed: {0}")]
    Nvgi(#[from] NvgiError),
    /// It begins as a ROM does, but its first image does not hold.
    #[error("{0}")]
    Broken(#[from] ImageError),
}

/// The option ROM in `bytes`. `ids` are those of the device it should be for: they are needed only
/// where the first image has to be searched for.
///
/// # Errors
/// If no image is found; the error says what the bytes are instead, and where that shows.
pub fn parse(bytes: &[u8], ids: Option<Ids>) -> Result<Rom, NotRom> {
    let (start, first) = start::find(bytes, ids)?;
    let mut images = Vec::from([first]);
    let mut private = Private::None;
    let chain = loop {
        // At least one image is always there.
        let Some(last) = images.last_mut() else {
            break Chain::Complete;
        };
        let past = private != Private::None || last.last;
        if last.end() > bytes.len() {
            // What only NVIDIA's extension counts may be missing.
            let pci = last.offset.saturating_add(last.pci_length);
            if !(last.last && pci <= bytes.len()) {
                let missing = last.end() - bytes.len();
                break Chain::Truncated { missing };
            }
            last.length = last.pci_length;
        }
        let followed = last.followed.unwrap_or(!last.last);
        if !followed {
            break Chain::Complete;
        }
        match Image::parse(bytes, last.end()) {
            // A private image that is cut off is not taken: nothing that PCI knows is missing.
            Ok(next) if past && next.end() > bytes.len() => {
                private = Private::Missing;
                break Chain::Complete;
            }
            Ok(mut next) => {
                if past {
                    private = Private::Present;
                    next.private = true;
                }
                images.push(next);
            }
            Err(_) if past => {
                private = Private::Missing;
                break Chain::Complete;
            }
            Err(error) => break Chain::Broken { error },
        }
    };
    let mut rom = Rom {
        size: bytes.len(),
        start,
        images,
        chain,
        private,
        tail: Tail::None,
    };
    rom.tail = Tail::of(bytes.get(rom.range().end..).unwrap_or_default());
    Ok(rom)
}

impl Rom {
    /// Which bytes of the file are the ROM: from the first image to the end of the last one, so far as
    /// the file holds it. What `passthru rom trim` keeps.
    pub fn range(&self) -> Range<usize> {
        let start = self.images.first().map_or(0, |image| image.offset);
        let end = self.images.last().map_or(0, Image::end).min(self.size);
        start..end.max(start)
    }

    /// Nothing stands before the ROM, and nothing after it.
    pub fn is_trimmed(&self) -> bool {
        self.range() == (0..self.size)
    }

    /// The images that firmware looks at.
    pub fn public(&self) -> impl Iterator<Item = &Image> {
        self.images.iter().filter(|image| !image.private)
    }
}

impl Tail {
    fn of(bytes: &[u8]) -> Self {
        let only = |wanted| bytes.iter().all(|&byte| byte == wanted);
        match bytes {
            [] => Self::None,
            _ if only(0xff) => Self::Ones,
            _ if only(0) => Self::Zeros,
            _ => Self::Data,
        }
    }
}

fn as_text<S: serde::Serializer>(error: &ImageError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

/// A name for the file that holds the ROM of `function`: what it is, and where it was read.
pub fn file_name(function: &Function) -> String {
    let (at, ids) = (function.address, function.ids);
    // Almost every host has one domain.
    let domain = match at.domain {
        0 => String::new(),
        domain => format!("{domain:04x}-"),
    };
    format!(
        "{:04x}-{:04x}-{domain}{:02x}-{:02x}-{:x}.rom",
        ids.vendor, ids.device, at.bus, at.device, at.function
    )
}
