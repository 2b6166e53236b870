//! A device's bootloader, commanded. One command at a time, each to its end; see [`Client`].

mod commands;
mod fetch;
mod flash;
mod handoff;
mod presence;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_wire::fastboot::{
    Command, CommandLimit, Event, Exchange, ExchangeError, Limits, Outcome, Reply, Wants, printable,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::deadlines::{COMMAND_MAX, DATA_STALL, SOURCE_STALL};
use super::error::ClientError;
use super::pipe::{Connection, Pipe, PipeError, Recovery, Sink, SinkError};
use super::source::Source;

pub use flash::{Piece, Pieces};
pub use handoff::{Acknowledged, Handoff, HandoffError, Issued};
pub use presence::{Presence, Said, State};

/// What is told while a command is under way. Text is the device's own: `printable` makes it safe to show.
pub trait Listener: Send {
    /// A line to show.
    fn info(&mut self, _line: &str) {}
    /// Text to show as it is; no line of its own.
    fn text(&mut self, _text: &str) {}
    /// Bytes of a data phase that have moved, and of how many.
    fn progress(&mut self, _moved: u64, _len: u64) {}
}

/// Nobody listens.
impl Listener for () {}

/// How a command that ends the bootloader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It said that it goes.
    Acknowledged,
    /// It went without a word, as some do.
    Vanished,
}

/// What a data phase is read from, or written to.
enum Body<'a> {
    None,
    Send(Source),
    Receive(&'a mut (dyn AsyncWrite + Send + Unpin)),
}

/// One device's bootloader.
///
/// A FAIL is the device's answer and changes nothing; after any other error [`Client::connection`] says what is left. A
/// future that is dropped before its end leaves the connection as an error does.
#[derive(Debug)]
pub struct Client {
    pipe: Box<dyn Pipe>,
    limit: CommandLimit,
    limits: Limits,
    connection: Connection,
    /// Bytes that a data phase, cut in the middle, still lacks.
    owed: u64,
    /// Bytes that were downloaded, and not booted.
    staged: Option<u32>,
    /// Cancelled once no further command is wanted.
    stop: CancellationToken,
}

impl Client {
    /// Over this pipe. Nothing is sent.
    #[must_use]
    pub fn new(pipe: Box<dyn Pipe>) -> Self {
        Self {
            pipe,
            limit: CommandLimit::Classic,
            limits: Limits::default(),
            connection: Connection::Ready,
            owed: 0,
            staged: None,
            stop: CancellationToken::new(),
        }
    }

    /// For a device that is known to take longer commands.
    #[must_use]
    pub fn with_limit(mut self, limit: CommandLimit) -> Self {
        self.limit = limit;
        self
    }

    /// For a device that may say or hand over more, or less.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// From here on no command leaves once this is cancelled. What writes, and has left by then, is waited for as ever: its
    /// end is to be known. All else, a download too, ends at once.
    pub fn stop_with(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    /// What can be done next.
    pub fn connection(&mut self) -> Connection {
        if self.pipe.recovery() == Recovery::Drain && self.pipe.gone() {
            self.connection = Connection::Gone;
        }
        self.connection
    }

    /// Whether the device is known to be gone. Sends nothing; `false` proves nothing.
    pub fn gone(&mut self) -> bool {
        self.pipe.gone()
    }

    /// The number to write down before a handoff; see [the module](super) for what it proves.
    #[must_use]
    pub fn mark(&self) -> Option<u64> {
        self.pipe.mark()
    }

    /// The number that the device had as this client came, to be compared with an earlier [`Client::mark`].
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        self.pipe.found()
    }

    /// One command, to its end: its value, or the device's FAIL as an error. `silence` is how long the device may say
    /// nothing.
    async fn run(
        &mut self,
        command: &Command,
        silence: Duration,
        body: Body<'_>,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        let stopped = || ClientError::Stopped { command: command.to_string() };
        let stop = self.stop.clone();
        if stop.is_cancelled() {
            return Err(stopped());
        }
        let packet = self.begin(command)?;
        let all = async {
            let sent = self.pipe.send(&packet, silence).await;
            sent.map_err(|error| ClientError::Pipe { command: command.to_string(), error })?;
            self.hear_out(command, silence, body, hear).await
        };
        let all = async {
            timeout(COMMAND_MAX, all).await.unwrap_or_else(|_| {
                let error = PipeError::Silent(COMMAND_MAX);
                Err(ClientError::Pipe { command: command.to_string(), error })
            })
        };
        let result = match writes(command) {
            true => all.await,
            false => stop.run_until_cancelled(all).await.unwrap_or_else(|| Err(stopped())),
        };
        self.settle(result)
    }

    /// From here on the connection is of no use, until [`Client::settle`] says otherwise.
    fn begin(&mut self, command: &Command) -> Result<Vec<u8>, ClientError> {
        if self.connection != Connection::Ready {
            return Err(ClientError::Unusable);
        }
        let packet = command
            .encode(self.limit)
            .map_err(|error| ClientError::Command { command: command.to_string(), error })?;
        self.connection = self.after_error();
        self.owed = 0;
        if matches!(command, Command::Download(_)) {
            self.staged = None;
        }
        Ok(packet)
    }

    fn after_error(&self) -> Connection {
        match self.pipe.recovery() {
            Recovery::Drain => Connection::Resynchronise,
            Recovery::Reconnect => Connection::Reconnect,
        }
    }

