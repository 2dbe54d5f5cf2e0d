//! The one door to processes: tools of the host are started here, with argument vectors only.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::fd::OwnedFd,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use passthru_plan::text::shell;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use thiserror::Error;

use crate::root::Root;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output and standard error, in the order they came.
    pub text: String,
}

impl Output {
    /// Exit status 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error, of which the last 64 KiB are kept.
    pub complaints: String,
}

impl Answer {
    /// Exit status 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }
}

/// A command that could not be started, or did not answer.
#[derive(Debug, Error)]
#[error("{program}: {source}")]
pub struct ExecError {
    /// The program's name.
    pub program: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// How long a command may run, and what ends it early.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// After this long the command is ended.
    pub deadline: Duration,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Ends the command when it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

/// A sign of life from a running command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign<'a> {
    /// It runs, as this process, which leads its own process group.
    Started(u32),
    /// It said something.
    Said(&'a str),
    /// It still runs, this long by now. About once a second.
    Alive(Duration),
}

/// What ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It came to its own end.
    Itself,
    /// It ran past its deadline and was ended.
    Deadline,
    /// It was cancelled and was ended.
    Cancelled,
}

/// Starts processes.
pub trait Exec {
    /// Runs `argv` to its end and returns its exit status and what it said.
    ///
    /// # Errors
    /// If it cannot be started.
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError>;

    /// Runs `argv` in a process group of its own, under a deadline, and tells `listener` how it
    /// goes. Of what it says the last 64 KiB are kept.
    ///
    /// # Errors
    /// If it cannot be started.
    fn watch(
        &self,
        argv: &[&str],
        _watch: &Watch<'_>,
        _listener: &mut dyn FnMut(Sign<'_>),
    ) -> Result<(Output, End), ExecError> {
        self.run(argv).map(|output| (output, End::Itself))
    }

    /// Asks a tool something: the whole of its standard output apart from what it complains of, so
    /// that a warning cannot become a part of the answer. `watch` bounds it.
    ///
    /// # Errors
    /// If it cannot be started, or did not come to its own end.
    fn ask(&self, argv: &[&str], watch: &Watch<'_>) -> Result<Answer, ExecError> {
        let (output, _) = self.watch(argv, watch, &mut |_| {})?;
        Ok(Answer {
            status: output.status,
            out: output.text,
            complaints: String::new(),
        })
    }

    /// Runs `argv` with this process's own terminal, for as long as the user likes; gives its exit
    /// status, `None` if a signal ended it.
    ///
    /// # Errors
    /// If it cannot be started, or where there is nothing to hand a terminal to: a tool of another
    /// root directory, or a stand-in.
    fn terminal(&self, argv: &[&str]) -> Result<Option<i32>, ExecError> {
        Err(failure(argv, io::ErrorKind::Unsupported.into()))
    }
}

/// Runs tools on the running machine, or inside an offline image by chroot(8).
#[derive(Debug, Clone)]
pub struct Live {
    chroot: Option<PathBuf>,
    locale: Vec<(&'static str, String)>,
}

impl Live {
    /// For the host whose files `root` opens.
    pub fn new(root: &Root) -> Self {
        Self {
            chroot: (!root.is_live()).then(|| root.path().to_owned()),
            locale: locale(root, |name| std::env::var(name).ok()),
        }
    }

    /// Starts `argv` with both outputs in one pipe, or with standard output in `apart`.
    fn spawn(&self, argv: &[&str], apart: Option<&File>) -> io::Result<(Child, io::PipeReader)> {
        let [program, arguments @ ..] = argv else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "empty command"));
        };
        let mut command = match &self.chroot {
            Some(root) => {
                let mut command = Command::new("/usr/sbin/chroot");
                command.arg(root).arg(program);
                command
            }
            None => Command::new(find(program).ok_or(io::ErrorKind::NotFound)?),
        };
        let (reader, writer) = io::pipe()?;
        let stdout: Stdio = match apart {
            Some(file) => file.try_clone()?.into(),
            None => writer.try_clone()?.into(),
        };
        // Nothing of the caller's environment reaches a tool that runs as root, except its
        // language. A group of its own: Ctrl-C in the terminal reaches passthru, which decides
        // what becomes of the tool.
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(self.locale.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(writer);
        // Dropping the command at the end of this function closes its write ends; without that
        // the pipe would never close.
        command.spawn().map(|child| (child, reader))
    }
}

