//! What a transport does: packets one way and the other, and data phases that are never whole in memory.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_wire::fastboot::tcp::TcpError;
use farmhand_wire::fastboot::udp::UdpError;
use thiserror::Error;

use super::source::Source;

/// How many bytes of a data phase the device has taken so far.
pub type Moved<'a> = dyn FnMut(u64) + Send + 'a;

/// Where the bytes of a data phase from the device go.
#[async_trait]
pub trait Sink: Send {
    /// Takes some. An error ends the data phase.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), SinkError>;
}

/// The sink does not go on; it keeps why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bytes from the device are not taken any more")]
pub struct SinkError;

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connection {
    /// The next command.
    Ready,
    /// Nothing, until [`Client::resynchronise`](super::Client::resynchronise) has found where the device stands.
    Resynchronise,
    /// Nothing: a new one is needed, and the device begins anew with it.
    Reconnect,
    /// Nothing: the device is not there.
    Gone,
}

/// How a transport comes back after a command that did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// It has no connection that could be closed (USB): what the last host left is still in it.
    Drain,
    /// By a new connection (TCP, UDP).
    Reconnect,
}

/// The link to one device. It knows nothing of commands, but that they are packets.
#[async_trait]
pub trait Pipe: Send + Debug {
    /// Sends one packet.
    async fn send(&mut self, packet: &[u8], deadline: Duration) -> Result<(), PipeError>;

    /// Receives one packet that is not empty, of at most `len_max` bytes.
    async fn receive(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError>;

    /// Sends exactly `len` bytes of `source`. `stall` is how long none may move.
    async fn send_data(
        &mut self,
        source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError>;

    /// Receives exactly `len` bytes into `sink`. `stall` is how long none may come.
    async fn receive_data(&mut self, len: u64, sink: &mut dyn Sink, stall: Duration)
    -> Result<(), PipeError>;

    /// Whether the device is known to be gone. Sends nothing and does not wait; `false` proves nothing.
    fn gone(&mut self) -> bool;

    /// How it comes back after a command that did not end.
    fn recovery(&self) -> Recovery;

    /// The number to write down before a handoff; see the module for what it proves.
    fn mark(&self) -> Option<u64>;

    /// The number that the device had as this pipe was opened, to be compared with an earlier [`Pipe::mark`].
    fn found(&self) -> Option<u64>;

    /// After a data phase to the device was cut: what it says to that, if it does at once.
    async fn last_words(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Makes the transport itself usable again after an error: transfers are taken back, halts cleared. What the device
    /// thinks is untouched.
    async fn mend(&mut self) -> Result<(), PipeError>;

    /// Sends zeros, at most `len_max`, until the device says something: a data phase of a host that is not there any more
    /// then has its end. What it says is thrown away. Only where the last host's state outlives it ([`Recovery::Drain`]).
    async fn end_data_phase(&mut self, _len_max: u64) -> Result<(), PipeError> {
        Err(PipeError::Broken)
    }
}

/// Why nothing comes or goes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PipeError {
    /// Nothing came.
    #[error("device did not answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// Bytes stopped moving in the middle of a data phase.
    #[error("transfer stalled at {moved} of {len} bytes: nothing moved for {} s", after.as_secs_f32())]
    Stalled {
        /// What the device took, or gave.
        moved: u64,
        /// Of how many.
        len: u64,
        /// How long nothing moved.
        after: Duration,
    },
    /// The endpoint is halted: the device refuses (USB).
    #[error("device halted its endpoint")]
    Halted,
    /// It said something where it was to listen, and took no more.
    #[error("device says \"{0}\"")]
    Spoke(String),
    /// It went away.
    #[error("device is gone: {0}")]
    Gone(String),
    /// The link does not work.
    #[error("link to the device failed: {0}")]
    Link(String),
    /// A packet longer than what may come.
    #[error("device sent {len} bytes, at most {len_max} may come")]
    TooLong {
        /// How many.
        len: u64,
        /// How many may.
        len_max: u64,
    },
    /// Whoever is there speaks something else.
    #[error(transparent)]
    Tcp(#[from] TcpError),
    /// Packets do not come through, or make no sense.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// The source failed.
    #[error("image is not read on: {0}")]
    Source(#[source] io::Error),
    /// The source ended too early.
    #[error("image ended after {got} of {len} bytes")]
    SourceEnded {
        /// What it gave.
        got: u64,
        /// What it should.
        len: u64,
    },
    /// The sink ended it.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An earlier error made it useless.
    #[error("connection was broken before")]
    Broken,
}

impl PipeError {
    /// Of a socket.
    #[must_use]
    pub fn socket(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Gone(error.to_string()),
            _ => Self::Link(error.to_string()),
        }
    }
}
