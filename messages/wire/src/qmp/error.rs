//! Why a connection ends, and why a command is not sent.

use thiserror::Error;

use super::answer::Refusal;
use super::client::IN_FLIGHT_MAX;
use super::command::COMMAND_LEN_MAX;
use super::frame::FrameError;
use super::message::MessageError;
use crate::text::Text;

/// Why the connection is of no more use. It stays so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The stream is no sequence of messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An object is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A second greeting.
    #[error("QEMU greets a second time")]
    SecondGreeting,
    /// QEMU does not take us.
    #[error("QEMU does not leave negotiation: {0}")]
    Negotiation(Refusal),
    /// An answer to an id that was not asked. The specification has it dropped (QMP, "Commands Responses"); but none can come over a
    /// stream that is whole, and one that is not is not to be believed.
    #[error("QEMU answers {id}, which was not asked")]
    UnknownId {
        /// As QEMU said it.
        id: Text,
    },
    /// A result without an id.
    #[error("QEMU answers and does not say what")]
    NoId,
    /// QEMU did not understand what was sent (QMP, "Error", the note).
    #[error("QEMU does not understand what was sent: {0}")]
    NotUnderstood(Refusal),
}

/// Why a command was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Before [`Heard::Ready`](super::Heard::Ready).
    #[error("QEMU has not greeted yet")]
    NotReady,
    /// As many as may be are in flight; those that were given up count until they are answered.
    #[error("{IN_FLIGHT_MAX} commands wait for QEMU's answer")]
    Busy,
    /// Longer than [`COMMAND_LEN_MAX`].
    #[error("command of {len} bytes is longer than {COMMAND_LEN_MAX}")]
    TooLong {
        /// How long it would be.
        len: usize,
    },
    /// After an error, or four billion commands.
    #[error("connection is of no more use")]
    Ended,
}