/// Programs are found in these directories only, whatever the caller's PATH says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The language of the host's tools: the caller's, else the host's own. It is part of what they
/// write: grub-mkconfig translates the titles of menu entries, and GRUB_DEFAULT may name one. No
/// message of a tool is parsed.
fn locale(root: &Root, caller: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let given = pick(["LANG", "LC_MESSAGES", "LC_ALL", "LANGUAGE"], caller);
    if !given.is_empty() {
        return given;
    }
    for path in ["/etc/default/locale", "/etc/locale.conf"] {
        let text = root.text(path).unwrap_or_default();
        let mut variables = shell::evaluate([text.as_str()]);
        let given = pick(["LANG", "LANGUAGE"], |name| variables.remove(name)?);
        if !given.is_empty() {
            return given;
        }
    }
    vec![("LC_ALL", "C.UTF-8".to_owned())]
}

/// The variables of `names` that are set to the name of a locale. LANGUAGE is a preference within
/// another locale than C (gettext, "Specifying a Priority List of Languages") and alone says
/// nothing.
fn pick<const N: usize>(
    names: [&'static str; N],
    mut value: impl FnMut(&str) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let is_name = |text: &String| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.@:-".contains(&b);
        (1..=64).contains(&text.len()) && text.bytes().all(plain)
    };
    let given: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((name, value(name).filter(is_name)?)))
        .collect();
    let decides = given.iter().any(|(name, _)| *name != "LANGUAGE");
    if decides { given } else { Vec::new() }
}

/// What is kept of a watched command's output.
const TAIL: usize = 64 << 10;

impl Exec for Live {
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
        let fail = |source| failure(argv, source);
        let (mut child, mut reader) = self.spawn(argv, None).map_err(fail)?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(fail)?;
        let status = child.wait().map_err(fail)?;
        Ok(Output {
            status: status.code(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    fn watch(
        &self,
        argv: &[&str],
        watch: &Watch<'_>,
        listener: &mut dyn FnMut(Sign<'_>),
    ) -> Result<(Output, End), ExecError> {
        self.watched(argv, None, watch, listener)
    }

    fn terminal(&self, argv: &[&str]) -> Result<Option<i32>, ExecError> {
        let fail = |source| failure(argv, source);
        let [program, arguments @ ..] = argv else {
            return Err(fail(io::ErrorKind::InvalidInput.into()));
        };
        if self.chroot.is_some() {
            return Err(fail(io::ErrorKind::Unsupported.into()));
        }
        let program = find(program).ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
        // In this process group, which is the terminal's: another one could not read from it.
        let status = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(self.locale.iter().map(|(name, value)| (name, value)))
            .envs(std::env::var_os("TERM").map(|term| ("TERM", term)))
            .status()
            .map_err(fail)?;
        Ok(status.code())
    }

    fn ask(&self, argv: &[&str], watch: &Watch<'_>) -> Result<Answer, ExecError> {
        let fail = |source| failure(argv, source);
        let mut out = memfd_create("answer", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|e| fail(e.into()))?;
        let (output, end) = self.watched(argv, Some(&out), watch, &mut |_| {})?;
        if end != End::Itself {
            return Err(fail(match end {
                End::Cancelled => io::ErrorKind::Interrupted.into(),
                _ => io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer in {} s", watch.deadline.as_secs()),
                ),
            }));
        }
        let mut bytes = Vec::new();
        out.rewind().map_err(fail)?;
        out.read_to_end(&mut bytes).map_err(fail)?;
        Ok(Answer {
            status: output.status,
            out: String::from_utf8_lossy(&bytes).into_owned(),
            complaints: output.text,
        })
    }
}

impl Live {
    fn watched(
        &self,
        argv: &[&str],
        apart: Option<&File>,
        watch: &Watch<'_>,
        listener: &mut dyn FnMut(Sign<'_>),
    ) -> Result<(Output, End), ExecError> {
        let fail = |source| failure(argv, source);
        let (mut child, reader) = self.spawn(argv, apart).map_err(fail)?;
        let process = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(process) => process,
            Err(e) => {
                // Unwatched it must not run on. It has hardly begun.
                let _ = child.kill();
                let _ = child.wait();
                return Err(fail(e.into()));
            }
        };
        let mut running = Running {
            process,
            child,
            reader: Some(File::from(OwnedFd::from(reader))),
            tail: Vec::new(),
            listener,
        };
        let (status, end) = running.watch(watch).map_err(|e| {
            running.signal(Signal::KILL);
            let _ = running.child.wait();
            fail(e)
        })?;
        let output = Output {
            status: status.code(),
            text: String::from_utf8_lossy(&running.tail).into_owned(),
        };
        Ok((output, end))
    }
}

fn failure(argv: &[&str], source: io::Error) -> ExecError {
    ExecError {
        program: argv.first().copied().unwrap_or_default().into(),
        source,
    }
}

/// A watched command while it runs.
struct Running<'a> {
    child: Child,
    /// Readable when the child has ended (pidfd_open(2)).
    process: OwnedFd,
    /// `None` once every writer has closed the pipe.
    reader: Option<File>,
    tail: Vec<u8>,
    listener: &'a mut dyn FnMut(Sign<'_>),
}

impl Running<'_> {
    /// How often cancellation is looked for.
    const TICK: Duration = Duration::from_millis(100);
    /// Between two signs of life.
    const BEAT: Duration = Duration::from_secs(1);
    /// How long output of children that outlive the command is waited for.
    const LINGER: Duration = Duration::from_millis(200);
    /// And no longer than this if they go on talking.
    const DRAIN: Duration = Duration::from_secs(2);

