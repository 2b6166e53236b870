//! A virtual Uno's control socket, as `uno/README.md` has it: one line a question, one line an answer.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farmhand_runtime::ProcessId;
use rustix::fs::{Mode, OFlags, open};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For the answer to one question. A board looks every few milliseconds; one that takes this long is wedged.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The longest answer, in bytes (uno.c, `ANSWER_BYTES`).
const ANSWER_BYTES_MAX: usize = 1024;
/// The version of the protocol that we speak: the number in the answer to `hello`.
const VERSION: &str = "1";

/// Why a board did not answer as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens there.
    #[error("its control socket: {0}")]
    Gone(String),
    /// It listens and does not answer.
    #[error("its control socket does not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    /// It answered something else.
    #[error("answered {answer:?} to {question:?}")]
    Answer {
        /// What was asked.
        question: String,
        /// What it said.
        answer: String,
    },
}

impl ControlError {
    /// The board is well, and said no.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Answer { answer, .. } if answer.starts_with("error"))
    }
}

/// What a board has counted. Written through before the first byte that tells of it leaves the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Starts of its processor, whatever their cause.
    pub starts: u64,
    /// Of those, by power.
    pub by_power: u64,
    /// Of those, by an external reset.
    pub by_reset: u64,
    /// Of those, by the watchdog: the loader's, also in a handoff, or the program's.
    pub by_watchdog: u64,
    /// Handoff commands that its loader accepted.
    pub handoffs: u64,
    /// Times that the program began.
    pub program_starts: u64,
}

impl Counts {
    /// In words, why it started since.
    #[must_use]
    pub fn cause_since(&self, before: &Self) -> &'static str {
        if self.by_power > before.by_power {
            "power"
        } else if self.by_reset > before.by_reset {
            "an external reset"
        } else {
            "the watchdog"
        }
    }
}

/// What a board does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Its processor runs in the boot section.
    pub in_loader: bool,
    /// Opening its line would reset it.
    pub open_resets: bool,
    /// Its line is open at our end.
    pub is_open: bool,
}

/// A board that answers, and that we own as long as one of these is held. Each question has a connection of its own.
#[derive(Debug, Clone)]
pub struct Board {
    folder: PathBuf,
    process: ProcessId,
    _own: Arc<UnixStream>,
}

impl Board {
    /// Makes sure that this process answers in this folder, and owns it.
    pub async fn adopt(folder: &Path, process: ProcessId) -> Result<Self, ControlError> {
        twice(Self::adopt_once(folder, process), Self::adopt_once(folder, process)).await
    }

    async fn adopt_once(folder: &Path, process: ProcessId) -> Result<Self, ControlError> {
        let mut own = connect(folder).await?;
        let hello = ask(&mut own, "hello").await?;
        let words: Vec<_> = hello.split(' ').collect();
        let ours = words.first() == Some(&"uno") && words.get(1) == Some(&VERSION);
        if !ours || !words.contains(&format!("pid={}", process.pid).as_str()) {
            return Err(ControlError::Answer { question: "hello".into(), answer: hello });
        }
        ask(&mut own, "own").await?;
        Ok(Self { folder: folder.to_owned(), process, _own: Arc::new(own) })
    }

    /// Its line: a link to its pseudo terminal, which may be another after a while.
    #[must_use]
    pub fn line(&self) -> PathBuf {
        self.folder.join("tty")
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    async fn request(&self, question: &str) -> Result<String, ControlError> {
        ask(&mut connect(&self.folder).await?, question).await
    }

    /// Resets it, as its button would.
    pub async fn reset(&self) -> Result<(), ControlError> {
        self.request("reset").await.map(drop)
    }

    /// What it has counted.
    pub async fn counts(&self) -> Result<Counts, ControlError> {
        let answer = twice(self.request("counters"), self.request("counters")).await?;
        counts(&answer).ok_or_else(|| ControlError::Answer { question: "counters".into(), answer })
    }

    /// What it does.
    pub async fn state(&self) -> Result<State, ControlError> {
        let answer = twice(self.request("state"), self.request("state")).await?;
        state(&answer).ok_or_else(|| ControlError::Answer { question: "state".into(), answer })
    }
}

/// Asks what changes nothing, and once more where no answer came in time: who stood still (SIGSTOP, a machine that slept)
/// finds its deadline past, whatever the board has said.
async fn twice<T, F: Future<Output = Result<T, ControlError>>>(ask: F, again: F) -> Result<T, ControlError> {
    match ask.await {
        Err(ControlError::Silent) => again.await,
        answer => answer,
    }
}

/// A socket's address holds 108 bytes (unix(7)), and a farm's folder may be longer: so by way of its descriptor.
async fn connect(folder: &Path) -> Result<UnixStream, ControlError> {
    let gone = |why: &dyn std::fmt::Display| ControlError::Gone(why.to_string());
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| gone(&error))?;
    let short = format!("/proc/self/fd/{}/control", folder.as_raw_fd());
    match timeout(ANSWER_WITHIN, UnixStream::connect(short)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(gone(&error)),
        Err(_) => Err(ControlError::Silent),
    }
}

