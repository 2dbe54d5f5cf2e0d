//! Is a trial boot as good as what was there before? Answers, one per thing that may have broken.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    Measured,
    facts::{Facts, Health},
    finding::{Finding, Severity, Status},
    plan::Plan,
    rules,
    verify::{State, verify},
};

/// Desktops' logins. A host that gives its only picture away does without.
const DESKTOPS: [&str; 10] = [
    "gdm.service",
    "gdm3.service",
    "sddm.service",
    "lightdm.service",
    "lxdm.service",
    "greetd.service",
    "ly.service",
    "xdm.service",
    "cosmic-greeter.service",
    "plasmalogin.service",
];

/// Services that a host is lost without: how one logs in, from near and from far. Each is held to
/// only if it ran before.
const SERVICES: [&str; 13] = [
    "ssh.service",
    "sshd.service",
    "dropbear.service",
    "NetworkManager.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "wickedd.service",
    "connman.service",
    "dhcpcd.service",
    "iwd.service",
    "wpa_supplicant.service",
    "tailscaled.service",
    "dbus.service",
];

/// Beginnings of units that serve NVIDIA's driver, and fail without a card that it has.
const OF_NVIDIA: [&str; 3] = ["nvidia-", "dcgm", "nv-hostengine"];

/// The running system is a trial boot.
pub fn is_running(facts: &Facts) -> bool {
    rules::trial_is_running(facts)
}

/// Whether the trial boot of `tried`, which now runs, is as planned and as good as what was there
/// before. A trial is kept only if [`proved`].
pub fn judge(facts: &Facts, tried: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    found.push(entry(facts));
    found.push(functions(facts, tried));
    if let Some(trial) = &tried.trial {
        let judge = Judge {
            tried,
            no_nvidia: !facts
                .functions
                .iter()
                .any(|f| f.driver.as_deref() == Some("nvidia")),
            before: &trial.baseline,
            now: &facts.health,
        };
        found.push(judge.display());
        found.push(judge.services());
        found.push(judge.failed_units());
        found.push(judge.routes());
        found.push(judge.resolver());
        found.push(judge.keyboards());
        found.push(judge.mounts());
        found.push(judge.kernel_log());
    }
    found
}

/// No answer is no, and what must be known is known.
pub fn proved(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| match finding.status {
        Status::Yes => true,
        Status::No => false,
        Status::Unknown => finding.severity != Severity::Blocker,
    })
}

/// Nothing that says no can become better by waiting. Networks and desktops come late; a unit that
/// failed stays so, and a bug in the kernel's log too.
pub fn decided(findings: &[Finding]) -> bool {
    const FINAL: [&str; 4] = [
        "trial.entry",
        "trial.functions",
        "trial.failed-units",
        "trial.kernel-log",
    ];
    proved(findings)
        || findings
            .iter()
            .any(|finding| finding.status == Status::No && FINAL.contains(&finding.id.as_str()))
}

fn finding(id: &str, title: &str, severity: Severity, why: &str) -> Finding {
    Finding {
        id: id.into(),
        title: title.into(),
        status: Status::Yes,
        severity,
        evidence: Vec::new(),
        why: why.into(),
        remedy: None,
    }
}

fn entry(facts: &Facts) -> Finding {
    let mut answer = finding(
        "trial.entry",
        "this boot is the trial",
        Severity::Blocker,
        "without the trial entry's words nothing was tried",
    );
    match facts.kernel.cmdline.why_not() {
        Some(why) => unknown(&mut answer, why),
        None if is_running(facts) => {}
        None => no(
            &mut answer,
            ["passthru.trial is not on the kernel command line".into()],
        ),
    }
    answer
}

fn functions(facts: &Facts, tried: &Plan) -> Finding {
    let mut answer = finding(
        "trial.functions",
        "every planned function is on vfio-pci, and its group is viable",
        Severity::Blocker,
        "this is what the change is for",
    );
    let verification = verify(facts, &tried.intent);
    answer.evidence = verification
        .devices
        .iter()
        .map(|device| {
            let driver = device.driver.as_deref().unwrap_or("no driver");
            format!("{} {driver}", device.address)
        })
        .collect();
    if verification.state != State::Done {
        let devices = verification
            .devices
            .iter()
            .filter_map(|device| Some(format!("{}: {}", device.address, device.why.as_ref()?)));
        let reasons: Vec<String> = verification.drift.iter().cloned().chain(devices).collect();
        no(&mut answer, reasons);
    }
    answer
}

fn unknown(answer: &mut Finding, why: &str) {
    answer.status = Status::Unknown;
    answer.evidence.push(format!("not measured: {why}"));
}

fn no(answer: &mut Finding, evidence: impl IntoIterator<Item = String>) {
    answer.status = Status::No;
    answer.evidence = evidence.into_iter().collect();
}

struct Judge<'a> {
    tried: &'a Plan,
    /// The host has no card left for NVIDIA's driver.
    no_nvidia: bool,
    before: &'a Health,
    now: &'a Health,
}

