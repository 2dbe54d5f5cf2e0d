//! What was done when. Opens nothing for writing and takes no lock.

use passthru_plan::Plan;
use serde::{Deserialize, Serialize};

use super::{Failure, Reason, engine::Trouble, past::Past};
use crate::{
    journal::{self, SCHEMA, directory, read_json},
    root::{PathError, Root},
};

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number.
    pub number: u32,
    /// Where it stands.
    pub state: State,
    /// When it began, in seconds since 1970.
    pub begun: u64,
    /// Since when it stands where it stands, in seconds since 1970.
    pub since: u64,
    /// The plan it carried out.
    pub plan: Plan,
    /// Why it, or its undo, failed.
    pub reason: Option<String>,
    /// What was merged, what was left, and why.
    pub notes: Vec<String>,
    /// Where its trial boot stands, if it has one and is in force.
    pub trial: Option<TrialState>,
    /// The boot in which it began, if that is known.
    pub boot: Option<String>,
}

/// Where a trial boot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialState {
    /// It is not decided yet.
    Pending,
    /// It proved itself, and a later transaction made it permanent.
    Kept,
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being applied, or interrupted: to be recovered.
    Applying,
    /// In force.
    Applied,
    /// Being taken back after a failure, or interrupted in that: to be recovered.
    RollingBack,
    /// Failed and taken back.
    RolledBack,
    /// Being undone, or interrupted: to be recovered.
    Undoing,
    /// Undone.
    Undone,
}

impl State {
    /// Neither before nor after: recovery is due, unless passthru is at it right now.
    pub const fn is_between(self) -> bool {
        matches!(self, Self::Applying | Self::RollingBack | Self::Undoing)
    }
}

/// A plan as it lies in a transaction's directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanFile<P> {
    pub(super) schema: u32,
    pub(super) plan: P,
}

/// All transactions, the newest last. Does not need root if the state directory can be read.
///
/// # Errors
/// If it cannot be read, or holds what this version does not understand.
pub fn history(root: &Root) -> Result<Vec<Record>, Failure> {
    records(root).map_err(Trouble::unchanged)
}

/// The latest transaction that is in force.
///
/// # Errors
/// As [`history`].
pub fn in_force(root: &Root) -> Result<Option<Record>, Failure> {
    let mut records = history(root)?;
    Ok(records
        .iter()
        .rposition(|record| record.state == State::Applied)
        .map(|index| records.swap_remove(index)))
}

/// The transaction whose trial boot is not decided yet.
///
/// # Errors
/// As [`history`].
pub fn on_trial(root: &Root) -> Result<Option<Record>, Failure> {
    let records = history(root)?;
    Ok(records
        .into_iter()
        .find(|record| record.trial == Some(TrialState::Pending)))
}

pub(super) fn records(root: &Root) -> Result<Vec<Record>, Trouble> {
    let mut records = Vec::new();
    for number in journal::numbers(root)? {
        let directory = directory(number);
        let Some(lines) = journal::read(root, &directory)? else {
            // It had not begun.
            continue;
        };
        let past = Past::of(&lines);
        let Some(state) = past.state else {
            continue;
        };
        records.push(Record {
            number,
            state,
            begun: past.begun,
            since: past.since,
            plan: plan(root, &directory)?,
            reason: past.reason,
            notes: past.notes,
            trial: None,
            boot: past.boot,
        });
    }
    let kept: Vec<u32> = records
        .iter()
        .filter(|record| record.state == State::Applied)
        .filter_map(|record| record.plan.continues)
        .collect();
    for record in &mut records {
        if record.state == State::Applied && record.plan.trial.is_some() {
            record.trial = Some(if kept.contains(&record.number) {
                TrialState::Kept
            } else {
                TrialState::Pending
            });
        }
    }
    Ok(records)
}

/// The plan of the transaction in `directory`.
pub(super) fn plan(root: &Root, directory: &str) -> Result<Plan, Trouble> {
    let path = format!("{directory}/plan.json");
    let version: Schema = read_json(root, &path)?;
    if version.schema > SCHEMA {
        return Err(newer(root, &path).into());
    }
    let file: PlanFile<Plan> = read_json(root, &path)?;
    Ok(file.plan)
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn newer(root: &Root, path: &str) -> Reason {
    let error: PathError = root.error(
        path,
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "written by a newer passthru",
        ),
    );
    Reason::new(error.to_string(), "use that version")
}
