//! Where the first image of a ROM is in a file: at its beginning, behind NVIDIA's header of flash
//! files, or, as a last resort, where a search finds one.

use alloc::string::String;
use serde::Serialize;
use thiserror::Error;

use super::{
    Foreign, NotRom,
    bytes::{size_at, u16_at, u32_at},
    error::ImageError,
    image::{self, Image, UNIT},
};
use crate::pci::Ids;

/// `NVGI`, with which NVIDIA's flash files begin (open-gpu-kernel-modules,
/// kernel_gsp_vbios_tu102.c).
const NVGI: u32 = 0x4947_564e;
/// `RFRD`, the directory of a version 3 file.
const RFRD: u32 = 0x4452_4652;
/// From the flash status to that directory.
const TO_DIRECTORY: usize = 0x1000;
/// How many places that look like an image are tried before the search gives up.
const TRIES: usize = 256;

/// How the first image was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Start {
    /// The file begins with it.
    Beginning,
    /// NVIDIA's header of flash files says where.
    Nvgi {
        /// The header's version, 1 to 3.
        version: u8,
    },
    /// A search found it: a guess, however good.
    Searched,
}

/// Why NVIDIA's header of flash files does not lead to an image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NvgiError {
    /// The file ends within the header.
    #[error("at offset {offset:#x}: expected {what}, but the file ends before")]
    Cut {
        /// Where.
        offset: usize,
        /// What should be there.
        what: &'static str,
    },
    /// A version that is not known.
    #[error("at offset 0x5: the header's version is {0}; expected 1, 2 or 3")]
    Version(u8),
    /// No directory of a version 3 file.
    #[error("at offset {offset:#x}: expected the directory (\"RFRD\"), found {found:#010x}")]
    Directory {
        /// Where.
        offset: usize,
        /// What is there.
        found: u32,
    },
    /// The offset of the first image makes no sense.
    #[error(
        "the header says that the first image is at offset {target:#x}; expected a multiple of 4 below \
         the file's length of {size:#x}"
    )]
    Outside {
        /// Where it leads.
        target: usize,
        /// Length of the file.
        size: usize,
    },
    /// There is no image where the header says.
    #[error("{0}")]
    Image(#[from] ImageError),
}

/// The first image of `bytes`, and how it was found.
pub(super) fn find(bytes: &[u8], ids: Option<Ids>) -> Result<(Start, Image), NotRom> {
    if u32_at(bytes, 0) == Some(NVGI) {
        return Ok(nvgi(bytes)?);
    }
    if u16_at(bytes, 0).is_some_and(image::is_signature) {
        // A damaged ROM is not searched for what is left of it.
        return Ok((Start::Beginning, Image::parse(bytes, 0)?));
    }
    let foreign = Foreign::of(bytes);
    // Neither is what is known to be something else.
    let found = if foreign.is_known() {
        None
    } else {
        search(bytes, ids)
    };
    found.ok_or(NotRom::Foreign(foreign))
}

/// The first image behind NVIDIA's header of flash files.
fn nvgi(bytes: &[u8]) -> Result<(Start, Image), NvgiError> {
    let need = |offset: usize, what| u32_at(bytes, offset).ok_or(NvgiError::Cut { offset, what });
    let need_size =
        |offset: usize, what| size_at(bytes, offset).ok_or(NvgiError::Cut { offset, what });
    let fixed = need(4, "the header's version and size")?;
    let [_, version, size_low, size_high] = fixed.to_le_bytes();
    let target = match version {
        1 | 2 => {
            // Bits 30:16; bit 31 is a flag of its own.
            let size = usize::from(u16::from_le_bytes([size_low, size_high & 0x7f]));
            need_size(size + 4, "the offset of the first image")?
        }
        3 => {
            let table = need_size(8, "the header's total size")? & 0xf_ffff;
            let status = need_size(table, "the offset of the flash status")?;
            let directory = status.saturating_add(TO_DIRECTORY);
            let found = need(directory, "the directory (\"RFRD\")")?;
            if found != RFRD {
                return Err(NvgiError::Directory {
                    offset: directory,
                    found,
                });
            }
            need_size(directory.saturating_add(8), "the offset of the first image")?
        }
        other => return Err(NvgiError::Version(other)),
    };
    if target % 4 != 0 || target >= bytes.len() {
        return Err(NvgiError::Outside {
            target,
            size: bytes.len(),
        });
    }
    Ok((Start::Nvgi { version }, Image::parse(bytes, target)?))
}

/// The first place on a multiple of 512 that holds an image for the device, or, where no device is
/// given, for a display controller.
fn search(bytes: &[u8], ids: Option<Ids>) -> Option<(Start, Image)> {
    let wanted = |image: &Image| match ids {
        Some(ids) => image.is_for(ids),
        None => image.class.is_display(),
    };
    (UNIT..bytes.len())
        .step_by(UNIT)
        .filter(|&offset| u16_at(bytes, offset).is_some_and(image::is_signature))
        .take(TRIES)
        .filter_map(|offset| Image::parse(bytes, offset).ok())
        .find(wanted)
        .map(|image| (Start::Searched, image))
}

impl Start {
    /// How it was found, as a person would say; `offset` is where.
    pub fn words(&self, offset: usize) -> String {
        match self {
            Self::Beginning => "the file begins with the first image".into(),
            Self::Nvgi { version } => alloc::format!(
                "an NVIDIA flash file (NVGI version {version}): its header says that the first image is at offset {offset:#x}"
            ),
            Self::Searched => alloc::format!(
                "no header says where the first image is; a search found one at offset {offset:#x}, which is a guess"
            ),
        }
    }
}
