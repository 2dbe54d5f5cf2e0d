//! What the lab says while it runs, and the table of timings at the end.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;

/// How long a phase may be silent before the lab says that it still works.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// One line of the closing table.
struct Row {
    scenario: String,
    phase: String,
    took: Duration,
    good: bool,
}

/// Progress and timings of one run of the lab.
pub struct Report {
    started: Instant,
    scenario: Mutex<String>,
    console: Mutex<Option<PathBuf>>,
    rows: Mutex<Vec<Row>>,
    fault: Mutex<Option<String>>,
}

impl Report {
    /// Starts the clock.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            scenario: Mutex::new(String::new()),
            console: Mutex::new(None),
            rows: Mutex::new(Vec::new()),
            fault: Mutex::new(None),
        }
    }

    /// What follows belongs to this scenario.
    pub fn begin(&self, scenario: &str) {
        *lock(&self.scenario) = scenario.to_owned();
        self.say(&format!("== {scenario}"));
    }

    /// The console whose last line tells how far a host is.
    pub fn watch(&self, console: Option<PathBuf>) {
        *lock(&self.console) = console;
    }

    /// The console that was watched last.
    pub fn watched(&self) -> Option<PathBuf> {
        lock(&self.console).clone()
    }

    /// The emulation itself failed, this way: what then fails on its host decides nothing.
    pub fn emulation_failed(&self, how: String) {
        *lock(&self.fault) = Some(how);
    }

    /// How the emulation failed since this was asked last.
    pub fn fault(&self) -> Option<String> {
        lock(&self.fault).take()
    }

    /// One line of progress with the time since the start.
    pub fn say(&self, text: &str) {
        println!("{} {text}", clock(self.started.elapsed()));
    }

    /// Does one phase: says what and, while it lasts, that it still lasts; keeps its time.
    pub fn phase<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.say(&format!("   {what}"));
        let start = Instant::now();
        let result = thread::scope(|scope| {
            let (done, finished) = channel::<()>();
            scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = finished.recv_timeout(HEARTBEAT) {
                    let last = lock(&self.console).as_deref().and_then(last_line);
                    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
                    let took = start.elapsed().as_secs();
                    self.say(&format!("   … {what}, {took} s{last}"));
                }
            });
            let result = work();
            drop(done);
            result
        });
        let took = start.elapsed();
        let end = if result.is_ok() { "done" } else { "FAILED" };
        if took > Duration::from_secs(2) || result.is_err() {
            self.say(&format!("   {what}: {end} in {:.1} s", took.as_secs_f64()));
        }
        lock(&self.rows).push(Row {
            scenario: lock(&self.scenario).clone(),
            phase: what.to_owned(),
            took,
            good: result.is_ok(),
        });
        result
    }

    /// Seconds per scenario and phase.
    pub fn table(&self) {
        let rows = lock(&self.rows);
        if rows.is_empty() {
            return;
        }
        let wide = |text: fn(&Row) -> &str| {
            rows.iter()
                .map(|row| text(row).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (first, second) = (wide(|row| &row.scenario), wide(|row| &row.phase));
        println!("\n{:first$}  {:second$}  seconds", "scenario", "phase");
        for row in rows.iter() {
            println!(
                "{:first$}  {:second$}  {:7.1}{}",
                row.scenario,
                row.phase,
                row.took.as_secs_f64(),
                if row.good { "" } else { "  FAILED" }
            );
        }
        let all = clock(self.started.elapsed());
        println!("{:first$}  {:second$}  {all}", "all", "");
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!(
        "{:02}:{:04.1}",
        time.as_secs() / 60,
        time.as_secs_f64() % 60.0
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a text file, `most` bytes of it.
fn tail(path: &Path, most: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_line(path: &Path) -> Option<String> {
    let text = tail(path, 2000)?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(printable(line).chars().take(100).collect())
}

/// The last lines of a console log, without terminal control bytes.
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = tail(path, 60_000).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// What a kernel says when it is in trouble.
const COMPLAINTS: [&str; 6] = [
    "BUG:",
    "Oops",
    "Kernel panic",
    "detected stalls",
    "timer doesn't work",
    "Rebooting in",
];

/// The first such lines of a console log, over all boots.
pub fn complaints(path: &Path, most: usize) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .filter(|line| COMPLAINTS.iter().any(|words| line.contains(words)))
        .take(most)
        .map(printable)
        .collect()
}

/// Drops escape sequences and control bytes.
fn printable(line: &str) -> String {
    let mut clean = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => {
                // A control sequence ends with a letter, the others are one character long.
                if letters.next() == Some('[') {
                    letters.by_ref().find(|end| ('\x40'..='\x7e').contains(end));
                }
            }
            letter if letter.is_control() => {}
            letter => clean.push(letter),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_lines_lose_their_colours() {
        assert_eq!(
            printable("[\x1b[0;32m  OK  \x1b[0m] Reached\x07 it\r"),
            "[  OK  ] Reached it"
        );
    }

    #[test]
    fn a_kernels_complaints_are_found_in_a_long_log() {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console");
        let calm = "[    1.0] all is well\n".repeat(10_000);
        let panic = "[    0.04] Kernel panic - not syncing: \x1b[1mno\x1b[0m root\r\n";
        std::fs::write(&console, format!("{calm}{panic}{calm}{panic}")).unwrap();
        let line = "[    0.04] Kernel panic - not syncing: no root";
        assert_eq!(complaints(&console, 9), [line, line]);
        assert_eq!(complaints(&console, 1), [line]);
        assert_eq!(complaints(Path::new("/nowhere"), 9), [""; 0]);
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_millis(65_400)), "01:05.4");
    }
}
