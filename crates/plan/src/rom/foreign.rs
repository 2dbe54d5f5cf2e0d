//! Files that people take for a video BIOS: what they really are, by their first bytes.

use alloc::{format, string::String, vec::Vec};
use thiserror::Error;

/// What a file is that holds no option ROM.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Foreign {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// One byte over and over: what is read where no ROM answers.
    #[error(
        "all {size} bytes are 0x{byte:02x}: nothing answered when this was read, or the flash chip is erased"
    )]
    Filled {
        /// The byte.
        byte: u8,
        /// How many.
        size: usize,
    },
    /// A known format.
    #[error("this is {0}, not an option ROM")]
    Format(&'static str),
    /// Nothing known.
    #[error(
        "not an option ROM: it begins with {0}; expected 55 aa, and no image was found further in"
    )]
    Unknown(String),
}

/// First bytes of formats, and what they are.
const FORMATS: [(&[u8], &str); 13] = [
    (b"\x7fELF", "an ELF program or library"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (
        b"MZ",
        "a Windows or UEFI program; a flashing tool may have the ROM inside, but passthru does not take it out",
    ),
    (
        b"VFCT",
        "the ACPI table VFCT; `sudo passthru rom dump ADDR --from-vfct` takes the ROM out of it",
    ),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
];

impl Foreign {
    /// What `bytes` are, which do not begin as a ROM does.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let Some(&first) = bytes.first() else {
            return Self::Empty;
        };
        if bytes.iter().all(|&byte| byte == first) {
            return Self::Filled {
                byte: first,
                size: bytes.len(),
            };
        }
        if let Some((_, what)) = FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return Self::Format(what);
        }
        if bytes.get(0x28..0x2c) == Some(b"_FVH") {
            return Self::Format("a UEFI firmware volume, such as a mainboard's BIOS");
        }
        if is_html(bytes) {
            return Self::Format("a web page: the download gave a page instead of the file");
        }
        let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
        Self::Unknown(head.join(" "))
    }

    /// It is certain that the file is something else.
    pub(super) const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// A page begins with a tag, after blanks and perhaps a byte order mark.
fn is_html(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head: Vec<u8> = bytes
        .trim_ascii_start()
        .iter()
        .take(9)
        .map(u8::to_ascii_lowercase)
        .collect();
    head.starts_with(b"<!doctype") || head.starts_with(b"<html") || head.starts_with(b"<?xml")
}
