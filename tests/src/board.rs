//! A virtual Uno, seen from outside: what it has counted, and what it does (`actors/device/uno/README.md`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_runtime::{ProcessId, process_start};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A board answers between two slices of its simulation.
const ANSWER: Duration = Duration::from_secs(20);

/// A board's folder.
#[derive(Debug, Clone)]
pub struct BoardControl {
    folder: PathBuf,
}

/// What a board has counted. It is written down before anything of it can be seen from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Leave-programming commands that its loader accepted.
    pub leaves: u64,
    /// Starts of a program, whatever for.
    pub app_starts: u64,
    /// Of those, the ones after its loader gave up waiting.
    pub app_starts_by_timeout: u64,
    /// Pages written.
    pub page_writes: u64,
    /// External resets.
    pub resets: u64,
    /// Resets by the watchdog: the loader's own, when it is left or gives up.
    pub watchdog_resets: u64,
    /// Times that its line was opened.
    pub opens: u64,
}

/// What a board's processor is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In its loader.
    Loader,
    /// In a program.
    Program,
    /// Without power.
    Off,
}

impl BoardControl {
    /// The board of a folder, whether or not it runs.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<ProcessId> {
        let text = fs::read_to_string(self.folder.join("pid")).ok()?;
        let fields = fields(&text);
        let process =
            ProcessId { pid: fields.get("pid")?.parse().ok()?, start: fields.get("start")?.parse().ok()? };
        process.is_alive().then_some(process)
    }

    /// What it has counted so far, running or not; nothing, where there never was one.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let text =
            self.ask("counters").ok().or_else(|| fs::read_to_string(self.folder.join("counters")).ok());
        let Some(text) = text else { return Counters::default() };
        let fields = fields(&text);
        let number = |name: &str| -> u64 {
            let value = fields.get(name).unwrap_or_else(|| panic!("a board that counts no {name}: {text:?}"));
            value.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}"))
        };
        Counters {
            leaves: number("leaves"),
            app_starts: number("app_starts"),
            app_starts_by_timeout: number("app_starts_by_timeout"),
            page_writes: number("page_writes"),
            resets: number("resets"),
            watchdog_resets: number("watchdog_resets"),
            opens: number("opens"),
        }
    }

    /// Where its processor is; `None` where it does not run.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let answer = self.ask("state").ok()?;
        match fields(&answer).get("in").copied() {
            Some("boot") => Some(Place::Loader),
            Some("app") => Some(Place::Program),
            Some("off") => Some(Place::Off),
            other => panic!("a board in {other:?}: {answer:?}"),
        }
    }

    /// Puts its whole flash at a path.
    pub fn dump(&self, to: &Path) {
        self.ask(&format!("dump {}", to.display())).expect("a board that runs dumps its flash");
    }

    /// Does what `request` says; the rest of the answer behind `ok`.
    pub fn ask(&self, request: &str) -> io::Result<String> {
        // By way of a descriptor: a socket's address is 108 bytes at most.
        let folder = rustix::fs::open(
            &self.folder,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let folder = File::from(folder);
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/control", folder.as_raw_fd()))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        match answer.trim_end().strip_prefix("ok") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(io::Error::other(format!("{request}: {answer:?}"))),
        }
    }

    /// Has it leave; one that does not answer is killed.
    pub(crate) fn end(&self) {
        let Some(process) = self.process() else { return };
        if self.ask("quit").is_ok() {
            return;
        }
        kill(process);
    }
}

/// Kills it, and no other that has its number by now.
pub(crate) fn kill(process: ProcessId) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    if let Some(held) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        && process_start(process.pid) == Some(process.start)
    {
        let _ended_meanwhile = pidfd_send_signal(&held, Signal::KILL);
    }
}

fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.split_whitespace().filter_map(|word| word.split_once('=')).collect()
}
