//! A host's conversations with a loader, as machines that do no I/O.
//!
//! A driver's whole loop, for every one of them:
//!
//! ```
//! # use farmhand_wire::stk500v1::{HostError, Input, Machine, Output};
//! # use std::time::Duration;
//! # struct Port;
//! # impl Port {
//! #     fn write(&mut self, _: &[u8]) {}
//! #     fn read(&mut self, _: Duration) -> Option<Vec<u8>> { None }
//! # }
//! fn run<M: Machine>(mut machine: M, port: &mut Port, within: Duration) -> Result<(M::Value, Vec<u8>), HostError> {
//!     let mut output = machine.step(Input::Start);
//!     loop {
//!         match output {
//!             Output::Send(bytes) => port.write(&bytes), // and start the deadline anew
//!             Output::Need => {}
//!             Output::Done { value, unused } => return Ok((value, unused)),
//!             Output::Failed { error, .. } => return Err(error),
//!         }
//!         output = match port.read(within) {
//!             Some(bytes) => machine.step(Input::Bytes(&bytes)),
//!             None => machine.step(Input::TimedOut),
//!         };
//!     }
//! }
//! ```

mod dialogue;
mod identify;
mod leave;
mod sync;
mod verify;
mod write;

use std::time::Duration;

use thiserror::Error;

use super::reply::{Excerpt, ReplyError};

pub use dialogue::{Dialogue, Next, Script};
pub use identify::{Identify, Identity, LoaderVersion, Signature};
pub use leave::{EnterProgmode, Leave};
pub use sync::{SYNC_ANSWER_WITHIN, SYNC_ATTEMPTS, SYNC_GARBAGE_MAX, Synced, Synchronize};
pub use verify::{Comparison, Difference, VerifyPages};
pub use write::{WireOptions, WritePages};

/// How long to wait for the answer to any command but the first. Optiboot's watchdog resets it after 1 s (2 s
/// as an option) without a good command, so that silence of this length means that it has gone, even where the
/// host or a simulated board is starved of time.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a machine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// Begin. Once, first.
    Start,
    /// These bytes came, in order, none left out.
    Bytes(&'a [u8]),
    /// The answer did not come in time, counted from the last [`Output::Send`]; not from the last byte, for a
    /// device that was not reset may talk forever.
    TimedOut,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<T> {
    /// Send these bytes, all of them, and start the deadline anew.
    Send(Vec<u8>),
    /// Wait for more bytes, or for the deadline that is running.
    Need,
    /// The conversation is over, and went well.
    Done {
        /// What it was for.
        value: T,
        /// Bytes behind the last reply, to the byte: after [`Leave`], the application's first output.
        unused: Vec<u8>,
    },
    /// The conversation is over, and went badly.
    Failed {
        /// Why, and at which command.
        error: HostError,
        /// Bytes behind the one that settled it, to the byte.
        unused: Vec<u8>,
    },
}

/// How far a machine is, in bytes of memory (not of the wire). Without memory to move, both are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Acknowledged so far.
    pub bytes_done: u64,
    /// In all.
    pub bytes_total: u64,
}

/// A conversation that does no I/O. Total: any input at any time has an answer.
pub trait Machine {
    /// What it is for.
    type Value;

    /// One step.
    fn step(&mut self, input: Input<'_>) -> Output<Self::Value>;

    /// How far it is.
    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// Why a conversation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The loader, or whoever speaks in its place, answered with something else.
    #[error("{doing}: {error}")]
    Reply {
        /// The step, in words that fit after "failed to".
        doing: Doing,
        /// What came.
        error: ReplyError,
    },
    /// Whether the command was carried out is not known.
    #[error("{doing}: no answer{}", after(heard))]
    TimedOut {
        /// The step.
        doing: Doing,
        /// What came, short of an answer.
        heard: Vec<u8>,
    },
    /// No loader answered [`Synchronize`].
    #[error("get in sync: no loader answered {attempts} attempts{}", after(heard))]
    NoLoader {
        /// How often it was asked.
        attempts: u32,
        /// What came instead: silence, or the application's output.
        heard: Vec<u8>,
    },
    /// Bytes came when nothing had been asked.
    #[error("{doing}: answered more than was asked: \"{}\"", Excerpt(bytes))]
    Unasked {
        /// The step whose reply they stood behind.
        doing: Doing,
        /// They.
        bytes: Vec<u8>,
    },
    /// The machine was told [`Input::Start`] again, something before it, or something after its end.
    #[error("conversation used out of order")]
    Misused,
}

fn after(heard: &[u8]) -> String {
    if heard.is_empty() { String::new() } else { format!(", but \"{}\"", Excerpt(heard)) }
}

/// What a conversation was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doing {
    /// Reading the signature.
    ReadSignature,
    /// Reading the loader's version.
    ReadVersion,
    /// Entering programming.
    Enter,
    /// Writing the page at this address (bytes).
    Write(u32),
    /// Reading the page at this address (bytes).
    Read(u32),
    /// Leaving programming.
    Leave,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ReadSignature => f.write_str("read the signature"),
            Self::ReadVersion => f.write_str("read the loader's version"),
            Self::Enter => f.write_str("enter programming"),
            Self::Write(address) => write!(f, "write the page at {address:#07x}"),
            Self::Read(address) => write!(f, "read the page at {address:#07x}"),
            Self::Leave => f.write_str("leave programming"),
        }
    }
}
