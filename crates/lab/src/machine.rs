//! A running QEMU: a host that boots from its disk, or goes on from a saved state.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::efi;
use crate::error::{Context as _, Result};
use crate::host::Host;
use crate::recipe::{self, Firmware};
use crate::{bail, ensure, guest_system, interrupt, partitions};

/// Longest wait for the first word of a booting host; it takes about 15 s on two cores.
const BOOT: Duration = Duration::from_secs(400);
/// Longest wait for a host to come to rest after that.
const SETTLE: Duration = Duration::from_secs(300);
/// Longest wait for an answer of QEMU itself.
const ANSWER: Duration = Duration::from_secs(60);

/// Longest wait for the process of a QEMU that closed its channels.
const END: Duration = Duration::from_secs(10);

/// How long to wait for a boot before looking whether the host hangs.
const LOOK: Duration = Duration::from_secs(5);
/// What the kernel says when a processor's timer is lost: later, or in the first second of a boot.
const STALLS: [&str; 2] = ["detected stalls on CPUs/tasks", "timer doesn't work"];
/// How often a hanging host is reset.
const RESETS: u32 = 3;

/// Emulation in software: works everywhere, also inside virtual machines.
pub const SOFTWARE: &str = "tcg,thread=multi";

/// Returns when udev has handled every device and systemd has no job left, in any boot mode.
const AT_REST: &str = "udevadm settle --timeout=240
while [ -n \"$(systemctl list-jobs --no-legend)\" ]; do sleep 0.2; done";

/// The console's log in the folder of a machine; all that ran there added to it.
pub const CONSOLE: &str = "console.log";

/// The names of a kernel and its initramfs in the folder of [`Start::Kernel`].
pub const KERNEL: &str = "vmlinuz";
/// See [`KERNEL`].
pub const INITRAMFS: &str = "initrd.img";

/// Where a machine starts from.
pub enum Start<'a> {
    /// The firmware.
    Boot,
    /// A kernel and an initramfs in this folder, because nothing on the disk boots yet.
    Kernel(&'a Path),
    /// A machine state saved by [`Machine::save`].
    Saved(&'a Path),
}

/// Where the host's console goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// A log file in the machine's folder.
    Log,
    /// This terminal, and the log file.
    Terminal,
}

/// What a machine is made of.
pub struct Parts<'a> {
    /// Which host it is.
    pub host: &'a Host,
    /// Its qcow2 disk.
    pub disk: &'a Path,
    /// A read-only disk with files for the host (see [`crate::payload`]).
    pub payload: &'a Path,
    /// Folder for sockets and the console log.
    pub folder: &'a Path,
    /// QEMU's `-accel`.
    pub accelerator: &'a str,
}

/// A host that runs. Dropping it is a power cut.
pub struct Machine {
    child: Child,
    /// The way to run scripts in it.
    pub agent: Agent,
    control: BufReader<UnixStream>,
    /// What QEMU itself has to say.
    messages: PathBuf,
    console: PathBuf,
    resets: u32,
}

