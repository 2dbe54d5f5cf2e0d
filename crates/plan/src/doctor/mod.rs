//! Every readiness check, in the order a person would work through them.

use alloc::vec::Vec;

use crate::{facts::Facts, finding::Finding};

/// Answers every check about the host that `facts` describe.
pub fn doctor(facts: &Facts) -> Vec<Finding> {
    let _ = facts;
    Vec::new()
}
