//! What every file of a host is, read from its disk while the host is off, and how two differ.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::{Context as _, Result};
use crate::recipe::Firmware;
use crate::{command, partitions};

/// Left out, each for its reason. A path stands for everything below it.
const LEFT_OUT: [(&str, &str); 15] = [
    ("/proc", "a mount point"),
    ("/sys", "a mount point"),
    ("/dev", "a mount point"),
    ("/run", "a mount point"),
    ("/tmp", "a mount point"),
    (
        "/var/tmp",
        "cleaned by systemd-tmpfiles, holds private folders named by boot",
    ),
    ("/var/log", "every boot writes there"),
    (
        "/var/lib/systemd",
        "random seed, timers and catalog change at every boot",
    ),
    ("/var/cache", "caches; losing them changes nothing"),
    ("/etc/.pwd.lock", "touched by systemd-sysusers"),
    (
        "/var/lib/passthru",
        "passthru's own state: history outlives an undo",
    ),
    ("/usr/local/bin/passthru", "put there by the lab"),
    ("/root/.bash_history", "written by a person at the console"),
    ("/lost+found", "fsck's"),
    (
        "/boot/efi/loader/random-seed",
        "systemd-boot and systemd-boot-random-seed renew it at every boot",
    ),
];

/// Where the hosts have their EFI system partition.
const ESP: &str = "/boot/efi";

/// Every file of a host: escaped path to what is known of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest(BTreeMap<String, String>);

impl Manifest {
    /// Reads the file systems of a disk whose host is off.
    pub fn of_disk(firmware: Firmware, disk: &Path, folder: &Path) -> Result<Self> {
        let raw = folder.join("manifest.raw");
        let point = folder.join("tree");
        fs::create_dir_all(&point)?;
        command::run(
            "qemu-img",
            [
                OsStr::new("convert"),
                OsStr::new("-O"),
                OsStr::new("raw"),
                disk.as_os_str(),
                raw.as_os_str(),
            ],
        )?;
        let layout = partitions::layout(firmware);
        let mounted = Mounted::new(&raw, layout.root, &point)?;
        let manifest = Self::of_tree(&point);
        drop(mounted);
        let mut manifest = manifest?;
        if let Some(start) = layout.esp {
            let copy = folder.join("esp");
            fs::create_dir_all(&copy)?;
            partitions::copy_esp(&raw, start, &copy)?;
            manifest.0.extend(Self::of_esp(&copy)?.0);
            fs::remove_dir_all(&copy)?;
        }
        fs::remove_file(&raw)?;
        Ok(manifest)
    }

    /// Reads a tree.
    pub fn of_tree(root: &Path) -> Result<Self> {
        Self::read(root, Path::new("/"), describe)
    }

    /// Reads a copy of an EFI system partition: FAT has no modes, owners and attributes.
    fn of_esp(copy: &Path) -> Result<Self> {
        Self::read(copy, Path::new(ESP), |_, kind| {
            Ok(if kind.is_dir() {
                "folder".to_owned()
            } else {
                format!("file size={}", kind.size())
            })
        })
    }

    /// Reads a tree that the host has at a mount point.
    fn read(
        root: &Path,
        point: &Path,
        describe: impl Fn(&Path, &fs::Metadata) -> Result<String>,
    ) -> Result<Self> {
        let mut files = Vec::new();
        let mut all = BTreeMap::new();
        let mut folders = vec![point.to_owned()];
        while let Some(folder) = folders.pop() {
            let here = root.join(folder.strip_prefix(point)?);
            for entry in fs::read_dir(&here).context(|| format!("reading {}", folder.display()))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if LEFT_OUT
                    .iter()
                    .any(|(left_out, _)| path == Path::new(left_out))
                {
                    continue;
                }
                let kind = entry.metadata()?;
                if kind.is_dir() {
                    folders.push(path.clone());
                } else if kind.is_file() {
                    files.push((path.clone(), entry.path()));
                }
                all.insert(escaped(&path), describe(&entry.path(), &kind)?);
            }
        }
        let hashes = hash(files.iter().map(|(_, file)| file.as_path()))?;
        for ((path, _), hash) in files.iter().zip(hashes) {
            if let Some(known) = all.get_mut(&escaped(path)) {
                let _ = write!(known, " sha256={hash}");
            }
        }
        Ok(Self(all))
    }

    /// One line per path.
    pub fn to_text(&self) -> String {
        self.0
            .iter()
            .fold(String::new(), |mut text, (path, known)| {
                let _ = writeln!(text, "{path}\t{known}");
                text
            })
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        Self(
            lines
                .map(|(path, known)| (path.to_owned(), known.to_owned()))
                .collect(),
        )
    }

    /// What is different in `after`, one line per path.
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, known) in &self.0 {
            match after.0.get(path) {
                None => lines.push(format!("gone:    {path}  ({known})")),
                Some(now) if now != known => {
                    lines.push(format!("changed: {path}\n  before {known}\n  after  {now}"));
                }
                Some(_) => {}
            }
        }
        for (path, known) in &after.0 {
            if !self.0.contains_key(path) {
                lines.push(format!("new:     {path}  ({known})"));
            }
        }
        lines
    }
}

