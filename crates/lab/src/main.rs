//! Boots real Linux hosts with an IOMMU and a card under QEMU, and runs passthru on them.
//!
//! Every host is a Debian built on this machine and kept in a cache; QEMU emulates it in software,
//! so neither a GPU nor KVM is needed. See `lab --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "progress on the terminal is its use"
)]
#![allow(unreachable_pub, reason = "a binary has no outside")]

mod accelerator;
mod agent;
mod base64;
mod capture;
mod command;
mod debian;
mod domain;
mod efi;
mod error;
mod grub;
mod guest;
mod guest_system;
mod host;
mod image;
mod interrupt;
mod machine;
mod manifest;
mod menu;
mod partitions;
mod payload;
mod pci;
mod recipe;
mod report;
mod scenarios;
mod session;
mod systemd_boot;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::error::{Context as _, Result};
use crate::host::{HOSTS, Host};
use crate::image::Images;
use crate::report::Report;
use crate::scenarios::{SCENARIOS, Scenario};
use crate::session::{Lab, Session};

/// How long a script of `lab script` may take.
const SCRIPT: Duration = Duration::from_secs(1800);

/// How often a scenario begins, while the emulation itself fails.
const ATTEMPTS: u32 = 5;

/// Real Linux hosts with an IOMMU and a card, under QEMU, to try passthru on.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Keep disks and logs also when everything went well
    #[arg(long, global = true)]
    keep: bool,
    /// Use KVM instead of emulation, if it really runs a machine here
    #[arg(long, global = true)]
    kvm: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Show hosts and scenarios
    List,
    /// Run scenarios by name
    Run {
        /// See `lab list`
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Run every scenario
    All,
    /// Run the scenarios that every change must pass
    Core,
    /// Boot a host with passthru installed and use its console
    Shell {
        /// See `lab list`
        host: String,
    },
    /// Build the disks of hosts, or of all
    Image {
        /// See `lab list`
        hosts: Vec<String>,
    },
    /// Run shell scripts on a fresh host, with a reboot between them, and show what they write
    Script {
        /// See `lab list`
        host: String,
        /// Files here; a script that fails ends the run
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show what is bound on a host and save what it looks like from inside
    Capture {
        /// See `lab list`
        host: String,
        /// The archive to write (tar, zstd)
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = Report::new();
    let result = act(&arguments, &report);
    report.table();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &Arguments, report: &Report) -> Result<()> {
    // Names are checked before anything slow starts.
    match &arguments.action {
        Action::List => {
            list();
            Ok(())
        }
        Action::Run { names } => {
            let chosen = names
                .iter()
                .map(|name| scenario(name))
                .collect::<Result<Vec<_>>>()?;
            run(&chosen, arguments, report)
        }
        Action::All => {
            let all: Vec<_> = SCENARIOS.iter().collect();
            run(&all, arguments, report)
        }
        Action::Core => {
            let core: Vec<_> = SCENARIOS.iter().filter(|scenario| scenario.core).collect();
            run(&core, arguments, report)
        }
        Action::Shell { host } => shell(find(host)?, arguments, report),
        Action::Image { hosts } => {
            let chosen = hosts
                .iter()
                .map(|name| find(name))
                .collect::<Result<Vec<_>>>()?;
            let chosen = if chosen.is_empty() {
                HOSTS.iter().collect()
            } else {
                chosen
            };
            let images = images(arguments, report)?;
            for host in chosen {
                let image = images.host(host)?;
                report.say(&format!("{}: {}", host.name, image.disk.display()));
            }
            Ok(())
        }
        Action::Script { host, files } => script(find(host)?, files, arguments, report),
        Action::Capture { host, file } => take(find(host)?, file, arguments, report),
    }
}

fn scenario(name: &str) -> Result<&'static Scenario> {
    scenarios::find(name).ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!(
            "there is no scenario {name:?}; there are {}",
            names.join(", ")
        )
        .into()
    })
}

fn find(name: &str) -> Result<&'static Host> {
    host::find(name).ok_or_else(|| {
        let names: Vec<_> = HOSTS.iter().map(|host| host.name).collect();
        format!("there is no host {name:?}; there are {}", names.join(", ")).into()
    })
}

fn list() {
    println!("hosts");
    for host in &HOSTS {
        println!("  {:20} {}", host.name, host.about);
    }
    println!("\nscenarios (* in core)");
    for scenario in &SCENARIOS {
        let mark = if scenario.core { "*" } else { " " };
        println!("{mark} {:20} {}", scenario.name, scenario.about);
    }
}

/// Checks what must be installed, then opens the cache of disks.
fn images<'a>(arguments: &Arguments, report: &'a Report) -> Result<Images<'a>> {
    interrupt::watch()?;
    let tools = tools::check()?;
    let accelerator = accelerator::choose(arguments.kvm, report)?;
    Images::new(&tools.qemu, accelerator, report)
}

