//! A guest of libvirt inside a lab host: started, reached over SSH, stopped, and where it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::agent::Agent;
use crate::error::{Context as _, Result};
use crate::pci::{self, Functions};
use crate::{bail, ensure};

/// What belongs to it in the host, where no reboot finds it again.
const FOLDER: &str = "/run/lab-guest";
/// The public half of the key that it is reached with.
pub const PUBLIC_KEY: &str = "/run/lab-guest/key.pub";

const SHORT: Duration = Duration::from_secs(120);
/// Twice what the host itself is given below: clocks under emulation disagree.
const BOOT: Duration = Duration::from_secs(1200);

/// Host CPUs.
pub type Cpus = BTreeSet<u32>;

/// A guest that is defined in libvirt.
pub struct Domain<'a> {
    name: &'a str,
    user: &'a str,
    address: String,
}

/// Where a guest's threads may run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Host CPUs of each virtual CPU.
    pub vcpus: BTreeMap<u32, Cpus>,
    /// Of QEMU's own threads.
    pub emulator: Cpus,
    /// Of its I/O threads.
    pub io: Cpus,
}

/// A new key in the host, for guests that are made after it.
pub fn make_key(agent: &mut Agent) -> Result<()> {
    let script = format!(
        "mkdir -p {FOLDER} && rm -f {FOLDER}/key* && ssh-keygen -q -t ed25519 -N '' -f {FOLDER}/key"
    );
    agent.succeed(&script, SHORT).map(|_| ())
}

impl<'a> Domain<'a> {
    /// A guest whose user may log in with [`make_key`]'s key.
    pub fn new(name: &'a str, user: &'a str) -> Self {
        let address = String::new();
        Self {
            name,
            user,
            address,
        }
    }

    /// Follows its console, for [`Domain::last_words`].
    pub fn listen(&self, agent: &mut Agent) -> Result<()> {
        let name = self.name;
        let script = format!(
            "console=$(virsh ttyconsole {name}) && [ -n \"$console\" ]
(cat \"$console\" >{FOLDER}/console) </dev/null >/dev/null 2>&1 &"
        );
        agent.succeed(&script, SHORT).map(|_| ())
    }

    /// Waits until its user can log in at `address`.
    pub fn log_in(&mut self, agent: &mut Agent, address: &str) -> Result<()> {
        address.clone_into(&mut self.address);
        let ssh = self.ssh();
        agent
            .succeed(
                &format!("exec timeout 300 sh -c 'until {ssh} true; do sleep 2; done'"),
                BOOT,
            )
            .map(|_| ())
    }

    fn ssh(&self) -> String {
        let (user, address) = (self.user, &self.address);
        format!(
            "ssh -i {FOLDER}/key -o BatchMode=yes -o ConnectTimeout=20 -o LogLevel=ERROR \
             -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {user}@{address}"
        )
    }

    /// Runs a script in the guest as its user; it must succeed.
    pub fn run(&self, agent: &mut Agent, script: &str) -> Result<String> {
        let ssh = self.ssh();
        agent.succeed(&format!("{ssh} sh -s <<'LAB'\n{script}\nLAB"), SHORT * 2)
    }

    /// The guest's own PCI functions.
    pub fn functions(&self, agent: &mut Agent) -> Result<Functions> {
        pci::parse(&self.run(agent, pci::LIST)?)
    }

    /// Where libvirt says that its threads may run.
    pub fn told(&self, agent: &mut Agent) -> Result<Placement> {
        let name = self.name;
        told(&agent.succeed(
            &format!(
                "set -e
virsh vcpupin {name} | sed 's/^/vcpu /'
virsh emulatorpin {name} | sed 's/^/emulator /'
virsh iothreadinfo {name} | sed 's/^/io /'"
            ),
            SHORT,
        )?)
    }

    /// Where the kernel lets them run.
    pub fn found(&self, agent: &mut Agent) -> Result<Placement> {
        let name = self.name;
        found(&agent.succeed(
            &format!(
                "read -r pid </run/libvirt/qemu/{name}.pid || [ -n \"$pid\" ]
for task in /proc/$pid/task/*; do
    echo \"$pid ${{task##*/}} $(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' $task/status) $(cat $task/comm)\"
done"
            ),
            SHORT,
        )?)
    }

