//! The farm's end of the line to the agent in a guest, and the agent itself.
//!
//! No actor: one task owns the connection, and the actor of the device owns the link.
//!
//! | part | what it is |
//! |---|---|
//! | [`PROGRAM`] | the agent, to be put into a guest |
//! | [`AgentLink`] | a connection: commands, files, restores, health |
//! | [`Running`] | a command that the agent has accepted |
//! | [`LinkError`] | why it was not done |
//!
//! # What is known when
//!
//! A command that was refused was not executed. One whose start is [`LinkError::Silent`] or
//! [`LinkError::Gone`] is ambiguous: its id may be in the next greeting's list, and then it was executed, or
//! is yet to be. [`AgentLink::resume`] goes on with it. A new link inherits nothing by itself: commands of an
//! earlier one run on until their windows are full, and keep their places in the agent's table, until
//! somebody resumes them, or gives them up ([`AgentLink::give_up`]).

mod connection;
mod error;
mod link;
mod running;
mod transfer;
mod wire;

pub use error::LinkError;
pub use farmhand_agent_messages::{Command, Health, How, Refusal, Stream, WINDOW};
pub use link::{AgentLink, Hello, Ignored};
pub use running::{Controls, Output, Running};

/// The agent: a static program for Linux on this machine's own processor. Empty where this farm is not one
/// for Linux.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/farmhand-agent"));
