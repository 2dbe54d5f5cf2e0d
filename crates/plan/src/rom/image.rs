//! One image of an option ROM: its header, its PCI data structure, and what NVIDIA adds to it.
//!
//! Sources: PCI Firmware Specification 3.0, section 5; UEFI Specification, "PCI Option ROMs";
//! Linux drivers/pci/rom.c; NVIDIA open-gpu-kernel-modules, pci_exp_table.h and
//! kernel_gsp_vbios_tu102.c.

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Serialize, Serializer};

use super::{
    bytes::{size_at, u8_at, u16_at, u32_at},
    error::ImageError,
};
use crate::pci::{Class, Ids};

/// Images are measured in units of so many bytes.
pub const UNIT: usize = 512;

/// `55 aa`, with which an image begins.
const SIGNATURE: u16 = 0xaa55;
/// What NVIDIA's own images may begin with instead.
const NVIDIA_SIGNATURES: [u16; 2] = [0x4e56, 0xbb77];
/// The shortest PCI data structure: all fields up to revision 2 (Linux 7.2 refuses shorter ones).
const SHORTEST: u16 = 0x18;
/// More device ids than any ROM lists; what is longer is something else.
const LONGEST_LIST: usize = 4096;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Where it begins, in bytes from the start of the file.
    pub offset: usize,
    /// How long it says it is, in bytes.
    pub length: usize,
    /// What runs it.
    pub code: CodeType,
    /// The device it is for.
    pub ids: Ids,
    /// More device ids of the same vendor (revision 3 of the structure).
    #[serde(serialize_with = "as_hex")]
    pub devices: Vec<u16>,
    /// Class code of the device it is for.
    pub class: Class,
    /// Revision of the PCI data structure.
    pub revision: u8,
    /// It is marked as the last one that PCI knows.
    pub last: bool,
    /// Only the maker's own driver looks at it: it has a signature of NVIDIA's, or follows the image
    /// that is marked as the last.
    pub private: bool,
    /// State of the checksum; only code for the x86 BIOS has to have one.
    pub checksum: Option<Checksum>,
    /// The header of a UEFI driver.
    pub efi: Option<Efi>,
    /// NVIDIA's extension of the structure says whether another image follows.
    #[serde(skip)]
    pub(super) followed: Option<bool>,
    /// Its length as PCI's own structure has it, where NVIDIA's extension has another.
    #[serde(skip)]
    pub(super) pci_length: usize,
}

/// What runs an image (PCI Firmware Specification 3.0, table 5-3; NVIDIA's pci_exp_table.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeType {
    /// x86 BIOS.
    X86,
    /// Open Firmware.
    OpenFirmware,
    /// HP PA-RISC.
    HpPa,
    /// UEFI.
    Efi,
    /// NVIDIA's extension images.
    Nvidia,
    /// NVIDIA's NBSI data.
    Nbsi,
    /// Another number.
    Other(u8),
}

impl CodeType {
    const fn of(number: u8) -> Self {
        match number {
            0x00 => Self::X86,
            0x01 => Self::OpenFirmware,
            0x02 => Self::HpPa,
            0x03 => Self::Efi,
            0x70 => Self::Nbsi,
            0xe0 => Self::Nvidia,
            other => Self::Other(other),
        }
    }

    /// What runs it, as a person would say.
    pub fn words(self) -> String {
        use alloc::format;
        match self {
            Self::X86 => "legacy BIOS".into(),
            Self::OpenFirmware => "Open Firmware".into(),
            Self::HpPa => "HP PA-RISC".into(),
            Self::Efi => "UEFI driver".into(),
            Self::Nvidia => "NVIDIA's own".into(),
            Self::Nbsi => "NVIDIA's own (NBSI)".into(),
            Self::Other(number) => format!("unknown code type 0x{number:02x}"),
        }
    }
}

impl fmt::Display for CodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86 => f.write_str("x86"),
            Self::OpenFirmware => f.write_str("open-firmware"),
            Self::HpPa => f.write_str("hp-pa"),
            Self::Efi => f.write_str("efi"),
            Self::Nvidia => f.write_str("nvidia"),
            Self::Nbsi => f.write_str("nbsi"),
            Self::Other(number) => write!(f, "0x{number:02x}"),
        }
    }
}

