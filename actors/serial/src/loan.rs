//! The channels of a port that is lent.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farmhand_messages::serial::{LentBytes, LentPort, PortCommand, PortError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout_at};

/// Chunks that wait for a borrower: a loader's longest answer many times over.
pub(crate) const LOAN_CHUNKS: usize = 64;
/// Commands that wait for the port: a driver waits for each.
const LOAN_COMMANDS: usize = 8;
/// A borrower that takes nothing for so long loses the port: the device's output piles up in the kernel meanwhile.
pub(crate) const BORROWER_SLEEPS_MAX: Duration = Duration::from_secs(2);

/// Our ends of a lent port.
#[derive(Debug)]
pub(crate) struct Loan {
    /// None once nothing more is to come: an epoch was begun, or the port vanished.
    bytes: Option<mpsc::Sender<Bytes>>,
    commands: mpsc::Receiver<PortCommand>,
    taken: Arc<AtomicU64>,
    /// A chunk that there was no room for, and until when there must be.
    blocked: Option<(Bytes, Instant)>,
}

/// What happens at a lent port.
#[derive(Debug)]
pub(crate) enum LoanEvent {
    /// The borrower's next command; none: it gave the port back.
    Command(Option<PortCommand>),
    /// The chunk that waited is on its way, or nobody is there to take it.
    Room,
    /// The borrower sleeps.
    Asleep,
}

impl Loan {
    /// Lends a port.
    pub(crate) fn new() -> (Self, LentPort) {
        let (bytes, chunks) = mpsc::channel(LOAN_CHUNKS);
        let (orders, commands) = mpsc::channel(LOAN_COMMANDS);
        let (lent, taken) = LentBytes::new(chunks);
        (
            Self { bytes: Some(bytes), commands, taken, blocked: None },
            LentPort { bytes: lent, commands: orders },
        )
    }

    /// Chunks that the borrower took.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// A chunk waits for room: the port is not to be read.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Sends a chunk to the borrower; where there is no room it waits.
    pub(crate) fn send(&mut self, chunk: Bytes) {
        debug_assert!(self.blocked.is_none(), "the port is not read while a chunk waits");
        if let Some(bytes) = &self.bytes
            && let Err(TrySendError::Full(chunk)) = bytes.try_send(chunk)
        {
            self.blocked = Some((chunk, Instant::now() + BORROWER_SLEEPS_MAX));
        }
    }

    /// What happens next; commands only if they are wanted. Safe to cancel.
    pub(crate) async fn next(&mut self, commands: bool) -> LoanEvent {
        let until = self.blocked.as_ref().map(|(_, until)| *until);
        let room = async {
            match (until, &self.bytes) {
                (Some(until), Some(bytes)) => timeout_at(until, bytes.reserve()).await,
                _ => pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv(), if commands => LoanEvent::Command(command),
            room = room => match room {
                // Where nobody takes it, it is recorded when the commands end too.
                Ok(permit) => {
                    if let (Ok(permit), Some((chunk, _))) = (permit, self.blocked.take()) {
                        permit.send(chunk);
                    }
                    LoanEvent::Room
                }
                Err(_) => LoanEvent::Asleep,
            },
        }
    }

    /// A command that waits, if one does.
    pub(crate) fn try_command(&mut self) -> Option<PortCommand> {
        self.commands.try_recv().ok()
    }

    /// Nothing more is for the borrower.
    pub(crate) fn stop_bytes(&mut self) {
        self.bytes = None;
        self.blocked = None;
    }
}

/// Answers a command that cannot be done. An epoch is begun all the same: that is not for here.
pub(crate) fn refuse(command: PortCommand, error: PortError) {
    match command {
        PortCommand::Write { done, .. } | PortCommand::Baud { done, .. } => {
            let _nobody_waits = done.send(Err(error));
        }
        PortCommand::Lines { done, .. } => {
            let _nobody_waits = done.send(Err(error));
        }
        PortCommand::BeginEpoch { done, .. } => drop(done),
    }
}
