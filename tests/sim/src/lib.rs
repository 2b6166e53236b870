//! Simulated devices: what farmhand, or another program, finds at the other end of a cable.
//!
//! - [`fastboot`] is a phone in its bootloader, over TCP, UDP, in process and on a simulated USB.
//! - [`usbredir`] plugs a simulated USB device into a virtual machine's real USB stack.

pub mod fastboot;
pub mod usbredir;
