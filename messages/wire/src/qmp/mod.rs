//! QMP, the protocol by which QEMU is told what to do: a client's side.
//!
//! Sources: QEMU, `docs/interop/qmp-spec` ("QMP Protocol Specification"; cited as "QMP" with the section) and its schema,
//! `qapi/*.json` (cited as "QAPI" with the name of what is defined). "Seen" is what QEMU 7.2.22 was seen to do.
//!
//! | part | what it is |
//! |---|---|
//! | [`Client`] | one connection: greeting, negotiation, commands in flight, answers by id, events at any time |
//! | [`Command`] | what is asked |
//! | [`Answer`], [`Failure`] | what comes of it |
//! | [`Event`] | what QEMU says of itself |
//!
//! ```
//! # use farmhand_wire::qmp::{Client, ClientError, Command, Fed, Heard};
//! # struct Socket;
//! # impl Socket {
//! #     fn write(&mut self, _: &[u8]) {}
//! #     fn read(&mut self) -> Vec<u8> { Vec::new() }
//! # }
//! fn run(client: &mut Client, socket: &mut Socket) -> Result<(), ClientError> {
//!     let chunk = socket.read(); // with a deadline
//!     let mut rest = &chunk[..];
//!     while let Fed::Heard { heard, unused } = client.feed(rest)? {
//!         rest = unused;
//!         if let Heard::Ready = heard {
//!             client.send(&Command::QueryStatus).expect("ready, and nothing is in flight");
//!         }
//!     }
//!     socket.write(&client.take_output());
//!     Ok(())
//! }
//! ```
//!
//! What a caller has to know, each seen:
//!
//! - A second client of one socket is connected and hears nothing, not even a greeting, until the first has gone: a
//!   greeting needs a deadline. After a kill of QEMU its socket's file stays, and refuses.
//! - What a client had asked before it went may be answered to the next one, behind the greeting. So ids grow over
//!   connections ([`Client::new`]), and an answer to a predecessor is not taken for one of ours.
//! - An accepted [`Command::Cont`] does not prove that the machine runs: before the memory of an incoming migration has come
//!   it is accepted too, and [`Command::QueryStatus`] says.
//! - `STOP` and `RESUME` frame what pauses the machine by itself: a snapshot that is saved or loaded, within its job.
//! - A `quit` is answered behind its `SHUTDOWN`, and an answer may stand behind events that the command brought about.
//! - The [`Event::Migration`] comes only where [`MigrationCapability::Events`] is on.
//! - A memory file that is damaged ends QEMU: the connection closes, and the reason is on its standard error.
//! - A command that was not answered when the connection ended is ambiguous ([`Client::unanswered`]).
//!
//! Out of scope: file descriptors in ancillary data (QAPI `getfd`), out-of-band execution, and the guest agent's dialect.

mod answer;
mod client;
mod command;
mod error;
mod event;
mod frame;
mod id;
mod message;
mod word;

pub use answer::{
    Answer, Block, Chardev, Failure, Inserted, Job, MigrationInfo, MigrationRam, Refusal, Status,
};
pub use client::{Client, Fed, Heard, IN_FLIGHT_MAX, Ignored};
pub use command::{
    COMMAND_LEN_MAX, Command, MigrationCapability, MigrationUri, RebootAction, Snapshot, SwitchCapability,
};
pub use error::{ClientError, SendError};
pub use event::{BlockIoError, Cause, DeviceDeleted, Event, JobStatusChange, PortChange};
pub use frame::{FrameError, MESSAGE_LEN_MAX};
pub use id::Id;
pub use message::{Greeting, MessageError, Version};
pub use word::{
    ErrorClass, IoErrorAction, IoOperation, JobStatus, JobType, MigrationStatus, PanicAction, RunState,
    ShutdownCause, WatchdogAction,
};
