//! Files of a guest that QEMU cannot get to: it runs as a user of its own, and home directories are
//! closed to others. libvirt gives QEMU the file itself (`dynamic_ownership` in its qemu.conf), and not
//! the directories above it.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::Serialize;

use super::plan::refusal;
use crate::{
    doctor::check::check,
    finding::{Finding, Severity},
    plan::Refusal,
    text::quote::word,
};

/// The user as which QEMU runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its groups, also those that have it as a member: libvirt gives QEMU all of them.
    pub groups: Vec<u32>,
}

/// A file, or a directory above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The value of `system.posix_acl_access`, if it has one.
    pub acl: Option<Vec<u8>>,
}

/// A file that QEMU cannot get to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Barred {
    /// The file.
    pub path: String,
    /// Directories above it that QEMU cannot enter, and their permission bits.
    pub directories: Vec<(String, u32)>,
    /// Its own permission bits, if QEMU may not read it: libvirt gives QEMU disks, and no ROMs.
    pub mode: Option<u32>,
    /// QEMU's user.
    pub user: String,
}

/// The users that packages of libvirt make for QEMU: Debian, Ubuntu and Arch the first, Fedora, RHEL
/// and openSUSE the second.
const USERS: [&str; 2] = ["libvirt-qemu", "qemu"];

/// A setting of qemu.conf: what is in its quotation marks, of either kind; `Some(None)` if it is there and
/// has none.
fn setting<'c>(conf: &'c str, key: &str) -> Option<Option<&'c str>> {
    conf.lines().rev().find_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        let value = value.trim();
        (name.trim() == key).then(|| {
            let mark = value
                .chars()
                .next()
                .filter(|mark| ['"', '\''].contains(mark))?;
            Some(value[1..].split_once(mark)?.0)
        })
    })
}

impl User {
    /// The user by libvirt's qemu.conf (`user = "NAME"`, `"+NUMBER"`), or the one that its package
    /// made; `None` if that is root, whom nothing keeps out, or nobody knows.
    pub fn of(conf: &str, passwd: &str, group: &str) -> Option<Self> {
        let configured = setting(conf, "user");
        let entry = |name: &str| {
            let entries = passwd.lines().map(|line| line.split(':').collect());
            let mut named = entries.filter(|entry: &Vec<&str>| entry.len() > 3);
            let number = name.strip_prefix('+');
            named.find(|entry| match number {
                Some(number) => entry[2] == number,
                None => entry[0] == name || entry[2] == name,
            })
        };
        let entry = match configured {
            // Not understood: nobody knows.
            Some(name) => entry(name?),
            None => USERS.into_iter().find_map(entry),
        }?;
        let uid = entry[2].parse().ok().filter(|uid| *uid != 0)?;
        let mut groups: Vec<u32> = entry[3].parse().into_iter().collect();
        if let Some(name) = setting(conf, "group") {
            let name = name?;
            let number = name.strip_prefix('+').unwrap_or(name);
            let named = group.lines().find_map(|line| {
                let mut parts = line.split(':');
                (parts.next()? == name).then_some(parts.nth(1)?)
            });
            groups.push(named.unwrap_or(number).parse().ok()?);
        }
        groups.extend(group.lines().filter_map(|line| {
            let mut parts = line.split(':').skip(2);
            let gid: u32 = parts.next()?.parse().ok()?;
            let mut members = parts.next()?.split(',');
            members.any(|member| member == entry[0]).then_some(gid)
        }));
        Some(Self {
            name: entry[0].to_string(),
            uid,
            groups,
        })
    }

    /// It may go through the directory.
    pub fn may_enter(&self, directory: &Place) -> bool {
        self.may(directory, 1)
    }

    /// It may read the file.
    pub fn may_read(&self, file: &Place) -> bool {
        self.may(file, 4)
    }

    /// The kernel's order (acl(5), "Access check algorithm").
    fn may(&self, place: &Place, right: u16) -> bool {
        let Place { mode, uid, gid, .. } = *place;
        if let Some(entries) = place.acl.as_deref().and_then(entries) {
            return self.allowed(place, &entries, right);
        }
        let shift = if uid == self.uid {
            6
        } else if self.groups.contains(&gid) {
            3
        } else {
            0
        };
        (mode >> shift) & u32::from(right) != 0
    }

