//! How long looking takes and how much memory it needs: `cargo bench -p passthru-host --bench observe`.
//!
//! With PASSTHRU_CORPUS the largest real host, without it a synthetic server of 560 functions; then
//! synthetic servers of 100 to 10,000 functions for the cost of one. Every figure comes from a process
//! of its own, so the peak is that of one command; times are the median, files in the page cache.
//!
//! Beside lspci, on the same machine and as the same user:
//!
//! ```text
//! cargo build --release
//! perf stat -r 50 target/release/passthru devices --json >/dev/null
//! perf stat -r 50 lspci -nnk >/dev/null
//! ```
#![allow(clippy::print_stdout)]

#[path = "../tests/observe_builder/mod.rs"]
mod observe_builder;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::{Facts, Intent, Selector, devices::devices, doctor, plan};

/// Times each figure is taken.
const ROUNDS: usize = 15;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--one") {
        let path = arguments.next().expect("a root");
        return one(Path::new(&path));
    }
    println!(
        "{:<44} {:>6} {:>10} {:>10} {:>10} {:>9}",
        "host", "funcs", "facts", "plan", "total", "peak"
    );
    match std::env::var_os("PASSTHRU_CORPUS") {
        Some(corpus) => {
            let host = largest(&Path::new(&corpus).join("pci-hosts"));
            measure(&host.display().to_string(), &host);
        }
        None => println!("PASSTHRU_CORPUS is not set: no real host"),
    }
    for count in [100, 560, 1_000, 10_000] {
        let host = observe_builder::server(count);
        measure(&format!("synthetic, {count} functions"), host.path());
    }
}

fn largest(hosts: &Path) -> PathBuf {
    let count = |host: &Path| {
        std::fs::read_dir(host.join("sys/bus/pci/devices")).map_or(0, Iterator::count)
    };
    std::fs::read_dir(hosts)
        .expect("PASSTHRU_CORPUS holds pci-hosts")
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(|host| count(host))
        .expect("pci-hosts holds hosts")
}

/// Runs [`one`] in processes of their own and prints the medians.
fn measure(name: &str, host: &Path) {
    let this = std::env::current_exe().expect("this program");
    let mut rounds: Vec<[f64; 4]> = (0..ROUNDS)
        .map(|_| {
            let output = Command::new(&this)
                .arg("--one")
                .arg(host)
                .output()
                .expect("a run");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut numbers = text
                .split_whitespace()
                .map(|word| word.parse().expect("numbers"));
            std::array::from_fn(|_| numbers.next().expect("four numbers"))
        })
        .collect();
    rounds.sort_by(|a, b| (a[1] + a[2]).total_cmp(&(b[1] + b[2])));
    let [functions, facts, plan, peak] = rounds[ROUNDS / 2];
    let total = facts + plan;
    println!(
        "{:<44} {functions:>6} {:>8.2}ms {:>8.2}ms {:>8.2}ms {:>6.1}MiB   {:.2} µs/function",
        &name[name.len().saturating_sub(44)..],
        facts / 1000.0,
        plan / 1000.0,
        total / 1000.0,
        peak / 1024.0,
        total / functions.max(1.0),
    );
}

/// One observation and one plan of everything: functions, microseconds, microseconds, peak KiB.
fn one(path: &Path) {
    let root = Root::open(path).expect("a root");
    let start = Instant::now();
    let facts = observe(&root, Wanted::all());
    let observed = start.elapsed();
    let start = Instant::now();
    let lines = everything(&facts);
    let planned = start.elapsed();
    assert!(lines > 0);
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{} {} {} {}",
        facts.functions.len(),
        micros(observed),
        micros(planned),
        peak_kib()
    );
}

/// The device list, doctor and the plan for one card: what a user asks for after looking.
fn everything(facts: &Facts) -> usize {
    let list = devices(facts);
    let gpu = facts.functions.iter().rfind(|f| f.class.is_display());
    let intent = Intent {
        gpu: gpu.map(|f| Selector::at(f.address)).into_iter().collect(),
        ..Intent::default()
    };
    let plan = plan(facts, &intent);
    list.groups.len() + list.ungrouped.len() + doctor::doctor(facts).len() + plan.changes.len()
}

/// Peak resident memory of this process so far (proc_pid_status(5), VmHWM).
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .expect("VmHWM")
}
