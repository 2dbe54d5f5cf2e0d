//! Why there is no image where one should be: the offset, and what was expected there.

use alloc::string::String;
use thiserror::Error;

/// Why there is no image at an offset.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// No signature.
    #[error(
        "at offset {offset:#x}: expected an image (it begins with 55 aa), found {:02x} {:02x}",
        found[0], found[1]
    )]
    Signature {
        /// Where.
        offset: usize,
        /// What is there.
        found: [u8; 2],
    },
    /// The file ends within the header.
    #[error(
        "at offset {offset:#x}: expected an image's header of 26 bytes, but the file ends after {left}"
    )]
    HeaderCut {
        /// Where.
        offset: usize,
        /// Bytes left.
        left: usize,
    },
    /// An image without a pointer to a PCI data structure: a ROM for the ISA bus, or emulated one.
    #[error(
        "at offset {offset:#x}: a legacy ROM without a PCI data structure (the pointer at {:#x} is zero), \
         so it belongs to no PCI device", offset + 0x18
    )]
    NotPci {
        /// Where.
        offset: usize,
    },
    /// The pointer leads past the end.
    #[error(
        "at offset {:#x}: the pointer to the PCI data structure leads to {target:#x}, but the file ends at {size:#x}{}",
        offset + 0x18, missing(*.declared, *.offset, *.size)
    )]
    Pointer {
        /// Where the image begins.
        offset: usize,
        /// Where it leads.
        target: usize,
        /// Length of the file.
        size: usize,
        /// Length of the image by its header, zero if it gives none.
        declared: usize,
    },
    /// The pointer is not a multiple of four, which firmware does not follow.
    #[error(
        "at offset {:#x}: the pointer to the PCI data structure is {pointer:#x}; expected a multiple of 4",
        offset + 0x18
    )]
    Unaligned {
        /// Where the image begins.
        offset: usize,
        /// What it is.
        pointer: u16,
    },
    /// There is no PCI data structure where the pointer leads.
    #[error(
        "at offset {offset:#x}: expected a PCI data structure (\"PCIR\"), found {:02x} {:02x} {:02x} {:02x}",
        found[0], found[1], found[2], found[3]
    )]
    Structure {
        /// Where.
        offset: usize,
        /// What is there.
        found: [u8; 4],
    },
    /// It is shorter than its fields.
    #[error(
        "at offset {offset:#x}: the PCI data structure is {length} bytes long; expected at least 24"
    )]
    Short {
        /// Where.
        offset: usize,
        /// Its length.
        length: u16,
    },
    /// The image has no length.
    #[error("at offset {offset:#x}: the image's length is 0; expected a multiple of 512 bytes")]
    Empty {
        /// Where the length stands.
        offset: usize,
    },
    /// No image follows one that is not the last.
    #[error(
        "at offset {offset:#x}: expected another image, because none so far is marked as the last, \
         but the file ends here"
    )]
    Unmarked {
        /// Where.
        offset: usize,
    },
}

fn missing(declared: usize, offset: usize, size: usize) -> String {
    let end = offset.saturating_add(declared);
    match end.checked_sub(size) {
        None | Some(0) => String::new(),
        Some(bytes) => alloc::format!(
            "; by the image's own header {bytes} bytes are missing, so the file was cut short"
        ),
    }
}
