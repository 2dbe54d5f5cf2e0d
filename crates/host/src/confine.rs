//! The host's own processes, kept off CPUs: `AllowedCPUs` of systemd's slices
//! (systemd.resource-control(5)), set with `--runtime` only, so that a reboot clears it.

use std::{io, time::Duration};

use passthru_plan::{
    guest::run::{held::Allowed, isolation::UNITS},
    text::cpulist::CpuSet,
};
use thiserror::Error;

use crate::{
    exec::{Exec, ExecError, Watch},
    root::Root,
};

/// How long systemd has for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the host's processes could not be confined.
#[derive(Debug, Error)]
pub enum ConfineError {
    /// There is no such control here, and why.
    #[error("{0}")]
    Missing(&'static str),
    /// systemctl could not be started, or did not answer.
    #[error(transparent)]
    Silent(#[from] ExecError),
    /// systemd says no.
    #[error("systemd refuses: {0}")]
    Refused(String),
    /// systemd said yes, and the kernel shows something else.
    #[error("{unit} may still use the CPUs {found}, not {wanted}")]
    Ineffective {
        /// The unit.
        unit: String,
        /// What the kernel shows.
        found: CpuSet,
        /// What was asked for.
        wanted: CpuSet,
    },
}

/// Whether the host has what it takes.
///
/// # Errors
/// What is missing.
pub fn available(root: &Root) -> Result<(), ConfineError> {
    if !root.exists("/run/systemd/system") {
        return Err(ConfineError::Missing(
            "the host was not started by systemd (/run/systemd/system is missing)",
        ));
    }
    let controllers = root.attribute("/sys/fs/cgroup/cgroup.controllers");
    let Some(controllers) = controllers else {
        return Err(ConfineError::Missing(
            "the host does not use cgroup v2 alone (/sys/fs/cgroup/cgroup.controllers is missing): systemd.unified_cgroup_hierarchy=0 on the kernel command line, or an old distribution",
        ));
    };
    if controllers.split_whitespace().any(|one| one == "cpuset") {
        Ok(())
    } else {
        Err(ConfineError::Missing(
            "the kernel has no controller cpuset for cgroup v2 (/sys/fs/cgroup/cgroup.controllers)",
        ))
    }
}

/// What the host's units are allowed now.
///
/// # Errors
/// See [`ConfineError`].
pub fn allowed(exec: &dyn Exec) -> Result<Vec<Allowed>, ConfineError> {
    UNITS
        .iter()
        .map(|unit| {
            let argv = [
                "systemctl",
                "show",
                "--property=AllowedCPUs",
                "--value",
                unit,
            ];
            let text = ask(exec, &argv)?;
            // `0-3 8`, with commas since some version.
            let list = text.split_whitespace().collect::<Vec<_>>().join(",");
            let cpus = CpuSet::from_list(&list)
                .ok_or_else(|| ConfineError::Refused(format!("AllowedCPUs of {unit} is {list}")))?;
            Ok(Allowed {
                unit: (*unit).into(),
                cpus,
            })
        })
        .collect()
}

/// Allows units these CPUs, and holds the kernel to it; `online` is what no limit means.
///
/// # Errors
/// See [`ConfineError`]; the units before the one that failed are changed.
pub fn allow(
    root: &Root,
    exec: &dyn Exec,
    units: &[Allowed],
    online: &CpuSet,
) -> Result<(), ConfineError> {
    for one in units {
        let wanted = if one.cpus.is_empty() {
            online
        } else {
            &one.cpus
        };
        set(exec, &one.unit, &wanted.to_string())?;
        if one.cpus.is_empty() {
            // Widened first: taking the limit away alone leaves older systemd's last value in force.
            set(exec, &one.unit, "")?;
        }
        let path = format!("/sys/fs/cgroup/{}/cpuset.cpus.effective", one.unit);
        // Without the file the controller is off there, and nothing is limited.
        let shown = root.attribute(&path);
        let found = shown.as_deref().and_then(CpuSet::from_list);
        let found = found.unwrap_or_else(|| online.clone());
        if found != wanted.among(online) {
            return Err(ConfineError::Ineffective {
                unit: one.unit.clone(),
                found,
                wanted: wanted.clone(),
            });
        }
    }
    Ok(())
}

fn set(exec: &dyn Exec, unit: &str, cpus: &str) -> Result<(), ConfineError> {
    let value = format!("AllowedCPUs={cpus}");
    ask(
        exec,
        &["systemctl", "set-property", "--runtime", unit, &value],
    )
    .map(drop)
}

fn ask(exec: &dyn Exec, argv: &[&str]) -> Result<String, ConfineError> {
    let watch = Watch {
        deadline: PATIENCE,
        grace: Duration::from_secs(2),
        cancel: None,
    };
    let answer = exec.ask(argv, &watch)?;
    if answer.success() {
        return Ok(answer.out);
    }
    let said = answer.complaints.trim();
    Err(if said.is_empty() {
        ConfineError::Silent(ExecError {
            program: "systemctl".into(),
            source: io::Error::other("it failed and said nothing"),
        })
    } else {
        ConfineError::Refused(said.into())
    })
}
