//! One thing wrong at a time.

use passthru_plan::{Facts, Finding, Measured, Severity, doctor::doctor};

use super::two_gpus::healthy;

pub fn find<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    findings.iter().find(|f| f.id == id).unwrap_or_else(|| {
        let ids: Vec<_> = findings.iter().map(|f| f.id.as_str()).collect();
        panic!("no finding {id} among {ids:?}")
    })
}

/// Findings whose answer is not the one of the healthy host.
pub fn news(facts: &Facts) -> Vec<Finding> {
    let before = doctor(&healthy());
    let answer = |f: &Finding| (f.id.clone(), f.status);
    doctor(facts)
        .into_iter()
        .filter(|f| !before.iter().any(|old| answer(old) == answer(f)))
        .collect()
}

/// What is done to the healthy host; then the one finding that must come of it: id, severity, and a
/// piece of its evidence. Other findings may follow from it where `also` says so.
pub struct Case {
    name: &'static str,
    spoil: fn(&mut Facts),
    id: &'static str,
    severity: Severity,
    evidence: &'static str,
    also: &'static [&'static str],
}

pub const fn case(
    name: &'static str,
    spoil: fn(&mut Facts),
    id: &'static str,
    severity: Severity,
    evidence: &'static str,
) -> Case {
    Case {
        name,
        spoil,
        id,
        severity,
        evidence,
        also: &[],
    }
}

impl Case {
    pub const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    pub fn run(&self) {
        let mut facts = healthy();
        (self.spoil)(&mut facts);
        let news = news(&facts);
        let ids: Vec<_> = news.iter().map(|f| f.id.as_str()).collect();
        let expected: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| *id == self.id || self.also.contains(id))
            .collect();
        assert_eq!(ids, expected, "{}: something else came of it", self.name);
        let finding = find(&news, self.id);
        assert_eq!(finding.severity, self.severity, "{}", self.name);
        assert!(
            finding.evidence.iter().any(|e| e.contains(self.evidence)),
            "{}: {:?}",
            self.name,
            finding.evidence
        );
        for also in self.also {
            find(&news, also);
        }
    }
}

/// The IOMMU is off.
pub fn no_iommu(facts: &mut Facts) {
    facts.groups.clear();
    facts.iommu.units.clear();
    for f in &mut facts.functions {
        f.group = None;
    }
    facts.iommu.interrupt_remapping = Measured::Value(false);
}