/// A folder for one run, and passthru built for it.
fn with_lab(
    arguments: &Arguments,
    report: &Report,
    work: impl FnOnce(&Lab<'_>) -> Result<()>,
) -> Result<()> {
    let images = images(arguments, report)?;
    report.begin("prepare");
    let passthru = report.phase("build passthru", payload::passthru)?;
    let folder = tempfile::Builder::new().prefix("passthru-lab-").tempdir()?;
    let lab = Lab {
        report,
        images: &images,
        folder: folder.path(),
        passthru: &passthru,
    };
    let result = work(&lab);
    if arguments.keep || result.is_err() && !interrupt::requested() {
        eprintln!(
            "lab: disks and logs are kept in {}",
            folder.keep().display()
        );
    }
    result
}

fn run(chosen: &[&Scenario], arguments: &Arguments, report: &Report) -> Result<()> {
    with_lab(arguments, report, |lab| {
        let mut failed = Vec::new();
        for scenario in chosen {
            if let Err(error) = attempt(scenario.name, report, || (scenario.run)(lab)) {
                if interrupt::requested() {
                    return Err(error);
                }
                report.say(&format!("== {} FAILED: {error}", scenario.name));
                let mut why = format!("{}: {error}", scenario.name);
                if let Some(console) = report.watched() {
                    let lines = report::last_lines(&console, 60);
                    println!("the end of {}:\n{lines}", console.display());
                    for line in report::complaints(&console, 20) {
                        why += &format!("\n    {line}");
                    }
                }
                failed.push(why);
            } else {
                report.say(&format!("== {} passed", scenario.name));
            }
        }
        // Again at the very end: often that is all that is kept of a long log.
        crate::ensure!(failed.is_empty(), "failed\n{}", failed.join("\n"));
        Ok(())
    })
}

/// Runs a scenario, and again from its start where it failed after the emulation itself had, which
/// decides nothing. A scenario that fails without such a fault has failed.
///
/// With a thread for each processor, QEMU 10.0 does not survive one of about ten starts of a guest with
/// a card, and a host or a guest sometimes hangs; with one thread for all, guests always hang.
fn attempt(name: &str, report: &Report, run: impl Fn() -> Result<()>) -> Result<()> {
    let mut left = ATTEMPTS;
    loop {
        report.begin(name);
        let result = run();
        left -= 1;
        match (result, report.fault()) {
            (Err(error), Some(how)) if left > 0 && !interrupt::requested() => {
                report.say(&format!("== {name}: {how}; once more, after: {error}"));
            }
            (result, Some(how)) => return result.context(|| how),
            (result, None) => return result,
        }
    }
}

fn shell(host: &'static Host, arguments: &Arguments, report: &Report) -> Result<()> {
    with_lab(arguments, report, |lab| {
        let session = Session::interactive(lab, host)?;
        println!(
            "\n{}: {}\nPress Enter for a prompt. `poweroff` leaves in order, Ctrl-A X at once; \
             Ctrl-C goes to the host.\n",
            host.name, host.about
        );
        session.hand_over()
    })
}

fn script(
    host: &'static Host,
    files: &[PathBuf],
    arguments: &Arguments,
    report: &Report,
) -> Result<()> {
    with_lab(arguments, report, |lab| {
        report.begin(&format!("scripts on {}", host.name));
        let mut session = Session::start(lab, host)?;
        for (number, file) in files.iter().enumerate() {
            if number > 0 {
                session.reboot()?;
            }
            let text = std::fs::read_to_string(file)
                .context(|| format!("cannot read {}", file.display()))?;
            let agent = session.agent()?;
            let what = file.display().to_string();
            let output = report.phase(&what, || agent.run(&text, SCRIPT))?;
            println!("{}", output.said());
            crate::ensure!(output.status == 0, "{what} ended with {}", output.status);
        }
        Ok(())
    })
}

fn take(host: &'static Host, file: &Path, arguments: &Arguments, report: &Report) -> Result<()> {
    with_lab(arguments, report, |lab| {
        report.begin(&format!("capture {}", host.name));
        let mut session = Session::start(lab, host)?;
        for (address, function) in &session.functions {
            let driver = function.driver.as_deref().unwrap_or("-");
            let group = function
                .group
                .map_or("-".to_owned(), |group| group.to_string());
            report.say(&format!(
                "   {address} {} group {group} {driver}",
                function.id
            ));
        }
        let agent = session.agent()?;
        let bytes = report.phase("capture", || capture::take(agent))?;
        std::fs::write(file, bytes).context(|| format!("writing {}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often a scenario ran that dies with its emulator so often and then ends like this.
    fn runs(deaths: u32, end: Result<()>) -> (u32, Option<String>) {
        let (report, count, end) = (Report::new(), Cell::new(0), Cell::new(Some(end)));
        let result = attempt("it", &report, || {
            count.set(count.get() + 1);
            if count.get() <= deaths {
                report.emulation_failed("QEMU died".to_owned());
                return Err("the machine ended".into());
            }
            end.take().expect("it ends once")
        });
        (count.get(), result.err().map(|error| error.to_string()))
    }

    #[test]
    fn only_a_fault_of_the_emulation_is_a_reason_to_try_again() {
        assert_eq!(runs(0, Ok(())), (1, None));
        assert_eq!(runs(0, Err("no".into())), (1, Some("no".to_owned())));
        assert_eq!(runs(2, Ok(())), (3, None));
        assert_eq!(runs(1, Err("no".into())), (2, Some("no".to_owned())));
        let (count, error) = runs(9, Ok(()));
        assert_eq!(count, ATTEMPTS);
        assert_eq!(error.as_deref(), Some("QEMU died: the machine ended"));
    }
}
