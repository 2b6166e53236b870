//! QEMU's monitor, as a client that has nothing else to do: it writes a line and reads lines (QMP specification).

use std::fs::File;
use std::io::{BufRead as _, BufReader, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::Failure;

/// From QEMU's start to a monitor that listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries: a tenth of what a person could see in the figures.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
/// For any line. What hangs is an error and not a figure.
const LINE_WITHIN: Duration = Duration::from_secs(60);

/// A connection to it.
pub(crate) struct Monitor {
    lines: BufReader<UnixStream>,
    /// Events that came before an answer.
    events: Vec<String>,
}

impl Monitor {
    /// Connects as soon as it listens, and leaves the mode in which nothing else is allowed.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Failure> {
        let until = Instant::now() + LISTENS_WITHIN;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => {
                    return Err(format!("{}: {error}", socket.display()).into());
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        };
        stream.set_read_timeout(Some(LINE_WITHIN))?;
        let mut monitor = Self { lines: BufReader::new(stream), events: Vec::new() };
        let greeting = monitor.line()?;
        if !greeting.starts_with(r#"{"QMP""#) {
            return Err(format!("no monitor greets so: {greeting}").into());
        }
        monitor.ask("qmp_capabilities", "{}")?;
        Ok(monitor)
    }

    /// Asks, and answers the line with the answer. The arguments are JSON.
    pub(crate) fn ask(&mut self, command: &str, arguments: &str) -> Result<String, Failure> {
        let line = format!("{{\"execute\": \"{command}\", \"arguments\": {arguments}}}\n");
        self.lines.get_mut().write_all(line.as_bytes())?;
        self.answer(command)
    }

    fn answer(&mut self, command: &str) -> Result<String, Failure> {
        loop {
            let line = self.line()?;
            if line.starts_with(r#"{"return""#) {
                return Ok(line);
            }
            if line.contains(r#""event":"#) {
                self.events.push(line);
            } else {
                return Err(format!("{command}: {line}").into());
            }
        }
    }

    /// Gives it an open file, under this name (QMP `getfd`).
    pub(crate) fn give(&mut self, name: &str, file: &File) -> Result<(), Failure> {
        let line = format!("{{\"execute\": \"getfd\", \"arguments\": {{\"fdname\": \"{name}\"}}}}\n");
        let files = [file.as_fd()];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        beside.push(SendAncillaryMessage::ScmRights(&files));
        let sent =
            sendmsg(self.lines.get_ref(), &[IoSlice::new(line.as_bytes())], &mut beside, SendFlags::empty())?;
        if sent != line.len() {
            return Err("QEMU took half of a line".into());
        }
        self.answer("getfd").map(drop)
    }

    /// Has it tell how migrations stand.
    pub(crate) fn tell_of_migrations(&mut self) -> Result<(), Failure> {
        let events = r#"{"capabilities": [{"capability": "events", "state": true}]}"#;
        self.ask("migrate-set-capabilities", events).map(drop)
    }

    /// Waits for the end of the migration that is under way.
    pub(crate) fn migrated(&mut self) -> Result<(), Failure> {
        loop {
            let line = if self.events.is_empty() { self.line()? } else { self.events.remove(0) };
            if line.contains(r#""MIGRATION""#) {
                match line {
                    done if done.contains(r#""completed""#) => return Ok(()),
                    failed if failed.contains(r#""failed""#) => return Err("a migration failed".into()),
                    _ => {}
                }
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.lines.read_line(&mut line)? {
            0 => Err("QEMU closed its monitor".into()),
            _ => Ok(line),
        }
    }
}
