//! A sign of life while something outside of passthru takes its time.

use std::time::Duration;

use super::text::Line;
use crate::out::Out;

/// What runs shorter needs no sign of life.
const QUIET: Duration = Duration::from_secs(2);
/// Between two of them where lines cannot be replaced.
const SLOW_BEAT: Duration = Duration::from_secs(30);

/// Says that it still waits: on a terminal on one line, elsewhere now and then, in JSON never.
pub(crate) struct Waiting {
    what: String,
    said: Duration,
}

impl Waiting {
    /// `what` is waited for, as a sentence without its end: "waiting for gaming to shut down".
    pub(crate) const fn new(what: String) -> Self {
        Self {
            what,
            said: Duration::ZERO,
        }
    }

    /// It was waited this long by now. Output that fails ends no waiting.
    pub(crate) fn alive(&mut self, out: &mut Out, time: Duration) {
        if out.is_json() || time < QUIET {
            return;
        }
        let text = format!("  {}, {} s", self.what, time.as_secs());
        let _ = out.transient(&Line::new().dim(text.clone()));
        if !out.is_terminal() && time >= self.said + SLOW_BEAT {
            self.said = time;
            let _ = out.text(&text).and_then(|()| out.flush());
        }
    }
}
