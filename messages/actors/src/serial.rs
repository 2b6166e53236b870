//! To the serial actor of one device: it owns the port from plug-in to unplug; everyone else subscribes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use farmhand_api::{EpochCause, LogFrom, LogItem};
use farmhand_records::{Epoch, FencingToken};
use ractor::RpcReplyPort;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// A port to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// The device file, or a link to it.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// It is a line apart from what resets the device: opening it begins no epoch, nor does its coming back.
    pub apart: bool,
}

/// A port that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The epoch that is recorded from here.
    pub epoch: Epoch,
    /// Opening may have reset the device: HUPCL was set, or nothing is known.
    pub may_have_reset: bool,
    /// It was open already.
    pub already: bool,
}

/// Why a port could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenPortError {
    /// Another process has it.
    #[error("{path} is held by {holder}")]
    Held {
        /// Which.
        path: PathBuf,
        /// Its name and pid, or `another process`.
        holder: String,
    },
    /// The system refuses.
    #[error("no permission to open {path}")]
    Permission {
        /// Which.
        path: PathBuf,
    },
    /// It is not there.
    #[error("{path} is not there")]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// Anything else.
    #[error("open {path}: {why}")]
    Other {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
}

/// What can go wrong with an open port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PortError {
    /// It is not open.
    #[error("the port is not open")]
    Closed,
    /// The device went away.
    #[error("the port vanished")]
    Vanished,
    /// It is lent to a driver.
    #[error("the port is lent to a driver")]
    Lent,
    /// Another one writes.
    #[error("{writer} writes to the console; take over with --take")]
    Taken {
        /// Who.
        writer: String,
    },
    /// The token is older than one that was seen.
    #[error("an older lease's token")]
    Fenced,
    /// The port took nothing for too long.
    #[error("the port took no bytes within its deadline")]
    Stalled,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What a driver may do with a port that is lent to it. Bounded: a driver waits for each.
#[derive(Debug)]
pub enum PortCommand {
    /// Write these. Answered when the system took them all; never flushed (that would block).
    Write {
        /// What.
        bytes: Bytes,
        /// How it went.
        done: oneshot::Sender<Result<(), PortError>>,
    },
    /// Change the rate.
    Baud {
        /// Bits a second.
        baud: u32,
        /// How it went.
        done: oneshot::Sender<Result<(), PortError>>,
    },
    /// Set DTR and RTS. A pseudo terminal has none: `Ok(false)`.
    Lines {
        /// Data terminal ready.
        dtr: bool,
        /// Request to send.
        rts: bool,
        /// Whether there are such lines.
        done: oneshot::Sender<Result<bool, PortError>>,
    },
    /// From here on what comes is of a new epoch: the driver has reset the device, or sent it on its way.
    /// `unread` are bytes that the driver took and that belong to the new epoch: not one is lost. What is still in the
    /// channel follows them, and then what comes; the driver takes nothing more.
    BeginEpoch {
        /// Which; durable already.
        epoch: Epoch,
        /// Why.
        cause: EpochCause,
        /// Its first bytes.
        unread: Bytes,
        /// It is recorded.
        done: oneshot::Sender<()>,
    },
}

/// What a lent port's device says: a channel that counts what was taken, so that what was not is known exactly when
/// an epoch begins or the port comes back.
#[derive(Debug)]
pub struct LentBytes {
    chunks: mpsc::Receiver<Bytes>,
    taken: Arc<AtomicU64>,
}

impl LentBytes {
    /// The receiving end, and the count of chunks taken from it.
    #[must_use]
    pub fn new(chunks: mpsc::Receiver<Bytes>) -> (Self, Arc<AtomicU64>) {
        let taken = Arc::<AtomicU64>::default();
        (Self { chunks, taken: taken.clone() }, taken)
    }

    /// The next chunk; none when the port was taken back, vanished, or an epoch began. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.recv().await?;
        self.taken.fetch_add(1, Ordering::Release);
        Some(chunk)
    }

    /// The next chunk, if it is there.
    pub fn try_recv(&mut self) -> Result<Bytes, mpsc::error::TryRecvError> {
        let chunk = self.chunks.try_recv()?;
        self.taken.fetch_add(1, Ordering::Release);
        Ok(chunk)
    }
}

impl From<mpsc::Receiver<Bytes>> for LentBytes {
    fn from(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self::new(chunks).0
    }
}

/// A port that is lent: a bounded byte channel through the serial actor, never a file descriptor. Dropping it gives
/// the port back; bytes still in the channel then are recorded in the epoch that is current. Bytes that are not taken
/// within 2 s end the loan.
#[derive(Debug)]
pub struct LentPort {
    /// What the device says.
    pub bytes: LentBytes,
    /// What it is to do.
    pub commands: mpsc::Sender<PortCommand>,
}

/// A reader's stream. A reader that does not keep up loses its own place, and is told by `LogItem::Lost`; it never
/// slows the recorder.
pub type Reader = mpsc::Receiver<LogItem>;

/// What the serial actor tells its device actor, by a cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortNews {
    /// The port is gone: unplugged, or the board lost power.
    Vanished,
}

/// To the serial actor of one device.
#[derive(Debug)]
pub enum SerialMessage {
    /// From the device actor: open the port, which may reset the device. Safe to send again: an open port stays as
    /// it is. `reset_epoch` is durable already, and begins if opening may have reset the device, if `current` is not
    /// what was recorded last, or if the port had vanished; otherwise `current` goes on, after a gap.
    Open {
        /// Which.
        spec: PortSpec,
        /// The epoch that was last known.
        current: Epoch,
        /// The epoch to begin where the old one cannot be proven to go on.
        reset_epoch: Epoch,
        /// How it went.
        reply: RpcReplyPort<Result<Opened, OpenPortError>>,
    },
    /// From the device actor: close the port, for an external tool or at the end. The gap is marked. Safe.
    Close {
        /// Why.
        why: String,
        /// It is closed.
        reply: RpcReplyPort<()>,
    },
    /// From the device actor: lend the port to a driver. Refused while it is lent.
    Lend {
        /// The lease's token; an older one than was seen is refused.
        token: FencingToken,
        /// The port.
        reply: RpcReplyPort<Result<LentPort, PortError>>,
    },
    /// From the device actor: the device started by itself, or was reset by other means; begin an epoch. Safe: an
    /// epoch that was begun is not begun again.
    BeginEpoch {
        /// Which; durable already.
        epoch: Epoch,
        /// Why.
        cause: EpochCause,
        /// It is recorded.
        reply: RpcReplyPort<()>,
    },
    /// From a session or a gateway: what was recorded from a place on, and on as it comes. Safe.
    Subscribe {
        /// From where.
        from: LogFrom,
        /// Go on as it comes; otherwise the stream ends with what is recorded.
        follow: bool,
        /// The stream.
        reply: RpcReplyPort<Reader>,
    },
    /// From a gateway: write to the console. One writer at a time; `take` takes over. Not safe to send again.
    Write {
        /// Who writes, for others to see.
        writer: String,
        /// What.
        bytes: Bytes,
        /// Take over.
        take: bool,
        /// How it went.
        reply: RpcReplyPort<Result<(), PortError>>,
    },
    /// From the device actor or a session: how far the recorder is. Answered after all that was read from the port
    /// so far is recorded. Safe.
    Position {
        /// Offset (bytes since the recorder's first) and epoch.
        reply: RpcReplyPort<(u64, Epoch)>,
    },
}
