//! One host during one scenario: its machine, its own disk layer, and passthru in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, Output, quote};
use crate::error::{Context as _, Result};
use crate::host::{CardFunction, Host};
use crate::image::{self, HostImage, Images};
use crate::machine::{self, Console, Machine, Parts, Start};
use crate::manifest::Manifest;
use crate::menu::{self, Entry};
use crate::pci::{self, Functions};
use crate::recipe::Loader;
use crate::report::Report;
use crate::{bail, ensure, guest, payload};

/// Longest time one passthru command may take in an emulated host.
const COMMAND: Duration = Duration::from_secs(600);

/// So many complaints of a stall during one command, and it is not waited for any more.
const HOPELESS: usize = 3;

/// Ends when the service of a trial boot has, and prints what it said.
const JUDGED: &str = "systemctl cat passthru-confirm.service >/dev/null
while systemctl is-active -q passthru-confirm.service; do sleep 0.5; done
journalctl -b -u passthru-confirm.service --no-pager -o cat";

/// Ends when the service of a trial boot has nothing more to do, whether it was there or not.
pub const DECIDED: &str =
    "while systemctl is-active -q passthru-confirm.service; do sleep 0.5; done; true";

/// passthru's exit status "yes, done, nothing to do".
pub const DONE: i32 = 0;
/// passthru's exit status "no".
pub const NO: i32 = 1;
/// passthru's exit status "done, reboot needed".
pub const REBOOT: i32 = 3;

/// What every scenario works with.
pub struct Lab<'a> {
    /// Progress and timings.
    pub report: &'a Report,
    /// The disks.
    pub images: &'a Images<'a>,
    /// Folder for everything that a run leaves behind.
    pub folder: &'a Path,
    /// The passthru binary.
    pub passthru: &'a Path,
}

/// What a passthru command answered.
pub struct Answer {
    /// The command, for messages.
    pub command: String,
    /// Exit status, output and messages.
    pub output: Output,
}

impl Answer {
    /// Its standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.output.out)
            .context(|| format!("{} wrote no JSON: {}", self.command, self.output.said()))
    }

    /// Fails unless it ended with one of these.
    pub fn must_end(&self, wanted: &[i32]) -> Result<()> {
        ensure!(
            wanted.contains(&self.output.status),
            "{} ended with {} instead of {wanted:?}: {}",
            self.command,
            self.output.status,
            self.output.said()
        );
        Ok(())
    }
}

/// A host in use. Dropping it is a power cut.
pub struct Session<'a> {
    lab: &'a Lab<'a>,
    host: &'static Host,
    room: PathBuf,
    disk: PathBuf,
    payload: PathBuf,
    machine: Option<Machine>,
    /// What every file was on the untouched host.
    pub files: Manifest,
    /// What was bound on the untouched host.
    pub functions: Functions,
}

impl<'a> Session<'a> {
    /// A fresh host, at rest, with passthru installed.
    pub fn start(lab: &'a Lab<'a>, host: &'static Host) -> Result<Self> {
        let image = lab.images.host(host)?;
        Self::with(lab, host, image, Console::Log)
    }

    /// A fresh host whose console is this terminal.
    pub fn interactive(lab: &'a Lab<'a>, host: &'static Host) -> Result<Self> {
        let image = lab.images.host(host)?;
        Self::with(lab, host, image, Console::Terminal)
    }

    fn with(
        lab: &'a Lab<'a>,
        host: &'static Host,
        image: HostImage,
        console: Console,
    ) -> Result<Self> {
        let room = fresh(lab.folder, host.name)?;
        let disk = room.join("disk.qcow2");
        image::layer(&image.disk, &disk)?;
        let payload = room.join("payload");
        payload::write(&payload, &[("usr/local/bin/passthru", lab.passthru)])?;
        let mut session = Self {
            lab,
            host,
            room,
            disk,
            payload,
            machine: None,
            files: image.manifest,
            functions: Functions::new(),
        };
        let (what, start) = match &image.state {
            Some(state) => ("resume the host", Start::Saved(state)),
            None => ("boot the host", Start::Boot),
        };
        session.power_on(what, &start, console)?;
        session
            .agent()?
            .succeed(payload::UNPACK, Duration::from_secs(60))?;
        session.functions = pci::functions(session.agent()?)?;
        for number in 1..=host.cards {
            for function in host.card(number) {
                session.must_be_bound(&function, function.driver)?;
            }
        }
        Ok(session)
    }

