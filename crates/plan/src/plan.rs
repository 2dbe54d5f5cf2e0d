//! The plan: what stands in the way, what will change, and what will be true afterwards.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{change::Change, facts::Facts, intent::Intent};

/// A plan. If `refusals` is not empty, `changes` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The intent with every selector resolved to what was found (ids and subsystem filled in).
    pub intent: Intent,
    /// Why nothing will be done, each with the way out.
    pub refusals: Vec<Refusal>,
    /// What the user should know before saying yes.
    pub notices: Vec<Notice>,
    /// The functions that will belong to vfio-pci, and how each is bound.
    pub bindings: Vec<BoundFunction>,
    /// Kernel command line words the plan adds.
    pub words: Vec<String>,
    /// What is done, in order.
    pub changes: Vec<Change>,
    /// The changes take effect at the next boot.
    pub reboot: bool,
    /// The next boot is a trial: `changes` leave the default entry alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trial: Option<Trial>,
    /// The transaction that this one makes permanent, if a trial has proved itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub continues: Option<u32>,
    /// How a person gets back from a boot that fails; none where nothing is booted differently.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub way_back: Option<WayBack>,
    /// The guest that this plan is about; it touches nothing that the host boots with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub guest: Option<String>,
    /// What will be true afterwards, one statement each.
    pub outcome: Vec<String>,
}

impl Plan {
    /// A plan about the guest `name` and nothing else.
    pub fn of_guest(name: &str, changes: Vec<Change>, notices: Vec<Notice>) -> Self {
        Self {
            intent: Intent::default(),
            refusals: Vec::new(),
            notices,
            bindings: Vec::new(),
            words: Vec::new(),
            changes,
            reboot: false,
            trial: None,
            continues: None,
            way_back: None,
            guest: Some(name.into()),
            outcome: Vec::new(),
        }
    }
}

/// The way back from a boot that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// What to do in the boot menu.
    pub choice: String,
    /// What stays there, in a sentence.
    pub stays: String,
}

/// What happens around a trial boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Title of the entry that is started once.
    pub entry: String,
    /// Words that only this entry carries, beside the plan's.
    pub words: Vec<String>,
    /// What will be done once the trial boot has proved itself. It is planned anew then, for kernels
    /// may have come or gone.
    pub keep: Vec<Change>,
    /// What worked before: what the trial boot is held to.
    pub baseline: crate::facts::Health,
}

/// A function a plan binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundFunction {
    /// The function, with ids and subsystem.
    pub function: crate::intent::Selector,
    /// How.
    pub method: Method,
    /// Why this method, in a sentence.
    pub why: String,
}

/// How a function comes to vfio-pci at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Its ids are on the kernel command line (`vfio-pci.ids=`).
    Ids,
    /// Its address and ids are on the kernel command line (`passthru.bind=`) and a script in the
    /// initramfs sets `driver_override` before any driver is loaded.
    ByAddress,
}

/// A reason not to act, with the way out. Refusals are data, not errors: several are shown at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable identifier, dotted.
    pub id: String,
    /// What stands in the way.
    pub why: String,
    /// What can be done about it.
    pub way_out: String,
}

/// Something to know before saying yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Stable identifier, dotted.
    pub id: String,
    /// The text.
    pub text: String,
}

/// Plans what makes the change of `tried` permanent, after its trial boot has proved itself; `number`
/// is its transaction.
pub fn keep(facts: &Facts, tried: &Plan, number: u32) -> Plan {
    let mut plan = crate::rules::keep(facts, &tried.intent);
    plan.continues = Some(number);
    plan
}

/// Plans what `intent` asks of the host that `facts` describe. Pure: same input, same bytes.
pub fn plan(facts: &Facts, intent: &Intent) -> Plan {
    crate::rules::plan(facts, intent)
}
