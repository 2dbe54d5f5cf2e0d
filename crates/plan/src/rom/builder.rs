//! Option ROMs for tests, field by field.

use alloc::{vec, vec::Vec};

use super::UNIT;

/// An image to be.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub(super) signature: [u8; 2],
    pub(super) structure: [u8; 4],
    pub(super) ids: (u16, u16),
    pub(super) list: Vec<u16>,
    pub(super) class: u32,
    pub(super) code: u8,
    pub(super) units: u16,
    pub(super) last: bool,
    /// Sub-image length in units, and whether it is the last.
    pub(super) npde: Option<(u16, bool)>,
    pub(super) machine: u16,
    pub(super) compression: u16,
}

/// Where the structure stands in a built image.
pub(super) const AT: usize = 0x40;

impl Build {
    pub(super) fn legacy() -> Self {
        Self {
            signature: [0x55, 0xaa],
            structure: *b"PCIR",
            ids: (0x10de, 0x1b80),
            list: Vec::new(),
            class: 0x03_0000,
            code: 0,
            units: 2,
            last: true,
            npde: None,
            machine: 0x8664,
            compression: 1,
        }
    }

    pub(super) fn efi() -> Self {
        Self {
            code: 3,
            ..Self::legacy()
        }
    }

    /// Not the last.
    pub(super) fn more(self) -> Self {
        Self {
            last: false,
            ..self
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x90; usize::from(self.units) * UNIT];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &self.signature);
        put(0x18, &u16::try_from(AT).unwrap().to_le_bytes());
        if self.code == 3 {
            put(2, &self.units.to_le_bytes());
            put(4, &0x0ef1_u32.to_le_bytes());
            put(8, &0x0b_u16.to_le_bytes());
            put(0xa, &self.machine.to_le_bytes());
            put(0xc, &self.compression.to_le_bytes());
            put(0x16, &0x100_u16.to_le_bytes());
            put(0x100, b"MZ");
        } else {
            put(2, &[u8::try_from(self.units).unwrap()]);
        }
        let long = !self.list.is_empty();
        put(AT, &self.structure);
        put(AT + 4, &self.ids.0.to_le_bytes());
        put(AT + 6, &self.ids.1.to_le_bytes());
        put(AT + 8, &[if long { 0x80 } else { 0 }, 0]);
        put(AT + 0xa, &[if long { 0x1c } else { 0x18 }, 0]);
        put(AT + 0xc, &[if long { 3 } else { 0 }]);
        put(AT + 0xd, &self.class.to_le_bytes()[..3]);
        put(AT + 0x10, &self.units.to_le_bytes());
        put(AT + 0x14, &[self.code, u8::from(self.last) << 7]);
        let mut list: Vec<u8> = self.list.iter().flat_map(|id| id.to_le_bytes()).collect();
        list.extend([0, 0]);
        put(AT + 0x80, &list);
        if let Some((units, last)) = self.npde {
            let at = AT + 0x20;
            put(at, b"NPDE");
            put(at + 4, &[0x01, 0x01, 0x0c, 0x00]);
            put(at + 8, &units.to_le_bytes());
            put(at + 0xa, &[u8::from(last) << 7]);
        }
        if self.code == 0 {
            let sum = bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b));
            let last = bytes.last_mut().unwrap();
            *last = last.wrapping_sub(sum);
        }
        bytes
    }
}

/// The images one after another.
pub(super) fn rom(images: &[Build]) -> Vec<u8> {
    images.iter().flat_map(Build::bytes).collect()
}

/// A flash file around `rom`: NVGI of this version.
pub(super) fn nvgi(version: u8, rom: &[u8]) -> Vec<u8> {
    let start = 0x2000_u32;
    let mut bytes = vec![0; 0x2000];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, b"NVGI");
    // The fixed part is 0x20 bytes long.
    put(4, &[0, version, 0x20, 0x80]);
    put(8, &0x100_u32.to_le_bytes());
    put(0x24, &start.to_le_bytes());
    put(0x100, &0x200_u32.to_le_bytes());
    put(0x1200, b"RFRD");
    put(0x1208, &start.to_le_bytes());
    bytes.extend_from_slice(rom);
    bytes
}

/// Place, ids and image.
pub(super) type Entry<'a> = ((u32, u32, u32), (u16, u16), &'a [u8]);

/// A VFCT with these entries.
pub(super) fn vfct(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; 0x4c];
    bytes[..4].copy_from_slice(b"VFCT");
    bytes[0x34] = 0x4c;
    for ((bus, device, function), (vendor, id), image) in entries {
        for part in [bus, device, function] {
            bytes.extend(part.to_le_bytes());
        }
        bytes.extend(vendor.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(u32::try_from(image.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(image);
    }
    bytes
}