    fn power_on(&mut self, what: &str, start: &Start<'_>, console: Console) -> Result<()> {
        let parts = Parts {
            host: self.host,
            disk: &self.disk,
            payload: &self.payload,
            folder: &self.room,
            accelerator: self.lab.images.accelerator(),
        };
        self.lab
            .report
            .watch(Some(self.room.join(machine::CONSOLE)));
        let machine = self
            .lab
            .report
            .phase(what, || Machine::start(&parts, start, console))?;
        self.machine = Some(machine);
        Ok(())
    }

    /// The way to run scripts.
    pub fn agent(&mut self) -> Result<&mut Agent> {
        Ok(&mut self.machine.as_mut().ok_or("the host is off")?.agent)
    }

    /// Progress and timings.
    pub fn report(&self) -> &'a Report {
        self.lab.report
    }

    /// Runs passthru as root.
    pub fn passthru(&mut self, arguments: &[&str]) -> Result<Answer> {
        let words: Vec<String> = arguments.iter().map(|&word| quote(word)).collect();
        let command = format!("passthru {}", words.join(" "));
        let report = self.lab.report;
        let console = self.room.join(machine::CONSOLE);
        let since = fs::metadata(&console).map_or(0, |console| console.len());
        let hope = || machine::stalls(&console, since) < HOPELESS;
        let agent = self.agent()?;
        let output = report.phase(&command, || agent.run_while(&command, COMMAND, &hope))?;
        Ok(Answer { command, output })
    }

    /// Applies a plan that must need a reboot.
    pub fn apply(&mut self, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["apply", "--yes", "--json"];
        all.extend(arguments);
        self.passthru(&all)?.must_end(&[REBOOT])
    }

    /// Applies a plan, reboots into its trial, and waits until it is kept.
    pub fn apply_and_keep(&mut self, arguments: &[&str]) -> Result<()> {
        self.apply(arguments)?;
        self.reboot()?;
        self.must_keep()
    }

    /// Waits until the service of a trial boot has decided; it must have kept the change.
    pub fn must_keep(&mut self) -> Result<()> {
        let report = self.lab.report;
        let agent = self.agent()?;
        let said = report.phase("the trial is judged", || agent.succeed(JUDGED, COMMAND))?;
        let last = self.last_transaction()?;
        ensure!(
            last["state"] == "applied" && last["continues"].is_number(),
            "the trial was not kept: {last}\n{said}"
        );
        Ok(())
    }

    /// What `history` says about the latest transaction.
    pub fn last_transaction(&mut self) -> Result<Value> {
        let history = self.passthru(&["history", "--json"])?.json()?;
        let all = history["transactions"].as_array();
        Ok(all
            .and_then(|all| all.last())
            .ok_or("history is empty")?
            .clone())
    }

    /// Reboots, and waits until the host has rebooted once more by itself.
    pub fn reboot_twice(&mut self, what: &str) -> Result<()> {
        let machine = self.machine.as_mut().ok_or("the host is off")?;
        self.lab.report.phase(what, || machine.reboot_twice())
    }

    /// `verify` must be of one mind with this state.
    pub fn must_verify(&mut self, state: &str, status: i32) -> Result<()> {
        let answer = self.passthru(&["verify", "--json"])?;
        answer.must_end(&[status])?;
        let found = answer.json()?["state"].clone();
        ensure!(
            found == state,
            "verify says {found} instead of {state}: {}",
            answer.output.said()
        );
        Ok(())
    }

    /// Reboots through firmware and boot loader.
    pub fn reboot(&mut self) -> Result<()> {
        let machine = self.machine.as_mut().ok_or("the host is off")?;
        self.lab.report.phase("reboot", || machine.reboot())
    }

    /// The boot menu as it is now.
    pub fn menu(&mut self) -> Result<Vec<Entry>> {
        let loader = self.host.recipe.loader;
        menu::entries(loader, self.agent()?)
    }

    /// The first entry of the boot menu whose title has these words.
    pub fn entry(&mut self, words: &str) -> Result<Entry> {
        let menu = self.menu()?;
        match menu.iter().find(|entry| entry.title.contains(words)) {
            Some(entry) => Ok(entry.clone()),
            None => bail!("the boot menu has no entry with {words:?}: {menu:?}"),
        }
    }

    /// Entries that do not run now, other than the way back: those of other kernels. No host with GRUB
    /// has another kernel.
    pub fn other_kernels(&mut self) -> Result<Vec<Entry>> {
        if self.host.recipe.loader == Loader::Grub {
            return Ok(Vec::new());
        }
        let mut menu = self.menu()?;
        menu.retain(|entry| !entry.running && !entry.title.contains("without passthru"));
        Ok(menu)
    }

    /// Boots another entry of the menu once, and leaves nothing of that choice.
    pub fn reboot_into(&mut self, entry: &Entry) -> Result<()> {
        let loader = self.host.recipe.loader;
        let before = menu::before(loader, self.agent()?)?;
        let what = format!("reboot into {:?}", entry.title);
        loop {
            menu::boot_once(loader, self.agent()?, entry)?;
            let machine = self.machine.as_mut().ok_or("the host is off")?;
            let resets = machine.resets();
            self.lab.report.phase(&what, || machine.reboot())?;
            // A reset forgets the choice.
            if machine.resets() == resets {
                return before.restore(self.agent()?, entry);
            }
        }
    }

    /// Chooses another entry of the menu once, takes the power away, and boots.
    pub fn cut_and_boot_into(&mut self, entry: &Entry) -> Result<()> {
        let loader = self.host.recipe.loader;
        let before = menu::before(loader, self.agent()?)?;
        loop {
            menu::boot_once(loader, self.agent()?, entry)?;
            self.cut_and_boot()?;
            let machine = self.machine.as_ref().ok_or("the host is off")?;
            if machine.resets() == 0 {
                return before.restore(self.agent()?, entry);
            }
        }
    }

    /// Fails if anything but the menu itself chooses what a later boot starts.
    pub fn must_choose_nothing(&mut self) -> Result<()> {
        let loader = self.host.recipe.loader;
        menu::must_choose_nothing(loader, self.agent()?)
    }

    /// Switches the host on again.
    pub fn boot(&mut self) -> Result<()> {
        self.power_on("boot", &Start::Boot, Console::Log)
    }

    /// Takes the power away and boots again from what is on the disk.
    pub fn cut_and_boot(&mut self) -> Result<()> {
        self.machine.take().ok_or("the host is off")?.cut()?;
        self.power_on("boot after the power cut", &Start::Boot, Console::Log)?;
        // passthru itself was unpacked a moment ago: its file may be empty now.
        self.agent()?
            .succeed(payload::UNPACK, Duration::from_secs(60))
            .map(|_| ())
    }

    /// Shuts down and reads every file.
    pub fn power_off(&mut self) -> Result<Manifest> {
        let machine = self.machine.take().ok_or("the host is off")?;
        self.lab.report.phase("power off", || machine.power_off())?;
        let firmware = self.host.recipe.firmware;
        let (disk, room) = (&self.disk, &self.room);
        self.lab.report.phase("read every file", || {
            Manifest::of_disk(firmware, disk, room)
        })
    }

    /// Leaves the host to whoever sits at the console.
    pub fn hand_over(mut self) -> Result<()> {
        self.machine.take().ok_or("the host is off")?.wait()
    }

    /// Fails unless a function is bound to a driver.
    fn must_be_bound(&self, function: &CardFunction, driver: &str) -> Result<()> {
        must_be_bound(&self.functions, function, driver)
    }

    /// Looks at the host; every function of these cards must belong to vfio-pci, everything else
    /// must have the driver it had.
    pub fn must_own(&mut self, cards: &[u8]) -> Result<()> {
        let now = pci::functions(self.agent()?)?;
        let mut expected = self.functions.clone();
        for function in cards.iter().flat_map(|&card| self.host.card(card)) {
            must_be_bound(&now, &function, "vfio-pci")?;
            if let Some(known) = expected.get_mut(&function.address) {
                known.driver = Some("vfio-pci".to_owned());
            }
        }
        let different = pci::difference(&expected, &now);
        ensure!(
            different.is_empty(),
            "other functions changed: {}",
            different.join(", ")
        );
        self.lab
            .report
            .say("   the card is on vfio-pci, everything else as it was");
        Ok(())
    }

    /// Looks at the host; every function must have the driver it had.
    pub fn must_be_untouched(&mut self) -> Result<()> {
        let now = pci::functions(self.agent()?)?;
        let different = pci::difference(&self.functions, &now);
        ensure!(
            different.is_empty(),
            "not as before: {}",
            different.join(", ")
        );
        self.lab.report.say("   every driver is as it was");
        Ok(())
    }

    /// Gives a card to a guest, which must see all of it.
    pub fn must_serve_a_guest(&mut self, card: u8) -> Result<()> {
        let functions = self.host.card(card);
        let addresses: Vec<String> = functions
            .iter()
            .map(|function| function.address.clone())
            .collect();
        let report = self.lab.report;
        let agent = self.agent()?;
        let seen = report.phase("run a guest", || guest::run(agent, &addresses))?;
        report.say(&format!(
            "   the guest ({}) sees {}",
            seen.accelerator,
            seen.ids.join(", ")
        ));
        let ids: Vec<_> = functions.iter().map(|function| function.id).collect();
        seen.must_have(&ids)
    }

    /// Takes everything back, reboots, and compares the host with what it was, byte by byte.
    pub fn must_undo(&mut self) -> Result<()> {
        self.must_undo_except(&[])
    }

    /// The same, but for paths that begin like these.
    pub fn must_undo_except(&mut self, beginnings: &[&str]) -> Result<()> {
        self.passthru(&["undo", "--yes", "--json"])?
            .must_end(&[DONE, REBOOT])?;
        self.reboot()?;
        self.must_be_untouched()?;
        self.must_verify("nothing-applied", DONE)?;
        self.must_choose_nothing()?;
        let after = self.power_off()?;
        self.must_equal_except(&after, beginnings)
    }

    /// Fails with the names of files that are not as on the untouched host.
    pub fn must_equal(&self, after: &Manifest) -> Result<()> {
        self.must_equal_except(after, &[])
    }

    /// The same, but for paths that begin like these.
    pub fn must_equal_except(&self, after: &Manifest, beginnings: &[&str]) -> Result<()> {
        let mut different = self.files.difference(after);
        different.retain(|line| {
            let path = line.split_once('/').map_or("", |(_, path)| path);
            !beginnings
                .iter()
                .any(|beginning| path.starts_with(&beginning[1..]))
        });
        if !different.is_empty() {
            bail!(
                "{} files are not as before:\n{}",
                different.len(),
                different.join("\n")
            );
        }
        self.lab.report.say("   every file is as it was");
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let report = self.lab.report;
        if let Some(how) = self.machine.as_mut().and_then(Machine::death) {
            report.emulation_failed(format!("QEMU died ({how})"));
        } else if machine::stalled(&self.room.join(machine::CONSOLE), 0) {
            // The host was reset, or its kernel rebooted: a trial boot is lost with that.
            report.emulation_failed("an emulated processor lost its timer".to_owned());
        }
    }
}

fn must_be_bound(functions: &Functions, function: &CardFunction, driver: &str) -> Result<()> {
    let address = &function.address;
    let Some(found) = functions.get(address) else {
        bail!("there is no {address} ({})", function.id);
    };
    ensure!(
        found.id == function.id,
        "{address} is {} instead of {}",
        found.id,
        function.id
    );
    let bound = found.driver.as_deref().unwrap_or("no driver");
    ensure!(
        bound == driver,
        "{address} is bound to {bound} instead of {driver}"
    );
    Ok(())
}

/// A new folder for a host; a scenario may use several.
fn fresh(folder: &Path, name: &str) -> Result<PathBuf> {
    for number in 1.. {
        let room = folder.join(format!("{name}-{number}"));
        match fs::create_dir(&room) {
            Ok(()) => return Ok(room),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("no free name")
}