impl Serialize for CodeType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The bytes of a legacy image add up to 0 modulo 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// They do.
    Good,
    /// They do not.
    Bad,
    /// The file ends before, or the image gives no length to add up.
    NotMeasured,
}

/// The header of a UEFI driver in an option ROM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Efi {
    /// PE subsystem: 0x0b is a boot service driver, 0x0c a runtime driver.
    pub subsystem: u16,
    /// PE machine: 0x8664 is x86-64.
    pub machine: u16,
    /// 0 is none, 1 is UEFI's own compression.
    pub compression: u16,
    /// An uncompressed driver begins with `MZ` where the header says; `None` if it is compressed.
    pub executable: Option<bool>,
}

impl Efi {
    /// The firmware of an x86-64 guest can start it (EDK2's PciBusDxe, PciOptionRomSupport.c).
    pub fn is_startable(&self) -> bool {
        self.machine == 0x8664
            && matches!(self.subsystem, 0x0b | 0x0c)
            && self.compression <= 1
            && self.executable != Some(false)
    }

    /// The processor, as a person would say.
    pub const fn processor(&self) -> &'static str {
        match self.machine {
            0x014c => "32-bit x86",
            0x0200 => "Itanium",
            0x0ebc => "EFI byte code",
            0x8664 => "x86-64",
            0xaa64 => "ARM64",
            _ => "an unknown processor",
        }
    }
}

/// An image may begin with it.
pub(super) fn is_signature(word: u16) -> bool {
    word == SIGNATURE || NVIDIA_SIGNATURES.contains(&word)
}

impl Image {
    /// The image at `offset` of `bytes`.
    ///
    /// # Errors
    /// If there is none, with what was expected.
    pub(super) fn parse(bytes: &[u8], offset: usize) -> Result<Self, ImageError> {
        let all = bytes.get(offset..).unwrap_or_default();
        let cut = ImageError::HeaderCut {
            offset,
            left: all.len(),
        };
        let (Some(signature), Some(found)) = (u16_at(all, 0), all.first_chunk()) else {
            return Err(match all.len() {
                0 => ImageError::Unmarked { offset },
                _ => cut,
            });
        };
        if !is_signature(signature) {
            return Err(ImageError::Signature {
                offset,
                found: *found,
            });
        }
        let pointer = u16_at(all, 0x18).ok_or(cut)?;
        let at = usize::from(pointer);
        if pointer == 0 {
            return Err(ImageError::NotPci { offset });
        }
        if pointer % 4 != 0 {
            return Err(ImageError::Unaligned { offset, pointer });
        }
        let blocks = usize::from(u8_at(all, 2).unwrap_or(0)) * UNIT;
        let structure = Structure::parse(all, at, offset).ok_or(ImageError::Pointer {
            offset,
            target: offset.saturating_add(at),
            size: bytes.len(),
            declared: blocks,
        })??;
        let extension = Extension::parse(all, at, structure.length);
        let length = extension
            .as_ref()
            .map(|extension| extension.length)
            .filter(|&length| length != 0)
            .unwrap_or(structure.image_length);
        let own = all.get(..length).unwrap_or(all);
        let code = structure.code;
        Ok(Self {
            offset,
            length,
            code,
            ids: structure.ids,
            devices: devices(own, at, &structure),
            class: structure.class,
            revision: structure.revision,
            last: structure.last,
            private: signature != SIGNATURE || !structure.is_pci,
            checksum: (code == CodeType::X86).then(|| checksum(own, blocks)),
            efi: (code == CodeType::Efi).then(|| efi(own)).flatten(),
            followed: extension
                .and_then(|extension| extension.last)
                .map(|last| !last),
            pci_length: structure.image_length,
        })
    }

    /// Where it ends, in bytes from the start of the file.
    pub const fn end(&self) -> usize {
        self.offset.saturating_add(self.length)
    }

    /// It names this device, itself or in its list.
    pub fn is_for(&self, ids: Ids) -> bool {
        self.ids == ids || (self.ids.vendor == ids.vendor && self.devices.contains(&ids.device))
    }
}

/// The PCI data structure.
struct Structure {
    is_pci: bool,
    ids: Ids,
    list: u16,
    length: u16,
    revision: u8,
    class: Class,
    image_length: usize,
    code: CodeType,
    last: bool,
}

