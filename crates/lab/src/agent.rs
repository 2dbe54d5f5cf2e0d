//! The control channel: shell scripts in, output and exit status out.
//!
//! The other end is `image/agent.sh`. Deadlines count on this machine's monotonic clock, because
//! clocks inside an emulated host run at their own speed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Result};
use crate::{bail, base64, ensure, interrupt};

/// How often is asked whether there is hope.
const LOOK: Duration = Duration::from_secs(5);

/// How a script in the host ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status of the script.
    pub status: i32,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Everything it said, for messages.
    pub fn said(&self) -> String {
        format!("{}{}", self.text(), String::from_utf8_lossy(&self.err))
    }
}

/// What came over the channel.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// The agent runs; the text names the boot.
    Hello(String),
    /// The script of that number ended.
    Done(u32, Output),
}

/// What waiting for a line came to.
enum Heard {
    /// The line, trimmed.
    Line(String),
    /// The machine is gone.
    End,
    /// Nothing in time.
    Nothing,
}

/// Puts lines together to events; whatever is not the agent's (firmware, a boot loader) is skipped.
#[derive(Default)]
struct Framing {
    reply: Option<(u32, Output)>,
}

impl Framing {
    fn line(&mut self, line: &str) -> Result<Option<Event>> {
        // Behind whatever the firmware wrote, or a reply that the reboot cut in the middle of a line.
        if let Some((_, boot)) = line.rsplit_once("@hello ") {
            self.reply = None;
            let boot = boot.split_whitespace().next();
            return Ok(boot.map(|boot| Event::Hello(boot.to_owned())));
        }
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        match (first, &mut self.reply) {
            ("@reply", _) => {
                let number = words.next().unwrap_or_default().parse()?;
                let status = words.next().unwrap_or_default().parse()?;
                self.reply = Some((
                    number,
                    Output {
                        status,
                        out: Vec::new(),
                        err: Vec::new(),
                    },
                ));
            }
            ("@out" | "@err", Some((_, output))) => {
                match base64::decode(words.next().unwrap_or_default()) {
                    Ok(text) if first == "@out" => output.out = text,
                    Ok(text) => output.err = text,
                    // The host went down in the middle of the line, and the firmware speaks on.
                    Err(_) => self.reply = None,
                }
            }
            ("@end", Some(_)) => {
                return Ok(self
                    .reply
                    .take()
                    .map(|(number, output)| Event::Done(number, output)));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// The driver's end of the channel.
pub struct Agent {
    stream: UnixStream,
    pending: Vec<u8>,
    framing: Framing,
    scripts: u32,
    boot: String,
    ended: bool,
}

impl Agent {
    /// Takes over a connected channel.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
            framing: Framing::default(),
            scripts: 0,
            boot: String::new(),
            ended: false,
        })
    }

    /// Waits for the agent of another boot than the one known; false if it does not come in time.
    pub fn sees_boot(&mut self, limit: Duration) -> Result<bool> {
        let until = Instant::now() + limit;
        while let Some(event) = self.event(until)? {
            match event {
                Event::Hello(boot) if boot != self.boot => {
                    self.boot = boot;
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Whether the machine's end of the channel was found closed.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Asks the agent of a resumed machine who it is.
    pub fn greet(&mut self, limit: Duration) -> Result<()> {
        self.stream
            .write_all(b"@ping\n")
            .context(|| "cannot reach the host".to_owned())?;
        ensure!(self.sees_boot(limit)?, "the resumed host does not answer");
        Ok(())
    }

    /// Starts a script whose end nobody waits for, because it ends the host.
    pub fn order(&mut self, script: &str) -> Result<()> {
        self.send(script).map(|_| ())
    }

    fn send(&mut self, script: &str) -> Result<u32> {
        self.scripts += 1;
        let number = self.scripts;
        let order = format!("@run {number} {}\n", base64::encode(script.as_bytes()));
        self.stream
            .write_all(order.as_bytes())
            .context(|| "cannot reach the host".to_owned())?;
        Ok(number)
    }

    /// Runs a script to its end, whatever its exit status is.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Output> {
        self.run_while(script, limit, &|| true)
    }

    /// The same, as long as there is hope: that is asked from time to time.
    pub fn run_while(
        &mut self,
        script: &str,
        limit: Duration,
        hope: &dyn Fn() -> bool,
    ) -> Result<Output> {
        let number = self.send(script)?;
        let until = Instant::now() + limit;
        loop {
            match self
                .event(until.min(Instant::now() + LOOK))
                .context(|| format!("in the host, running {script:?}"))?
            {
                None if Instant::now() < until => {
                    ensure!(hope(), "in the host, {script:?} will not end");
                }
                Some(Event::Done(ended, output)) if ended == number => return Ok(output),
                Some(Event::Done(..)) => {}
                Some(Event::Hello(boot)) if boot == self.boot => {}
                Some(Event::Hello(_)) => bail!("the host restarted while it ran {script:?}"),
                None => bail!("in the host, {script:?} takes more than {limit:?}"),
            }
        }
    }

    /// Runs a script that must succeed and returns its standard output.
    pub fn succeed(&mut self, script: &str, limit: Duration) -> Result<String> {
        let output = self.run(script, limit)?;
        ensure!(
            output.status == 0,
            "in the host, {script:?} ended with {}: {}",
            output.status,
            output.said()
        );
        Ok(output.text())
    }

    /// Waits until the machine is gone: its end of the channel closes.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            match self.line(until)? {
                Heard::Line(_) => {}
                Heard::End => return Ok(()),
                Heard::Nothing => bail!("the host does not power off"),
            }
        }
    }

    /// The next event, if one comes in time.
    fn event(&mut self, until: Instant) -> Result<Option<Event>> {
        loop {
            match self.line(until)? {
                Heard::Line(line) => {
                    if let Some(event) = self.framing.line(&line)? {
                        return Ok(Some(event));
                    }
                }
                Heard::End => bail!("the machine ended"),
                Heard::Nothing => return Ok(None),
            }
        }
    }

    fn line(&mut self, until: Instant) -> Result<Heard> {
        let mut buffer = [0; 65536];
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let rest = self.pending.split_off(searched + at + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                return Ok(Heard::Line(
                    String::from_utf8_lossy(&line).trim().to_owned(),
                ));
            }
            searched = self.pending.len();
            ensure!(!interrupt::requested(), "interrupted");
            if Instant::now() >= until {
                return Ok(Heard::Nothing);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(Heard::End);
                }
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.ended = true;
                    return Ok(Heard::End);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A word that the shell takes as it is.
pub fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut framing = Framing::default();
        text.lines()
            .filter_map(|line| framing.line(line).unwrap())
            .collect()
    }

    #[test]
    fn a_reply_is_put_together() {
        let done = Event::Done(
            7,
            Output {
                status: 3,
                out: b"foo".to_vec(),
                err: Vec::new(),
            },
        );
        assert_eq!(
            events("noise\n@reply 7 3\n@out Zm9v\n@err \n@end 7\n"),
            [done]
        );
    }

    #[test]
    fn a_new_boot_ends_a_half_reply() {
        let text = "@reply 7 0\n@out Zm9v\n\x1b[2J@hello abc\n@err \n@end 7\n";
        assert_eq!(events(text), [Event::Hello("abc".to_owned())]);
        for cut in ["@out ", "@out Zm9v", "@end ", "@re"] {
            let text = format!("@reply 7 0\n{cut}@hello abc\n");
            assert_eq!(events(&text), [Event::Hello("abc".to_owned())], "{cut}");
        }
    }

    #[test]
    fn words_are_quoted_only_where_needed() {
        assert_eq!(quote("--gpu=01:00.0"), "--gpu=01:00.0");
        assert_eq!(quote("a'b c"), r"'a'\''b c'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_script_runs_over_a_socket() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut agent = Agent::new(ours).unwrap();
        theirs
            .write_all(b"SeaBIOS\r\n@hello one\n@reply 1 0\n@out b2s=\n@err \n@end 1\n")
            .unwrap();
        assert!(agent.sees_boot(Duration::from_secs(5)).unwrap());
        assert_eq!(agent.boot, "one");
        assert_eq!(
            agent.succeed("echo ok", Duration::from_secs(5)).unwrap(),
            "ok"
        );
        drop(theirs);
        agent.wait_for_end(Duration::from_secs(5)).unwrap();
    }
}
