//! A host's side of one command.

use thiserror::Error;

use super::command::{Command, DataPhase};
use super::reply::{REPLY_ACCEPTED_LEN_MAX, Reply, ReplyError};
use crate::text::printable;

/// How many INFO and TEXT a device may say for one command. `getvar:all` of a phone is some hundreds of lines, and a
/// loader that shows a bar by TEXT says one for each percent or block; a device that says more is caught in a loop.
pub const MESSAGES_MAX: u32 = 65_536;

/// How much a device may hand over in one data phase, in bytes, where neither the command nor the caller says: logs and
/// memory dumps are smaller, and a host that keeps it in memory survives it.
pub const UPLOAD_LEN_MAX: u64 = 1 << 30;

/// What a device may do in one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// INFO and TEXT, together.
    pub messages_max: u32,
    /// Bytes of a data phase from the device.
    pub upload_len_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages_max: MESSAGES_MAX, upload_len_max: UPLOAD_LEN_MAX }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done; for `getvar` the value.
    Okay(String),
    /// Not done, in the device's words.
    Fail(String),
}

/// What came of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing yet.
    Need,
    /// A line to show; more follows.
    Info(String),
    /// Text to show as it is; more follows.
    Text(String),
    /// The device takes the data now: send exactly so many bytes, and say so with [`Exchange::sent`].
    SendData {
        /// In bytes.
        len: u64,
    },
    /// The device sends so many bytes now.
    ReceiveData {
        /// In bytes.
        len: u64,
    },
    /// Bytes of the data phase.
    Data {
        /// They.
        bytes: &'a [u8],
        /// How many are still to come.
        remaining: u64,
    },
    /// The end.
    Done(Outcome),
}

/// What the host is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wants {
    /// Receive a reply.
    Reply {
        /// The longest packet that is taken, in bytes: the size of the buffer, and the bound of a frame.
        len_max: usize,
    },
    /// Send this many bytes of data.
    SendData {
        /// In bytes.
        remaining: u64,
    },
    /// Receive data. Over USB: ask for no more than this, since what follows without a short packet is the reply.
    Data {
        /// In bytes.
        remaining: u64,
    },
    /// Nothing: it has ended.
    Nothing,
}

/// Why the exchange cannot go on. What the device thinks is not known: the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// What came is not a reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// `DATA` where the command has no data phase, or a second one.
    #[error("device asks for a data phase of {len} bytes where there is none")]
    UnexpectedData {
        /// How much it says.
        len: u32,
    },
    /// `DATA` says another length than the command.
    #[error("device is ready for {offered} bytes, not for the {asked} that are to be sent")]
    DataLength {
        /// What the command said.
        asked: u32,
        /// What the device says.
        offered: u32,
    },
    /// `DATA` says more than is taken.
    #[error("device offers {offered} bytes: at most {len_max} are taken")]
    UploadTooLong {
        /// What the device says.
        offered: u32,
        /// What is taken.
        len_max: u64,
    },
    /// `OKAY` without the data phase that the command is for.
    #[error("device says it is done, and asked for no data")]
    MissingData,
    /// More came in a data phase than the device had said.
    #[error("device sent {excess} bytes more than it had said")]
    DataTooLong {
        /// How many more.
        excess: u64,
    },
    /// More INFO and TEXT than [`Limits::messages_max`].
    #[error("device said more than {max} messages, and no end")]
    TooManyMessages {
        /// How many it may say.
        max: u32,
    },
    /// The device spoke while it was to listen.
    #[error("device spoke in the middle of the data: \"{heard}\"")]
    Interrupted {
        /// What it said; escaped.
        heard: String,
    },
    /// More was sent than the data phase holds.
    #[error("{excess} bytes more were sent than the data phase holds")]
    SentTooMuch {
        /// How many more.
        excess: u64,
    },
    /// It was used after its end, or told that data was sent when none was to be.
    #[error("exchange used out of order")]
    Misused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The command has been sent.
    Answer,
    Sending {
        remaining: u64,
    },
    Receiving {
        remaining: u64,
    },
    /// The data phase is over.
    Closing,
    Ended,
}

/// One command, from the moment it has been sent: `INFO*`, then `OKAY` or `FAIL`, or `DATA`, the data, `INFO*`, and
/// `OKAY` or `FAIL` (README, "Transport and Framing", steps 2 to 5).
///
/// After an error it is at its end. Deadlines are the caller's: a device that never answers is its to give up on.
#[derive(Debug, Clone)]
pub struct Exchange {
    data: DataPhase,
    limits: Limits,
    phase: Phase,
    messages: u32,
    /// A reply that is not complete; at most [`REPLY_ACCEPTED_LEN_MAX`].
    held: Vec<u8>,
}

impl Exchange {
    /// For `command`, which the caller sends.
    pub fn new(command: &Command, limits: Limits) -> Self {
        let data = command.data_phase();
        Self { data, limits, phase: Phase::Answer, messages: 0, held: Vec::new() }
    }

