//! A transaction as it goes: one line per change, and a sign of life for what takes long.

use std::time::{Duration, Instant};

use passthru_host::transaction::{Event, Progress};
use passthru_plan::text::quote;

use super::{
    plan,
    text::{Line, Style},
};
use crate::{cancel::Cancel, out::Out};

/// Shows a transaction's events. Output that fails cannot stop a transaction: it goes on silently.
pub(crate) struct Shown<'a> {
    out: &'a mut Out,
    cancel: Option<&'a Cancel>,
    step: Option<(Line, Instant)>,
    stopping: bool,
    last_said: Duration,
}

/// A command that runs shorter needs no sign of life.
const QUIET: Duration = Duration::from_secs(2);

/// Between two signs of life where lines cannot be replaced.
const SLOW_BEAT: Duration = Duration::from_secs(30);

impl<'a> Shown<'a> {
    /// Shows events on `out`; says so when `cancel` was asked for.
    pub(crate) fn new(out: &'a mut Out, cancel: Option<&'a Cancel>) -> Self {
        Self {
            out,
            cancel,
            step: None,
            stopping: false,
            last_said: Duration::ZERO,
        }
    }

    fn say(&mut self, style: Style, text: &str) {
        let _ = self
            .out
            .wrapped(Line::new().plain("  "), style, text)
            .and_then(|()| self.out.flush());
    }

    /// Answers Ctrl-C.
    fn answer(&mut self) {
        if !self.cancel.is_some_and(Cancel::asked) {
            return;
        }
        let text = if std::mem::replace(&mut self.stopping, true) {
            "Still taking it back; it stops by itself when everything is as before."
        } else {
            "Stopping: what was changed is being taken back."
        };
        self.say(Style::Warn, text);
    }

    fn done(&mut self) {
        if let Some((line, begun)) = self.step.take() {
            let took = begun.elapsed();
            let line = if took >= QUIET {
                line.dim(format!("  {} s", took.as_secs()))
            } else {
                line
            };
            let mark = Line::new().put(Style::Good, "  ✓ ");
            let line = line
                .spans()
                .fold(mark, |l, (style, text)| l.put(style, text));
            let _ = self.out.line(&line).and_then(|()| self.out.flush());
        }
    }
}

impl Progress for Shown<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.out.is_json() {
            return;
        }
        self.answer();
        match event {
            Event::Waiting { whom, left } => {
                let line = Line::new().plain(format!(
                    "  waiting for {whom}, {} s at most",
                    left.as_secs()
                ));
                let _ = self.out.transient(&line);
            }
            Event::Recovering { number } => self.say(
                Style::Warn,
                &format!("Transaction {number} was interrupted; bringing it to its end first."),
            ),
            Event::LeftBetween { number, reason } => self.say(
                Style::Warn,
                &format!(
                    "Transaction {number} of a guest stays interrupted for now ({reason}); sudo passthru recover tries again."
                ),
            ),
            Event::Step { number, of, change } => {
                let line = Line::new()
                    .dim(format!("{number}/{of} "))
                    .plain(plan::brief(change));
                let running = line
                    .spans()
                    .fold(Line::new().plain("  · "), |l, (style, text)| {
                        l.put(style, text)
                    });
                let _ = self.out.transient(&running);
                self.last_said = Duration::ZERO;
                self.step = Some((line, Instant::now()));
            }
            Event::StepDone { .. } => self.done(),
            Event::Alive(time) => self.alive(time),
            Event::RollingBack { reason } => {
                self.step = None;
                self.say(Style::Warn, &format!("Taking everything back: {reason}"));
            }
            Event::Restoring { path } if self.out.is_verbose() => {
                self.say(Style::Plain, &format!("restored {path}"));
            }
            Event::Domain { name } => {
                self.say(Style::Plain, &format!("taking back guest {name}"));
            }
            Event::Rerunning { argv } => {
                self.say(Style::Plain, &format!("running {}", quote::command(argv)));
            }
            Event::Said(text) if self.out.is_verbose() => {
                for line in text.lines() {
                    let _ = self.out.line(&Line::new().plain("      ").dim(line));
                }
            }
            _ => {}
        }
    }
}

impl Shown<'_> {
    fn alive(&mut self, time: Duration) {
        let Some((line, _)) = &self.step else { return };
        if time >= QUIET {
            let running = line
                .spans()
                .fold(Line::new().plain("  · "), |l, (style, text)| {
                    l.put(style, text)
                })
                .dim(format!("  {} s", time.as_secs()));
            let _ = self.out.transient(&running);
        }
        if !self.out.is_terminal() && time >= self.last_said + SLOW_BEAT {
            self.last_said = time;
            self.say(Style::Dim, &format!("still running, {} s", time.as_secs()));
        }
    }
}
