//! Pinning measured: every guest size on every known processor, passthru's choice beside CPUs in a
//! row from the first and from the last. The tables stand in docs/pinning.md;
//! `PASSTHRU_UPDATE_DOCS=1 cargo test -p passthru-host --test pinning` writes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "../../plan/tests/common/judge.rs"]
mod judge;
#[path = "../../plan/tests/common/topologies.rs"]
mod topologies;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::{
    Facts,
    guest::pinning::{self, CoreWish, Pinning},
    text::cpulist::CpuSet,
};

/// What is counted over all sizes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Cores with threads on both sides.
    split: usize,
    /// Guests in several L3 caches that would fit into one.
    l3: usize,
    /// Guests on several memory nodes that would fit on one.
    node: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.split += other.split;
        self.l3 += other.l3;
        self.node += other.node;
    }
}

/// One host: sizes, and who made which mistakes.
#[derive(Debug, Default)]
struct Measured {
    largest: u32,
    planned: usize,
    first: Count,
    last: Count,
    ours: Count,
}

/// Whole cores with all threads; where a size is no whole number of cores, one thread of each.
fn plan(facts: &Facts, cpus: u32) -> Option<Pinning> {
    [None, Some(1)].into_iter().find_map(|threads| {
        let wanted = pinning::Wanted {
            cpus: Some(cpus),
            cores: CoreWish {
                threads,
                ..CoreWish::default()
            },
            ..pinning::Wanted::default()
        };
        pinning::plan(facts, &wanted).ok()
    })
}

/// The mistakes of a guest on `guest`, with `cores` that are enough for it, of which the planner
/// needs `k`.
fn count(facts: &Facts, guest: &CpuSet, host: &CpuSet, like: judge::Class, k: usize) -> Count {
    let one_l3 = judge::most(&judge::room(facts, like, |cpu| cpu.l3)) >= k;
    let one_node = judge::most(&judge::room(facts, like, |cpu| cpu.node)) >= k;
    Count {
        split: judge::split(facts, guest, host),
        l3: usize::from(one_l3 && judge::caches(facts, guest) > 1),
        node: usize::from(one_node && judge::nodes(facts, guest) > 1),
    }
}

/// Nothing, if no guest fits at all.
fn measure(name: &str, facts: &Facts) -> Option<Measured> {
    let online = judge::online(facts);
    let largest = pinning::largest(facts, &pinning::Wanted::default()).ok()?;
    let mut measured = Measured {
        largest,
        ..Measured::default()
    };
    for cpus in 1..=largest {
        let Some(pinning) = plan(facts, cpus) else {
            continue;
        };
        measured.planned += 1;
        let n = cpus as usize;
        let guest = pinning.guest();
        assert_eq!((pinning.vcpus.len(), guest.len()), (n, n), "{name}");
        assert_eq!(guest.without(&online).len(), 0, "{name}: offline CPUs");
        assert!(pinning.host.is_disjoint(&guest) && !pinning.host.is_empty());
        let like = judge::class(judge::cpu(facts, pinning.vcpus[0]));
        let k = judge::cores(facts, &guest);
        measured.ours += count(facts, &guest, &pinning.host, like, k);
        let first: CpuSet = online.iter().take(n).collect();
        let last: CpuSet = online.iter().rev().take(n).collect();
        for (naive, sum) in [(first, &mut measured.first), (last, &mut measured.last)] {
            *sum += count(facts, &naive, &online.without(&naive), like, k);
        }
    }
    Some(measured)
}

/// A table, after every row was held to the rules.
fn table(hosts: &[(String, Facts)]) -> String {
    let mut text = String::from(
        "| host | CPUs | sizes | cores split: first n, last n, passthru | L3 crossed | node crossed |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut total = Measured::default();
    for (name, facts) in hosts {
        let online = judge::online(facts).len();
        let Some(measured) = measure(name, facts) else {
            let _ = writeln!(text, "| {name} | {online} | none fits | | | |");
            continue;
        };
        assert_eq!(measured.ours, Count::default(), "{name}");
        row(&mut text, name, &online.to_string(), &measured);
        total.planned += measured.planned;
        total.largest += measured.largest;
        total.first += measured.first;
        total.last += measured.last;
        total.ours += measured.ours;
    }
    row(&mut text, "**all**", "", &total);
    text
}

fn row(text: &mut String, name: &str, online: &str, m: &Measured) {
    let cell =
        |of: fn(&Count) -> usize| format!("{}, {}, **{}**", of(&m.first), of(&m.last), of(&m.ours));
    let _ = writeln!(
        text,
        "| {name} | {online} | {} of {} | {} | {} | {} |",
        m.planned,
        m.largest,
        cell(|c| c.split),
        cell(|c| c.l3),
        cell(|c| c.node)
    );
}

/// The part of the document between the marks of `name` is `table`.
fn documented(name: &str, table: &str) {
    // The tests run side by side and write one file.
    static HELD: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = HELD
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pinning.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (head, rest) = text.split_once(&begin).expect("the table's begin mark");
    let (old, tail) = rest.split_once(&end).expect("the table's end mark");
    if old == table {
        return;
    }
    assert!(
        std::env::var_os("PASSTHRU_UPDATE_DOCS").is_some(),
        "docs/pinning.md is stale: PASSTHRU_UPDATE_DOCS=1 cargo test -p passthru-host --test \
         pinning writes it\n{table}"
    );
    fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
}

#[test]
fn known_processors() {
    let hosts: Vec<(String, Facts)> = topologies::known()
        .into_iter()
        .map(|(name, host)| (name.to_owned(), host.facts()))
        .collect();
    documented("known", &table(&hosts));
}

/// The hosts of the corpus, or nothing where there is no corpus.
fn corpus() -> Option<Vec<(String, std::path::PathBuf, Facts)>> {
    let Some(corpus) = std::env::var_os("PASSTHRU_CORPUS") else {
        eprintln!("skipped: PASSTHRU_CORPUS is not set");
        return None;
    };
    let set = Path::new(&corpus).join("cpu-topologies");
    let mut paths: Vec<_> = fs::read_dir(&set)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let hosts = paths.into_iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let facts = observe(&Root::open(&path).unwrap(), Wanted::guest());
        (name, path, facts)
    });
    Some(hosts.collect())
}

