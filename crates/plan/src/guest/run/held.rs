//! What passthru set on the host for a running guest: written down, so that it can be put back.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{pci::Address, text::cpulist::CpuSet};

/// What a guest holds of its host while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Of the form of this document: 1.
    pub schema: u32,
    /// The guest's name.
    pub name: String,
    /// Its UUID, which stays when it is renamed.
    pub uuid: String,
    /// Its functions, and who drove them before it started.
    pub functions: Vec<Before>,
    /// Pools of huge pages that were enlarged for it.
    pub pools: Vec<Raised>,
    /// The host was confined to other CPUs for it.
    pub isolation: Option<Confined>,
}

/// A function before the guest started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The function.
    pub address: Address,
    /// Its driver on the host.
    pub driver: Option<String>,
}

/// A pool of huge pages that was enlarged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// The pool's directory in sysfs.
    pub pool: String,
    /// `nr_hugepages` before.
    pub before: u64,
    /// Pages that were added.
    pub added: u64,
}

/// The host's own processes were confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confined {
    /// CPUs that the host's own processes do not get.
    pub guest: CpuSet,
    /// `AllowedCPUs` of each unit before the first guest was isolated.
    pub before: Vec<Allowed>,
}

/// `AllowedCPUs` of a unit (systemd.resource-control(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The unit.
    pub unit: String,
    /// CPUs; the empty set is no limit.
    pub cpus: CpuSet,
}

impl Held {
    /// Nothing of it has to be put back: only its functions' drivers are noted.
    pub fn is_light(&self) -> bool {
        self.pools.is_empty() && self.isolation.is_none()
    }

    /// What is held, for a sentence such as "isolated, huge pages"; empty if nothing is.
    pub fn words(&self) -> String {
        let isolated = self.isolation.is_some().then_some("isolated");
        let pages = (!self.pools.is_empty()).then_some("huge pages");
        let words: Vec<&str> = isolated.into_iter().chain(pages).collect();
        words.join(", ")
    }
}
