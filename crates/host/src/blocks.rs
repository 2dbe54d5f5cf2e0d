//! Whether a block device is free right now: the last look before it becomes a guest's disk.
//!
//! Facts tell what is mounted or stacked; this also finds who has the device open for itself, such as
//! a guest that runs. It opens the device, which may wake a disk that sleeps, so it is done once,
//! before something is changed, and never while observing.

use rustix::{
    fs::{FileType, Mode, OFlags, fstat},
    io::Errno,
};
use thiserror::Error;

use crate::root::{PathError, Root};

/// What stands in the way of a device being given away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Free {
    /// The kernel gave it to nobody else exclusively (open(2) with `O_EXCL`): it is not mounted, not
    /// swap, and nothing is stacked on it or on a partition of it.
    pub exclusive: bool,
    /// Processes that have it or a partition of it open, by number; without root only one's own are
    /// seen.
    pub openers: Vec<Opener>,
}

impl Free {
    /// Nobody uses it.
    pub fn is_free(&self) -> bool {
        self.exclusive && self.openers.is_empty()
    }
}

/// A process that has a device open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opener {
    /// Its number.
    pub pid: u32,
    /// Its name (/proc/PID/comm); empty if it ended meanwhile.
    pub name: String,
}

/// A device that could not be looked at.
#[derive(Debug, Error)]
pub enum FreeError {
    /// It is not there any more, or cannot be opened.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is something else.
    #[error("{0} is no block device")]
    NotBlock(String),
}

impl FreeError {
    /// The device is not there: it was pulled out, or has no medium.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Path(error) => {
                let gone = [Errno::NXIO, Errno::NODEV, Errno::NOMEDIUM].map(Errno::raw_os_error);
                error.is_missing()
                    || error
                        .source
                        .raw_os_error()
                        .is_some_and(|errno| gone.contains(&errno))
            }
            Self::NotBlock(_) => false,
        }
    }
}

/// Looks whether the block device `path` of the running host is free.
///
/// # Errors
/// If it is missing, no block device, or cannot be opened for another reason than being in use.
pub fn is_free(root: &Root, path: &str) -> Result<Free, FreeError> {
    // What it is comes first: opening another kind of device could do anything.
    if kind(root, path)? != FileType::BlockDevice {
        return Err(FreeError::NotBlock(
            root.display(path).display().to_string(),
        ));
    }
    let real = root.resolve(path)?;
    let name = real.rsplit('/').next().unwrap_or_default();
    let openers = openers(root, &with_partitions(root, name));
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK;
    let exclusive = match root.open_at(path, flags, Mode::empty()) {
        Ok(_) => true,
        Err(error) if error.source.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => false,
        Err(error) => return Err(error.into()),
    };
    Ok(Free { exclusive, openers })
}

/// What `path` is. The descriptor is closed again: among those who have the device open, passthru must
/// not find itself.
fn kind(root: &Root, path: &str) -> Result<FileType, PathError> {
    let node = root.open_at(path, OFlags::PATH, Mode::empty())?;
    let stat = fstat(&node).map_err(|errno| root.error(path, errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The kernel's names of a disk and its partitions.
fn with_partitions(root: &Root, name: &str) -> Vec<String> {
    let directory = format!("/sys/class/block/{name}");
    let below = root.list(&directory).unwrap_or_default();
    let partitions = below
        .into_iter()
        .filter(|entry| root.exists(&format!("{directory}/{entry}/partition")));
    std::iter::once(name.to_owned()).chain(partitions).collect()
}

/// Processes with a descriptor of one of the devices of these names.
fn openers(root: &Root, names: &[String]) -> Vec<Opener> {
    let mut found = Vec::new();
    for entry in root.list("/proc").unwrap_or_default() {
        let Ok(pid) = entry.parse::<u32>() else {
            continue;
        };
        let directory = format!("/proc/{pid}/fd");
        let descriptors = root.list(&directory).unwrap_or_default();
        let opens = descriptors.iter().any(|number| {
            let target = root.link(&format!("{directory}/{number}"));
            target.is_ok_and(|target| is_node(&target, names))
        });
        if opens {
            let name = root.attribute(&format!("/proc/{pid}/comm"));
            found.push(Opener {
                pid,
                name: name.unwrap_or_default(),
            });
        }
    }
    found.sort();
    found
}

/// `target` is the node of one of `names`. libvirt gives QEMU a /dev of its own, which shows from
/// outside as `/dev/sdb` or, where its mount cannot be reached, as `/sdb`.
fn is_node(target: &str, names: &[String]) -> bool {
    let target = target.strip_suffix(" (deleted)").unwrap_or(target);
    let name = target
        .strip_prefix("/dev/")
        .or_else(|| target.strip_prefix('/'));
    name.is_some_and(|name| names.iter().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn who_has_a_partition_open() {
        let dir = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        std::fs::write(place("sys/class/block/sdb/sdb1/partition"), "1\n").unwrap();
        std::fs::write(place("sys/class/block/sdb/queue/depth"), "1\n").unwrap();
        for (pid, target) in [
            ("7", "/dev/sdb1"),
            ("8", "/sdb"),
            ("9", "/dev/sdb2"),
            ("10", "/dev/sdbx"),
            ("self", "/dev/sdb"),
        ] {
            symlink(target, place(&format!("proc/{pid}/fd/3"))).unwrap();
            std::fs::write(place(&format!("proc/{pid}/comm")), "qemu\n").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let found = openers(&root, &with_partitions(&root, "sdb"));
        let pids: Vec<u32> = found.iter().map(|opener| opener.pid).collect();
        assert_eq!(pids, [7, 8]);
        assert_eq!(found[0].name, "qemu");
    }

    /// With a real device, where the machine has one that root may open.
    #[test]
    fn passthru_does_not_find_itself() {
        const DEVICE: &str = "/dev/loop7";
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let Ok(free) = is_free(&root, DEVICE) else {
            println!("skipped: {DEVICE} cannot be opened here");
            return;
        };
        let own = std::process::id();
        assert!(free.openers.iter().all(|opener| opener.pid != own));
        // But who else has it open.
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .stdin(std::fs::File::open(DEVICE).unwrap())
            .spawn()
            .unwrap();
        let found = is_free(&root, DEVICE);
        other.kill().unwrap();
        other.wait().unwrap();
        let found = found.unwrap();
        assert!(found.openers.iter().any(|opener| opener.pid == other.id()));
        assert!(!found.is_free());
    }

    #[test]
    fn only_block_devices_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("disk"), "").unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(matches!(
            is_free(&root, "/disk"),
            Err(FreeError::NotBlock(_))
        ));
        let missing = is_free(&root, "/dev/disk/by-id/x").unwrap_err();
        assert!(missing.is_missing(), "{missing}");
    }
}
