//! Finds the loader, and the place in its stream.

use std::mem;
use std::time::Duration;

use super::{HostError, Input, Machine, Output, Signature};
use crate::stk500v1::command::Command;
use crate::stk500v1::reply::{Fed, ReplyError, ReplyParser};

/// How long to wait for the answer to one `GET_SYNC`. After a reset, a chip takes up to 65 ms to start
/// (ATmega328P data sheet, "Start-up Times", SUT fuses) and optiboot 4.4, which Arduino ships, flashes its LED for six
/// sixteenths of a second before it reads. Meanwhile the UART holds one `GET_SYNC`, not two: asking sooner would
/// lose half of one, and optiboot gives up on a command that does not end right.
pub const SYNC_ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How often to ask after one reset: with [`SYNC_ANSWER_WITHIN`], longer than optiboot waits for a programmer (1 s).
pub const SYNC_ATTEMPTS: u32 = 3;

/// How much of what the application said before the reset may still be in flight: what a tty of the kernel and
/// the buffers of a USB adapter hold, generously.
pub const SYNC_GARBAGE_MAX: usize = 64 * 1024;

/// What [`Synchronize`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Which chip the loader was built for.
    pub signature: Signature,
    /// How often it was asked.
    pub attempts: u32,
    /// What came that was not an answer: the application's output from before the reset, and answers that came late.
    pub garbage: Vec<u8>,
}

/// Asks `GET_SYNC` until a loader answers; the caller has just reset the board, and resets it anew should this fail.
///
/// The first answer does not settle it: others may be under way to attempts that were given up too early, and an
/// application may have printed the two bytes of an answer. So the signature is asked for next, which has a reply of its own
/// shape: replies come in order, hence nothing stale can come behind that one. No time is spent on listening for silence.
#[derive(Debug, Clone)]
pub struct Synchronize {
    attempts_max: u32,
    attempts: u32,
    garbage: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Asking(ReplyParser),
    Settling(ReplyParser),
    Ended,
}

impl Synchronize {
    /// Asks up to `attempts_max` times, and once at least; see [`SYNC_ATTEMPTS`].
    pub fn new(attempts_max: u32) -> Self {
        Self { attempts_max: attempts_max.max(1), attempts: 0, garbage: Vec::new(), state: State::Idle }
    }

    fn ask(&mut self, parser: ReplyParser) -> Output<Synced> {
        self.attempts += 1;
        self.state = State::Asking(parser);
        Output::Send(encoded(&Command::GetSync))
    }

    /// An attempt was in vain. What it heard may be half of a late answer, so the parser is kept.
    fn ask_again(&mut self, parser: ReplyParser) -> Output<Synced> {
        if self.attempts < self.attempts_max {
            return self.ask(parser);
        }
        self.garbage.extend(parser.heard());
        self.give_up(Vec::new())
    }

    fn give_up(&mut self, unused: Vec<u8>) -> Output<Synced> {
        let error = HostError::NoLoader { attempts: self.attempts, heard: mem::take(&mut self.garbage) };
        Output::Failed { error, unused }
    }

    fn hear_sync(&mut self, mut parser: ReplyParser, bytes: &[u8]) -> Output<Synced> {
        match parser.feed(bytes) {
            Fed::Need => {
                self.state = State::Asking(parser);
                Output::Need
            }
            Fed::Reply { reply, unused } => {
                self.garbage.extend(reply.garbage);
                // Came before the signature was asked for, so it is no answer to that, whatever it looks like.
                self.garbage.extend(unused);
                self.state = State::Settling(looking_for(&Command::ReadSignature));
                Output::Send(encoded(&Command::ReadSignature))
            }
            Fed::Error { error, unused } => self.drowned(error, unused),
        }
    }

    fn hear_signature(&mut self, mut parser: ReplyParser, bytes: &[u8]) -> Output<Synced> {
        match parser.feed(bytes) {
            Fed::Need => {
                self.state = State::Settling(parser);
                Output::Need
            }
            Fed::Reply { reply, unused } => {
                let signature = Signature::of(&reply);
                self.garbage.extend(reply.garbage);
                let garbage = mem::take(&mut self.garbage);
                let value = Synced { signature, attempts: self.attempts, garbage };
                Output::Done { value, unused: unused.to_vec() }
            }
            Fed::Error { error, unused } => self.drowned(error, unused),
        }
    }

    /// More garbage than can be in flight: the application is still running.
    fn drowned(&mut self, error: ReplyError, unused: &[u8]) -> Output<Synced> {
        if let ReplyError::Garbage { bytes } = error {
            self.garbage.extend(bytes);
        }
        self.give_up(unused.to_vec())
    }
}

fn looking_for(command: &Command) -> ReplyParser {
    ReplyParser::new(command).allowing_garbage(SYNC_GARBAGE_MAX)
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    bytes
}

impl Machine for Synchronize {
    type Value = Synced;

    fn step(&mut self, input: Input<'_>) -> Output<Synced> {
        match (mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle, Input::Start) => self.ask(looking_for(&Command::GetSync)),
            (State::Asking(parser), Input::Bytes(bytes)) => self.hear_sync(parser, bytes),
            (State::Asking(parser), Input::TimedOut) => self.ask_again(parser),
            (State::Settling(parser), Input::Bytes(bytes)) => self.hear_signature(parser, bytes),
            (State::Settling(parser), Input::TimedOut) => {
                self.garbage.extend(parser.heard());
                self.ask_again(looking_for(&Command::GetSync))
            }
            (State::Idle | State::Ended, Input::Bytes(bytes)) => {
                Output::Failed { error: HostError::Misused, unused: bytes.to_vec() }
            }
            (State::Idle | State::Ended, Input::TimedOut) | (_, Input::Start) => {
                Output::Failed { error: HostError::Misused, unused: Vec::new() }
            }
        }
    }
}