    fn settle<T>(&mut self, result: Result<T, ClientError>) -> Result<T, ClientError> {
        let drain = self.pipe.recovery() == Recovery::Drain;
        match &result {
            Ok(_) | Err(ClientError::Refused { .. }) => self.connection = Connection::Ready,
            Err(
                ClientError::Pipe { error: PipeError::Gone(_), .. }
                | ClientError::Cut { error: PipeError::Gone(_), .. },
            ) if drain => self.connection = Connection::Gone,
            Err(_) => {}
        }
        result
    }

    /// What follows a command that was sent.
    async fn hear_out(
        &mut self,
        command: &Command,
        silence: Duration,
        mut body: Body<'_>,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        let mut exchange = Exchange::new(command, self.limits);
        let nonsense = |error| ClientError::Nonsense { command: command.to_string(), error };
        loop {
            match exchange.wants() {
                Wants::Reply { len_max } => {
                    let packet = self.pipe.receive(len_max, silence).await;
                    let packet =
                        packet.map_err(|error| ClientError::Pipe { command: command.to_string(), error })?;
                    match exchange.received(&packet, true).map_err(nonsense)? {
                        Event::Info(line) => hear.info(&line),
                        Event::Text(text) => hear.text(&text),
                        Event::Done(Outcome::Okay(value)) => return Ok(value),
                        Event::Done(Outcome::Fail(text)) => {
                            return Err(ClientError::Refused { command: command.to_string(), text });
                        }
                        _ => {}
                    }
                }
                Wants::SendData { remaining } => {
                    let Body::Send(source) = std::mem::replace(&mut body, Body::None) else {
                        return Err(nonsense(ExchangeError::Misused));
                    };
                    self.send_data(command, source, remaining, hear).await?;
                    exchange.sent(remaining).map_err(nonsense)?;
                }
                Wants::Data { remaining } => {
                    let Body::Receive(out) = &mut body else { return Err(nonsense(ExchangeError::Misused)) };
                    self.receive_data(command, &mut exchange, &mut **out, remaining, hear).await?;
                }
                Wants::Nothing => return Err(nonsense(ExchangeError::Misused)),
            }
        }
    }

    async fn send_data(
        &mut self,
        command: &Command,
        source: Source,
        len: u64,
        hear: &mut dyn Listener,
    ) -> Result<(), ClientError> {
        let mut moved = 0;
        self.owed = len;
        let owed = &mut self.owed;
        let mut tell = |now| {
            moved = now;
            *owed = len.saturating_sub(now);
            hear.progress(now, len);
        };
        let done = self.pipe.send_data(source, len, DATA_STALL, &mut tell).await;
        let Err(error) = done else { return Ok(()) };
        let error = match error {
            PipeError::Stalled { .. } | PipeError::Halted | PipeError::Gone(_) => {
                self.pipe.last_words().await.map_or(error, |words| PipeError::Spoke(said(&words)))
            }
            error => error,
        };
        Err(ClientError::Cut { command: command.to_string(), moved, len, error })
    }

    async fn receive_data(
        &mut self,
        command: &Command,
        exchange: &mut Exchange,
        out: &mut (dyn AsyncWrite + Send + Unpin),
        len: u64,
        hear: &mut dyn Listener,
    ) -> Result<(), ClientError> {
        let mut taking = Taking { exchange, out, hear, moved: 0, len, wrong: None };
        let done = self.pipe.receive_data(len, &mut taking, DATA_STALL).await;
        let moved = taking.moved;
        match (done, taking.wrong) {
            (_, Some(Wrong::Device(error))) => {
                Err(ClientError::Nonsense { command: command.to_string(), error })
            }
            (_, Some(Wrong::Writing(error))) => {
                Err(ClientError::Sink { command: command.to_string(), error })
            }
            (Ok(()), None) => Ok(()),
            (Err(error), None) => Err(ClientError::Cut { command: command.to_string(), moved, len, error }),
        }
    }
}

/// Whether the device keeps something of it.
fn writes(command: &Command) -> bool {
    matches!(
        command,
        Command::Flash(_)
            | Command::Erase(_)
            | Command::SetActive(_)
            | Command::UpdateSuper { .. }
            | Command::CreateLogical { .. }
            | Command::DeleteLogical(_)
            | Command::ResizeLogical { .. }
    )
}

/// A device's words, for people.
fn said(words: &[u8]) -> String {
    match Reply::parse(words) {
        Ok(Reply::Fail(text)) => printable(&text),
        _ => printable(&String::from_utf8_lossy(words)),
    }
}

enum Wrong {
    Device(ExchangeError),
    Writing(io::Error),
}

/// Where a data phase from the device goes: past the machine, which counts, into the writer.
struct Taking<'a> {
    exchange: &'a mut Exchange,
    out: &'a mut (dyn AsyncWrite + Send + Unpin),
    hear: &'a mut dyn Listener,
    moved: u64,
    len: u64,
    wrong: Option<Wrong>,
}

#[async_trait]
impl Sink for Taking<'_> {
    async fn take(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        if let Err(error) = self.exchange.received(bytes, false) {
            self.wrong = Some(Wrong::Device(error));
            return Err(SinkError);
        }
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it took nothing for a minute");
        let wrote = timeout(SOURCE_STALL, self.out.write_all(bytes)).await;
        if let Err(error) = wrote.unwrap_or_else(|_| Err(late())) {
            self.wrong = Some(Wrong::Writing(error));
            return Err(SinkError);
        }
        self.moved += bytes.len() as u64;
        self.hear.progress(self.moved, self.len);
        Ok(())
    }
}
