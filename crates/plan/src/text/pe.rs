//! Sections of PE images: unified kernel images keep the kernel, the initramfs and the command line
//! in them (<https://uapi-group.org/specifications/specs/unified_kernel_image/>).

use alloc::{string::String, vec::Vec};

/// A section as the table names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `.cmdline`, `.uname`, …
    pub name: String,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes of the file are its content.
    pub size: u64,
}

/// How many bytes at the start of an image hold its section table, with room to spare.
pub const HEAD: usize = 64 << 10;

/// The sections of the image that starts with `head`; `None` if that is no PE image, or its table
/// is not within `head`.
pub fn sections(head: &[u8]) -> Option<Vec<Section>> {
    if head.get(..2)? != b"MZ" {
        return None;
    }
    let header = usize::try_from(u32_at(head, 0x3c)?).ok()?;
    if head.get(header..header.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let file_header = header.checked_add(4)?;
    let count = usize::from(u16_at(head, file_header.checked_add(2)?)?);
    let optional = usize::from(u16_at(head, file_header.checked_add(16)?)?);
    let table = file_header.checked_add(20)?.checked_add(optional)?;
    let mut found = Vec::new();
    for number in 0..count {
        let at = table.checked_add(number.checked_mul(40)?)?;
        let entry = head.get(at..at.checked_add(40)?)?;
        let name = entry.get(..8)?.split(|&byte| byte == 0).next()?;
        let virtual_size = u32_at(entry, 8)?;
        let raw_size = u32_at(entry, 16)?;
        found.push(Section {
            name: String::from_utf8_lossy(name).into_owned(),
            offset: u64::from(u32_at(entry, 20)?),
            // The content is padded to the file alignment; a virtual size of zero says nothing.
            size: u64::from(if virtual_size == 0 {
                raw_size
            } else {
                raw_size.min(virtual_size)
            }),
        });
    }
    Some(found)
}

/// The first section called `name`: the base profile of an image with several.
pub fn section<'a>(sections: &'a [Section], name: &str) -> Option<&'a Section> {
    sections.iter().find(|section| section.name == name)
}

/// The text of a section: up to the first zero, without the blanks around.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().into()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// An image with these sections, as small as can be.
    fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; 0x40];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x40;
        head.extend(b"PE\0\0");
        head.extend([0x64, 0x86]);
        head.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
        head.extend([0; 16]);
        let mut body = Vec::new();
        let start = head.len() + 40 * sections.len();
        for (name, content) in sections {
            let mut entry = [0; 40];
            entry[..name.len()].copy_from_slice(name.as_bytes());
            let size = u32::try_from(content.len()).unwrap();
            entry[8..12].copy_from_slice(&size.to_le_bytes());
            entry[16..20].copy_from_slice(&size.next_multiple_of(16).to_le_bytes());
            let offset = u32::try_from(start + body.len()).unwrap();
            entry[20..24].copy_from_slice(&offset.to_le_bytes());
            head.extend(entry);
            body.extend_from_slice(content);
            body.resize(body.len().next_multiple_of(16), 0);
        }
        head.extend(body);
        head
    }

    #[test]
    fn sections_are_found() {
        let bytes = image(&[
            (".osrel", b"ID=debian\n"),
            (".cmdline", b" root=1 quiet\n\0"),
        ]);
        let found = sections(&bytes).expect("an image");
        let cmdline = section(&found, ".cmdline").expect("the section");
        let start = usize::try_from(cmdline.offset).unwrap();
        let end = start + usize::try_from(cmdline.size).unwrap();
        assert_eq!(text(&bytes[start..end]), "root=1 quiet");
        assert_eq!(section(&found, ".uname"), None);
        assert_eq!(sections(b"MZ"), None);
        assert_eq!(sections(&bytes[..0x60]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, at in 0_usize..200, byte: u8) {
            sections(&bytes);
            let mut bytes = image(&[(".cmdline", b"a"), (".uname", b"b")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            sections(&bytes);
        }
    }
}
