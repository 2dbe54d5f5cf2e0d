//! libvirt's system daemon, asked through virsh(1): the only place that calls it.
//!
//! No message of virsh is parsed: whether a domain exists is asked by listing names, and what it is
//! by its XML.

mod running;

pub use running::{Started, State, Way};

use std::{path::Path, sync::atomic::AtomicBool, time::Duration};

use thiserror::Error;

use crate::{
    exec::{Exec, ExecError, Watch},
    root::Root,
};

/// virsh, for the guests of the whole host, whoever the caller is.
const VIRSH: [&str; 4] = ["virsh", "--quiet", "--connect", "qemu:///system"];

/// How long the daemon has for an answer. It is started by its socket and reads every domain first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Known to virsh since 8.9.
const KEEP_TPM: &str = "--keep-tpm";

/// Why libvirt did not do what was asked.
#[derive(Debug, Error)]
pub enum LibvirtError {
    /// virsh could not be started, or did not answer.
    #[error("libvirt did not answer ({0})")]
    Silent(#[from] ExecError),
    /// It answered that it will not.
    #[error("libvirt refuses: {said}")]
    Refused {
        /// What it said, on one line.
        said: String,
    },
}

impl LibvirtError {
    /// What can be done about it.
    pub fn way_out(&self) -> String {
        let daemon = Root::open(Path::new("/")).map_or(LIBVIRTD, |root| daemon(&root));
        match self {
            Self::Silent(_) => format!(
                "is libvirt installed, with virsh, and does it run? systemctl status {daemon}"
            ),
            Self::Refused { .. } if !rustix::process::geteuid().is_root() => {
                "libvirt's system daemon may not let you in: run it with sudo, or once: sudo \
                 usermod -aG libvirt $USER, and log in again"
                    .into()
            }
            Self::Refused { .. } => {
                format!("libvirt's log says more: sudo journalctl -u {daemon} -n 30")
            }
        }
    }
}

const LIBVIRTD: &str = "libvirtd";
const VIRTQEMUD: &str = "virtqemud";

/// The unit of the daemon that has the guests: one for all drivers, or one for QEMU alone (libvirt's
/// docs/daemons.rst). Where both are installed, the socket that is enabled says which one answers.
fn daemon(root: &Root) -> &'static str {
    let unit = |name: &str| {
        ["/usr/lib/systemd/system", "/lib/systemd/system"]
            .iter()
            .any(|directory| root.exists(&format!("{directory}/{name}.service")))
    };
    let enabled = "/etc/systemd/system/sockets.target.wants/virtqemud.socket";
    if unit(VIRTQEMUD) && (!unit(LIBVIRTD) || root.link_name(enabled).is_some()) {
        VIRTQEMUD
    } else {
        LIBVIRTD
    }
}

/// The guests of a host.
pub struct Libvirt<'a> {
    exec: &'a dyn Exec,
    cancel: Option<&'a AtomicBool>,
}

impl<'a> Libvirt<'a> {
    /// Asks through `exec`; gives up when `cancel` becomes true.
    pub const fn new(exec: &'a dyn Exec, cancel: Option<&'a AtomicBool>) -> Self {
        Self { exec, cancel }
    }

