//! The terminal: the only place that prints.
//!
//! Text is made of styled spans. Control characters in them are replaced, so nothing a host archive
//! or a device name contains can steer the terminal; the only escape sequences are made here.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

use passthru_plan::Facts;
use serde::Serialize;

use crate::{
    args::Color,
    show::{layout, text::Line, text::Style},
};

/// Where output goes, and what it may look like.
pub(crate) struct Out {
    stdout: BufWriter<Sheet>,
    color: bool,
    error_color: bool,
    columns: Option<usize>,
    terminal: bool,
    transient: bool,
    json: bool,
    verbose: u8,
}

/// Text is not set wider than this, however wide the terminal: long lines are hard to read.
const TEXT_WIDTH: usize = 96;

impl Out {
    /// For this process's standard output.
    pub(crate) fn new(color: Color, json: bool, verbose: u8) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self {
            color: !json && wants_color(color, terminal),
            error_color: wants_color(color, io::stderr().is_terminal()),
            columns: columns(&stdout, terminal),
            stdout: BufWriter::new(Sheet::new(stdout)),
            terminal,
            transient: false,
            json,
            verbose,
        }
    }

    /// From now on something is done, and whether it is said to the end must not decide whether it is:
    /// a reader that goes away, or a full disk under a log, is told on standard error, and no error.
    pub(crate) fn act(&mut self) {
        self.stdout.get_mut().lenient = true;
    }

    /// Says so if not everything could be said.
    pub(crate) fn close(&mut self) {
        if !self.stdout.get_mut().lenient {
            return;
        }
        if let Err(error) | Ok(Some(error)) =
            self.flush().map(|()| self.stdout.get_mut().lost.take())
        {
            let what = "not everything could be printed";
            let _ = self.error(&format!("{what}: {error}"), &[]);
        }
    }

    /// One JSON document is wanted.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// `-v` was given.
    pub(crate) const fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// A person can be asked: both ends are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        self.terminal && io::stdin().is_terminal()
    }

    /// Somebody watches.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns of the terminal, or `COLUMNS`; without either, tables are as wide as they need.
    pub(crate) const fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// No wider than `columns` from here on, whoever reads.
    pub(crate) fn narrow(&mut self, columns: usize) {
        self.columns = Some(self.columns.unwrap_or(columns).min(columns));
    }

    /// Columns for running text.
    pub(crate) fn text_width(&self) -> usize {
        self.columns.unwrap_or(80).min(TEXT_WIDTH)
    }

    /// A document for programs.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, value).map_err(io::Error::from)?;
        writeln!(self.stdout)
    }

    /// A line that the next one replaces: only on a terminal, nothing elsewhere.
    pub(crate) fn transient(&mut self, line: &Line) -> io::Result<()> {
        if !self.terminal || self.json || line.width() >= self.columns.unwrap_or(80) {
            return Ok(());
        }
        self.wipe()?;
        let text = render(line, self.color);
        write!(self.stdout, "{text}")?;
        self.transient = true;
        self.stdout.flush()
    }

    fn wipe(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.transient) {
            write!(self.stdout, "\r\u{1b}[K")?;
        }
        Ok(())
    }

    /// One line.
    pub(crate) fn line(&mut self, line: &Line) -> io::Result<()> {
        self.wipe()?;
        let text = render(line, self.color);
        writeln!(self.stdout, "{}", text.trim_end_matches(' '))
    }

    /// One line of plain text.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.line(&Line::new().plain(text))
    }

    /// An empty line.
    pub(crate) fn blank(&mut self) -> io::Result<()> {
        self.wipe()?;
        writeln!(self.stdout)
    }

    /// A heading with an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.blank()?;
        self.line(&Line::new().bold(text))
    }

    /// `text` wrapped to the width; the first line begins with `lead`, the others are indented by
    /// its width.
    pub(crate) fn wrapped(&mut self, lead: Line, style: Style, text: &str) -> io::Result<()> {
        let indent = lead.width();
        let lines = layout::wrap(text, self.text_width().saturating_sub(indent).max(16));
        let mut lead = Some(lead);
        for part in lines {
            let lead = lead
                .take()
                .unwrap_or_else(|| Line::new().plain(" ".repeat(indent)));
            self.line(&lead.put(style, part))?;
        }
        Ok(())
    }

    /// `text` wrapped to the width, `indent` columns in.
    pub(crate) fn paragraph(&mut self, indent: usize, text: &str) -> io::Result<()> {
        self.wrapped(Line::new().plain(" ".repeat(indent)), Style::Plain, text)
    }

    /// The command to type next, on a line of its own: easy to see, easy to copy.
    pub(crate) fn command(&mut self, command: &str) -> io::Result<()> {
        self.line(&Line::new().plain("  ").put(Style::Accent, command))
    }

    /// Raw bytes, for completions.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Everything so far goes out.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Asks; only `y` and `yes` are yes. The caller made sure that somebody is there.
    pub(crate) fn confirm(&mut self, question: &str) -> io::Result<bool> {
        let answer = self.ask(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a line of text; the end of input is an empty answer.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<String> {
        let line = Line::new().bold(question);
        let text = render(&line, self.color);
        write!(self.stdout, "{text}")?;
        self.stdout.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            self.blank()?;
        }
        Ok(answer.trim().to_owned())
    }

    /// An error, on standard error.
    pub(crate) fn error(&mut self, message: &str, hints: &[String]) -> io::Result<()> {
        let errors = [(Style::Bad, "error: ", message)].into_iter();
        let hints = hints
            .iter()
            .map(|hint| (Style::Accent, "hint: ", hint.as_str()));
        let mut lines = Vec::new();
        // Into a file or a pipe each goes as one line.
        let width = io::stderr().is_terminal().then(|| self.text_width());
        for (style, label, text) in errors.chain(hints) {
            let excerpt = text.contains('\n');
            let parts = match width {
                Some(width) if !excerpt => layout::wrap(text, width.saturating_sub(label.len())),
                _ => text.lines().map(str::to_owned).collect(),
            };
            for (i, part) in parts.into_iter().enumerate() {
                // In an excerpt of a file, what points at a column must stay in its column.
                lines.push(match i {
                    0 => Line::new().put(style, label).plain(part),
                    _ if excerpt => Line::new().plain("  ").plain(part),
                    _ => Line::new().plain(" ".repeat(label.len())).plain(part),
                });
            }
        }
        let mut stderr = io::stderr().lock();
        for line in lines {
            writeln!(stderr, "{}", render(&line, self.error_color))?;
        }
        Ok(())
    }

    /// What is there on the host but could not be understood, on standard error.
    pub(crate) fn unreadable(&mut self, facts: &Facts) -> io::Result<()> {
        const MOST: usize = 8;
        let all = || facts.unreadable.iter().chain(&facts.closed);
        for what in all().take(MOST) {
            self.note(what)?;
        }
        match all().count().checked_sub(MOST) {
            None | Some(0) => Ok(()),
            Some(more) => self.note(&format!("and {more} more that could not be read")),
        }
    }

    /// A remark beside the output, on standard error.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.flush()?;
        let line = Line::new().put(Style::Accent, "note: ").plain(text);
        writeln!(io::stderr().lock(), "{}", render(&line, self.error_color))
    }
}

