//! The disks of a host, each with the name a guest is given and what uses it.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::Serialize;

use super::{disk::can_move, disk_find, disk_use::DiskUse};
use crate::{
    facts::{Block, Facts, Transport},
    pci::Address,
};

/// A disk in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The path to give to a guest; `None` if no name of it lasts.
    pub id: Option<String>,
    /// The kernel's name today.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// What its maker calls it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// How it is attached.
    pub transport: Option<Transport>,
    /// The PCI functions it hangs on.
    pub functions: Vec<Address>,
    /// What is on it, by udev: file systems and the like, each kind once.
    pub holds: Vec<String>,
    /// Whether a guest can have it.
    pub state: State,
    /// What uses it.
    pub uses: Vec<DiskUse>,
}

/// Whether a guest can have a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing uses it.
    Free,
    /// Something is on it that may be the host's, though it is not in use: a guest can take it over.
    Idle,
    /// The host uses it.
    Used,
    /// The host runs from it.
    Host,
    /// It cannot be written, or has no medium.
    Unusable,
}

/// Every disk, by name.
pub fn list(facts: &Facts) -> Vec<Listed> {
    let disks = facts.blocks.all().iter().filter(|block| block.is_disk());
    disks.map(|block| listed(facts, block)).collect()
}

fn listed(facts: &Facts, block: &Block) -> Listed {
    let uses = disk_find::uses(facts, block);
    let state = if uses.iter().any(DiskUse::is_vital) {
        State::Host
    } else if uses.iter().any(|one| one.active || !can_move(one.layer)) {
        State::Used
    } else if block.read_only || block.bytes == 0 {
        State::Unusable
    } else if uses.is_empty() {
        State::Free
    } else {
        State::Idle
    };
    let place = || {
        let mut links = block.links.iter();
        links.find(|link| link.starts_with("/dev/disk/by-path/"))
    };
    Listed {
        id: block
            .stable()
            .map(str::to_string)
            .or_else(|| place().cloned()),
        name: block.name.clone(),
        bytes: block.bytes,
        model: block.model.clone(),
        serial: block.serial.clone(),
        transport: block.transport,
        functions: block.functions.clone(),
        holds: holds(facts, block),
        state,
        uses,
    }
}

/// Kinds of what is on a disk and its partitions.
pub(super) fn holds(facts: &Facts, block: &Block) -> Vec<String> {
    let parts = facts.blocks.partitions(&block.name);
    let kinds: BTreeSet<&String> = core::iter::once(block)
        .chain(parts)
        .filter_map(|one| one.content.value()?.kind.as_ref())
        .collect();
    kinds.into_iter().cloned().collect()
}

/// A size as it is written on disks: powers of 1000.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
    ];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes / (unit / 10);
            return if tenths < 100 {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            } else {
                format!("{} {name}", tenths / 10)
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1_474_560, "1.4 MB"),
            (500_107_862_016, "500 GB"),
            (1_000_204_886_016, "1.0 TB"),
            (18_000_207_937_536, "18 TB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
