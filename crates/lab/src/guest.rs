//! A guest inside the lab host that owns a card.

use std::fmt::Write as _;
use std::time::Duration;

use crate::agent::Agent;
use crate::error::Result;
use crate::{bail, ensure};

/// What the guest reported.
#[derive(Debug)]
pub struct Seen {
    /// `vendor:device` of every function in the guest, in address order.
    pub ids: Vec<String>,
    /// `kvm` or `tcg`, as seen from the lab host.
    pub accelerator: String,
}

/// The emulated processor has AMD's extensions, so the guest usually gets real KVM.
const PREPARE: &str = "modprobe -q kvm_amd || modprobe -q kvm_intel
accelerator=tcg processor=max
if [ -w /dev/kvm ]; then accelerator=kvm processor=host; fi
echo \"@accelerator $accelerator\"
";

/// Boots a guest with these functions of the host; it lists what it has and powers off.
pub fn run(agent: &mut Agent, addresses: &[String]) -> Result<Seen> {
    let mut script = PREPARE.to_owned();
    script.push_str(
        "exec timeout 500 qemu-system-x86_64 -nodefaults -machine q35 -m 256 -display none \
         -accel $accelerator -cpu $processor -serial stdio -no-reboot \
         -kernel /vmlinuz -initrd /usr/local/lib/lab/nested.cpio \
         -append 'console=ttyS0 quiet panic=-1'",
    );
    for address in addresses {
        let _ = write!(script, " -device vfio-pci,host={address}");
    }
    let output = agent.run(&script, Duration::from_secs(600))?;
    match parse(&output.text()) {
        Some(seen) if output.status == 0 => Ok(seen),
        _ => bail!(
            "the guest did not run ({}): {}",
            output.status,
            output.said()
        ),
    }
}

fn parse(text: &str) -> Option<Seen> {
    let mut seen = Seen {
        ids: Vec::new(),
        accelerator: String::new(),
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["@accelerator", accelerator] => seen.accelerator = (*accelerator).to_owned(),
            ["@nested", "end"] => return Some(seen),
            ["@nested", _, id] => seen.ids.push((*id).to_owned()),
            _ => {}
        }
    }
    None
}

impl Seen {
    /// Fails unless the guest has each of these.
    pub fn must_have(&self, ids: &[&str]) -> Result<()> {
        for id in ids {
            ensure!(
                self.ids.iter().any(|seen| seen == id),
                "the guest does not see {id}, only {}",
                self.ids.join(", ")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_list_counts() {
        let text = "@accelerator kvm\r\n@nested 0000:00:01.0 1002:5159\r\n@nested end\r\n[ 1] off";
        let seen = parse(text).unwrap();
        assert_eq!(seen.accelerator, "kvm");
        seen.must_have(&["1002:5159"]).unwrap();
        assert!(seen.must_have(&["8086:293e"]).is_err());
        assert!(parse("@nested 0000:00:01.0 1002:5159\n").is_none());
    }
}
