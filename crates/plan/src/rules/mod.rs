//! One decision per file.

use crate::{facts::Facts, intent::Intent, plan::Plan, verify::Verification};

pub(crate) fn plan(_facts: &Facts, _intent: &Intent) -> Plan {
    unimplemented!()
}

pub(crate) fn verify(_facts: &Facts, _intent: &Intent) -> Verification {
    unimplemented!()
}
