//! STK500 protocol, version 1, as spoken by the boot loaders of Arduino boards.
//!
//! Sources: Atmel's application note AVR061 ("STK500 Communication Protocol") for commands, replies and the
//! numbers in [`bytes`]; optiboot (its wiki, "How Optiboot Works", and `stk500.h`) for what a loader makes of
//! them. A command ends with [`bytes::CRC_EOP`]; a reply is `INSYNC`, data of a length that the command
//! determines, and a status. Replies come in the order of the commands, which [`Synchronize`] builds on.
//!
//! | part | what it is |
//! |---|---|
//! | [`Command`] | what a host says; encodes itself and knows how long its answer is |
//! | [`ReplyParser`] | what a host hears, in any chunks; hands back what it did not need, to the byte |
//! | [`device`] | the other end: a parser of commands, for simulators and tests |
//! | [`Machine`] | a host's conversations as pure machines: [`Synchronize`], [`Identify`], [`WritePages`], ... |

pub mod bytes;
mod command;
pub mod device;
mod host;
mod page;
mod reply;

pub use command::{Command, Memory, Parameter};
pub use host::{
    ANSWER_WITHIN, Comparison, Dialogue, Difference, Doing, EnterProgmode, HostError, Identify, Identity,
    Input, Leave, LoaderVersion, Machine, Next, Output, Progress, SYNC_ANSWER_WITHIN, SYNC_ATTEMPTS,
    SYNC_GARBAGE_MAX, Script, Signature, Synced, Synchronize, VerifyPages, WireOptions, WritePages,
};
pub use page::{FLASH_ADDRESSABLE, PAGE_LEN_MAX, Page, PageData, PageError};
pub use reply::{Fed, Reply, ReplyError, ReplyParser};
