//! Why it was not done.

use std::time::Duration;

use farmhand_agent_messages::{Refusal, VERSION};
use thiserror::Error;

/// Why the agent did not do it, or nobody knows whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody listens there, it went away, or it broke the rules. What was not answered is ambiguous.
    #[error("the guest's agent: {0}")]
    Gone(String),
    /// It does not answer. Whether it was done is not known.
    #[error("the guest's agent does not answer {what} within {} s", within.as_secs_f32())]
    Silent {
        /// What it was asked.
        what: &'static str,
        /// How long it had.
        within: Duration,
    },
    /// It is another's agent.
    #[error("the guest's agent speaks version {theirs}, and this farm {VERSION}")]
    Version {
        /// What it speaks.
        theirs: u32,
    },
    /// It refused, and has not executed it.
    #[error("the guest's agent refused: {}", match why {
        Refusal::Busy => "as many commands as it can have are under way, or ended and not taken",
        Refusal::Old => "it does not know the command any more",
    })]
    Refused {
        /// Why.
        why: Refusal,
    },
    /// It is longer than a message may be: arguments, environment and folder together.
    #[error("a command for the guest is too long")]
    TooLong,
    /// It has ended, and takes no more input.
    #[error("the command in the guest has ended")]
    Ended,
    /// The guest could not write or read the file.
    #[error("in the guest: {0}")]
    Failed(String),
    /// What was to be put could not be read here, or what was got not written.
    #[error("on this side: {0}")]
    Local(String),
}