    /// Whether it runs and never came as far as a login prompt on its console.
    pub fn hangs(&self, agent: &mut Agent) -> Result<bool> {
        let script = format!(
            "[ \"$(virsh domstate {})\" = running ] && ! grep -aq 'login:' {FOLDER}/console",
            self.name
        );
        Ok(agent.run(&script, SHORT)?.status == 0)
    }

    /// What there is to read when something went wrong.
    pub fn last_words(&self, agent: &mut Agent) -> String {
        let name = self.name;
        let script = format!(
            "virsh domstate {name} --reason; tail -n 40 {FOLDER}/console
tail -n 10 /var/log/libvirt/qemu/{name}.log"
        );
        agent
            .run(&script, SHORT)
            .map_or_else(|error| error.to_string(), |output| output.said())
    }
}

/// A list of CPUs as the kernel and libvirt write it: `0-1,4`.
pub fn cpus(list: &str) -> Result<Cpus> {
    let mut all = Cpus::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |word: &str| {
            word.parse::<u32>()
                .context(|| format!("not a list of CPUs: {list:?}"))
        };
        all.extend(number(first)?..=number(last)?);
    }
    Ok(all)
}

fn told(text: &str) -> Result<Placement> {
    let mut placement = Placement::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["vcpu", number, list] if number.parse::<u32>().is_ok() => {
                placement.vcpus.insert(number.parse()?, cpus(list)?);
            }
            ["emulator", "*:", list] => placement.emulator = cpus(list)?,
            ["io", number, list] if number.parse::<u32>().is_ok() => {
                placement.io.extend(cpus(list)?);
            }
            _ => {}
        }
    }
    Ok(placement)
}

/// One line a thread: process, thread, allowed CPUs, name.
fn found(text: &str) -> Result<Placement> {
    let mut placement = Placement::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // With libvirt's debug-threads QEMU names its threads so.
            [_, _, list, "CPU", name] => {
                let Some(number) = name.strip_suffix("/KVM") else {
                    bail!("not a virtual CPU of KVM: {line:?}");
                };
                placement.vcpus.insert(number.parse()?, cpus(list)?);
            }
            [_, _, list, "IO", name] if name.starts_with("iothread") => {
                placement.io.extend(cpus(list)?);
            }
            [process, thread, list, ..] if process == thread => placement.emulator = cpus(list)?,
            _ => {}
        }
    }
    ensure!(
        !placement.emulator.is_empty(),
        "not threads of QEMU: {text}"
    );
    Ok(placement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        Placement {
            vcpus: [(0, [2].into()), (1, [3].into())].into(),
            emulator: [0, 1].into(),
            io: [0, 1].into(),
        }
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(cpus("0-2,5").unwrap(), [0, 1, 2, 5].into());
        assert!(cpus("").unwrap().is_empty());
        assert!(cpus("all").is_err());
    }

    #[test]
    fn virsh_is_read() {
        let text = "vcpu  VCPU   CPU Affinity\nvcpu ----------\nvcpu  0      2\nvcpu  1      3\nvcpu \n\
                    emulator emulator: CPU Affinity\nemulator ------\nemulator        *: 0-1\nemulator \n\
                    io  IOThread ID   CPU Affinity\nio ------\nio  1             0-1\n";
        assert_eq!(told(text).unwrap(), placement());
    }

    #[test]
    fn threads_are_read() {
        let text = "845 845 0-1 qemu-system-x86\n845 846 0-3 qemu-system-x86\n845 850 0-1 IO iothread1\n\
                    845 851 0-3 IO mon_iothread\n845 852 2 CPU 0/KVM\n845 853 3 CPU 1/KVM\n\
                    845 900 2 kvm-nx-lpage-re\n";
        assert_eq!(found(text).unwrap(), placement());
        assert!(found("").is_err());
    }
}