    fn allowed(&self, place: &Place, entries: &[Entry], right: u16) -> bool {
        let grants = |entry: &Entry| entry.permissions & right != 0;
        let of = |tag| entries.iter().find(|entry| entry.tag == tag);
        let one = |entry: Option<&Entry>| entry.is_some_and(grants);
        if place.uid == self.uid {
            return one(of(USER_OBJ));
        }
        let masked = of(MASK).is_none_or(grants);
        let named = |entry: &&Entry| entry.tag == USER && entry.id == self.uid;
        if let Some(entry) = entries.iter().find(named) {
            return grants(entry) && masked;
        }
        let mut mine = entries.iter().filter(|entry| match entry.tag {
            GROUP_OBJ => self.groups.contains(&place.gid),
            GROUP => self.groups.contains(&entry.id),
            _ => false,
        });
        match mine.next() {
            Some(first) => masked && (grants(first) || mine.any(grants)),
            None => one(of(OTHER)),
        }
    }
}

/// An entry of an ACL.
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

// `ACL_*` in include/uapi/linux/posix_acl.h.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The entries of an ACL by include/uapi/linux/posix_acl_xattr.h: version 2, then tag, permissions and
/// id of each, little-endian.
fn entries(value: &[u8]) -> Option<Vec<Entry>> {
    let (version, rest) = value.split_at_checked(4)?;
    if version != [2, 0, 0, 0] || !rest.len().is_multiple_of(8) {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let [a, b, c, d, id @ ..] = bytes else {
            return None;
        };
        Some(Entry {
            tag: u16::from_le_bytes([*a, *b]),
            permissions: u16::from_le_bytes([*c, *d]),
            id: u32::from_le_bytes(id.try_into().ok()?),
        })
    };
    rest.chunks_exact(8).map(entry).collect()
}

/// What keeps `user` from the file at `path`, which lies below `above`; `own` is the file itself, where
/// libvirt does not give it to QEMU.
pub fn barred(user: &User, path: &str, above: &[Place], own: Option<&Place>) -> Option<Barred> {
    let closed = above.iter().filter(|one| !user.may_enter(one));
    let directories: Vec<(String, u32)> = closed
        .map(|one| (one.path.clone(), one.mode & 0o7777))
        .collect();
    let mode = own
        .filter(|own| !user.may_read(own))
        .map(|own| own.mode & 0o7777);
    (!directories.is_empty() || mode.is_some()).then(|| Barred {
        path: path.into(),
        directories,
        mode,
        user: user.name.clone(),
    })
}

impl Barred {
    /// A sentence or two.
    pub fn why(&self) -> String {
        let (user, path) = (&self.user, &self.path);
        if let (Some(mode), true) = (self.mode, self.directories.is_empty()) {
            return format!(
                "QEMU runs as {user} and cannot read {path} (mode {mode:04o}). libvirt gives it disks, \
                 and no ROM."
            );
        }
        let directories: Vec<String> = self
            .directories
            .iter()
            .map(|(path, mode)| format!("{path} (mode {mode:04o})"))
            .collect();
        format!(
            "QEMU runs as {user} and cannot enter {}, so it cannot open {path}. libvirt makes a disk \
             itself QEMU's, and leaves the directories above it alone.",
            directories.join(" and "),
        )
    }

    /// What to type.
    pub fn way_out(&self) -> String {
        let path = word(&self.path);
        let readable = self.mode.map(|_| format!("sudo chmod a+r {path}"));
        if self.directories.is_empty() {
            return readable.unwrap_or_default();
        }
        let directories: Vec<String> = self
            .directories
            .iter()
            .map(|(path, _)| word(path))
            .collect();
        let mut way_out = format!(
            "Move it: sudo mv {path} /var/lib/libvirt/images/, and name it there. Or let QEMU through: \
             sudo setfacl -m u:{}:x {}",
            self.user,
            directories.join(" ")
        );
        if let Some(readable) = readable {
            way_out.push_str(&format!("; and {readable}"));
        }
        way_out
    }

    /// As what keeps a guest from being made or started.
    pub fn refusal(&self) -> Refusal {
        refusal("guest.file.barred", self.why(), self.way_out())
    }

