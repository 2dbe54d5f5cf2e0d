//! Disk images that a guest's disk is copied from: what their first bytes say.

use alloc::format;

use super::{plan::refusal, spec::Format};
use crate::plan::Refusal;

/// How many bytes of an image are looked at: up to the first descriptor of an ISO 9660 volume.
pub const HEAD: usize = 33 << 10;

/// An image that can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Its format.
    pub format: Format,
    /// How large the disk in it is, in bytes.
    pub size: u64,
}

/// Files of which people think that they are disk images: what they begin with, and what they are.
const OTHERS: [(&[u8], &str); 8] = [
    (b"\xfd7zXZ\0", "compressed with xz; unxz unpacks it"),
    (b"\x1f\x8b", "compressed with gzip; gunzip unpacks it"),
    (b"BZh", "compressed with bzip2; bunzip2 unpacks it"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd; unzstd unpacks it",
    ),
    (b"PK\x03\x04", "a ZIP archive; unzip unpacks it"),
    (
        b"KDMV",
        "an image of VMware; qemu-img convert -O qcow2 makes one of QEMU of it",
    ),
    (
        b"vhdxfile",
        "an image of Hyper-V; qemu-img convert -O qcow2 makes one of QEMU of it",
    ),
    (
        b"<<< ",
        "an image of VirtualBox; qemu-img convert -O qcow2 makes one of QEMU of it",
    ),
];

/// What the image at `path` is, whose first [`HEAD`] bytes are `head` and which is `length` bytes long.
///
/// An image that names another file is refused: copying it would put that file, whichever of the
/// host's it is, into the guest's disk.
///
/// # Errors
/// If it is no image of QEMU and no disk with a partition table.
pub fn read(path: &str, head: &[u8], length: u64) -> Result<Image, Refusal> {
    let bad = |why: &str, way_out: &str| refusal("guest.image", format!("{path} {why}."), way_out);
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(bad(&format!("is {what}"), "Then name the result."));
    }
    // ECMA-119, 8.1: in sector 16. Hybrid images have a partition table as well.
    if head.get(0x8001..0x8006) == Some(b"CD001") {
        return Err(bad(
            "is an installation medium",
            "Give it as one (--iso FILE), with a disk to install to (--new-disk 60G).",
        ));
    }
    if !head.starts_with(b"QFI\xfb") {
        // The signature of an MBR, which a GPT has too (UEFI specification, 5.2).
        if head.get(510..512) == Some(&[0x55, 0xaa]) {
            return Ok(Image {
                format: Format::Raw,
                size: length,
            });
        }
        return Err(bad(
            "is neither an image of QEMU (qcow2) nor a disk with a partition table",
            "Name a cloud image: distributions offer them as .qcow2, .img or .raw.",
        ));
    }
    // docs/interop/qcow2.rst in QEMU: all numbers are big-endian.
    let number = |at: usize| {
        let bytes = head.get(at..at + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    let version = head
        .get(4..8)
        .and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let (Some(version @ (2 | 3)), Some(backing), Some(size)) = (version, number(8), number(24))
    else {
        return Err(bad(
            "is a damaged image, or one of a QEMU that is not known here",
            "qemu-img check FILE says more.",
        ));
    };
    // Incompatible feature bit 2: the data lies in another file.
    let external = version == 3 && number(72).is_none_or(|features| features & 4 != 0);
    if backing != 0 || external {
        return Err(bad(
            "names another file that holds a part of it, and a copy would bring that file along",
            "If it is yours and you trust it: qemu-img convert -O qcow2 FILE WHOLE.qcow2, then name \
             the result.",
        ));
    }
    Ok(Image {
        format: Format::Qcow2,
        size,
    })
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn qcow2(version: u32, backing: u64, size: u64, features: u64) -> Vec<u8> {
        let mut head = vec![0; 1024];
        head[..4].copy_from_slice(b"QFI\xfb");
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[8..16].copy_from_slice(&backing.to_be_bytes());
        head[24..32].copy_from_slice(&size.to_be_bytes());
        head[72..80].copy_from_slice(&features.to_be_bytes());
        head
    }

    fn why(head: &[u8]) -> alloc::string::String {
        read("/x", head, 1 << 20).unwrap_err().why
    }

    #[test]
    fn images_that_can_be_copied() {
        let format =
            |head: &[u8]| read("/x", head, 1 << 20).map(|image| (image.format, image.size));
        assert_eq!(
            format(&qcow2(3, 0, 7 << 30, 0)),
            Ok((Format::Qcow2, 7 << 30))
        );
        assert_eq!(
            format(&qcow2(2, 0, 7 << 30, u64::MAX)),
            Ok((Format::Qcow2, 7 << 30))
        );
        let mut disk = vec![0; 1024];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(format(&disk), Ok((Format::Raw, 1 << 20)));
    }

    #[test]
    fn an_image_that_names_another_file_is_not_copied() {
        assert!(why(&qcow2(3, 512, 7 << 30, 0)).contains("another file"));
        assert!(why(&qcow2(2, 512, 7 << 30, 0)).contains("another file"));
        assert!(why(&qcow2(3, 0, 7 << 30, 4)).contains("another file"));
        assert!(why(&qcow2(3, 0, 7 << 30, 0)[..60]).contains("another file"));
    }

    #[test]
    fn other_files_are_called_what_they_are() {
        assert!(why(b"\xfd7zXZ\0...").contains("xz"));
        assert!(why(b"PK\x03\x04").contains("ZIP"));
        assert!(why(b"").contains("neither"));
        assert!(why(&qcow2(9, 0, 0, 0)).contains("damaged"));
        assert!(why(b"QFI\xfb").contains("damaged"));
        let mut iso = vec![0; HEAD];
        iso[510..512].copy_from_slice(&[0x55, 0xaa]);
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        assert!(why(&iso).contains("medium"));
    }
}