/// The answer behind `ok`.
async fn ask(stream: &mut UnixStream, question: &str) -> Result<String, ControlError> {
    match timeout(ANSWER_WITHIN, exchange(stream, question)).await {
        Ok(Ok(answer)) => match answer.strip_prefix("ok") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(ControlError::Answer { question: question.into(), answer }),
        },
        Ok(Err(error)) => Err(ControlError::Gone(error.to_string())),
        Err(_) => Err(ControlError::Silent),
    }
}

async fn exchange(stream: &mut UnixStream, question: &str) -> std::io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

fn fields(answer: &str) -> BTreeMap<&str, &str> {
    answer.split(' ').filter_map(|word| word.split_once('=')).collect()
}

fn counts(answer: &str) -> Option<Counts> {
    let fields = fields(answer);
    let number = |name| fields.get(name)?.parse::<u64>().ok();
    let (by_power, by_reset) = (number("power_ons")?, number("resets")?);
    let by_watchdog = number("watchdog_resets")?;
    let starts = by_power.checked_add(by_reset)?.checked_add(by_watchdog)?;
    let (handoffs, program_starts) = (number("leaves")?, number("app_starts")?);
    Some(Counts { starts, by_power, by_reset, by_watchdog, handoffs, program_starts })
}

fn state(answer: &str) -> Option<State> {
    let fields = fields(answer);
    let in_loader = *fields.get("in")? == "boot";
    let flag = |name| fields.get(name).map(|value| *value != "0");
    Some(State { in_loader, open_resets: flag("dtr")?, is_open: flag("client")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let answer = "page_writes=1 resets=2 watchdog_resets=3 leaves=4 app_starts=5 app_starts_by_timeout=6 \
                      power_ons=7 opens=8";
        let found = counts(answer).unwrap();
        assert_eq!((found.starts, found.handoffs, found.program_starts), (12, 4, 5));
        assert_eq!(counts("resets=2 leaves=4"), None);
        let answer = "in=boot cycles=7 client=1 boots=12 halted=0 lost=0 fault=none dtr=0";
        assert_eq!(state(answer), Some(State { in_loader: true, open_resets: false, is_open: true }));
        assert_eq!(state("in=app"), None);
    }

    #[tokio::test]
    async fn one_answer_that_does_not_come_in_time_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let listens = tokio::net::UnixListener::bind(folder.path().join("control")).unwrap();
        let board = tokio::spawn(async move {
            let (silent, _) = listens.accept().await.unwrap();
            let (mut asked, _) = listens.accept().await.unwrap();
            for answer in ["ok uno 1 pid=7\n", "ok\n"] {
                asked.read_buf(&mut Vec::new()).await.unwrap();
                asked.write_all(answer.as_bytes()).await.unwrap();
            }
            drop(silent);
        });
        let process = ProcessId { pid: 7, start: 0 };
        Board::adopt(folder.path(), process).await.unwrap();
        board.await.unwrap();
    }

    #[test]
    fn a_start_has_a_cause() {
        let before = counts("resets=2 watchdog_resets=3 leaves=4 app_starts=5 power_ons=7").unwrap();
        let by_power = Counts { by_power: 8, ..before };
        let by_reset = Counts { by_reset: 3, ..before };
        let by_watchdog = Counts { by_watchdog: 4, ..before };
        assert_eq!(by_power.cause_since(&before), "power");
        assert_eq!(by_reset.cause_since(&before), "an external reset");
        assert_eq!(by_watchdog.cause_since(&before), "the watchdog");
    }
}
