//! What makes a file the same file, besides its bytes: mode, owner, time, labels.

use std::{collections::BTreeMap, fs::File, io};

use rustix::{
    fs::{self, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

/// What a file has besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner and group; `None` leaves what the kernel gave the new file.
    pub(crate) owner: Option<(u32, u32)>,
    /// Modification time; `None` is now.
    pub(crate) mtime: Option<(i64, i64)>,
    /// Extended attributes, `security.selinux` and ACLs among them; `None` leaves what the kernel
    /// gave the new file.
    pub(crate) xattrs: Option<BTreeMap<String, Vec<u8>>>,
}

impl Attributes {
    /// Those of a file that is created: it belongs to whoever runs passthru, also in a directory
    /// that would give it another group, and its labels are the directory's.
    pub(crate) fn new(mode: u32) -> Self {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        Self {
            mode: mode & 0o7777,
            owner: Some((user, group)),
            mtime: None,
            xattrs: None,
        }
    }

    /// Those of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let stat = fs::fstat(file)?;
        Ok(Self {
            mode: stat.st_mode & 0o7777,
            owner: Some((stat.st_uid, stat.st_gid)),
            mtime: Some((stat.st_mtime, nanoseconds(stat.st_mtime_nsec))),
            xattrs: Some(xattrs(file)?),
        })
    }

    /// Gives them to an open file, touching only what differs: a FAT file system refuses to set
    /// owner and mode, also to what they are.
    pub(crate) fn give(&self, file: &File) -> io::Result<()> {
        let now = Self::of(file)?;
        if let Some((uid, gid)) = self.owner
            && now.owner != self.owner
        {
            fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        let none = BTreeMap::new();
        let given = now.xattrs.as_ref().unwrap_or(&none);
        if let Some(wanted) = &self.xattrs {
            for name in given.keys().filter(|name| !wanted.contains_key(*name)) {
                // What the file system gave the new file and the old one had not: a default ACL.
                // Labels are the security module's own.
                if !name.starts_with("security.") {
                    fs::fremovexattr(file, name.as_str())?;
                }
            }
            for (name, value) in wanted {
                if given.get(name) != Some(value) {
                    fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
                }
            }
        }
        // After the owner, which clears set-id bits (chown(2)), and after ACLs, which change them.
        if fs::fstat(file)?.st_mode & 0o7777 != self.mode {
            fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        }
        if let Some((seconds, nanoseconds)) = self.mtime
            && now.mtime != self.mtime
        {
            let times = Timestamps {
                last_access: Timespec {
                    tv_sec: 0,
                    tv_nsec: fs::UTIME_OMIT,
                },
                last_modification: Timespec {
                    tv_sec: seconds,
                    tv_nsec: nanoseconds,
                },
            };
            fs::futimens(file, &times)?;
        }
        Ok(())
    }
}

/// `st_mtime_nsec` is unsigned on some targets and signed on others.
fn nanoseconds(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(0)
}

fn xattrs(file: &File) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = match fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => 0,
        Err(e) => return Err(e.into()),
    };
    let mut all = BTreeMap::new();
    for name in names[..length].split(|&b| b == 0).filter(|n| !n.is_empty()) {
        // Integrity signatures belong to one file on one disk and cannot be copied (ima(7)).
        if name == b"security.evm" || name == b"security.ima" {
            continue;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 64 << 10];
        match fs::fgetxattr(file, name.as_str(), value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                all.insert(name, value);
            }
            // Listed, but not for this user, or gone meanwhile.
            Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(all)
}
