//! A serial port that is lent to a driver: reads and writes with deadlines.

use std::time::Duration;

use bytes::Bytes;
use farmhand_api::EpochCause;
use farmhand_messages::serial::{LentPort, PortCommand, PortError};
use farmhand_records::Epoch;
use farmhand_wire::stk500v1::{HostError, Input, Machine, Output, Progress};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// For the serial actor to carry out one command. The longest is a write: a flash page is 133 bytes, 12 ms at
/// 115200 bits a second; the rest is for a machine that is short of time.
const COMMAND_WITHIN: Duration = Duration::from_secs(5);

/// Why a lent port did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The serial actor took it back, or ended: the port is gone.
    #[error("the port went away")]
    Gone,
    /// The serial actor's word.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No answer within its deadline. It may have been done.
    #[error("the port did nothing within {} s", COMMAND_WITHIN.as_secs())]
    Stalled,
}

/// Why a conversation did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TalkError {
    /// The loader's side of it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port's.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It is not wanted any more: what was said has its answer, and nothing more is said.
    #[error("ended, for nobody waits for it any more")]
    Stopped,
}

/// A lent port. Dropped, it is given back.
#[derive(Debug)]
pub struct Link {
    port: LentPort,
    stop: CancellationToken,
}

impl Link {
    /// Over what the serial actor lent.
    #[must_use]
    pub fn new(port: LentPort) -> Self {
        Self { port, stop: CancellationToken::new() }
    }

    /// From here on nothing more is said in a conversation once this is cancelled.
    pub fn stop_with(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    async fn command<R>(&self, make: impl FnOnce(oneshot::Sender<R>) -> PortCommand) -> Result<R, LinkError> {
        let (done, answer) = oneshot::channel();
        let work = async {
            self.port.commands.send(make(done)).await.map_err(|_| LinkError::Gone)?;
            answer.await.map_err(|_| LinkError::Gone)
        };
        timeout(COMMAND_WITHIN, work).await.map_err(|_| LinkError::Stalled)?
    }

    /// Writes all of it: the system has taken it, the device perhaps not yet.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), LinkError> {
        let bytes = Bytes::from(bytes);
        Ok(self.command(|done| PortCommand::Write { bytes, done }).await??)
    }

    /// Sets the rate.
    pub async fn baud(&mut self, baud: u32) -> Result<(), LinkError> {
        Ok(self.command(|done| PortCommand::Baud { baud, done }).await??)
    }

    /// Sets DTR and RTS; false where the port has none.
    pub async fn lines(&mut self, dtr: bool, rts: bool) -> Result<bool, LinkError> {
        Ok(self.command(|done| PortCommand::Lines { dtr, rts, done }).await??)
    }

    /// What comes from here on, `unread` first, is of a new epoch.
    pub async fn begin_epoch(
        &mut self,
        epoch: Epoch,
        cause: EpochCause,
        unread: Vec<u8>,
    ) -> Result<(), LinkError> {
        let unread = Bytes::from(unread);
        self.command(|done| PortCommand::BeginEpoch { epoch, cause, unread, done }).await
    }

    /// What came; `None` where nothing did until then.
    pub async fn read(&mut self, until: Instant) -> Result<Option<Bytes>, LinkError> {
        match timeout_at(until, self.port.bytes.recv()).await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(LinkError::Gone),
            Err(_) => Ok(None),
        }
    }

    /// All that has come and that nobody has read yet.
    pub fn pending(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(bytes) = self.port.bytes.try_recv() {
            all.extend_from_slice(&bytes);
        }
        all
    }

    /// Waits until the port is gone, or something comes unasked, which is handed out.
    pub async fn unasked(&mut self) -> Result<Bytes, LinkError> {
        self.port.bytes.recv().await.ok_or(LinkError::Gone)
    }

    /// Has a conversation; each answer within `within` of its question. Gives its value, and the bytes behind its
    /// last reply. `told` hears how far it is after each reply.
    pub async fn talk<M: Machine>(
        &mut self,
        machine: &mut M,
        within: Duration,
        mut told: impl FnMut(Progress),
    ) -> Result<(M::Value, Vec<u8>), TalkError> {
        let mut output = machine.step(Input::Start);
        let mut until = Instant::now() + within;
        loop {
            match output {
                Output::Send(bytes) => {
                    told(machine.progress());
                    if self.stop.is_cancelled() {
                        return Err(TalkError::Stopped);
                    }
                    self.write(bytes).await?;
                    until = Instant::now() + within;
                }
                Output::Need => {}
                Output::Done { value, unused } => {
                    told(machine.progress());
                    return Ok((value, unused));
                }
                Output::Failed { error, .. } => return Err(error.into()),
            }
            output = match self.read(until).await? {
                Some(bytes) => machine.step(Input::Bytes(&bytes)),
                None => machine.step(Input::TimedOut),
            };
        }
    }
}