/// A path on one line, whatever bytes it has.
fn escaped(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// Type, mode, owner, size, link target, device number and extended attributes; no times.
fn describe(path: &Path, kind: &fs::Metadata) -> Result<String> {
    let sort = kind.file_type();
    let word = match sort {
        _ if sort.is_dir() => "folder",
        _ if sort.is_file() => "file",
        _ if sort.is_symlink() => "link",
        _ if sort.is_block_device() => "block",
        _ if sort.is_char_device() => "char",
        _ if sort.is_fifo() => "fifo",
        _ => "socket",
    };
    let mut known = format!(
        "{word} {:o} {}:{}",
        kind.mode() & 0o7777,
        kind.uid(),
        kind.gid()
    );
    if sort.is_file() {
        let _ = write!(known, " size={}", kind.size());
    } else if sort.is_symlink() {
        let _ = write!(known, " to={}", escaped(&fs::read_link(path)?));
    } else if sort.is_block_device() || sort.is_char_device() {
        let _ = write!(known, " device={:x}", kind.rdev());
    }
    let mut names = vec![0; 65536];
    // A file system without extended attributes has none.
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut names: Vec<&[u8]> = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    for name in names {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..])?;
        let _ = write!(
            known,
            " {}={}",
            name.escape_ascii(),
            value[..length].escape_ascii()
        );
    }
    Ok(known)
}

/// Checksums in the order of the files. coreutils does it several times faster than a debug build.
fn hash<'a>(files: impl Iterator<Item = &'a Path>) -> Result<Vec<String>> {
    let mut child = Command::new("xargs")
        .args(["-0", "-r", "sha256sum", "-z", "--"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "cannot start xargs".to_owned())?;
    let list: Vec<u8> = files
        .flat_map(|file| [file.as_os_str().as_bytes(), b"\0"].concat())
        .collect();
    let mut input = child.stdin.take().ok_or("xargs has no input")?;
    let mut sums = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let feed = scope.spawn(move || input.write_all(&list));
        child
            .stdout
            .take()
            .ok_or("xargs has no output")?
            .read_to_end(&mut sums)?;
        feed.join().map_err(|_| "feeding xargs failed")??;
        Ok(())
    })?;
    crate::ensure!(child.wait()?.success(), "sha256sum failed");
    let sums = String::from_utf8_lossy(&sums);
    Ok(sums
        .split('\0')
        .filter_map(|line| line.get(..64))
        .map(str::to_owned)
        .collect())
}

/// A file system mounted read-only, until it is dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(raw: &Path, start: u64, point: &'a Path) -> Result<Self> {
        // noload: the host was shut down in order, so the journal is empty.
        let options = format!("ro,noload,loop,offset={start}");
        command::run(
            "mount",
            [
                OsStr::new("-t"),
                OsStr::new("ext4"),
                OsStr::new("-o"),
                OsStr::new(&options),
                raw.as_os_str(),
                point.as_os_str(),
            ],
        )?;
        Ok(Self(point))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = command::run("umount", [self.0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("etc")).unwrap();
        fs::create_dir_all(path("var/log")).unwrap();
        fs::write(path("etc/same"), "same").unwrap();
        fs::write(path("etc/changed"), "one").unwrap();
        fs::write(path("etc/od\td\n"), "").unwrap();
        std::os::unix::fs::symlink("same", path("etc/gone")).unwrap();
        let before = Manifest::of_tree(root.path()).unwrap();

        fs::write(path("etc/changed"), "two").unwrap();
        fs::remove_file(path("etc/gone")).unwrap();
        fs::write(path("etc/new"), "").unwrap();
        fs::write(path("var/log/noise"), "").unwrap();
        let after = Manifest::of_tree(root.path()).unwrap();

        let lines = before.difference(&after);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("changed: /etc/changed"));
        assert!(lines[1].starts_with("gone:    /etc/gone"));
        assert!(lines[2].starts_with("new:     /etc/new"));
        assert_eq!(before.difference(&before), Vec::<String>::new());
    }

    #[test]
    fn text_comes_back() {
        let one = Manifest(BTreeMap::from([
            (
                "/etc/a".to_owned(),
                "file 644 0:0 size=1 sha256=00".to_owned(),
            ),
            ("/etc/b".to_owned(), "folder 755 0:0".to_owned()),
        ]));
        assert_eq!(Manifest::from_text(&one.to_text()), one);
    }

    #[test]
    fn of_an_esp_only_names_and_contents_count() {
        use std::os::unix::fs::PermissionsExt as _;
        let copy = tempfile::tempdir().unwrap();
        let loader = copy.path().join("loader");
        fs::create_dir(&loader).unwrap();
        fs::write(loader.join("loader.conf"), "timeout 3\n").unwrap();
        fs::write(loader.join("random-seed"), "one").unwrap();
        let before = Manifest::of_esp(copy.path()).unwrap();
        assert_eq!(before.0.len(), 2);
        assert_eq!(before.0["/boot/efi/loader"], "folder");

        fs::write(loader.join("random-seed"), "two").unwrap();
        fs::set_permissions(&loader, fs::Permissions::from_mode(0o700)).unwrap();
        let after = Manifest::of_esp(copy.path()).unwrap();
        assert_eq!(before, after);
    }
}