#[test]
fn processors_of_real_hosts() {
    let Some(hosts) = corpus() else { return };
    assert!(hosts.len() >= 15);
    let hosts: Vec<_> = hosts
        .into_iter()
        .map(|(name, _, facts)| (name, facts))
        .collect();
    for (name, facts) in &hosts {
        assert!(
            facts.topology.cpus.value().is_some(),
            "{name}: {:?}",
            facts.topology.cpus
        );
    }
    documented("corpus", &table(&hosts));
}

/// The same partition of the CPUs, whatever its parts are called.
fn parts(pairs: impl Iterator<Item = (String, u32)>) -> BTreeSet<BTreeSet<u32>> {
    let mut parts = std::collections::BTreeMap::<String, BTreeSet<u32>>::new();
    for (key, cpu) in pairs {
        parts.entry(key).or_default().insert(cpu);
    }
    parts.into_values().collect()
}

#[test]
fn lscpu_sees_the_same_cores_caches_and_nodes() {
    let Some(hosts) = corpus() else { return };
    let mut compared = 0;
    for (name, path, facts) in hosts {
        let output = Command::new("lscpu")
            .arg("--sysroot")
            .arg(&path)
            .args(["--parse=CPU,SOCKET,CORE,NODE,CACHE"])
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: lscpu is not installed");
            return;
        };
        // It wants `possible`, which some of these hosts lack.
        if !output.status.success() {
            continue;
        }
        let text = String::from_utf8(output.stdout).unwrap();
        // The levels of the cache columns stand in the last comment.
        let head = text
            .lines()
            .rev()
            .find(|line| line.starts_with('#'))
            .unwrap();
        let l3 = head.split(',').position(|column| column == "L3");
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(',').collect())
            .collect();
        let theirs = |column: usize| {
            parts(rows.iter().filter_map(|row| {
                let key = row.get(column).filter(|key| !key.is_empty())?;
                Some(((*key).to_owned(), row[0].parse().unwrap()))
            }))
        };
        let cpus = judge::cpus(&facts);
        assert_eq!(rows.len(), cpus.len(), "{name}");
        let cores = parts(
            cpus.iter()
                .map(|cpu| (cpu.siblings.to_string(), cpu.number)),
        );
        assert_eq!(cores, theirs(2), "cores of {name}");
        let ours = parts(
            cpus.iter()
                .filter_map(|cpu| Some((cpu.node?.to_string(), cpu.number))),
        );
        assert_eq!(ours, theirs(3), "nodes of {name}");
        if let Some(l3) = l3 {
            let ours = parts(
                cpus.iter()
                    .filter_map(|cpu| Some((cpu.l3?.to_string(), cpu.number))),
            );
            assert_eq!(ours, theirs(l3), "caches of {name}");
        } else {
            assert!(facts.topology.l3.is_empty(), "{name}");
        }
        compared += 1;
    }
    eprintln!("{compared} hosts compared with lscpu");
    assert!(compared >= 12);
}

#[test]
fn nodes_of_real_hosts_have_memory_and_pools() {
    let Some(hosts) = corpus() else { return };
    let with_memory = hosts
        .iter()
        .filter(|(_, _, facts)| {
            let nodes = &facts.topology.nodes;
            !nodes.is_empty() && nodes.iter().all(|node| node.total_kib.value().is_some())
        })
        .count();
    let with_pools = hosts
        .iter()
        .flat_map(|(_, _, facts)| &facts.topology.nodes)
        .filter(|node| node.hugepages.iter().any(|pool| pool.page_kib == 2048))
        .count();
    eprintln!(
        "{with_memory} hosts with memory by node, {with_pools} nodes with pools of huge pages"
    );
    assert!(with_memory >= 10 && with_pools >= 10);
}