    /// As what is wrong with a guest that is there.
    pub fn finding(&self) -> Finding {
        check(
            format!("guest.file:{}", self.path),
            format!("QEMU gets to {}", self.path),
            Severity::Blocker,
            "The guest does not start without it (\"Permission denied\").",
        )
        .no([self.why()], self.way_out())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalex:x:1000:1000::/home/alex:/bin/sh\n\
        libvirt-qemu:x:64055:110::/var/lib/libvirt:/usr/sbin/nologin\nqemu:x:107:107::/:/x\n";
    const GROUP: &str = "kvm:x:110:\nalex:x:1000:libvirt-qemu,kim\nkim:x:1001:alex\n";

    fn user(conf: &str) -> Option<User> {
        User::of(conf, PASSWD, GROUP)
    }

    fn directory(mode: u32, gid: u32, acl: Option<Vec<u8>>) -> Place {
        Place {
            path: "/home/alex".into(),
            mode,
            uid: 1000,
            gid,
            acl,
        }
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Option<Vec<u8>> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        Some(bytes)
    }

    #[test]
    fn the_user_is_the_configured_one_or_the_packages() {
        let name = |conf| user(conf).map(|user| user.name);
        assert_eq!(name("#user = \"alex\"\n").as_deref(), Some("libvirt-qemu"));
        assert_eq!(name("user = \"alex\"\n").as_deref(), Some("alex"));
        assert_eq!(name(" user=\"+107\" # qemu\n").as_deref(), Some("qemu"));
        assert_eq!(name("user = \"root\"\n"), None);
        assert_eq!(name("user = \"+0\"\n"), None);
        assert_eq!(name("user = \"nobody\"\n"), None);
        assert_eq!(name("user = 'alex'\n").as_deref(), Some("alex"));
        assert_eq!(name("user = 'root'\n"), None);
        assert_eq!(name("user = alex\n"), None, "not understood");
        let groups = |conf| user(conf).map(|user| user.groups);
        assert_eq!(groups("").unwrap(), [110, 1000]);
        assert_eq!(groups("group = \"+77\"\n").unwrap(), [110, 77, 1000]);
        assert_eq!(groups("group = \"nobody\"\n"), None);
        assert_eq!(User::of("", "root:x:0:0::/:/x\n", ""), None);
    }

    #[test]
    fn modes_and_acls_are_read_as_the_kernel_does() {
        let user = user("").unwrap();
        let enters = |mode, gid, acl| user.may_enter(&directory(mode, gid, acl));
        assert!(!enters(0o700, 7, None) && enters(0o711, 7, None));
        // A group that it is a member of; then others do not count.
        assert!(enters(0o710, 1000, None) && !enters(0o701, 1000, None));
        let named = |mask, bits| {
            acl(&[
                (1, 7, u32::MAX),
                (2, bits, 64055),
                (4, 0, 0),
                (16, mask, 0),
                (32, 0, 0),
            ])
        };
        assert!(enters(0o710, 7, named(1, 1)));
        assert!(!enters(0o710, 7, named(0, 1)), "the mask");
        assert!(
            !enters(0o711, 7, named(1, 0)),
            "its own entry comes before others'"
        );
        let groups = acl(&[(1, 7, 0), (4, 0, 0), (8, 1, 110), (16, 1, 0), (32, 0, 0)]);
        assert!(enters(0o710, 1000, groups), "one of its groups is enough");
        assert!(enters(0o711, 7, Some(vec![1])), "no ACL that is known");
    }

    #[test]
    fn every_closed_directory_is_named() {
        let user = user("").unwrap();
        let mut below = directory(0o700, 7, None);
        below.path = "/home/alex/my images".into();
        let above = [directory(0o750, 7, None), below];
        let found = barred(&user, "/home/alex/my images/w.iso", &above, None).unwrap();
        assert!(
            found
                .why()
                .contains("/home/alex (mode 0750) and /home/alex/my images (mode 0700)")
        );
        assert!(
            found
                .way_out()
                .ends_with("setfacl -m u:libvirt-qemu:x /home/alex '/home/alex/my images'"),
            "{}",
            found.way_out()
        );
        let open = [directory(0o755, 7, None)];
        assert_eq!(barred(&user, "/x", &open, None), None);
        let rom = |mode| barred(&user, "/x.rom", &open, Some(&directory(mode, 7, None)));
        assert_eq!(rom(0o644), None);
        let closed = rom(0o600).unwrap();
        assert!(closed.why().contains("cannot read /x.rom (mode 0600)"));
        assert_eq!(closed.way_out(), "sudo chmod a+r /x.rom");
    }
}
