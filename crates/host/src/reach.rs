//! Which files of the host QEMU, as the user that libvirt gives it, cannot get to.

use passthru_plan::guest::reach::{Barred, Place, User, barred};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};

use crate::root::{Root, split};

/// The way to files as QEMU has it.
pub struct Reach<'a> {
    root: &'a Root,
    user: Option<User>,
}

impl<'a> Reach<'a> {
    /// By the files of the host that name QEMU's user.
    pub fn new(root: &'a Root) -> Self {
        let text = |path| root.text(path).unwrap_or_default();
        let user = User::of(
            &text("/etc/libvirt/qemu.conf"),
            &text("/etc/passwd"),
            &text("/etc/group"),
        );
        Self { root, user }
    }

    /// What keeps QEMU from the ROM at `path`, which libvirt does not give it as it gives it disks.
    pub fn barred_rom(&self, path: &str) -> Option<Barred> {
        let own = self.place(path, OFlags::NONBLOCK);
        self.look(path, own.as_ref())
    }

    /// What keeps QEMU from the disk at `path`; `None` if nothing does, or that is not known.
    pub fn barred(&self, path: &str) -> Option<Barred> {
        self.look(path, None)
    }

    fn look(&self, path: &str, own: Option<&Place>) -> Option<Barred> {
        let user = self.user.as_ref()?;
        // Devices have an owner that libvirt sets, below directories that all may enter.
        if path.starts_with("/dev/") || !path.starts_with('/') {
            return None;
        }
        let mut above = Vec::new();
        let resolved = self.root.resolve(path).ok();
        for path in [Some(path), resolved.as_deref()].into_iter().flatten() {
            for directory in parents(path) {
                if above.iter().all(|one: &Place| one.path != directory) {
                    above.extend(self.place(directory, OFlags::DIRECTORY));
                }
            }
        }
        barred(user, path, &above, own)
    }

    /// The directory or file, unless it has an ACL that cannot be read.
    fn place(&self, path: &str, flags: OFlags) -> Option<Place> {
        let flags = OFlags::RDONLY | flags;
        let fd = self.root.open_at(path, flags, Mode::empty()).ok()?;
        let stat = fs::fstat(&fd).ok()?;
        let mut value = vec![0; 64 << 10];
        let acl = match fs::fgetxattr(&fd, "system.posix_acl_access", value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                Some(value)
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => None,
            Err(_) => return None,
        };
        Some(Place {
            path: path.into(),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            acl,
        })
    }
}

/// `/`, `/a` and `/a/b` of `/a/b/c`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    let mut all = Vec::new();
    let mut left = path;
    while left != "/" {
        left = split(left).0;
        all.push(left);
    }
    all.reverse();
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn homes_are_closed_and_links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["etc", "home/alex/isos", "srv"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::write(at("etc/passwd"), "libvirt-qemu:x:64055:64055::/:/x\n").unwrap();
        std::fs::write(at("home/alex/isos/w.iso"), "").unwrap();
        std::os::unix::fs::symlink("/home/alex/isos/w.iso", at("srv/w.iso")).unwrap();
        let mode = |path: &str, mode| {
            std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for path in ["", "etc", "home", "home/alex/isos", "srv"] {
            mode(path, 0o755);
        }
        mode("home/alex", 0o700);
        let root = Root::open(dir.path()).unwrap();
        let reach = Reach::new(&root);
        for path in ["/home/alex/isos/w.iso", "/srv/w.iso", "/home/alex/none"] {
            let barred = reach.barred(path).unwrap();
            assert_eq!(barred.path, path);
            assert_eq!(barred.directories, [("/home/alex".into(), 0o700)], "{path}");
        }
        mode("home/alex", 0o711);
        mode("home/alex/isos/w.iso", 0o600);
        assert_eq!(reach.barred("/srv/w.iso"), None, "libvirt gives it to QEMU");
        assert_eq!(reach.barred_rom("/srv/w.iso").unwrap().mode, Some(0o600));
        assert_eq!(reach.barred_rom("/none.rom"), None);
        mode("home/alex", 0o700);
        // QEMU as root, or nobody knows as whom.
        std::fs::write(at("etc/passwd"), "root:x:0:0::/:/x\n").unwrap();
        assert_eq!(Reach::new(&root).barred("/srv/w.iso"), None);
    }
}
