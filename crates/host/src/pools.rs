//! Pools of huge pages that grow and shrink while the host runs
//! (`Documentation/admin-guide/mm/hugetlbpage.rst`).
//!
//! A write to `nr_hugepages` succeeds even if the kernel found not one page: only reading it back
//! tells.

use std::{fs::File, io::Write};

use passthru_plan::{
    guest::run::{Held, held::Raised, pages::Raise},
    text::mountinfo,
};
use rustix::fs::{Mode, OFlags};

use crate::root::{PathError, Root};

/// The kernel moves pages together so that large ones become free
/// (`Documentation/admin-guide/sysctl/vm.rst`).
const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// A pool that was asked to grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grown {
    /// It has the pages.
    Yes,
    /// The kernel found only so many; they were given back.
    Short(u64),
}

/// What is written down about a pool before it grows. `others` are the guests that hold something
/// already: what the pool had before all of them is what it goes back to.
///
/// # Errors
/// If it cannot be read.
pub fn intend(root: &Root, raise: &Raise, others: &[Held]) -> Result<Raised, PathError> {
    let before = match of_pool(others, &raise.pool).next() {
        Some(raised) => raised.before,
        None => number(root, &raise.pool)?,
    };
    Ok(Raised {
        pool: raise.pool.clone(),
        before,
        added: raise.missing,
    })
}

/// Adds pages; once more after memory was compacted, if the kernel did not find all of them.
///
/// # Errors
/// If the pool cannot be read or written.
pub fn grow(root: &Root, wanted: &Raised) -> Result<Grown, PathError> {
    let path = format!("{}/nr_hugepages", wanted.pool);
    let before = number(root, &wanted.pool)?;
    ask(before, wanted.added, &mut |step| match step {
        // It only helps: a kernel without CONFIG_COMPACTION does not have it.
        Step::Compact => Ok(set(root, COMPACT, 1).map_or(0, |()| 0)),
        Step::Set(pages) => {
            set(root, &path, pages)?;
            number(root, &wanted.pool)
        }
    })
}

/// What is asked of the kernel.
enum Step {
    /// So many pages; it answers how many there are now.
    Set(u64),
    /// To move pages together.
    Compact,
}

fn ask(
    before: u64,
    added: u64,
    kernel: &mut dyn FnMut(Step) -> Result<u64, PathError>,
) -> Result<Grown, PathError> {
    let target = before.saturating_add(added);
    if kernel(Step::Set(target))? >= target {
        return Ok(Grown::Yes);
    }
    kernel(Step::Compact)?;
    let now = kernel(Step::Set(target))?;
    if now >= target {
        return Ok(Grown::Yes);
    }
    kernel(Step::Set(before))?;
    Ok(Grown::Short(now.saturating_sub(before)))
}

/// Gives back what was added: never what `others` hold, and never what the pool had before all of
/// them, whoever changed it meanwhile. False if some of the pages are still in use.
///
/// # Errors
/// If the pool cannot be read or written.
pub fn shrink(root: &Root, raised: &Raised, others: &[Held]) -> Result<bool, PathError> {
    let now = number(root, &raised.pool)?;
    let kept: u64 = of_pool(others, &raised.pool).map(|one| one.added).sum();
    let floor = (raised.before + kept).min(now);
    let target = now.saturating_sub(raised.added).max(floor);
    set(root, &format!("{}/nr_hugepages", raised.pool), target)?;
    // Pages in use become surplus and go when they are freed.
    Ok(number(root, &raised.pool)? <= target)
}

fn of_pool<'a>(held: &'a [Held], pool: &'a str) -> impl Iterator<Item = &'a Raised> {
    let all = held.iter().flat_map(|held| &held.pools);
    all.filter(move |raised| raised.pool == pool)
}

