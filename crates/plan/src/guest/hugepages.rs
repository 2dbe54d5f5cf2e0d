//! Huge pages for a guest: which size, how many, on which node, and how to get them.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::{Deserialize, Serialize};

use super::memory::NodeShare;
use crate::{facts::Facts, pci::Address, plan::Refusal};

/// KiB of the small huge page of x86.
pub const PAGE_2M: u64 = 2048;
/// KiB of the large one, on processors with the flag `pdpe1gb`.
pub const PAGE_1G: u64 = 1024 * 1024;

/// Huge pages that hold all of a guest's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hugepages {
    /// Size of a page in KiB: [`PAGE_2M`] or [`PAGE_1G`].
    pub page_kib: u64,
    /// How many in all.
    pub count: u64,
    /// How many on each node.
    pub per_node: Vec<NodePages>,
    /// Words of the kernel command line that set them aside at boot, when memory is not yet
    /// fragmented. They stand for this guest alone: where the command line has such words already,
    /// the numbers are added.
    pub words: Vec<String>,
    /// What to do instead when the guest starts. For pages of 1 GiB this seldom succeeds on a host
    /// that has run for a while.
    pub at_start: Vec<Reserve>,
}

/// Pages of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NodePages {
    /// The node; `None` on a host that has one.
    pub node: Option<u32>,
    /// Pages.
    pub count: u64,
}

/// A pool to be filled while the host runs (`Documentation/admin-guide/mm/hugetlbpage.rst`).
///
/// The kernel allocates as many pages as it finds and **reports success even if that is none**: the
/// write to `nr_hugepages` never tells. Who carries this out (`passthru vm start`) writes
/// `nr_hugepages` plus what `free_hugepages` lacks of `free_needed`, and reads it back. If the kernel
/// found fewer, memory is compacted and they are asked for once more; after a second failure what was
/// added is given back, and the guest does not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reserve {
    /// The directory of the pool, with `nr_hugepages` (pages in it) and `free_hugepages` (unused).
    pub pool: String,
    /// What `free_hugepages` must show before the guest may start.
    pub free_needed: u64,
    /// How many pages are missing as the host stands now; 0 if it has them already.
    pub missing: Option<u64>,
}

/// Which huge pages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PageSize {
    /// 1 GiB if that divides the memory and the CPU has it, else 2 MiB.
    #[default]
    #[serde(rename = "largest")]
    Largest,
    /// 2 MiB: the kernel finds them also when the host has run for a while.
    #[serde(rename = "2M")]
    Mib2,
    /// 1 GiB: to be set aside at boot.
    #[serde(rename = "1G")]
    Gib1,
}

impl PageSize {
    /// Nothing is said about the size.
    pub fn is_largest(&self) -> bool {
        *self == Self::Largest
    }
}

/// What decides where libvirt gets huge pages from, beside the host's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostPages<'a> {
    /// KiB of the host's default page (`Hugepagesize` in /proc/meminfo).
    pub default_kib: Option<u64>,
    /// KiB of the pages of each mount of hugetlbfs; `None` if the mounts could not be read.
    pub mounted: Option<&'a [u64]>,
}

impl HostPages<'_> {
    /// Whether libvirt finds no mount for a guest with this `<memoryBacking><source type>` and pages of
    /// `page_kib`: without memfd it takes them from a mount of their size (`qemuGetDomainHupageMemPath`
    /// in its src/qemu/qemu_conf.c), and systemd mounts the host's default size.
    pub(crate) fn lack_mount(&self, source: Option<&str>, page_kib: u64) -> bool {
        source != Some("memfd") && self.mounted.is_some_and(|sizes| !sizes.contains(&page_kib))
    }
}

/// The way out of [`HostPages::lack_mount`]; `name` as a shell takes it.
pub(crate) fn without_mount(name: &str, source: Option<&str>, page_kib: u64) -> String {
    let size = size_word(page_kib);
    let mount = format!("ount hugetlbfs with pagesize={size}, and restart libvirt.");
    match source {
        None | Some("anonymous") => format!(
            "Let it get them without a mount: sudo passthru vm edit {name} --hugepages={size}. Or m{mount}"
        ),
        // Its owner wants a file.
        Some(_) => format!("M{mount}"),
    }
}