/// `--color`, then NO_COLOR, then CLICOLOR_FORCE, then whether somebody watches.
fn wants_color(choice: Color, terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // 0 means: not forced, and the terminal decides.
    let forced =
        set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0");
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if forced => true,
        Color::Auto => terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// Standard output. A lenient one takes what nobody gets, and remembers the first error.
struct Sheet {
    stdout: io::Stdout,
    lenient: bool,
    lost: Option<io::Error>,
}

impl Sheet {
    const fn new(stdout: io::Stdout) -> Self {
        Self {
            stdout,
            lenient: false,
            lost: None,
        }
    }
}

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lost.is_some() {
            return Ok(bytes.len());
        }
        match self.stdout.write(bytes) {
            Err(error) if self.lenient && error.kind() != io::ErrorKind::Interrupted => {
                self.lost = Some(error);
                Ok(bytes.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.stdout.flush() {
            Err(error) if self.lenient => {
                self.lost.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }
}

fn columns(stdout: &io::Stdout, terminal: bool) -> Option<usize> {
    let asked = || {
        let columns = rustix::termios::tcgetwinsize(stdout).ok()?.ws_col;
        (columns > 0).then(|| usize::from(columns))
    };
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    if terminal {
        asked().or_else(told).or(Some(80))
    } else {
        told()
    }
}

fn render(line: &Line, color: bool) -> String {
    let mut text = String::new();
    for (style, part) in line.spans() {
        let code = style.code();
        let part = layout::clean(part);
        if color && !code.is_empty() && !part.is_empty() {
            text.push_str(code);
            text.push_str(&part);
            text.push_str("\u{1b}[0m");
        } else {
            text.push_str(&part);
        }
    }
    text
}
