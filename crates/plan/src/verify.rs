//! Verify is planning again: what would still have to be done, and what runs differently.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{facts::Facts, intent::Intent, pci::Address};

/// The answer to "is it as planned?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The state in one word.
    pub state: State,
    /// Each planned function and what drives it.
    pub devices: Vec<VerifiedFunction>,
    /// What differs, one sentence each.
    pub drift: Vec<String>,
    /// What could not be looked at, one line each.
    pub not_measured: Vec<String>,
}

/// Where an applied plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As planned, configured and running.
    Done,
    /// Configured; the running system was booted without it.
    RebootNeeded,
    /// Not as planned.
    Drifted,
    /// passthru has applied nothing here.
    NothingApplied,
}

/// A planned function and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedFunction {
    /// Where it is.
    pub address: Address,
    /// Its driver now.
    pub driver: Option<String>,
    /// It is as planned.
    pub ok: bool,
    /// What is the matter and why, if it is not.
    pub why: Option<String>,
}

/// Verifies that the host is as `intent` (with resolved selectors, as recorded at apply) asked.
pub fn verify(facts: &Facts, intent: &Intent) -> Verification {
    crate::rules::verify(facts, intent)
}