/// KiB of the host's default huge page.
pub fn default_page(root: &Root) -> Option<u64> {
    let text = root.text("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// KiB of the pages of each mount of hugetlbfs.
pub fn mounted(root: &Root) -> Option<Vec<u64>> {
    let text = root.text("/proc/self/mountinfo").ok()?;
    Some(mountinfo::hugetlbfs(&text))
}

fn number(root: &Root, pool: &str) -> Result<u64, PathError> {
    let path = format!("{pool}/nr_hugepages");
    let text = root.text(&path)?;
    text.trim().parse().map_err(|_| {
        let what = std::io::Error::new(std::io::ErrorKind::InvalidData, "no number");
        root.error(&path, what)
    })
}

/// One write, as sysfs and sysctl files want it.
fn set(root: &Root, path: &str, value: u64) -> Result<(), PathError> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW;
    let mut file = File::from(root.open_at(path, flags, Mode::empty())?);
    file.write_all(format!("{value}\n").as_bytes())
        .map_err(|e| root.error(path, e))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const POOL: &str = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB";

    /// A pool that has as many pages as it is told.
    fn host(text: &str) -> (tempfile::TempDir, Root) {
        let host = tempfile::tempdir().unwrap();
        let pool = host.path().join(&POOL[1..]);
        fs::create_dir_all(&pool).unwrap();
        fs::write(pool.join("nr_hugepages"), text).unwrap();
        let root = Root::open(host.path()).unwrap();
        (host, root)
    }

    fn read(host: &Path) -> String {
        fs::read_to_string(host.join(&POOL[1..]).join("nr_hugepages")).unwrap()
    }

    fn raise(missing: u64) -> Raise {
        Raise {
            pool: POOL.into(),
            page_kib: 2048,
            missing,
        }
    }

    fn holds(raised: &Raised) -> Held {
        Held {
            pools: vec![raised.clone()],
            ..Held::default()
        }
    }

    #[test]
    fn two_guests_in_either_order_leave_what_was_there() {
        for first_goes_first in [true, false] {
            let (host, root) = host("3\n");
            let one = intend(&root, &raise(4), &[]).unwrap();
            assert_eq!(grow(&root, &one).unwrap(), Grown::Yes);
            let two = intend(&root, &raise(8), &[holds(&one)]).unwrap();
            assert_eq!(grow(&root, &two).unwrap(), Grown::Yes);
            assert_eq!(read(host.path()), "15\n");
            let (first, last) = if first_goes_first {
                (one, two)
            } else {
                (two, one)
            };
            assert!(shrink(&root, &first, &[holds(&last)]).unwrap());
            assert_eq!(read(host.path()), format!("{}\n", 3 + last.added));
            assert!(shrink(&root, &last, &[]).unwrap());
            assert_eq!(read(host.path()), "3\n");
        }
    }

    #[test]
    fn what_others_changed_meanwhile_is_no_reason_to_take_more() {
        let (host, root) = host("3\n");
        let raised = intend(&root, &raise(4), &[]).unwrap();
        // Killed before it grew, or somebody took the pages away by hand.
        assert!(shrink(&root, &raised, &[]).unwrap());
        assert_eq!(read(host.path()), "3\n");
        // Somebody else added some.
        grow(&root, &raised).unwrap();
        fs::write(host.path().join(&POOL[1..]).join("nr_hugepages"), "10\n").unwrap();
        shrink(&root, &raised, &[]).unwrap();
        assert_eq!(read(host.path()), "6\n");
    }

    #[test]
    fn a_pool_that_cannot_be_read_is_named() {
        let (_host, root) = host("many\n");
        let error = intend(&root, &raise(1), &[]).unwrap_err();
        assert!(error.to_string().contains("nr_hugepages"), "{error}");
    }

    /// A kernel that finds so many pages, and so many more once memory is compacted.
    fn kernel(mut room: u64, compacted: u64, pages: &mut u64) -> Grown {
        ask(*pages, 8, &mut |step| {
            match step {
                Step::Compact => room += compacted,
                Step::Set(wanted) => *pages = wanted.min(room),
            }
            Ok(*pages)
        })
        .unwrap()
    }

    #[test]
    fn fewer_pages_than_asked_for_are_given_back() {
        for (room, compacted, ends, left) in [
            (20, 0, Grown::Yes, 10),
            (6, 4, Grown::Yes, 10),
            (6, 3, Grown::Short(7), 2),
            (2, 0, Grown::Short(0), 2),
        ] {
            let mut pages = 2;
            assert_eq!(kernel(room, compacted, &mut pages), ends);
            assert_eq!(pages, left);
        }
    }

    #[test]
    fn the_default_size() {
        let (host, root) = host("0\n");
        assert_eq!(default_page(&root), None);
        fs::create_dir(host.path().join("proc")).unwrap();
        let text = "MemTotal: 1 kB\nHugepagesize:       2048 kB\nHugetlb: 0 kB\n";
        fs::write(host.path().join("proc/meminfo"), text).unwrap();
        assert_eq!(default_page(&root), Some(2048));
    }
}
