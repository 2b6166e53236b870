//! A client's side of one connection.

use std::time::Duration;

use serde_json::Value;

use super::answer::{Answer, Expected, Failure, Refusal};
use super::command::{COMMAND_LEN_MAX, Command, negotiation};
use super::error::{ClientError, SendError};
use super::event::Event;
use super::frame::{Split, Splitter};
use super::id::Id;
use super::message::{Greeting, Message};
use crate::text::Text;

/// How many commands may be in flight (QMP, "Out-of-band execution": at most eight; then QEMU reads no more).
pub const IN_FLIGHT_MAX: usize = 8;

/// How much of an id that is not ours an error shows, in bytes.
const ID_LEN_MAX: usize = 48;

/// What became of bytes that were fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed<'a> {
    /// All was taken; more is needed.
    Need,
    /// QEMU said something.
    Heard {
        /// It.
        heard: Heard,
        /// What stands behind it, untouched: feed it next.
        unused: &'a [u8],
    },
}

/// What QEMU said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Which QEMU it is. The negotiation is in the output.
    Greeting(Greeting),
    /// Negotiated: commands may be sent.
    Ready,
    /// An answer to a command of ours.
    Answer {
        /// Which.
        id: Id,
        /// Its name.
        command: &'static str,
        /// What came of it.
        result: Result<Answer, Failure>,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
        /// When, since 1970, by the clock of QEMU's host; `None` where it could not tell.
        at: Option<Duration>,
    },
}

/// Answers that nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ignored {
    /// To commands that were given up.
    pub given_up: u64,
    /// To commands of an earlier connection.
    pub predecessors: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Greeting,
    Negotiating { id: Id },
    Ready,
    Failed(ClientError),
}

#[derive(Debug, Clone)]
struct InFlight {
    id: Id,
    command: &'static str,
    expected: Expected,
    given_up: bool,
}

/// One connection: takes bytes, says what they mean, and holds what is to be sent.
///
/// A greeting, our negotiation, and then commands and answers (QMP, "Capabilities Negotiation"). Events are taken at any
/// time: those of a predecessor have been met before the answer to the negotiation. Deadlines are the caller's: a
/// command whose time has passed is given up ([`Self::give_up`]), and whether it is carried out is then not known.
#[derive(Debug, Clone)]
pub struct Client {
    connection: u32,
    phase: Phase,
    splitter: Splitter,
    /// The next command's.
    number: Option<u32>,
    in_flight: Vec<InFlight>,
    output: Vec<u8>,
    ignored: Ignored,
}

impl Client {
    /// For a connection that has just been made. `connection` is to be greater than that of each earlier connection to the
    /// same QEMU: what was asked there may be answered here.
    pub fn new(connection: u32) -> Self {
        Self {
            connection,
            phase: Phase::Greeting,
            splitter: Splitter::default(),
            number: Some(0),
            in_flight: Vec::new(),
            output: Vec::new(),
            ignored: Ignored::default(),
        }
    }

    /// Takes bytes up to the end of one thing that QEMU says.
    pub fn feed<'a>(&mut self, chunk: &'a [u8]) -> Result<Fed<'a>, ClientError> {
        if let Phase::Failed(error) = &self.phase {
            return Err(error.clone());
        }
        self.take(chunk).inspect_err(|error| self.phase = Phase::Failed(error.clone()))
    }

    fn take<'a>(&mut self, chunk: &'a [u8]) -> Result<Fed<'a>, ClientError> {
        let mut rest = chunk;
        while let Split::Object { bytes, unused } = self.splitter.feed(rest)? {
            rest = unused;
            let heard = match Message::parse(&bytes)? {
                Message::Greeting(greeting) => Some(self.greeted(greeting)?),
                Message::Answer { id, result } => self.answered(id, result)?,
                Message::Event { event, at } => Some(Heard::Event { event, at }),
            };
            if let Some(heard) = heard {
                return Ok(Fed::Heard { heard, unused });
            }
        }
        Ok(Fed::Need)
    }

    fn greeted(&mut self, greeting: Greeting) -> Result<Heard, ClientError> {
        if !matches!(self.phase, Phase::Greeting) {
            return Err(ClientError::SecondGreeting);
        }
        let id = self.next_id().expect("no id was given before the greeting");
        self.output.extend(negotiation(id.to_wire()));
        self.phase = Phase::Negotiating { id };
        Ok(Heard::Greeting(greeting))
    }

    fn answered(
        &mut self,
        id: Option<Value>,
        result: Result<Value, Refusal>,
    ) -> Result<Option<Heard>, ClientError> {
        let Some(value) = id else {
            return Err(result.err().map_or(ClientError::NoId, ClientError::NotUnderstood));
        };
        let unknown = || ClientError::UnknownId { id: Text::cut(&value.to_string(), ID_LEN_MAX) };
        let id = value.as_u64().map(Id::from_wire).ok_or_else(unknown)?;
        if let Phase::Negotiating { id: ours } = self.phase
            && id == ours
        {
            result.map_err(ClientError::Negotiation)?;
            self.phase = Phase::Ready;
            return Ok(Some(Heard::Ready));
        }
        let Some(at) = self.in_flight.iter().position(|command| command.id == id) else {
            if id.connection >= self.connection {
                return Err(unknown());
            }
            self.ignored.predecessors += 1;
            return Ok(None);
        };
        let InFlight { id, command, expected, given_up } = self.in_flight.remove(at);
        if given_up {
            self.ignored.given_up += 1;
            return Ok(None);
        }
        let result = result.map_err(Failure::Refused).and_then(|value| Answer::parse(expected, value));
        Ok(Some(Heard::Answer { id, command, result }))
    }

    /// Puts a command into the output. Its answer bears the id.
    pub fn send(&mut self, command: &Command) -> Result<Id, SendError> {
        match self.phase {
            Phase::Ready => {}
            Phase::Greeting | Phase::Negotiating { .. } => return Err(SendError::NotReady),
            Phase::Failed(_) => return Err(SendError::Ended),
        }
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Err(SendError::Busy);
        }
        let id = self.number.map(|number| Id { connection: self.connection, number });
        let line = command.encode(id.ok_or(SendError::Ended)?.to_wire());
        if line.len() > COMMAND_LEN_MAX {
            return Err(SendError::TooLong { len: line.len() });
        }
        let id = self.next_id().expect("there was one above");
        self.output.extend(line);
        let (command, expected) = (command.name(), command.expected());
        self.in_flight.push(InFlight { id, command, expected, given_up: false });
        Ok(id)
    }

    fn next_id(&mut self) -> Option<Id> {
        let number = self.number?;
        self.number = number.checked_add(1);
        Some(Id { connection: self.connection, number })
    }

    /// Waits no more for an answer: when it comes, it is ignored and counted. Whether it was waited for.
    pub fn give_up(&mut self, id: Id) -> bool {
        let command = self.in_flight.iter_mut().find(|command| command.id == id && !command.given_up);
        command.map(|command| command.given_up = true).is_some()
    }

    /// What is to be sent, once.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether commands may be sent.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Commands that were not answered and not given up, the oldest first. Where the connection ends now, nobody knows
    /// whether they were carried out.
    pub fn unanswered(&self) -> impl Iterator<Item = (Id, &'static str)> + '_ {
        self.in_flight.iter().filter(|command| !command.given_up).map(|command| (command.id, command.command))
    }

    /// Whether a stream that ends here ends between messages.
    pub fn is_between_messages(&self) -> bool {
        self.splitter.is_between_objects()
    }

    /// Answers that were ignored.
    pub fn ignored(&self) -> Ignored {
        self.ignored
    }
}
