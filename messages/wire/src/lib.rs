//! Protocols spoken to devices, without I/O.
//!
//! A codec here turns bytes into meaning and back; a machine says what to send next. Neither opens a port,
//! reads a clock nor waits: bytes and the news that a deadline has passed are inputs, and what is to be sent is
//! an output. So a driver, a simulator, a test and a fuzzer all use the same code.

//!
//! | room | the peer |
//! |---|---|
//! | [`stk500v1`] | boot loaders of AVR boards |
//! | [`fastboot`] | boot loaders of phones and boards |
//! | [`qmp`] | QEMU, the device that is a process |

pub mod fastboot;
pub mod qmp;
pub mod stk500v1;
mod text;

pub use text::{TEXT_LEN_MAX, Text, printable};
