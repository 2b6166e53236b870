//! One command in the table.

use std::collections::VecDeque;

use farmhand_agent_messages::{How, Stream, WINDOW};

use super::{Task, chunk_cost};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its acknowledgement is not with the port yet: nothing was begun.
    Waiting(Task),
    Running,
    Ended(How),
}

/// A piece of output that is not credited.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) stream: Stream,
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) phase: Phase,
    /// The acknowledgement is to be said.
    pub(super) accept: bool,
    /// Its host is gone, and no other has resumed it.
    pub(super) held: bool,
    /// Not credited, in order.
    pub(super) output: VecDeque<Chunk>,
    /// How many of those were said to this host.
    pub(super) said: usize,
    /// How many bytes it has said in all.
    at: u64,
    /// The restore that ends it.
    pub(super) aborted: Option<u64>,
    /// Nobody wants its end.
    pub(super) given_up: bool,
    /// Input that its host has sent and it has not taken.
    pub(super) input_open: usize,
    /// Credit for input that its host does not know of.
    pub(super) input_owed: usize,
    /// The end was said to this host.
    pub(super) ended_said: bool,
}

impl Entry {
    pub(super) fn new(task: Task) -> Self {
        Self {
            phase: Phase::Waiting(task),
            accept: true,
            held: false,
            output: VecDeque::new(),
            said: 0,
            at: 0,
            aborted: None,
            given_up: false,
            input_open: 0,
            input_owed: 0,
            ended_said: false,
        }
    }

    /// What it says is thrown away.
    pub(super) fn is_unheard(&self) -> bool {
        self.given_up || self.aborted.is_some()
    }

    pub(super) fn push(&mut self, stream: Stream, bytes: Vec<u8>) {
        let chunk = Chunk { stream, at: self.at, bytes };
        self.at = chunk.end();
        self.output.push_back(chunk);
    }

    /// The host has all up to there. How much of the window that frees. What was not said to anybody is kept,
    /// whatever the host believes.
    pub(super) fn credit(&mut self, upto: u64) -> usize {
        let mut freed = 0;
        while let Some(first) = self.output.front()
            && first.end() <= upto
            && (self.said > 0 || self.held)
        {
            freed += chunk_cost(first.bytes.len());
            self.output.pop_front();
            self.said = self.said.saturating_sub(1);
        }
        freed
    }

    /// Its host went: what was said to that one may never have come.
    pub(super) fn hold(&mut self) {
        self.accept = false;
        self.held = true;
        self.said = 0;
        self.input_owed = 0;
        self.ended_said = false;
    }

    /// This host wants it: all that is not credited is said again.
    pub(super) fn resume(&mut self) {
        self.held = false;
        self.said = 0;
        self.ended_said = false;
        self.input_owed = WINDOW.saturating_sub(self.input_open);
    }

    /// It is of a life that is over. Whether its process is to be killed.
    pub(super) fn abort(&mut self, epoch: u64) -> bool {
        match self.phase {
            Phase::Ended(_) => return false,
            Phase::Waiting(_) => self.phase = Phase::Ended(How::Aborted { epoch }),
            Phase::Running => {}
        }
        self.aborted = Some(epoch);
        self.drop_output();
        matches!(self.phase, Phase::Running)
    }

    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.drop_output();
    }

    fn drop_output(&mut self) {
        self.output.clear();
        self.said = 0;
    }
}
