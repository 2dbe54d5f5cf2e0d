//! What doctor finds: a check with an answer, its evidence, and the way out.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One readiness check and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable identifier, dotted, such as `iommu.enabled`.
    pub id: String,
    /// What was asked, as a statement that should be true.
    pub title: String,
    /// The answer.
    pub status: Status,
    /// How much it matters if the answer is no.
    pub severity: Severity,
    /// What was seen, each with its source.
    pub evidence: Vec<String>,
    /// Why it matters, in a sentence.
    pub why: String,
    /// What to do about it; `None` if nothing needs doing.
    pub remedy: Option<String>,
}

/// Answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// Not measured.
    Unknown,
}

/// Weight of a check that is answered no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Passthrough cannot work until it is dealt with.
    Blocker,
    /// It may fail, or the host may lose something.
    Warning,
    /// Good to know.
    Info,
}

/// The sum of all findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No blocker is answered no or unknown.
    Ready,
    /// At least one blocker is answered no.
    Blocked,
    /// No blocker is answered no, but at least one was not measured.
    Unknown,
}

impl Verdict {
    /// The verdict over `findings`.
    pub fn of(findings: &[Finding]) -> Self {
        let any = |status| {
            findings
                .iter()
                .any(|f| f.severity == Severity::Blocker && f.status == status)
        };
        if any(Status::No) {
            Self::Blocked
        } else if any(Status::Unknown) {
            Self::Unknown
        } else {
            Self::Ready
        }
    }
}