/// The command that sets `kib` aside at every boot, for a guest that owns `function`.
pub(crate) fn set_aside(function: Option<Address>, kib: u64, page_kib: u64) -> String {
    let gpu = function.map_or_else(|| "ADDR".into(), |function| function.to_string());
    let memory = if kib.is_multiple_of(PAGE_1G) {
        format!("{}G", kib / PAGE_1G)
    } else {
        format!("{}M", kib.div_ceil(1024))
    };
    let size = size_word(page_kib);
    format!("sudo passthru apply --gpu {gpu} --hugepages {memory} --hugepage-size {size}")
}

/// A size of pages as options and the kernel write it.
const fn size_word(page_kib: u64) -> &'static str {
    if page_kib == PAGE_1G { "1G" } else { "2M" }
}

/// The page for `kib` of guest memory, in KiB.
///
/// # Errors
/// If none that is wanted divides it, or the CPU has it not.
pub fn page(facts: &Facts, kib: u64, size: PageSize) -> Result<u64, Refusal> {
    let large = facts.machine.cpu.gigabyte_pages.is(&true);
    if size == PageSize::Gib1 && !large {
        return Err(Refusal {
            id: "guest.memory.page-size".into(),
            why: "The CPU does not say that it has pages of 1 GiB (pdpe1gb).".into(),
            way_out: "Ask for pages of 2 MiB.".into(),
        });
    }
    let page = match size {
        PageSize::Gib1 => PAGE_1G,
        PageSize::Largest if large && kib.is_multiple_of(PAGE_1G) => PAGE_1G,
        PageSize::Largest | PageSize::Mib2 => PAGE_2M,
    };
    if kib.is_multiple_of(page) {
        return Ok(page);
    }
    let name = if page == PAGE_1G { "1 GiB" } else { "2 MiB" };
    Err(Refusal {
        id: "guest.memory.odd".into(),
        why: format!("{kib} KiB are no whole number of huge pages of {name}."),
        way_out: format!("Ask for {} KiB.", kib.next_multiple_of(page)),
    })
}

/// Pages of `page_kib` for the memory in `nodes`, whose parts are whole pages.
pub fn plan(facts: &Facts, page_kib: u64, nodes: &[NodeShare]) -> Hugepages {
    let per_node: Vec<NodePages> = nodes
        .iter()
        .map(|part| NodePages {
            node: part.node,
            count: part.kib / page_kib,
        })
        .collect();
    let count: u64 = per_node.iter().map(|part| part.count).sum();
    let size = size_word(page_kib);
    // Without node numbers the kernel spreads the pages over all nodes, also those of another guest.
    let split = facts.topology.nodes.len() > 1 && per_node.iter().all(|part| part.node.is_some());
    let pages = if split {
        let parts: Vec<String> = per_node
            .iter()
            .map(|part| format!("{}:{}", part.node.unwrap_or(0), part.count))
            .collect();
        parts.join(",")
    } else {
        count.to_string()
    };
    let at_start = per_node
        .iter()
        .map(|part| {
            let within = part.node.map_or("/sys/kernel/mm".into(), |node| {
                format!("/sys/devices/system/node/node{node}")
            });
            let node = match (part.node, &facts.topology.nodes[..]) {
                (Some(node), _) => facts.topology.node(node),
                (None, [only]) => Some(only),
                (None, _) => None,
            };
            let free = node
                .and_then(|node| node.hugepages.iter().find(|pool| pool.page_kib == page_kib))
                .map(|pool| pool.free);
            Reserve {
                pool: format!("{within}/hugepages/hugepages-{page_kib}kB"),
                free_needed: part.count,
                missing: free.map(|free| part.count.saturating_sub(free)),
            }
        })
        .collect();
    Hugepages {
        page_kib,
        count,
        per_node,
        words: [format!("hugepagesz={size}"), format!("hugepages={pages}")].into(),
        at_start,
    }
}
