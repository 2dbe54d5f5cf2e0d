//! /proc/PID/mountinfo (proc_pid_mountinfo(5)) and /proc/swaps.

use alloc::{string::String, vec::Vec};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of the device; major 0 for file systems without one block device.
    pub device: String,
    /// Directory of the file system that is mounted; `/` unless a bind mount or a subvolume.
    pub root: String,
    /// Where.
    pub target: String,
    /// File system type.
    pub kind: String,
    /// Source, such as /dev/sda1 or pool/dataset.
    pub source: String,
    /// Read-only, by its own option or the file system's.
    pub read_only: bool,
}

/// The mounts in file order; lines that are none are left out.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let mut head = head.split(' ').skip(2);
            let (device, root, target) = (head.next()?, head.next()?, head.next()?);
            let options = head.next().unwrap_or_default();
            let mut tail = tail.split(' ');
            let (kind, source) = (tail.next()?, tail.next()?);
            let super_options = tail.next().unwrap_or_default();
            let read_only = [options, super_options]
                .iter()
                .any(|list| list.split(',').any(|option| option == "ro"));
            Some(Mount {
                device: device.into(),
                root: unescape(root),
                target: unescape(target),
                kind: kind.into(),
                source: unescape(source),
                read_only,
            })
        })
        .collect()
}

/// KiB of the pages of each mount of hugetlbfs (`hugetlbfs_show_options` in the kernel's
/// fs/hugetlbfs/inode.c writes `pagesize=2M`).
pub fn hugetlbfs(text: &str) -> Vec<u64> {
    let size = |line: &str| {
        let (_, tail) = line.split_once(" - ")?;
        let mut words = tail.split(' ').filter(|word| !word.is_empty());
        if words.next()? != "hugetlbfs" {
            return None;
        }
        let options = words.nth(1)?;
        let size = options
            .split(',')
            .find_map(|option| option.strip_prefix("pagesize="))?;
        let end = size.find(|c: char| !c.is_ascii_digit())?;
        let (digits, unit) = size.split_at(end);
        let factor = match unit {
            "K" => 1,
            "M" => 1024,
            "G" => 1024 * 1024,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor)
    };
    text.lines().filter_map(size).collect()
}

/// The mount that `path` lies on: the deepest, and of several at one place the last.
pub fn holding<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let holds = |mount: &&Mount| {
        let target = mount.target.trim_end_matches('/');
        path.strip_prefix(target)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mounts
        .iter()
        .filter(holds)
        .max_by_key(|mount| mount.target.trim_end_matches('/').len())
}

/// Files and partitions of /proc/swaps, with true for a partition.
pub fn swaps(text: &str) -> Vec<(String, bool)> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (path, kind) = (words.next()?, words.next()?);
            Some((unescape(path), kind == "partition"))
        })
        .collect()
}

/// The kernel writes blank, tab, newline and backslash as three octal digits (`mangle_path`).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\').then_some(after).and_then(|digits| {
            let digits = digits.get(..3)?;
            digits.iter().try_fold(0_u16, |n, &d| {
                matches!(d, b'0'..=b'7').then(|| n * 8 + u16::from(d - b'0'))
            })
        });
        match octal.and_then(|n| u8::try_from(n).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_of_huge_pages() {
        let text = "36 26 0:33 / /dev/hugepages rw,nosuid shared:16 - hugetlbfs hugetlbfs rw,pagesize=2M\n\
            37 26 0:34 / /mnt rw - hugetlbfs none rw,mode=1777,pagesize=1024M\n\
            38 26 0:35 / /tmp rw - tmpfs tmpfs rw,pagesize=4K\n\
            39 26 0:36 / /odd rw - hugetlbfs none rw,pagesize=\n";
        assert_eq!(hugetlbfs(text), [2048, 1024 * 1024]);
    }

    #[test]
    fn a_mount_with_blanks_and_optional_fields() {
        let text = "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
            37 1 0:25 / / rw - btrfs /dev/sda2 rw,subvol=/@\nbroken\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].target, "/mnt two");
        assert_eq!(mounts[0].root, "/mnt1");
        assert_eq!(mounts[1].kind, "btrfs");
        assert_eq!(mounts[1].source, "/dev/sda2");
    }

    #[test]
    fn swap_areas() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/dm-1 partition 1 0 -2\n/swap\\040f file 1 0 -3\n";
        assert_eq!(
            swaps(text),
            [("/dev/dm-1".into(), true), ("/swap f".into(), false)]
        );
    }

    #[test]
    fn a_lone_backslash_stays() {
        assert_eq!(unescape("a\\b\\09\\777"), "a\\b\\09\\777");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            parse(&text);
            swaps(&text);
        }
    }
}
