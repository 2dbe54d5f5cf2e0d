//! The image of a disc: files in one directory, ISO 9660 (ECMA-119) with Joliet, which keeps their
//! names as they are.

use alloc::{vec, vec::Vec};

/// Bytes of a sector.
const SECTOR: usize = 2048;
/// The system area, which stays empty.
const SYSTEM: u32 = 16;
/// The directory of the plain names; before it the three descriptors and four path tables.
const PLAIN: u32 = SYSTEM + 7;
/// A directory, in a record's flags.
const DIRECTORY: u8 = 2;
/// When everything was written: the year 2000, so that the same files make the same image.
const DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];

/// An image of the volume `volume` (16 characters at most) with `files`. Names are kept in Joliet; the
/// plain ones beside them are upper case with underscores.
pub fn image(volume: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut files = files.to_vec();
    files.sort_by_key(|&(name, _)| plain(name));
    // Both directories are as long whatever the extents are.
    let lengths = [Names::Plain, Names::Joliet].map(|names| {
        let extents = vec![0; files.len()];
        directory(names, 0, 0, &files, &extents).len()
    });
    let joliet = PLAIN + sectors(lengths[0]);
    let mut next = joliet + sectors(lengths[1]);
    let mut extents = Vec::new();
    for (_, bytes) in &files {
        extents.push(next);
        next += sectors(bytes.len());
    }
    let mut image = vec![0; SYSTEM as usize * SECTOR];
    for (names, kind, table, root, length) in [
        (Names::Plain, 1, SYSTEM + 3, PLAIN, lengths[0]),
        (Names::Joliet, 2, SYSTEM + 5, joliet, lengths[1]),
    ] {
        let root = record(names, Entry::Root, root, length);
        image.extend(descriptor(names, kind, volume, next, table, &root));
    }
    // The end of the descriptors.
    image.extend(b"\xffCD001\x01");
    pad(&mut image);
    // A table of paths is one record, the directory's, which is its own parent: in either byte order.
    for root in [PLAIN, joliet] {
        for (extent, parent) in [
            (root.to_le_bytes(), 1_u16.to_le_bytes()),
            (root.to_be_bytes(), 1_u16.to_be_bytes()),
        ] {
            image.extend([1, 0]);
            image.extend(extent);
            image.extend(parent);
            image.extend([0, 0]);
            pad(&mut image);
        }
    }
    image.extend(directory(Names::Plain, PLAIN, lengths[0], &files, &extents));
    image.extend(directory(
        Names::Joliet,
        joliet,
        lengths[1],
        &files,
        &extents,
    ));
    for (_, bytes) in &files {
        image.extend(*bytes);
        pad(&mut image);
    }
    image
}

/// In which of its two directories a name stands.
#[derive(Clone, Copy)]
enum Names {
    Plain,
    Joliet,
}

impl Names {
    /// A text as the descriptors and records of this directory write it.
    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::Plain => text.bytes().collect(),
            Self::Joliet => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// A file's name. Plain ones have a version; Joliet's do without, as mkisofs writes them.
    fn file(self, name: &str) -> Vec<u8> {
        match self {
            Self::Plain => [&plain(name)[..], b";1"].concat(),
            Self::Joliet => self.text(name),
        }
    }

    /// A text filled with blanks to `length` bytes.
    fn field(self, text: &str, length: usize) -> Vec<u8> {
        let blank = self.text(" ");
        let mut field = self.text(text);
        field.truncate(length);
        while field.len() + blank.len() <= length {
            field.extend(&blank);
        }
        field.resize(length, 0);
        field
    }
}

/// What a record names.
enum Entry<'a> {
    Root,
    Parent,
    File(&'a str),
}

/// A name that every reader of ISO 9660 takes (level 2).
fn plain(name: &str) -> Vec<u8> {
    let letter = |b: u8| match b.to_ascii_uppercase() {
        b @ (b'A'..=b'Z' | b'0'..=b'9' | b'.') => b,
        _ => b'_',
    };
    let mut plain: Vec<u8> = name.bytes().map(letter).collect();
    if !plain.contains(&b'.') {
        plain.push(b'.');
    }
    plain
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

fn pad(image: &mut Vec<u8>) {
    image.resize(image.len().next_multiple_of(SECTOR), 0);
}

/// A number in both byte orders.
fn both(n: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&n.to_le_bytes());
    both[4..].copy_from_slice(&n.to_be_bytes());
    both
}

/// The same in 16 bits.
fn both_short(n: u16) -> [u8; 4] {
    let [[a, b], [c, d]] = [n.to_le_bytes(), n.to_be_bytes()];
    [a, b, c, d]
}

/// A volume descriptor (8.4 and 8.5).
fn descriptor(names: Names, kind: u8, volume: &str, size: u32, table: u32, root: &[u8]) -> Vec<u8> {
    let mut d = vec![kind];
    d.extend(b"CD001\x01\0");
    d.extend(names.field("LINUX", 32));
    d.extend(names.field(volume, 32));
    d.extend([0; 8]);
    d.extend(both(size));
    let mut escape = [0; 32];
    if matches!(names, Names::Joliet) {
        // UCS-2, level 3.
        escape[..3].copy_from_slice(b"%/E");
    }
    d.extend(escape);
    d.extend(both_short(1));
    d.extend(both_short(1));
    d.extend(both_short(2048));
    // A path table of one record.
    d.extend(both(10));
    d.extend(table.to_le_bytes());
    d.extend([0; 4]);
    d.extend((table + 1).to_be_bytes());
    d.extend([0; 4]);
    d.extend(root);
    // Set, publisher, preparer, application, and three files about them.
    for length in [128, 128, 128, 128, 37, 37, 37] {
        d.extend(names.field("", length));
    }
    // Created, changed, expires, effective: not given.
    for _ in 0..4 {
        d.extend(b"0000000000000000\0");
    }
    d.extend([1, 0]);
    pad(&mut d);
    d
}

/// A record of a directory (9.1).
fn record(names: Names, entry: Entry<'_>, extent: u32, length: usize) -> Vec<u8> {
    let (name, flags) = match entry {
        Entry::Root => (vec![0], DIRECTORY),
        Entry::Parent => (vec![1], DIRECTORY),
        Entry::File(name) => (names.file(name), 0),
    };
    let name_length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut r = vec![0, 0];
    r.extend(both(extent));
    r.extend(both(u32::try_from(length).unwrap_or(u32::MAX)));
    r.extend(DATE);
    r.extend([flags, 0, 0]);
    r.extend(both_short(1));
    r.push(name_length);
    r.extend(&name[..usize::from(name_length)]);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r[0] = u8::try_from(r.len()).unwrap_or(u8::MAX);
    r
}

/// A directory's sectors; a record never goes over the end of one.
fn directory(
    names: Names,
    own: u32,
    length: usize,
    files: &[(&str, &[u8])],
    extents: &[u32],
) -> Vec<u8> {
    let mut all = record(names, Entry::Root, own, length);
    all.extend(record(names, Entry::Parent, own, length));
    for ((name, bytes), &extent) in files.iter().zip(extents) {
        let record = record(names, Entry::File(name), extent, bytes.len());
        if all.len() % SECTOR + record.len() > SECTOR {
            pad(&mut all);
        }
        all.extend(record);
    }
    pad(&mut all);
    all
}