impl Judge<'_> {
    /// That this unit is gone is what giving the card away means.
    fn is_given_up(&self, unit: &str) -> bool {
        self.tried.intent.headless && DESKTOPS.contains(&unit)
            || self.no_nvidia && OF_NVIDIA.iter().any(|begin| unit.starts_with(begin))
    }

    /// Answers with what `missing` finds between what was measured before and now.
    fn compare<T>(
        &self,
        mut answer: Finding,
        of: impl Fn(&Health) -> &Measured<T>,
        missing: impl FnOnce(&T, &T) -> Vec<String>,
    ) -> Finding {
        let (before, now) = (of(self.before), of(self.now));
        match (before.value(), now.value()) {
            (Some(before), Some(now)) => {
                let missing = missing(before, now);
                if !missing.is_empty() {
                    no(&mut answer, missing);
                }
            }
            (None, _) => unknown(&mut answer, before.why_not().unwrap_or_default()),
            (_, None) => unknown(&mut answer, now.why_not().unwrap_or_default()),
        }
        answer
    }

    fn display(&self) -> Finding {
        let answer = finding(
            "trial.display",
            "every GPU that the host keeps still drives a screen, if it did",
            Severity::Warning,
            "a host without a picture cannot be repaired by who sits before it",
        );
        let function = |line: &str| line.split(' ').next().unwrap_or_default().to_string();
        let kept = |name: &str| {
            !self
                .tried
                .bindings
                .iter()
                .any(|bound| bound.function.address.to_string() == name)
        };
        self.compare(
            answer,
            |health| &health.connectors,
            |before, now| {
                let mut dark: Vec<String> = before
                    .iter()
                    .map(|line| function(line))
                    .filter(|name| kept(name))
                    .filter(|name| !now.iter().any(|line| function(line) == *name))
                    .map(|name| format!("{name} had a connected screen and has none now"))
                    .collect();
                dark.dedup();
                dark
            },
        )
    }

    fn services(&self) -> Finding {
        let answer = finding(
            "trial.services",
            "the services that let one log in run as before",
            Severity::Warning,
            "a desktop or a network that does not come up locks its user out",
        );
        self.compare(
            answer,
            |health| &health.services,
            |before, now| {
                before
                    .iter()
                    .filter(|name| {
                        let login = |list: &[&str]| list.contains(&name.as_str());
                        (login(&SERVICES) || login(&DESKTOPS)) && !now.contains(name)
                    })
                    .filter(|name| !self.is_given_up(name))
                    .map(|name| format!("{name} ran before and does not run now"))
                    .collect()
            },
        )
    }

    fn failed_units(&self) -> Finding {
        let answer = finding(
            "trial.failed-units",
            "no unit failed that had not failed before",
            Severity::Warning,
            "what systemd could not start tells what else the change broke",
        );
        self.compare(
            answer,
            |health| &health.failed_units,
            |before, now| {
                now.iter()
                    .filter(|name| !before.contains(name) && !self.is_given_up(name))
                    .map(|name| format!("{name} failed"))
                    .collect()
            },
        )
    }

    fn routes(&self) -> Finding {
        let answer = finding(
            "trial.network",
            "there is a default route, if there was one",
            Severity::Warning,
            "a server without a network is out of reach",
        );
        // Interfaces may be named anew when slots move.
        self.compare(
            answer,
            |health| &health.default_routes,
            |before, now| match (before.as_slice(), now.as_slice()) {
                ([], _) | (_, [_, ..]) => Vec::new(),
                (names, []) => alloc::vec![format!(
                    "there was one over {}, and there is none now",
                    names.join(", ")
                )],
            },
        )
    }

    fn resolver(&self) -> Finding {
        let answer = finding(
            "trial.resolver",
            "a name server is configured, if one was",
            Severity::Warning,
            "without one most of the network seems to be down",
        );
        self.compare(
            answer,
            |health| &health.resolver,
            |before, now| {
                if *before && !*now {
                    alloc::vec!["/etc/resolv.conf names none now".into()]
                } else {
                    Vec::new()
                }
            },
        )
    }

    fn keyboards(&self) -> Finding {
        let answer = finding(
            "trial.keyboard",
            "a keyboard is there, if one was",
            Severity::Warning,
            "nobody can log in at the machine without one",
        );
        self.compare(
            answer,
            |health| &health.keyboards,
            |before, now| {
                if before.is_empty() || !now.is_empty() {
                    Vec::new()
                } else {
                    alloc::vec![format!("{} is gone", before.join(", "))]
                }
            },
        )
    }

    fn mounts(&self) -> Finding {
        let answer = finding(
            "trial.boot-mounts",
            "/boot and the EFI system partition are mounted writable, as before",
            Severity::Warning,
            "without them the change can be neither kept nor taken back",
        );
        self.compare(
            answer,
            |health| &health.boot_mounts,
            |before, now| {
                before
                    .iter()
                    .filter(|path| !now.contains(path))
                    .map(|path| format!("{path} is not"))
                    .collect()
            },
        )
    }

    fn kernel_log(&self) -> Finding {
        let answer = finding(
            "trial.kernel-log",
            "the kernel log tells of no new bug and no fault of the IOMMU",
            Severity::Warning,
            "a device that reaches where it must not, or a driver that broke, gets worse with time",
        );
        self.compare(
            answer,
            |health| &health.kernel_faults,
            |before, now| {
                now.iter()
                    .filter(|line| !before.contains(line))
                    .cloned()
                    .collect()
            },
        )
    }
}