    /// What to do next.
    pub fn wants(&self) -> Wants {
        match self.phase {
            Phase::Answer | Phase::Closing => Wants::Reply { len_max: REPLY_ACCEPTED_LEN_MAX },
            Phase::Sending { remaining } => Wants::SendData { remaining },
            Phase::Receiving { remaining } => Wants::Data { remaining },
            Phase::Ended => Wants::Nothing,
        }
    }

    /// A piece came: bytes, and whether they end a packet. An empty packet means nothing (README, step 3).
    pub fn received<'a>(&mut self, bytes: &'a [u8], last: bool) -> Result<Event<'a>, ExchangeError> {
        let result = match self.phase {
            Phase::Answer | Phase::Closing => self.hear(bytes, last),
            Phase::Receiving { remaining } => self.take(bytes, remaining),
            Phase::Sending { .. } if bytes.is_empty() => Ok(Event::Need),
            Phase::Sending { .. } => {
                let bytes = &bytes[..bytes.len().min(REPLY_ACCEPTED_LEN_MAX)];
                Err(ExchangeError::Interrupted { heard: printable(&String::from_utf8_lossy(bytes)) })
            }
            Phase::Ended => Err(ExchangeError::Misused),
        };
        if result.is_err() {
            self.phase = Phase::Ended;
        }
        result
    }

    /// So many bytes of the data were sent.
    pub fn sent(&mut self, len: u64) -> Result<(), ExchangeError> {
        let (phase, result) = match self.phase {
            Phase::Sending { remaining } if len > remaining => {
                (Phase::Ended, Err(ExchangeError::SentTooMuch { excess: len - remaining }))
            }
            Phase::Sending { remaining } if len == remaining => (Phase::Closing, Ok(())),
            Phase::Sending { remaining } => (Phase::Sending { remaining: remaining - len }, Ok(())),
            _ => (Phase::Ended, Err(ExchangeError::Misused)),
        };
        self.phase = phase;
        result
    }

    fn hear<'a>(&mut self, bytes: &[u8], last: bool) -> Result<Event<'a>, ExchangeError> {
        if self.held.len() + bytes.len() > REPLY_ACCEPTED_LEN_MAX {
            return Err(ReplyError::TooLong.into());
        }
        self.held.extend_from_slice(bytes);
        if !last || self.held.is_empty() {
            return Ok(Event::Need);
        }
        let reply = Reply::parse(&std::mem::take(&mut self.held))?;
        match reply {
            Reply::Info(text) => self.message().map(|()| Event::Info(text)),
            Reply::Text(text) => self.message().map(|()| Event::Text(text)),
            Reply::Fail(text) => Ok(self.end(Outcome::Fail(text))),
            Reply::Okay(_) if self.phase == Phase::Answer && self.data != DataPhase::None => {
                Err(ExchangeError::MissingData)
            }
            Reply::Okay(value) => Ok(self.end(Outcome::Okay(value))),
            Reply::Data(len) if self.phase == Phase::Answer => self.begin_data(len),
            Reply::Data(len) => Err(ExchangeError::UnexpectedData { len }),
        }
    }

    fn message(&mut self) -> Result<(), ExchangeError> {
        let max = self.limits.messages_max;
        if self.messages >= max {
            return Err(ExchangeError::TooManyMessages { max });
        }
        self.messages += 1;
        Ok(())
    }

    fn end<'a>(&mut self, outcome: Outcome) -> Event<'a> {
        self.phase = Phase::Ended;
        Event::Done(outcome)
    }

    fn begin_data<'a>(&mut self, offered: u32) -> Result<Event<'a>, ExchangeError> {
        let len = u64::from(offered);
        let (phase, event) = match self.data {
            DataPhase::None => return Err(ExchangeError::UnexpectedData { len: offered }),
            DataPhase::ToDevice { len: asked } if asked != offered => {
                return Err(ExchangeError::DataLength { asked, offered });
            }
            DataPhase::ToDevice { .. } => (Phase::Sending { remaining: len }, Event::SendData { len }),
            DataPhase::FromDevice { len_max } => {
                let len_max = len_max.unwrap_or(u64::MAX).min(self.limits.upload_len_max);
                if len > len_max {
                    return Err(ExchangeError::UploadTooLong { offered, len_max });
                }
                (Phase::Receiving { remaining: len }, Event::ReceiveData { len })
            }
        };
        // A data phase of nothing is over as it begins.
        self.phase = if len == 0 { Phase::Closing } else { phase };
        Ok(event)
    }

    fn take<'a>(&mut self, bytes: &'a [u8], remaining: u64) -> Result<Event<'a>, ExchangeError> {
        let len = bytes.len() as u64;
        if len == 0 {
            return Ok(Event::Need);
        }
        let Some(remaining) = remaining.checked_sub(len) else {
            return Err(ExchangeError::DataTooLong { excess: len - remaining });
        };
        self.phase = if remaining == 0 { Phase::Closing } else { Phase::Receiving { remaining } };
        Ok(Event::Data { bytes, remaining })
    }
}