impl Machine {
    /// Starts a machine and waits until the host is at rest.
    pub fn start(parts: &Parts<'_>, start: &Start<'_>, console: Console) -> Result<Self> {
        let [agent, control, log] =
            ["agent", "control", CONSOLE].map(|name| parts.folder.join(name));
        for socket in [&agent, &control] {
            match fs::remove_file(socket) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        // The kernel kills QEMU when the lab dies, however it dies.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        command.args(arguments(parts, &agent, &control, &log, console)?);
        match start {
            Start::Boot => {}
            Start::Kernel(folder) => {
                let root = partitions::ROOT;
                command
                    .arg("-kernel")
                    .arg(folder.join(KERNEL))
                    .arg("-initrd")
                    .arg(folder.join(INITRAMFS))
                    .arg("-append")
                    .arg(format!("root=UUID={root} ro {}", recipe::WORDS));
            }
            Start::Saved(state) => {
                command
                    .arg("-incoming")
                    .arg(format!("file:{}", text(state)?));
            }
        }
        let messages = parts.folder.join("qemu.log");
        command.stderr(File::create(&messages)?);
        if console == Console::Log {
            // Ctrl-C is for the lab, which then ends the machine.
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .process_group(0);
        }
        let mut child = command
            .spawn()
            .context(|| "cannot start setpriv".to_owned())?;
        let channels = connect(&mut child, &agent, &messages).and_then(|agent| {
            let control = connect(&mut child, &control, &messages)?;
            Ok((Agent::new(agent)?, control))
        });
        let (agent, control) = match channels {
            Ok(channels) => channels,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        control.set_read_timeout(Some(ANSWER))?;
        let mut machine = Self {
            child,
            agent,
            control: BufReader::new(control),
            messages,
            console: log,
            resets: 0,
        };
        machine.read_control()?;
        machine.control("qmp_capabilities", &json!({}))?;
        match start {
            Start::Boot | Start::Kernel(_) => machine.wait_for_boot()?,
            Start::Saved(_) => {
                machine.wait_for_status("query-status", "paused")?;
                machine.control("cont", &json!({}))?;
                machine.agent.greet(ANSWER)?;
            }
        }
        Ok(machine)
    }

    /// Waits for another boot to come to rest.
    ///
    /// On a busy machine emulation sometimes loses a processor's timer, and the kernel of the host
    /// says so and hangs. That is no host's fault: it gets a push of the reset button.
    pub fn wait_for_boot(&mut self) -> Result<()> {
        let mut seen = fs::metadata(&self.console).map_or(0, |console| console.len());
        for _ in 0..RESETS {
            let until = Instant::now() + BOOT;
            let booted = loop {
                if self.agent.sees_boot(LOOK)? {
                    break true;
                }
                if stalled(&self.console, seen) {
                    break false;
                }
                ensure!(Instant::now() < until, "the host does not boot");
            };
            if booted {
                let console = &self.console;
                let hope = || !stalled(console, seen);
                match self.agent.run_while(AT_REST, SETTLE, &hope) {
                    Ok(output) if output.status == 0 => return Ok(()),
                    _ if stalled(console, seen) => {}
                    Ok(output) => bail!("the host does not come to rest: {}", output.said()),
                    Err(error) => bail!("the host does not come to rest: {error}"),
                }
            }
            println!("        the emulated processor lost its timer: reset");
            seen = fs::metadata(&self.console)?.len();
            self.resets += 1;
            self.control("system_reset", &json!({}))?;
        }
        bail!("the host stalls at every boot")
    }

    /// How often the reset button was pushed.
    pub fn resets(&self) -> u32 {
        self.resets
    }

    /// Reboots through firmware and boot loader.
    pub fn reboot(&mut self) -> Result<()> {
        // In rescue mode the agent is stopped before it can answer.
        self.agent.order("systemctl --no-block reboot")?;
        self.wait_for_boot()
    }

    /// Reboots; the host comes up, and then reboots once more by itself.
    pub fn reboot_twice(&mut self) -> Result<()> {
        self.agent.order("systemctl --no-block reboot")?;
        ensure!(self.agent.sees_boot(BOOT)?, "the host does not boot");
        self.wait_for_boot()
    }

    /// Shuts the host down in order.
    pub fn power_off(mut self) -> Result<()> {
        self.agent.order("systemctl --no-block poweroff")?;
        self.agent.wait_for_end(SETTLE)?;
        self.child.wait()?;
        Ok(())
    }

    /// How QEMU itself died: by a signal that nobody here sent, with its last words. No host can do that.
    pub fn death(&mut self) -> Option<String> {
        if !self.agent.ended() {
            return None;
        }
        let until = Instant::now() + END;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                _ => return None,
            }
        };
        let said = fs::read_to_string(&self.messages).unwrap_or_default();
        let said = said.lines().last().unwrap_or_default();
        status
            .signal()
            .map(|signal| format!("signal {signal} {said}"))
    }