impl Structure {
    /// The structure at `at` of the image; `None` if it is not within the file. `offset` is the
    /// image's own, for errors.
    fn parse(image: &[u8], at: usize, offset: usize) -> Option<Result<Self, ImageError>> {
        let bytes = image.get(at..at.checked_add(usize::from(SHORTEST))?)?;
        let found: [u8; 4] = *bytes.first_chunk()?;
        let offset = offset.saturating_add(at);
        if !matches!(&found, b"PCIR" | b"NPDS" | b"RGIS") {
            return Some(Err(ImageError::Structure { offset, found }));
        }
        let length = u16_at(bytes, 0x0a)?;
        if length < SHORTEST {
            return Some(Err(ImageError::Short { offset, length }));
        }
        let image_length = usize::from(u16_at(bytes, 0x10)?) * UNIT;
        if image_length == 0 {
            let offset = offset.saturating_add(0x10);
            return Some(Err(ImageError::Empty { offset }));
        }
        let class = [0x0f, 0x0e, 0x0d].map(|at| bytes[at]);
        Some(Ok(Self {
            is_pci: &found == b"PCIR",
            ids: Ids::new(u16_at(bytes, 4)?, u16_at(bytes, 6)?),
            list: u16_at(bytes, 8)?,
            length,
            revision: u8_at(bytes, 0x0c)?,
            class: Class(u32::from_be_bytes([0, class[0], class[1], class[2]])),
            image_length,
            code: CodeType::of(u8_at(bytes, 0x14)?),
            last: u8_at(bytes, 0x15)? & 0x80 != 0,
        }))
    }
}

/// The device list of a structure: from revision 3 on, before it the field meant something else.
fn devices(image: &[u8], at: usize, structure: &Structure) -> Vec<u16> {
    let mut devices = Vec::new();
    if structure.revision < 3 || structure.list == 0 {
        return devices;
    }
    let mut place = at.saturating_add(usize::from(structure.list));
    while let (Some(device), true) = (u16_at(image, place), devices.len() < LONGEST_LIST) {
        if device == 0 {
            return devices;
        }
        devices.push(device);
        place = place.saturating_add(2);
    }
    // It has no end: no list.
    Vec::new()
}

/// NVIDIA's extension (NPDE), on the next multiple of 16 after the structure.
struct Extension {
    length: usize,
    last: Option<bool>,
}

impl Extension {
    fn parse(image: &[u8], at: usize, structure: u16) -> Option<Self> {
        let at = at
            .checked_add(usize::from(structure))?
            .checked_next_multiple_of(16)?;
        let bytes = image.get(at..)?;
        if u32_at(bytes, 0)?.to_le_bytes() != *b"NPDE" {
            return None;
        }
        if !matches!(u16_at(bytes, 4)?, 0x100 | 0x101) {
            return None;
        }
        let own = u16_at(bytes, 6)?;
        Some(Self {
            length: (own >= 0x0a)
                .then(|| u16_at(bytes, 8))
                .flatten()
                .map_or(0, |units| usize::from(units) * UNIT),
            last: (own >= 0x0b)
                .then(|| u8_at(bytes, 0x0a))
                .flatten()
                .map(|bits| bits & 0x80 != 0),
        })
    }
}

fn checksum(image: &[u8], length: usize) -> Checksum {
    match image.get(..length) {
        None | Some([]) => Checksum::NotMeasured,
        Some(bytes) => match bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte)) {
            0 => Checksum::Good,
            _ => Checksum::Bad,
        },
    }
}

/// The header of a UEFI driver; `None` if its signature is another.
fn efi(image: &[u8]) -> Option<Efi> {
    if size_at(image, 4)? != 0x0ef1 {
        return None;
    }
    let compression = u16_at(image, 0x0c)?;
    let start = usize::from(u16_at(image, 0x16)?);
    Some(Efi {
        subsystem: u16_at(image, 8)?,
        machine: u16_at(image, 0x0a)?,
        compression,
        executable: (compression == 0).then(|| u16_at(image, start) == Some(0x5a4d)),
    })
}

fn as_hex<S: Serializer>(devices: &[u16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(devices.iter().map(|device| alloc::format!("{device:04x}")))
}
