//! The farm's end of the line to the agent in a guest, and the agent itself.

/// The agent: a static program for Linux on this machine's own processor. Empty where this farm is not one for Linux.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/farmhand-agent"));
