//! Simulated devices: what farmhand, or another program, finds at the other end of a cable.
//!
//! - [`usbredir`] plugs a simulated USB device into a virtual machine's real USB stack.

pub mod usbredir;
