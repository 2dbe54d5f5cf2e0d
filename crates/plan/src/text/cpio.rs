//! cpio "newc" headers, the format of an initramfs (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use alloc::{borrow::ToOwned, string::String};

/// Bytes of a header.
pub const HEADER: usize = 110;

/// Name of the entry that ends an archive.
pub const TRAILER: &str = "TRAILER!!!";

/// What a header says about its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// File type and permission bits.
    pub mode: u32,
    /// Bytes of content.
    pub size: u32,
    /// Bytes of the name that follows the header, with its closing NUL.
    pub name_size: u32,
}

impl Header {
    /// Reads a header; `None` if the bytes are none.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        if !matches!(&bytes[..6], b"070701" | b"070702") {
            return None;
        }
        let field = |index: usize| {
            let start = 6 + 8 * index;
            bytes[start..start + 8].iter().try_fold(0_u32, |n, &byte| {
                Some(n << 4 | char::from(byte).to_digit(16)?)
            })
        };
        Some(Self {
            mode: field(1)?,
            size: field(6)?,
            name_size: field(11)?,
        })
    }

    /// A regular file.
    pub const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Zero bytes behind the name: header and name together fill words of four bytes.
    pub const fn name_padding(&self) -> usize {
        padding(HEADER as u64 + self.name_size as u64)
    }

    /// Zero bytes behind the content.
    pub const fn content_padding(&self) -> usize {
        padding(self.size as u64)
    }
}

const fn padding(length: u64) -> usize {
    ((4 - length % 4) % 4) as usize
}

/// An entry's name as a path without a leading `/` or `./`, cut at the first NUL.
pub fn path(name: &[u8]) -> String {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    let text = String::from_utf8_lossy(&name[..end]);
    let mut path = &*text;
    while let Some(rest) = path.strip_prefix('/').or_else(|| path.strip_prefix("./")) {
        path = rest;
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(mode: u32, size: u32, name: u32) -> [u8; HEADER] {
        let text = alloc::format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08X}{:08x}{:08x}{:08x}{:08x}{name:08x}{:08x}",
            1,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0
        );
        text.as_bytes().try_into().unwrap()
    }

    #[test]
    fn fields() {
        let parsed = Header::parse(&header(0o100_644, 0xabc, 11)).unwrap();
        assert_eq!(
            parsed,
            Header {
                mode: 0o100_644,
                size: 0xabc,
                name_size: 11
            }
        );
        assert!(parsed.is_file());
        assert_eq!((parsed.name_padding(), parsed.content_padding()), (3, 0));
    }

    #[test]
    fn paths() {
        assert_eq!(path(b"./etc/modprobe.d/x.conf\0"), "etc/modprobe.d/x.conf");
        assert_eq!(path(b"/init\0junk"), "init");
        assert_eq!(path(b".\0"), ".");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: [u8; HEADER]) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.name_padding() < 4 && header.content_padding() < 4);
            }
            path(&bytes);
        }

        #[test]
        fn every_header_parses(mode: u32, size: u32, name: u32) {
            prop_assert_eq!(
                Header::parse(&header(mode, size, name)),
                Some(Header { mode, size, name_size: name })
            );
        }
    }
}
