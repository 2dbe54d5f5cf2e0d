//! A pinning as a small map: a line of cores for each L3 cache. ASCII, so that it fits any terminal.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Pinning, Wanted,
    cores::{Core, Cores},
    words::{cpus, kib_text, plural},
};
use crate::{facts::Facts, text::cpulist::CpuSet};

/// No map is narrower than this.
const NARROWEST: usize = 24;
/// In a cache of more cores than this, equal neighbours are counted instead of drawn.
const DRAWN: usize = 16;
/// So many caches are shown; the rest is counted.
const CACHES: usize = 24;

/// What the letters mean, in the order in which the legend explains them.
const LETTERS: [(char, &str); 5] = [
    ('G', "guest"),
    ('E', "QEMU"),
    ('I', "QEMU and I/O"),
    ('H', "host"),
    ('-', "idle"),
];

/// The map in lines of at most `width` columns (at least 24), the legend last. A block of letters is
/// a core, a letter a thread. Caches with the same picture share a line; a host of thousands of CPUs
/// is a few dozen lines.
pub fn picture(facts: &Facts, pinning: &Pinning, width: usize) -> Vec<String> {
    let width = width.max(NARROWEST);
    let Ok(cores) = Cores::new(facts, &Wanted::default()) else {
        return Vec::new();
    };
    let guest = pinning.guest();
    let letter = |cpu: u32| match cpu {
        cpu if guest.contains(cpu) => 'G',
        cpu if pinning.io.contains(cpu) => 'I',
        cpu if pinning.emulator.contains(cpu) => 'E',
        cpu if pinning.idle.contains(cpu) => '-',
        _ => 'H',
    };
    let mut groups: BTreeMap<usize, Vec<&Core>> = BTreeMap::new();
    for core in &cores.all {
        groups.entry(core.group).or_default().push(core);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut present = Vec::new();
    for cores in groups.values() {
        let cells: Vec<String> = cores
            .iter()
            .map(|core| core.cpus.iter().map(|&cpu| letter(cpu)).collect())
            .collect();
        for seen in cells.iter().flat_map(|cell: &String| cell.chars()) {
            if !present.contains(&seen) {
                present.push(seen);
            }
        }
        let row = Row::new(cores, cells);
        match rows.last_mut() {
            Some(last) if last.like(&row) => last.join(row),
            _ => rows.push(row),
        }
    }
    let mut lines = Vec::new();
    for row in rows.iter().take(CACHES) {
        lines.push(cut(&row.title(), width));
        lines.extend(wrap(&row.cells(), "  ", width));
    }
    let rest = &rows[rows.len().min(CACHES)..];
    if !rest.is_empty() {
        let caches = rest.iter().map(|row| row.l3.len().max(1)).sum();
        let cells = rest.iter().flat_map(|row| &row.cells);
        let guest = cells.filter(|cell| cell.contains('G')).count();
        let text = format!(
            "and {} more, {} of the guest",
            plural(caches, "cache"),
            plural(guest, "core")
        );
        lines.extend(wrap(
            &text.split(' ').map(Into::into).collect::<Vec<_>>(),
            "",
            width,
        ));
    }
    let legend: Vec<String> = LETTERS
        .iter()
        .filter(|(letter, _)| present.contains(letter))
        .map(|(letter, word)| format!("{letter} {word} "))
        .collect();
    lines.extend(wrap(&legend, "", width));
    lines
}

/// Caches with the same picture.
struct Row {
    l3: CpuSet,
    nodes: CpuSet,
    packages: CpuSet,
    cpus: CpuSet,
    size_kib: Option<u64>,
    cells: Vec<String>,
}

impl Row {
    fn new(cores: &[&Core], cells: Vec<String>) -> Self {
        Self {
            l3: cores
                .iter()
                .filter_map(|core| u32::try_from(core.l3?).ok())
                .collect(),
            nodes: cores.iter().filter_map(|core| core.node).collect(),
            packages: cores.iter().filter_map(|core| core.package).collect(),
            cpus: cores
                .iter()
                .flat_map(|core| core.cpus.iter().copied())
                .collect(),
            size_kib: cores.first().and_then(|core| core.size_kib),
            cells,
        }
    }

    /// Shown alike.
    fn like(&self, other: &Self) -> bool {
        self.cells == other.cells && self.size_kib == other.size_kib && !self.l3.is_empty()
    }

    fn join(&mut self, other: Self) {
        self.l3.extend(other.l3.iter());
        self.nodes.extend(other.nodes.iter());
        self.packages.extend(other.packages.iter());
        self.cpus.extend(other.cpus.iter());
    }

    fn title(&self) -> String {
        let mut parts = Vec::new();
        parts.push(match self.l3.len() {
            0 => format!("package {}", self.packages),
            _ => format!("L3 {}", self.l3),
        });
        if let Some(kib) = self.size_kib {
            let each = if self.l3.len() > 1 { " each" } else { "" };
            parts.push(format!("{}{each}", kib_text(kib)));
        }
        if !self.nodes.is_empty() {
            let many = if self.nodes.len() > 1 { "s" } else { "" };
            parts.push(format!("node{many} {}", self.nodes));
        }
        parts.push(cpus(&self.cpus));
        parts.join(", ")
    }

    /// The cores, neighbours that look the same counted where there are many.
    fn cells(&self) -> Vec<String> {
        if self.cells.len() <= DRAWN {
            return self.cells.clone();
        }
        let mut runs: Vec<(&String, usize)> = Vec::new();
        for cell in &self.cells {
            match runs.last_mut() {
                Some((last, n)) if *last == cell => *n += 1,
                _ => runs.push((cell, 1)),
            }
        }
        runs.iter()
            .map(|(cell, n)| match n {
                1 => (*cell).clone(),
                n => format!("{n}x{cell}"),
            })
            .collect()
    }
}

/// `text` in `width` columns; what is cut off is marked.
fn cut(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_string();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// Words in lines of at most `width` columns, each line after `indent`.
fn wrap(words: &[String], indent: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.trim_end().len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}