    fn watch(&mut self, watch: &Watch<'_>) -> io::Result<(ExitStatus, End)> {
        let started = Instant::now();
        (self.listener)(Sign::Started(self.child.id()));
        let mut end = End::Itself;
        let mut kill_at: Option<Instant> = None;
        let mut beat = started;
        loop {
            let ended = self.wait(Self::TICK)?;
            if ended && let Some(status) = self.child.try_wait()? {
                self.drain()?;
                if end != End::Itself {
                    // Whatever of the group is left must not go on writing.
                    self.signal(Signal::KILL);
                }
                return Ok((status, end));
            }
            let now = Instant::now();
            match kill_at {
                None => {
                    let cancelled = watch.cancel.is_some_and(|c| c.load(Ordering::Relaxed));
                    if cancelled || now - started >= watch.deadline {
                        end = if cancelled {
                            End::Cancelled
                        } else {
                            End::Deadline
                        };
                        self.signal(Signal::TERM);
                        kill_at = Some(now + watch.grace);
                    }
                }
                Some(at) if now >= at => self.signal(Signal::KILL),
                Some(_) => {}
            }
            if now - beat >= Self::BEAT {
                beat = now;
                (self.listener)(Sign::Alive(now - started));
            }
        }
    }

    /// Waits for output or the child's end, no longer than `time`. True when the child has ended.
    fn wait(&mut self, time: Duration) -> io::Result<bool> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(&self.process, PollFlags::IN)];
        if let Some(reader) = &self.reader {
            fds.push(PollFd::new(reader, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            // A signal handler ran: perhaps the one that cancels.
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        let ended = !fds[0].revents().is_empty();
        let said = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if said {
            self.read()?;
        }
        Ok(ended)
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut buffer = [0_u8; 8192];
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            self.reader = None;
            return Ok(());
        }
        (self.listener)(Sign::Said(&String::from_utf8_lossy(&buffer[..length])));
        self.tail.extend_from_slice(&buffer[..length]);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        Ok(())
    }

    /// Reads what is left in the pipe. A daemon the command started may hold it open for ever, so
    /// silence ends it too, and so does time.
    fn drain(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while let Some(reader) = &self.reader
            && begun.elapsed() < Self::DRAIN
        {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: Self::LINGER.subsec_nanos().into(),
            };
            let mut fds = [PollFd::new(reader, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => break,
                Ok(_) => self.read()?,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        if self.tail.len() > TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: the group is gone already, which is what was wanted.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(program.into());
    }
    PATH.split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        Live::new(&Root::open(Path::new("/")).unwrap())
    }

    fn watch(argv: &[&str], deadline: Duration, cancel: Option<&AtomicBool>) -> (Output, End) {
        let watch = Watch {
            deadline,
            grace: Duration::from_millis(200),
            cancel,
        };
        live().watch(argv, &watch, &mut |_| {}).unwrap()
    }

    #[test]
    fn a_command_that_ends_is_reported_with_what_it_said() {
        let (output, end) = watch(&["echo", "a b"], Duration::from_secs(60), None);
        assert_eq!((output.text.as_str(), end), ("a b\n", End::Itself));
        assert!(output.success());
        assert_eq!(
            watch(&["false"], Duration::from_secs(60), None).0.status,
            Some(1)
        );
    }

    #[test]
    fn an_answer_is_whole_and_apart_from_complaints() {
        let watch = Watch {
            deadline: Duration::from_secs(60),
            grace: Duration::from_millis(200),
            cancel: None,
        };
        let argv = [
            "sh",
            "-c",
            "echo warning >&2; seq 100000; echo more >&2; exit 3",
        ];
        let answer = live().ask(&argv, &watch).unwrap();
        assert_eq!(answer.status, Some(3));
        assert_eq!(answer.out.lines().count(), 100_000);
        assert_eq!(answer.complaints, "warning\nmore\n");
        let short = Watch {
            deadline: Duration::from_millis(50),
            ..watch
        };
        let error = live().ask(&["sleep", "600"], &short).unwrap_err();
        assert!(error.to_string().contains("no answer"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let begun = Instant::now();
        let (output, end) = watch(&["sleep", "600"], Duration::from_millis(50), None);
        assert_eq!((output.status, end), (None, End::Deadline));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn what_a_command_started_ends_with_it() {
        let cancel = AtomicBool::new(false);
        let watch = Watch {
            deadline: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            cancel: Some(&cancel),
        };
        let mut grandchild = String::new();
        let argv = ["sh", "-c", "sleep 600 & echo $!; wait"];
        let (_, end) = live()
            .watch(&argv, &watch, &mut |sign| {
                if let Sign::Said(text) = sign {
                    grandchild.push_str(text.trim());
                    cancel.store(true, Ordering::Relaxed);
                }
            })
            .unwrap();
        assert_eq!(end, End::Cancelled);
        let begun = Instant::now();
        let state = || std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
        while state().is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begun.elapsed() < Duration::from_secs(10), "it lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_command_is_cancelled() {
        let cancel = AtomicBool::new(true);
        let (_, end) = watch(&["sleep", "600"], Duration::from_secs(60), Some(&cancel));
        assert_eq!(end, End::Cancelled);
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let (output, _) = watch(&["seq", "100000"], Duration::from_secs(60), None);
        assert_eq!(output.text.len(), TAIL);
        assert!(output.text.ends_with("\n100000\n"));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let live = live();
        let error = live.run(&["passthru-no-such-program"]).unwrap_err();
        assert!(error.to_string().contains("passthru-no-such-program"));
        assert!(live.run(&[]).is_err());
    }

    #[test]
    fn tools_speak_the_callers_language_or_the_hosts() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("etc/default")).unwrap();
        let root = Root::open(host.path()).unwrap();
        let told = |caller: &[(&str, &str)]| {
            let find = |name: &str| {
                let found = caller.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let told = locale(&root, find).into_iter();
            told.map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let german = [("LANG", "de_DE.UTF-8"), ("LANGUAGE", "de_DE:de")];
        assert_eq!(told(&german), "LANG=de_DE.UTF-8 LANGUAGE=de_DE:de");
        assert_eq!(
            told(&[("LC_ALL", "ca_ES@valencia")]),
            "LC_ALL=ca_ES@valencia"
        );
        let long = "x".repeat(65);
        for unfit in ["", "../../tmp/x", "a b", "$(x)", &long] {
            assert_eq!(told(&[("LANG", unfit)]), "LC_ALL=C.UTF-8");
        }
        assert_eq!(told(&[("LANGUAGE", "de")]), "LC_ALL=C.UTF-8");
        std::fs::write(host.path().join("etc/locale.conf"), "LANG=fr_FR.UTF-8\n").unwrap();
        assert_eq!(told(&[]), "LANG=fr_FR.UTF-8");
        let debian = "# update-locale\nLANG=\"de_DE.UTF-8\"\nLANGUAGE=de:en\nLC_TIME=C\n";
        std::fs::write(host.path().join("etc/default/locale"), debian).unwrap();
        assert_eq!(told(&[]), "LANG=de_DE.UTF-8 LANGUAGE=de:en");
        assert_eq!(told(&[("LANG", "C")]), "LANG=C");
    }

    #[test]
    fn nothing_else_of_the_environment_reaches_a_tool() {
        let (output, _) = watch(&["env"], Duration::from_secs(60), None);
        let names = output
            .text
            .lines()
            .filter_map(|line| line.split('=').next());
        let known = ["PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"];
        for name in names {
            assert!(known.contains(&name), "{name}");
        }
    }
}
