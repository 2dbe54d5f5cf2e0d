//! A host to try things on, and what a command left behind.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The binary under test.
pub(crate) const PASSTHRU: &str = env!("CARGO_BIN_EXE_passthru");

/// The functions of the sample's card.
pub(crate) const CARD: [&str; 4] = [
    "0000:01:00.0",
    "0000:01:00.1",
    "0000:01:00.2",
    "0000:01:00.3",
];

/// A scratch directory with the sample host in it.
pub(crate) struct Sample {
    dir: tempfile::TempDir,
}

/// What a command left behind.
#[must_use = "assert the exit status with .exits(n)"]
pub(crate) struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Sample {
    /// A fresh sample host.
    pub(crate) fn new() -> Self {
        let sample = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let root = sample.root();
        sample
            .bare(&["demo", "--write-sample", root.to_str().unwrap()])
            .exits(0);
        sample
    }

    /// The scratch directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The host's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// Removes a file of the host.
    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    /// Writes a file of the host.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file of the host.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    /// Tells the stand-ins to be `slow SECONDS`, or to `fail TOOL`; nothing makes them well again.
    pub(crate) fn tell(&self, directive: &str) {
        let marker = "A sample host of passthru.\n";
        self.write("etc/passthru-sample-host", &format!("{marker}{directive}"));
    }

    /// Takes the IOMMU's groups away, as on a kernel that does not use it.
    pub(crate) fn without_groups(&self) {
        std::fs::remove_dir_all(self.root().join("sys/kernel/iommu_groups")).unwrap();
        for device in std::fs::read_dir(self.root().join("sys/bus/pci/devices")).unwrap() {
            let group = device.unwrap().path().join("iommu_group");
            if group.is_symlink() {
                std::fs::remove_file(group).unwrap();
            }
        }
        self.remove("sys/class/iommu/ivhd0");
    }

    /// Paths, modes, links and bytes of the host, without passthru's own state.
    pub(crate) fn print(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        use std::os::unix::{ffi::OsStringExt, fs::MetadataExt};
        let mut open = vec![self.root()];
        let mut found = Vec::new();
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with("var/lib/passthru") {
                    continue;
                }
                let meta = path.symlink_metadata().unwrap();
                let bytes = if meta.is_dir() {
                    open.push(path.clone());
                    Vec::new()
                } else if meta.is_symlink() {
                    std::fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_vec()
                } else {
                    std::fs::read(&path).unwrap()
                };
                found.push((path, meta.mode(), bytes));
            }
        }
        found.sort();
        found
    }

    /// What became of its transactions, the oldest first.
    pub(crate) fn states(&self) -> Vec<String> {
        let value = self.run(&["history", "--json"]).json(0);
        let all = value["transactions"].as_array().unwrap();
        all.iter()
            .map(|one| one["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What a reboot does.
    pub(crate) fn reboot(&self) {
        let root = self.root();
        self.bare(&["demo", "--reboot-sample", root.to_str().unwrap()])
            .exits(0);
    }

    /// A command about the sample host.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&mut self.command(arguments))
    }

    /// The same, in a window of so many columns.
    pub(crate) fn run_in(&self, columns: u32, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        self.ran(command.env("COLUMNS", columns.to_string()))
    }

    /// The same as [`Sample::act`], stopped as by a crash at this failpoint.
    pub(crate) fn act_until(&self, failpoint: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.args(["--yes", "--sample-tools"]);
        self.ran(command.env("PASSTHRU_FAILPOINT", format!("{failpoint}=stop")))
    }

    /// A command that changes the sample host, with the stand-ins for its tools.
    pub(crate) fn act(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        self.ran(command.args(["--sample-tools", "--yes", "--wait", "0"]))
    }

    /// A command that is not about the sample host.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Ran {
        self.ran(clean(&mut Command::new(PASSTHRU)).args(arguments))
    }

    /// The same, without root's rights.
    pub(crate) fn unprivileged(&self, arguments: &[&str]) -> Ran {
        use std::os::unix::fs::PermissionsExt;
        // The build directory may be closed to others. cp(1) makes the copy, not this process: a
        // descriptor open for writing here would be inherited by whatever another test starts just
        // then, and until that one has called execve(2) the copy cannot be run (ETXTBSY).
        let binary = self.dir().join("passthru");
        let copied = Command::new("cp").arg(PASSTHRU).arg(&binary).status();
        assert!(copied.unwrap().success());
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.dir(), open).unwrap();
        let mut command = Command::new(binary);
        clean(&mut command).args(arguments);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        self.ran(&mut command)
    }

    /// A command about the sample host, to be started by the test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PASSTHRU);
        clean(&mut command)
            .args(arguments)
            .arg("--root")
            .arg(self.root());
        command
    }

    fn ran(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let text = text.replace(self.root().to_str().unwrap(), "[ROOT]");
            hide_hashes(&hide_times(
                &text.replace(self.dir().to_str().unwrap(), "[DIR]"),
            ))
        };
        Ran {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn clean(command: &mut Command) -> &mut Command {
    command.env_clear().stdin(Stdio::null())
}

/// `2026-11-21 01:34 UTC` is another one each time.
fn hide_times(text: &str) -> String {
    let mut hidden = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(" UTC") {
        let start = at.saturating_sub(16);
        let looks = rest.get(start..at).is_some_and(|time| {
            time.len() == 16 && time.starts_with("20") && time.as_bytes()[13] == b':'
        });
        let end = at + " UTC".len();
        hidden.push_str(&rest[..if looks { start } else { end }]);
        if looks {
            hidden.push_str("[TIME]");
        }
        rest = &rest[end..];
    }
    hidden.push_str(rest);
    hidden
}

/// A plan without the lines of its diffs, which are the planner's business.
pub(crate) fn outline(text: &str) -> String {
    let is_diff = |line: &&str| {
        ["    +", "    -", "    @@", "     "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    text.lines()
        .filter(|line| !is_diff(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The sample changes with this program.
fn hide_hashes(text: &str) -> String {
    let mut parts = text.split("sha256 ");
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        hidden.push_str("sha256 [HASH]");
        hidden.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    hidden
}

impl Ran {
    /// Asserts the exit status; gives what was said, standard error marked.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> String {
        assert_eq!(
            self.status,
            Some(status),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        if self.stderr.is_empty() {
            self.stdout
        } else {
            format!("{}[stderr]\n{}", self.stdout, self.stderr)
        }
    }

    /// Asserts the exit status; gives the one JSON document on standard output, with a schema.
    #[track_caller]
    pub(crate) fn json(self, status: i32) -> serde_json::Value {
        let stdout = self.stdout.clone();
        self.exits(status);
        let value: serde_json::Value =
            serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
        assert_eq!(value["schema"], 1, "{stdout}");
        value
    }
}
