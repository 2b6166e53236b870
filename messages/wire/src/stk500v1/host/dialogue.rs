//! A conversation in which every answer is known before the next question.

use std::collections::VecDeque;
use std::mem;

use super::{Doing, HostError, Input, Machine, Output, Progress};
use crate::stk500v1::command::Command;
use crate::stk500v1::reply::{Fed, Reply, ReplyParser};

/// What a [`Dialogue`] does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Send these commands in one write, and hear all their answers. More than one only where the loader takes
    /// a command while it answers the one before (see [`super::WireOptions::coalesce`]).
    Ask {
        /// What for; named in errors.
        doing: Doing,
        /// At least one.
        commands: Vec<Command>,
    },
    /// All is said.
    Done(T),
}

/// What is said in a [`Dialogue`]. Answers that are not `OK` never reach it.
pub trait Script {
    /// What it is for.
    type Value;

    /// What to say first.
    fn first(&mut self) -> Next<Self::Value>;

    /// What to say next, now that all commands of the last [`Next::Ask`] are answered. `replies` are theirs, in order.
    fn next(&mut self, replies: Vec<Reply>) -> Next<Self::Value>;

    /// How far it is.
    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// A [`Machine`] that follows a [`Script`], strictly: a byte that is not asked for ends it.
#[derive(Debug, Clone)]
pub struct Dialogue<S> {
    script: S,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Waiting { doing: Doing, parsers: VecDeque<ReplyParser>, replies: Vec<Reply> },
    Ended,
}

impl<S: Script> Dialogue<S> {
    /// Not yet started.
    pub fn new(script: S) -> Self {
        Self { script, state: State::Idle }
    }

    fn go_on(&mut self, next: Next<S::Value>, unused: &[u8], was_doing: Option<Doing>) -> Output<S::Value> {
        match next {
            Next::Done(value) => Output::Done { value, unused: unused.to_vec() },
            Next::Ask { doing, .. } if !unused.is_empty() => {
                let error = HostError::Unasked { doing: was_doing.unwrap_or(doing), bytes: unused.to_vec() };
                Output::Failed { error, unused: Vec::new() }
            }
            Next::Ask { doing, commands } => {
                let mut bytes = Vec::new();
                commands.iter().for_each(|command| command.encode(&mut bytes));
                let parsers = commands.iter().map(ReplyParser::new).collect();
                self.state = State::Waiting { doing, parsers, replies: Vec::new() };
                Output::Send(bytes)
            }
        }
    }

    fn hear(
        &mut self,
        doing: Doing,
        mut parsers: VecDeque<ReplyParser>,
        mut replies: Vec<Reply>,
        bytes: &[u8],
    ) -> Output<S::Value> {
        let mut rest = bytes;
        while let Some(parser) = parsers.front_mut() {
            match parser.feed(rest) {
                Fed::Need => {
                    self.state = State::Waiting { doing, parsers, replies };
                    return Output::Need;
                }
                Fed::Reply { reply, unused } => {
                    parsers.pop_front();
                    replies.push(reply);
                    rest = unused;
                }
                Fed::Error { error, unused } => {
                    return Output::Failed {
                        error: HostError::Reply { doing, error },
                        unused: unused.to_vec(),
                    };
                }
            }
        }
        let next = self.script.next(replies);
        self.go_on(next, rest, Some(doing))
    }
}

impl<S: Script> Machine for Dialogue<S> {
    type Value = S::Value;

    fn step(&mut self, input: Input<'_>) -> Output<S::Value> {
        match (mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle, Input::Start) => {
                let next = self.script.first();
                self.go_on(next, &[], None)
            }
            (State::Waiting { doing, parsers, replies }, Input::Bytes(bytes)) => {
                self.hear(doing, parsers, replies, bytes)
            }
            (State::Waiting { doing, parsers, .. }, Input::TimedOut) => {
                let heard = parsers.front().map(ReplyParser::heard).unwrap_or_default();
                Output::Failed { error: HostError::TimedOut { doing, heard }, unused: Vec::new() }
            }
            (State::Idle | State::Ended, Input::Bytes(bytes)) => {
                Output::Failed { error: HostError::Misused, unused: bytes.to_vec() }
            }
            (State::Idle | State::Ended, Input::TimedOut) | (_, Input::Start) => {
                Output::Failed { error: HostError::Misused, unused: Vec::new() }
            }
        }
    }

    fn progress(&self) -> Progress {
        self.script.progress()
    }
}
