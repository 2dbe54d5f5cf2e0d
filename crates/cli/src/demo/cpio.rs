//! Writes the archive format of an initramfs: cpio "newc" (kernel:
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

/// An archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    count: u32,
    dirs: BTreeSet<String>,
}

impl Archive {
    /// Adds a file, and the directories above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            let dir = &path[..at];
            if self.dirs.insert(dir.to_owned()) {
                self.entry(dir, 0o040_755, &[]);
            }
        }
        self.entry(path, 0o100_000 | mode, content);
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, check
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// The finished archive, compressed with gzip. Same content, same bytes.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&self.bytes)?;
        gzip.finish()
    }
}
