//! Who is at the other end, as a host finds it that does not know what the one before it did; and how it is brought to
//! where a command can be sent.

use std::io::{Read as _, repeat};
use std::time::Duration;

use farmhand_wire::fastboot::{Command, REPLY_ACCEPTED_LEN_MAX, Reply, ReplyError};

use super::commands::known;
use super::{Client, Connection};
use crate::fastboot::deadlines::{PRESENCE, QUIET, STAGED};
use crate::fastboot::error::ClientError;
use crate::fastboot::pipe::{PipeError, Recovery};

/// Replies of an earlier host's that are kept; one that died leaves one answer with a few lines before it.
const STALE_MAX: usize = 1024;
/// Bytes of a data phase that are made up at most, where it is not known how many it lacks: `DATA` says no more.
const FILL_MAX: u64 = 1 << 32;

/// What a device said when nobody had asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A reply.
    Reply(Reply),
    /// Something else.
    Nonsense(ReplyError),
}

impl Said {
    fn is_final(&self) -> bool {
        matches!(self, Self::Reply(Reply::Okay(_) | Reply::Fail(_)))
    }
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The bootloader, now.
    Answers {
        /// Its `product`; `None` where it does not say.
        product: Option<String>,
        /// Its `serialno`; `None` where it does not say.
        serial: Option<String>,
    },
    /// Something is there that does not answer.
    Silent,
    /// Nothing is there.
    Gone,
}

/// What is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// What was said that no question of ours had asked for: the answers to an earlier host, in their order. For a device
    /// that fell silent in between also what it said to us.
    pub stale: Vec<Said>,
    /// Who answers.
    pub state: State,
}

impl Client {
    /// Asks `product`, `serialno` and `product` again, and tells answers from what an earlier host left unread (USB).
    ///
    /// Each command has one end, OKAY or FAIL. So what ends came beyond the number of questions are stale, and they are
    /// the first ones: an empty OKAY that an earlier `boot` was answered with is never taken for an answer to ours.
    /// Where the answers to one question differ, nothing is believed, and the device counts as silent.
    ///
    /// Changes nothing on the device, and never sends bytes that an open data phase would need: that is
    /// [`Client::resynchronise`].
    pub async fn who_answers(&mut self) -> Result<Presence, ClientError> {
        let drain = self.pipe.recovery() == Recovery::Drain;
        if !drain && self.connection != Connection::Ready {
            return Err(ClientError::Unusable);
        }
        self.connection = self.after_error();
        let mut said = Vec::new();
        let asked = match self.ask_who(&mut said, drain).await {
            Ok(whole) => whole,
            Err(PipeError::Gone(_)) => {
                if drain {
                    self.connection = Connection::Gone;
                }
                return Ok(Presence { stale: said, state: State::Gone });
            }
            Err(PipeError::Silent(_) | PipeError::Halted) => false,
            Err(error) => return Err(ClientError::Pipe { command: "getvar:product".to_owned(), error }),
        };
        let ends: Vec<usize> = (0..said.len()).filter(|at| said[*at].is_final()).collect();
        if !asked || ends.len() < QUESTIONS.len() {
            return Ok(Presence { stale: said, state: State::Silent });
        }
        let ours = &ends[ends.len() - QUESTIONS.len()..];
        let [product, serial, again] = [0, 1, 2].map(|at| value(&said[ours[at]]));
        if product != again {
            return Ok(Presence { stale: said, state: State::Silent });
        }
        let last_stale = ends.len().checked_sub(QUESTIONS.len() + 1).map_or(0, |at| ends[at] + 1);
        said.truncate(last_stale);
        self.connection = Connection::Ready;
        self.owed = 0;
        Ok(Presence { stale: said, state: State::Answers { product, serial } })
    }

    /// Asks, and hears all that is said; whether each question had its end.
    async fn ask_who(&mut self, said: &mut Vec<Said>, drain: bool) -> Result<bool, PipeError> {
        if drain {
            self.pipe.mend().await?;
            match self.hear_quiet(said).await {
                // A halt that an earlier host left; it is lifted now.
                Err(PipeError::Halted) => {}
                done => done?,
            }
        }
        for question in QUESTIONS {
            let packet = Command::GetVar(known(question)).to_string();
            self.pipe.send(packet.as_bytes(), PRESENCE).await?;
            loop {
                let heard = self.hear_one(said, PRESENCE).await?;
                if heard {
                    break;
                }
                if said.len() >= STALE_MAX {
                    return Ok(false);
                }
            }
        }
        if drain {
            self.hear_quiet(said).await?;
        }
        Ok(true)
    }

