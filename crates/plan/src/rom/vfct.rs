//! The ACPI table VFCT, in which firmware hands AMD's driver the video BIOS of processors' graphics
//! and of the boot card (Linux drivers/gpu/drm/amd/include/atombios.h, `UEFI_ACPI_VFCT`; read as in
//! drivers/gpu/drm/amd/amdgpu/amdgpu_bios.c).

use alloc::vec::Vec;
use core::ops::Range;
use thiserror::Error;

use super::bytes::{size_at, u16_at, u32_at};
use crate::pci::{Address, Ids};

/// Where the offset of the first entry stands.
const FIRST: usize = 0x34;
/// Bytes of an entry before its image.
const HEADER: usize = 0x1c;

/// A video BIOS in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Bus, device and function, as the firmware numbered them at boot. The table has no domain.
    pub place: (u32, u32, u32),
    /// Vendor and device.
    pub ids: Ids,
    /// Subsystem vendor and device.
    pub subsystem: Ids,
    /// Where the image is in the table.
    pub image: Range<usize>,
}

/// Why the table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VfctError {
    /// Not the table.
    #[error("at offset 0: expected the ACPI table \"VFCT\", found something else")]
    Signature,
    /// The table ends before its own fields.
    #[error("at offset {offset:#x}: expected {what}, but the table ends at {size:#x}")]
    Cut {
        /// Where.
        offset: usize,
        /// What should be there.
        what: &'static str,
        /// Length of the table.
        size: usize,
    },
}

/// The video BIOSes in the table, in its order.
///
/// # Errors
/// If it is another table, or an entry reaches beyond its end.
pub fn parse(table: &[u8]) -> Result<Vec<Entry>, VfctError> {
    if !table.starts_with(b"VFCT") {
        return Err(VfctError::Signature);
    }
    let size = table.len();
    let cut = |offset, what| VfctError::Cut { offset, what, size };
    let mut at = size_at(table, FIRST).ok_or(cut(FIRST, "the offset of the first video BIOS"))?;
    let mut entries = Vec::new();
    // The driver stops at the end of the table: an entry may not reach beyond it.
    while at < size {
        let end = at.saturating_add(HEADER);
        let header = table
            .get(at..end)
            .ok_or(cut(at, "an entry's header of 28 bytes"))?;
        let word = |at| u16_at(header, at).unwrap_or(0);
        let long = |at| u32_at(header, at).unwrap_or(0);
        let length = size_at(header, 0x18).unwrap_or(0);
        let image = end..end.saturating_add(length);
        if image.end > size {
            return Err(cut(end, "a video BIOS"));
        }
        at = image.end;
        // The driver passes over entries without an image.
        if length > 0 {
            entries.push(Entry {
                place: (long(0), long(4), long(8)),
                ids: Ids::new(word(0x0c), word(0x0e)),
                subsystem: Ids::new(word(0x10), word(0x12)),
                image,
            });
        }
    }
    Ok(entries)
}

/// The entry for the function at `address` with `ids`: the one that names both, or else the only
/// one with these ids, because Linux may number buses otherwise than the firmware did.
pub fn find(entries: &[Entry], address: Address, ids: Ids) -> Option<&Entry> {
    let place = (
        u32::from(address.bus),
        u32::from(address.device),
        u32::from(address.function),
    );
    let mut same = entries.iter().filter(|entry| entry.ids == ids);
    let exact = same.clone().find(|entry| entry.place == place);
    exact.or_else(|| same.next().filter(|_| same.next().is_none()))
}
