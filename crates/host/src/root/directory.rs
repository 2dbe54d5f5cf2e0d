//! An open directory of a root, and attribute files: many small ones of one place.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{PathError, Root, Seen};

/// An open directory of a root. Its entries are opened by name, one component at a time and never
/// through a link, which is several times cheaper than resolving a whole path for each.
#[derive(Debug)]
pub struct Directory<'a> {
    root: &'a Root,
    dir: OwnedFd,
    path: &'a str,
}

impl Directory<'_> {
    fn note(&self, name: &str, what: Seen) {
        if self.root.seen.is_some() {
            self.root.note(&format!("{}/{name}", self.path), what);
        }
    }

    /// As [`Root::attribute`], for the file `name` of this directory.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // `power/runtime_status` names a directory below: nothing on the way may be a link.
        let fd = fs::openat2(
            &self.dir,
            name,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .ok()?;
        self.note(name, Seen::File);
        // sysfs gives at most one page, and all of it in one read.
        let mut buffer = [0_u8; 4096];
        let length = loop {
            match rustix::io::read(&fd, &mut buffer) {
                Ok(n) => break n,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        };
        attribute_text(buffer[..length].to_vec())
    }

    /// The target of the link `name` of this directory, as it is written.
    pub fn link(&self, name: &str) -> Option<String> {
        let target = fs::readlinkat(&self.dir, name, Vec::new()).ok()?;
        let target = target.to_string_lossy().into_owned();
        self.note(name, Seen::Link(target.clone()));
        Some(target)
    }

    /// As [`Root::link_name`], for the link `name` of this directory.
    pub fn link_name(&self, name: &str) -> Option<String> {
        let target = fs::readlinkat(&self.dir, name, Vec::new()).ok()?;
        let target = target.to_string_lossy();
        self.note(name, Seen::Link(target.clone().into_owned()));
        target
            .rsplit('/')
            .find(|part| !part.is_empty())
            .map(str::to_owned)
    }

    /// The directory has an entry `name`.
    pub fn has(&self, name: &str) -> bool {
        let found = fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if found {
            self.note(name, Seen::Presence);
        }
        found
    }
}

impl Root {
    /// Opens a directory once, for reading many small files of it.
    ///
    /// # Errors
    /// If it is missing or not a directory.
    pub fn directory<'a>(&'a self, path: &'a str) -> Result<Directory<'a>, PathError> {
        let dir = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Directory {
            root: self,
            dir,
            path,
        })
    }
}

/// What an attribute file says, without what pads it; `None` if that is nothing, or no text.
pub(super) fn attribute_text(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}
