//! The other end: what a device hears and says. For simulators, tests and fuzzers.

use thiserror::Error;

use super::command::{Command, CommandError, CommandLimit, DataPhase};
use super::reply::{Reply, ReplyEncodeError};

/// What came of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Nothing yet.
    Need,
    /// A command; it is to be answered with [`Dialogue::reply`].
    Command(Command),
    /// A packet that is no command; to be answered with `FAIL`.
    Bad {
        /// Why.
        error: CommandError,
        /// The packet, or as much of it as was kept.
        packet: Vec<u8>,
    },
    /// Bytes of the data phase.
    Data {
        /// They.
        bytes: &'a [u8],
        /// How many are still to come; at 0 the device is to answer.
        remaining: u64,
    },
}

/// Why the dialogue cannot go on as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialogueError {
    /// The host spoke while it was to listen: it gave the last command up.
    #[error("host spoke before it was answered")]
    OutOfTurn,
    /// More came than the data phase holds.
    #[error("host sent {excess} bytes more than the data phase holds")]
    DataTooLong {
        /// How many more.
        excess: u64,
    },
    /// More is sent than the data phase holds.
    #[error("{excess} bytes more are sent than the data phase holds")]
    SentTooMuch {
        /// How many more.
        excess: u64,
    },
    /// A reply where none belongs.
    #[error("reply where the protocol has none")]
    NoReplyHere,
    /// `DATA` for a command that has no data phase.
    #[error("data phase for a command that has none")]
    NoDataHere,
    /// The reply cannot be sent.
    #[error(transparent)]
    Reply(#[from] ReplyEncodeError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between commands.
    Idle,
    /// A command is being carried out; `data` is what it may begin.
    Answering {
        data: DataPhase,
    },
    Receiving {
        remaining: u64,
    },
    Sending {
        remaining: u64,
    },
}

/// A device's side of the protocol, command after command. An error changes nothing; [`Dialogue::reset`] begins anew.
#[derive(Debug, Clone)]
pub struct Dialogue {
    phase: Phase,
    /// A command that is not complete: at most one byte more than may be, to know that it was too long.
    held: Vec<u8>,
    len_max: usize,
}

impl Dialogue {
    /// For a device that takes commands of this length.
    pub fn new(limit: CommandLimit) -> Self {
        Self { phase: Phase::Idle, held: Vec::new(), len_max: limit.len_max() }
    }

    /// Between commands, whatever was: a new connection, or a host that gave up.
    pub fn reset(&mut self) {
        self.phase = Phase::Idle;
        self.held.clear();
    }

    /// Bytes of the data phase from the host that are still to come; `None` outside of one.
    pub fn receiving(&self) -> Option<u64> {
        match self.phase {
            Phase::Receiving { remaining } => Some(remaining),
            _ => None,
        }
    }

    /// Bytes of the data phase to the host that are still to be sent; `None` outside of one.
    pub fn sending(&self) -> Option<u64> {
        match self.phase {
            Phase::Sending { remaining } => Some(remaining),
            _ => None,
        }
    }

    /// A piece came: bytes, and whether they end a packet. An empty packet means nothing (README, step 3).
    pub fn received<'a>(&mut self, bytes: &'a [u8], last: bool) -> Result<Heard<'a>, DialogueError> {
        match self.phase {
            Phase::Idle => Ok(self.hear(bytes, last)),
            _ if bytes.is_empty() => Ok(Heard::Need),
            Phase::Receiving { remaining } => {
                let len = bytes.len() as u64;
                let Some(left) = remaining.checked_sub(len) else {
                    return Err(DialogueError::DataTooLong { excess: len - remaining });
                };
                self.phase = after_data(Phase::Receiving { remaining: left }, left);
                Ok(Heard::Data { bytes, remaining: left })
            }
            Phase::Answering { .. } | Phase::Sending { .. } => Err(DialogueError::OutOfTurn),
        }
    }

    fn hear<'a>(&mut self, bytes: &[u8], last: bool) -> Heard<'a> {
        let room = (self.len_max + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if !last || self.held.is_empty() {
            return Heard::Need;
        }
        let packet = std::mem::take(&mut self.held);
        let command = if packet.len() > self.len_max {
            Err(CommandError::TooLong { len: packet.len(), len_max: self.len_max })
        } else {
            Command::parse(&packet)
        };
        let data = command.as_ref().map_or(DataPhase::None, Command::data_phase);
        self.phase = Phase::Answering { data };
        match command {
            Ok(command) => Heard::Command(command),
            Err(error) => Heard::Bad { error, packet },
        }
    }

    /// The packet to send. `DATA` may say any length: whether it is the one that was asked for is the device's to know.
    pub fn reply(&mut self, reply: &Reply) -> Result<Vec<u8>, DialogueError> {
        let Phase::Answering { data } = self.phase else { return Err(DialogueError::NoReplyHere) };
        let packet = reply.encode()?;
        self.phase = match (reply, data) {
            (Reply::Info(_) | Reply::Text(_), _) => self.phase,
            (Reply::Okay(_) | Reply::Fail(_), _) => Phase::Idle,
            (Reply::Data(_), DataPhase::None) => return Err(DialogueError::NoDataHere),
            (Reply::Data(len), DataPhase::ToDevice { .. }) => {
                let remaining = u64::from(*len);
                after_data(Phase::Receiving { remaining }, remaining)
            }
            (Reply::Data(len), DataPhase::FromDevice { .. }) => {
                let remaining = u64::from(*len);
                after_data(Phase::Sending { remaining }, remaining)
            }
        };
        Ok(packet)
    }

    /// So many bytes of a data phase to the host were sent.
    pub fn sent(&mut self, len: u64) -> Result<(), DialogueError> {
        let Phase::Sending { remaining } = self.phase else { return Err(DialogueError::NoDataHere) };
        let Some(left) = remaining.checked_sub(len) else {
            return Err(DialogueError::SentTooMuch { excess: len - remaining });
        };
        self.phase = after_data(Phase::Sending { remaining: left }, left);
        Ok(())
    }
}

/// A data phase goes on while something remains; then the device is to answer.
fn after_data(phase: Phase, remaining: u64) -> Phase {
    if remaining == 0 { Phase::Answering { data: DataPhase::None } } else { phase }
}