    /// Takes the power away: nothing in the host gets a chance to finish.
    pub fn cut(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Writes the running machine to a file and ends it; its disk stays as the state needs it.
    pub fn save(mut self, state: &Path) -> Result<()> {
        self.agent.succeed("sync", ANSWER)?;
        self.control("stop", &json!({}))?;
        let uri = format!("file:{}", text(state)?);
        self.control("migrate", &json!({ "uri": uri }))?;
        self.wait_for_status("query-migrate", "completed")?;
        self.control("quit", &json!({}))?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for whoever uses the console to end the machine.
    pub fn wait(mut self) -> Result<()> {
        while self.child.try_wait()?.is_none() {
            ensure!(!interrupt::requested(), "interrupted");
            // The one place that waits for a person.
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Asks until QEMU is in a state.
    fn wait_for_status(&mut self, question: &str, wanted: &str) -> Result<()> {
        let until = Instant::now() + ANSWER * 2;
        loop {
            let answer = self.control(question, &json!({}))?;
            match answer["status"].as_str() {
                Some(status) if status == wanted => return Ok(()),
                Some("failed") => bail!("QEMU: {question}: {answer}"),
                _ => {}
            }
            ensure!(
                Instant::now() < until,
                "QEMU is not {wanted} in time: {answer}"
            );
            ensure!(!interrupt::requested(), "interrupted");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives QEMU itself an order.
    fn control(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.ask(command, arguments).map_err(|error| {
            let said = fs::read_to_string(&self.messages).unwrap_or_default();
            format!("QEMU: {command}: {error}\n{said}").into()
        })
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let order = json!({ "execute": command, "arguments": arguments });
        writeln!(self.control.get_mut(), "{order}")?;
        loop {
            let answer = self.read_control()?;
            if let Some(result) = answer.get("return") {
                return Ok(result.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("{error}");
            }
        }
    }

    fn read_control(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self
            .control
            .read_line(&mut line)
            .context(|| "QEMU is silent".to_owned())?;
        ensure!(count > 0, "QEMU ended");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the kernel complained of a stall since that byte of the console.
pub fn stalled(console: &Path, since: u64) -> bool {
    stalls(console, since) > 0
}

/// How often it did; a processor that has lost its timer for good goes on.
pub fn stalls(console: &Path, since: u64) -> usize {
    let mut text = Vec::new();
    let read = File::open(console).and_then(|mut console| {
        console.seek(SeekFrom::Start(since))?;
        console.read_to_end(&mut text)
    });
    let text = String::from_utf8_lossy(&text);
    match read {
        Ok(_) => STALLS.iter().map(|stall| text.matches(stall).count()).sum(),
        Err(_) => 0,
    }
}

/// QEMU's whole command line.
fn arguments(
    parts: &Parts<'_>,
    agent: &Path,
    control: &Path,
    log: &Path,
    console: Console,
) -> Result<Vec<String>> {
    let mut all = vec![
        "-nodefaults".to_owned(),
        "-display".to_owned(),
        "none".to_owned(),
    ];
    all.extend(parts.host.arguments(parts.accelerator));
    let mut push = |option: &str, value: String| all.extend([option.to_owned(), value]);
    if parts.host.recipe.firmware == Firmware::Efi {
        let file = option(Path::new(efi::CODE))?;
        push(
            "-drive",
            format!("if=pflash,unit=0,file={file},format=raw,readonly=on"),
        );
        let file = option(&efi::variables(parts.disk))?;
        push(
            "-drive",
            format!("if=pflash,unit=1,file={file},format=qcow2,cache=directsync"),
        );
    }
    // Directly to the disk: what the host believes written survives a power cut.
    push(
        "-drive",
        format!(
            "file={},format=qcow2,if=none,id=root,cache=directsync",
            option(parts.disk)?
        ),
    );
    push(
        "-device",
        "virtio-blk-pci,drive=root,addr=0x8,bootindex=1".to_owned(),
    );
    push(
        "-drive",
        format!(
            "file={},format=raw,if=none,id=payload,readonly=on",
            option(parts.payload)?
        ),
    );
    push(
        "-device",
        "virtio-blk-pci,drive=payload,serial=payload,addr=0xa".to_owned(),
    );
    let guest = guest_system::beside(parts.disk);
    if parts.host.guest {
        // What is lost with the power here is of no interest.
        let file = option(&guest)?;
        push(
            "-drive",
            format!("file={file},format=qcow2,if=none,id=guest,cache=unsafe,discard=unmap"),
        );
        let serial = guest_system::SERIAL;
        push(
            "-device",
            format!("virtio-blk-pci,drive=guest,serial={serial},addr=0xb"),
        );
    }
    let log = option(log)?;
    push(
        "-chardev",
        match console {
            Console::Log => format!("file,id=console,path={log},append=on"),
            Console::Terminal => {
                format!("stdio,id=console,mux=on,signal=off,logfile={log},logappend=on")
            }
        },
    );
    push("-serial", "chardev:console".to_owned());
    push(
        "-chardev",
        format!("socket,id=agent,path={},server=on,wait=on", option(agent)?),
    );
    push("-serial", "chardev:agent".to_owned());
    push(
        "-qmp",
        format!("unix:{},server=on,wait=off", option(control)?),
    );
    if console == Console::Terminal {
        push("-mon", "chardev=console".to_owned());
    }
    Ok(all)
}

/// Connects to a socket that QEMU is about to open.
fn connect(child: &mut Child, socket: &Path, messages: &Path) -> Result<UnixStream> {
    let until = Instant::now() + ANSWER;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > until => {
                bail!("QEMU does not open {}: {error}", socket.display())
            }
            Err(_) => {}
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(messages).unwrap_or_default();
            bail!("QEMU ended at once ({status}): {said}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// QEMU takes text only.
fn text(path: &Path) -> Result<&str> {
    Ok(path
        .to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()))?)
}

/// A path inside an option list, where a comma must be doubled.
fn option(path: &Path) -> Result<String> {
    Ok(text(path)?.replace(',', ",,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(console: Console) -> String {
        line_of("intel", console)
    }

    fn line_of(host: &str, console: Console) -> String {
        let parts = Parts {
            host: crate::host::find(host).unwrap(),
            disk: Path::new("/a,b/disk"),
            payload: Path::new("/payload"),
            folder: Path::new("/room"),
            accelerator: SOFTWARE,
        };
        let [agent, control, log] = ["/room/agent", "/room/control", "/room/log"].map(Path::new);
        arguments(&parts, agent, control, log, console)
            .unwrap()
            .join(" ")
    }

    #[test]
    fn a_guests_disk_is_where_a_host_has_one() {
        let with = line_of("guests", Console::Log);
        assert!(with.contains("file=/a,,b/disk.guest,format=qcow2,if=none,id=guest,"));
        assert!(with.contains("virtio-blk-pci,drive=guest,serial=guest,"));
        assert!(!line(Console::Log).contains("disk.guest"));
    }

    #[test]
    fn writes_reach_the_disk_and_commas_are_doubled() {
        assert!(
            line(Console::Log)
                .contains("file=/a,,b/disk,format=qcow2,if=none,id=root,cache=directsync")
        );
    }

    #[test]
    fn efi_variables_belong_to_the_disk() {
        let line = line_of("uki", Console::Log);
        assert!(
            line.contains("if=pflash,unit=1,file=/a,,b/disk.efi,format=qcow2,cache=directsync")
        );
        assert!(!line_of("intel", Console::Log).contains("pflash"));
    }

    #[test]
    fn machine_state_does_not_depend_on_the_console() {
        let devices = |line: &str| {
            line.split(" -")
                .filter(|part| part.starts_with("device"))
                .count()
        };
        assert_eq!(
            devices(&line(Console::Log)),
            devices(&line(Console::Terminal))
        );
    }
}
