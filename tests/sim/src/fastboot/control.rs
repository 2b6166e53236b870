//! What a phone can be told beside its host: lines over a Unix socket.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bench::{PhoneHandle, SimError};
use super::fault::{FAULTS, Fault};
use super::phone::Phone;
use super::presence::Mode;

/// What can be told, one a line. Each is answered with lines, and at the end `ok`, or `error: ` and why.
pub const ORDERS: &str = "\
counters                     what it has counted: NAME=NUMBER, on one line
log                          what it was asked, a line each, the oldest first
presence                     where it is to be found: plug=N boot=N mode=MODE fastboot=yes|no
partition NAME sha256 [LEN]  the hash of a partition, or of its first bytes
mode MODE                    as with its keys: bootloader, fastboot, booted, system, recovery, away, VENDOR:PRODUCT
replug                       pull its plug and put it back
fault FAULT                  do something wrong; see below
help                         this
quit                         end";

/// A line is no longer than this, in bytes.
const LINE_MAX: u64 = 8192;
/// Who may talk to it at once.
const CALLERS_MAX: usize = 32;

/// What came of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Done: lines to show.
    Done(Vec<String>),
    /// Not done, and why.
    Refused(String),
    /// It is to end.
    Quit,
}

impl Phone {
    /// Does what a line says (see [`ORDERS`]).
    pub fn told(&mut self, line: &str) -> Told {
        match order(self, line.trim()) {
            Ok(None) => Told::Quit,
            Ok(Some(lines)) => Told::Done(lines),
            Err(why) => Told::Refused(why),
        }
    }
}

fn order(phone: &mut Phone, line: &str) -> Result<Option<Vec<String>>, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    Ok(Some(match (verb, &words[..]) {
        ("counters", []) => vec![phone.counters().to_string()],
        ("log", []) => phone.asked().map(ToString::to_string).collect(),
        ("presence", []) => {
            let now = phone.presence();
            let fastboot = if now.speaks_fastboot() { "yes" } else { "no" };
            vec![format!("plug={} boot={} mode={} fastboot={fastboot}", now.plug, now.boot, now.mode)]
        }
        ("partition", [name, "sha256", len @ ..]) => {
            let len = match len {
                [] => None,
                [len] => Some(super::byte_count(len).map_err(|error| error.to_string())?),
                _ => return Err("one length".to_owned()),
            };
            let hash = phone.partition_sha256(name, len).ok_or_else(|| format!("no partition {name}"))?;
            vec![hash.map_err(|error| error.to_string())?]
        }
        ("mode", [mode]) => {
            let mode: Mode = mode.parse().map_err(|error| format!("{error}"))?;
            phone.enter(mode);
            vec![]
        }
        ("replug", []) => {
            phone.replug();
            vec![]
        }
        ("fault", _) => {
            phone.fault(rest.parse::<Fault>().map_err(|error| error.to_string())?);
            vec![]
        }
        ("help", []) => {
            let faults = FAULTS.lines().map(|line| format!("  {line}"));
            ORDERS.lines().map(str::to_owned).chain(["faults:".to_owned()]).chain(faults).collect()
        }
        ("quit", []) => return Ok(None),
        _ => return Err(format!("\"{line}\" is not understood; see help")),
    }))
}

/// Where a phone is told things. Its file goes with it.
#[derive(Debug)]
pub(super) struct ControlPlace {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlPlace {
    /// What an earlier one left behind is taken over; what one still listens on is not.
    pub(super) async fn take(path: &Path) -> Result<Self, SimError> {
        let failed = || SimError::listen(path.display());
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(failed()(error));
                }
                std::fs::remove_file(path).map_err(failed())?;
                UnixListener::bind(path).map_err(failed())?
            }
            bound => bound.map_err(failed())?,
        };
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Until it is dropped. `quit` says that the phone is to end.
    pub(super) async fn serve(
        self,
        phone: PhoneHandle,
        quit: mpsc::Sender<()>,
    ) -> Result<Infallible, SimError> {
        let mut callers = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = callers.join_next() => {}
                accepted = self.listener.accept(), if callers.len() < CALLERS_MAX => {
                    let Ok((stream, _)) = accepted else { continue };
                    let (phone, quit) = (phone.clone(), quit.clone());
                    callers.spawn(async move {
                        if let Err(error) = listen(stream, &phone, &quit).await {
                            tracing::debug!(%error, "who told a simulated phone has gone");
                        }
                    });
                }
            }
        }
    }
}

impl Drop for ControlPlace {
    fn drop(&mut self) {
        let _gone_before = std::fs::remove_file(&self.path);
    }
}

async fn listen(stream: UnixStream, phone: &PhoneHandle, quit: &mpsc::Sender<()>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LINE_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let told = phone.call(move |phone| phone.told(&line)).await.map_err(io::Error::other)?;
        let mut answer = String::new();
        match &told {
            Told::Done(lines) => {
                lines.iter().for_each(|line| answer.extend([line, "\n"]));
                answer.push_str("ok\n");
            }
            Told::Refused(why) => answer = format!("error: {why}\n"),
            Told::Quit => answer.push_str("ok\n"),
        }
        writer.write_all(answer.as_bytes()).await?;
        if told == Told::Quit {
            // Full: it was told before.
            let _told = quit.try_send(());
        }
    }
}
