//! Into programming, and out of it.

use super::Doing;
use super::dialogue::{Next, Script};
use crate::stk500v1::command::Command;
use crate::stk500v1::reply::Reply;

/// Enters programming. Loaders do not need it (optiboot ignores it); an STK500 does.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnterProgmode;

impl Script for EnterProgmode {
    type Value = ();

    fn first(&mut self) -> Next<()> {
        Next::Ask { doing: Doing::Enter, commands: vec![Command::EnterProgmode] }
    }

    fn next(&mut self, _replies: Vec<Reply>) -> Next<()> {
        Next::Done(())
    }
}

/// Leaves programming: **the handoff**. The caller has made its intent durable before it starts this.
///
/// It sends one command, once. Of its failures, [`super::HostError::TimedOut`] and every bad reply leave open
/// whether the application has started. `unused` of its [`super::Output::Done`] is what the application has
/// already said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leave;

impl Script for Leave {
    type Value = ();

    fn first(&mut self) -> Next<()> {
        Next::Ask { doing: Doing::Leave, commands: vec![Command::LeaveProgmode] }
    }

    fn next(&mut self, _replies: Vec<Reply>) -> Next<()> {
        Next::Done(())
    }
}