    /// Whether what came was an end.
    async fn hear_one(&mut self, said: &mut Vec<Said>, wait: Duration) -> Result<bool, PipeError> {
        let packet = self.pipe.receive(REPLY_ACCEPTED_LEN_MAX, wait).await?;
        let one = match Reply::parse(&packet) {
            Ok(reply) => Said::Reply(reply),
            Err(error) => Said::Nonsense(error),
        };
        let end = one.is_final();
        said.push(one);
        Ok(end)
    }

    /// Until nothing more comes.
    async fn hear_quiet(&mut self, said: &mut Vec<Said>) -> Result<(), PipeError> {
        while said.len() < STALE_MAX {
            match self.hear_one(said, QUIET).await {
                Ok(_) => {}
                Err(PipeError::Silent(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Brings a device to where a command can be sent, after a command that did not end, this host's or another's
    /// (USB). Over TCP and UDP a new connection does that, and this says what the connection is.
    ///
    /// A data phase that was cut is made up with zeros: they fill the device's memory, from where nothing is written
    /// without another command, and zeros are none. What was downloaded is of no use afterwards.
    ///
    /// Not for a device to which a handoff may have been sent: first [`Client::who_answers`], which sends no filler.
    pub async fn resynchronise(&mut self) -> Result<Connection, ClientError> {
        if self.pipe.recovery() == Recovery::Reconnect || self.connection == Connection::Gone {
            return Ok(self.connection);
        }
        self.staged = None;
        let failed = |error| ClientError::Pipe { command: "resynchronise".to_owned(), error };
        // Twice: what the device said to a transfer that was just taken back is lost with it.
        if self.owed == 0
            && (self.answers().await? || self.connection != Connection::Gone && self.answers().await?)
        {
            return Ok(self.connection);
        }
        if self.connection == Connection::Gone {
            return Ok(self.connection);
        }
        if self.owed > 0 {
            let owed = self.owed;
            let mended = self.pipe.mend().await;
            let zeros = Box::new(repeat(0).take(owed));
            let filled = match mended {
                Ok(()) => self.pipe.send_data(zeros, owed, PRESENCE, &mut |_| {}).await,
                error => error,
            };
            match filled {
                Ok(()) => {
                    // Some loaders check what they were sent before they say so; a halt or silence shows below.
                    match self.pipe.receive(REPLY_ACCEPTED_LEN_MAX, STAGED).await {
                        Ok(_) | Err(PipeError::Silent(_) | PipeError::Halted) => {}
                        Err(PipeError::Gone(_)) => self.connection = Connection::Gone,
                        Err(error) => return Err(failed(error)),
                    }
                }
                Err(PipeError::Gone(_)) => self.connection = Connection::Gone,
                Err(_) => {}
            }
            self.owed = 0;
            if self.connection == Connection::Gone || self.answers().await? {
                return Ok(self.connection);
            }
        }
        match self.pipe.end_data_phase(FILL_MAX).await {
            Ok(()) => {}
            // It takes whatever it is sent, or nothing, and says nothing.
            Err(PipeError::Silent(_)) => return Ok(self.connection),
            Err(PipeError::Gone(_)) => {
                self.connection = Connection::Gone;
                return Ok(self.connection);
            }
            Err(error) => return Err(failed(error)),
        }
        self.answers().await?;
        Ok(self.connection)
    }

    async fn answers(&mut self) -> Result<bool, ClientError> {
        Ok(matches!(self.who_answers().await?.state, State::Answers { .. }))
    }
}

/// What is asked; the last shows that the first was answered, and not an earlier host.
const QUESTIONS: [&str; 3] = ["product", "serialno", "product"];

fn value(said: &Said) -> Option<String> {
    match said {
        Said::Reply(Reply::Okay(value)) => Some(value.clone()),
        _ => None,
    }
}
