//! A check before it has an answer.

use alloc::{string::String, vec::Vec};

use crate::facts::{Facts, Reading};
use crate::finding::{Finding, Severity, Status};

/// What the host itself does not show, not even to root.
pub(crate) const NOTHING: &str = "Nothing is to be done: this host does not show it.";

/// What helps where a fact is hidden from ordinary users.
pub(crate) const fn as_root(facts: &Facts) -> &'static str {
    match facts.reading {
        Reading::Copy => "Run it as root on the host itself: sudo passthru doctor",
        Reading::User => "Run it as root: sudo passthru doctor",
        Reading::Root => NOTHING,
    }
}

/// What helps where a fact is there for every user of a running host.
pub(crate) const fn on_host(facts: &Facts) -> &'static str {
    match facts.reading {
        Reading::Copy => {
            "Run it on the host itself, or capture the host again with: sudo passthru capture FILE"
        }
        Reading::User | Reading::Root => NOTHING,
    }
}

/// A question: what should be true, how much it matters, and why.
pub(crate) struct Check(Finding);

/// A check that says `title` should be true.
pub(crate) fn check(
    id: impl Into<String>,
    title: impl Into<String>,
    severity: Severity,
    why: impl Into<String>,
) -> Check {
    Check(Finding {
        id: id.into(),
        title: title.into(),
        status: Status::Unknown,
        severity,
        evidence: Vec::new(),
        why: why.into(),
        remedy: None,
    })
}

impl Check {
    /// It is so: nothing needs doing.
    pub(crate) fn yes<T: Into<String>>(self, evidence: impl IntoIterator<Item = T>) -> Finding {
        self.answer(Status::Yes, evidence, None)
    }

    /// It is not so, and `remedy` is the way out.
    pub(crate) fn no<T: Into<String>>(
        self,
        evidence: impl IntoIterator<Item = T>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.answer(Status::No, evidence, Some(remedy.into()))
    }

    /// Not measured: why not, and what would allow measuring.
    pub(crate) fn unknown(self, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        let reason: String = reason.into();
        self.answer(
            Status::Unknown,
            [alloc::format!("not measured: {reason}")],
            Some(remedy.into()),
        )
    }

    fn answer<T: Into<String>>(
        self,
        status: Status,
        evidence: impl IntoIterator<Item = T>,
        remedy: Option<String>,
    ) -> Finding {
        Finding {
            status,
            evidence: evidence.into_iter().map(Into::into).collect(),
            remedy,
            ..self.0
        }
    }
}