    /// What virsh prints for `arguments`. A name goes into an argument as `--domain=NAME`, so that one
    /// that begins with a dash is no option.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn ask(&self, arguments: &[&str]) -> Result<String, LibvirtError> {
        let argv: Vec<&str> = VIRSH.iter().chain(arguments).copied().collect();
        let watch = Watch {
            deadline: PATIENCE,
            grace: Duration::from_secs(2),
            cancel: self.cancel,
        };
        let answer = self.exec.ask(&argv, &watch)?;
        if answer.success() {
            return Ok(answer.out);
        }
        let text = if answer.complaints.trim().is_empty() {
            &answer.out
        } else {
            &answer.complaints
        };
        Err(LibvirtError::Refused { said: said(text) })
    }

    /// The names of all domains, in libvirt's order.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn domains(&self) -> Result<Vec<String>, LibvirtError> {
        self.names(&["list", "--all", "--name"])
    }

    /// The domain `name` runs, or is paused.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn is_active(&self, name: &str) -> Result<bool, LibvirtError> {
        let names = self.names(&["list", "--name"])?;
        Ok(names.iter().any(|one| one == name))
    }

    /// How the domain `name` will start next, as libvirt writes it, secrets included; `None` if there
    /// is no such domain. Only root sees it, and it is stored where only root can read.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn definition(&self, name: &str) -> Result<Option<String>, LibvirtError> {
        // A domain of which only the running half exists has no definition.
        let persistent = self.names(&["list", "--all", "--persistent", "--name"])?;
        if !persistent.iter().any(|one| one == name) {
            return Ok(None);
        }
        let xml = self.ask(&[
            "dumpxml",
            "--inactive",
            "--security-info",
            &format!("--domain={name}"),
        ])?;
        // virsh ends every answer with an empty line more than the text has.
        Ok(Some(format!("{}\n", xml.trim_end_matches('\n'))))
    }

    /// Makes the domain that the file at `path` describes, or gives an existing one of that name and
    /// UUID this description. libvirt holds it to its schema first.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn define(&self, path: &str) -> Result<(), LibvirtError> {
        self.ask(&["define", "--validate", &format!("--file={path}")])
            .map(drop)
    }

    /// Forgets the domain `name` and its firmware's variables: libvirt would give them to the next
    /// guest of that name. With `keep_tpm` the state of its TPM stays, which may hold the key to its
    /// disk; false if this virsh knows no such option, and nothing was done.
    ///
    /// # Errors
    /// See [`LibvirtError`].
    pub fn undefine(&self, name: &str, keep_tpm: bool) -> Result<bool, LibvirtError> {
        let name = format!("--domain={name}");
        let mut arguments = vec!["undefine", "--nvram"];
        arguments.extend(keep_tpm.then_some(KEEP_TPM));
        arguments.push(&name);
        match self.ask(&arguments) {
            // "command 'undefine' doesn't support option --keep-tpm"
            Err(LibvirtError::Refused { said }) if keep_tpm && said.contains(KEEP_TPM) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    fn names(&self, arguments: &[&str]) -> Result<Vec<String>, LibvirtError> {
        let text = self.ask(arguments)?;
        let names = text.lines().filter(|line| !line.is_empty());
        Ok(names.map(str::to_owned).collect())
    }
}

/// What virsh complained of, on one line.
fn said(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("error: "));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_that_is_there() {
        let named = |files: &[&str], enabled: bool| {
            let directory = tempfile::tempdir().unwrap();
            let units = directory.path().join("usr/lib/systemd/system");
            std::fs::create_dir_all(&units).unwrap();
            for file in files {
                std::fs::write(units.join(file), "").unwrap();
            }
            if enabled {
                let wants = directory
                    .path()
                    .join("etc/systemd/system/sockets.target.wants");
                std::fs::create_dir_all(&wants).unwrap();
                let target = "/usr/lib/systemd/system/virtqemud.socket";
                std::os::unix::fs::symlink(target, wants.join("virtqemud.socket")).unwrap();
            }
            daemon(&Root::open(directory.path()).unwrap())
        };
        assert_eq!(named(&["virtqemud.service"], true), VIRTQEMUD);
        assert_eq!(named(&["virtqemud.service"], false), VIRTQEMUD);
        assert_eq!(named(&["libvirtd.service"], false), LIBVIRTD);
        let both = ["libvirtd.service", "virtqemud.service"];
        assert_eq!(named(&both, false), LIBVIRTD);
        assert_eq!(named(&both, true), VIRTQEMUD);
        assert_eq!(named(&[], false), LIBVIRTD);
    }
}
