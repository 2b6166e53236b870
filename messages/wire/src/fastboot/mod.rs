//! Fastboot, as spoken by the boot loaders of phones and boards, over USB, TCP and UDP.
//!
//! Source, unless another is named: AOSP, `system/core/fastboot/README.md` (protocol 0.4, TCP v1, UDP v1); cited
//! here as "README" with the section. A host sends a command, which is one packet of ASCII; the device answers with
//! packets that begin with four letters, and may ask for a data phase of a length that it names.
//!
//! | part | what it is |
//! |---|---|
//! | [`Command`] | what a host says: encodes itself, is parsed by a device, knows what it touches ([`Command::effect`]) |
//! | [`Reply`] | what a device says: parsed by a host, encoded by a device |
//! | [`Exchange`] | a host's side of one command, from the command to `OKAY` or `FAIL`, data phase included |
//! | [`device`] | the other end of it, for simulators and tests |
//! | [`variable`] | numbers and `getvar:all` lines, as real boot loaders write them |
//! | [`tcp`] | the handshake, and frames in a stream |
//! | [`udp`] | packets that may be lost, doubled or late: a host's and a device's machine |
//!
//! A transport delivers *pieces*: some bytes, and whether they end a packet. A USB transfer is one piece. A TCP frame or
//! a UDP message may be several, so that no transport holds a data phase in memory.

mod command;
pub mod device;
mod exchange;
mod name;
mod parse;
mod reply;
pub mod tcp;
pub mod udp;
pub mod variable;

pub use command::{
    Command, CommandError, CommandLimit, DataPhase, Effect, Extent, RawCommand, RebootTarget, Touched,
};
pub use exchange::{Event, Exchange, ExchangeError, Limits, MESSAGES_MAX, Outcome, UPLOAD_LEN_MAX, Wants};
pub use name::{Arguments, Partition, Slot, Variable};
pub use reply::{REPLY_ACCEPTED_LEN_MAX, REPLY_LEN_MAX, Reply, ReplyEncodeError, ReplyError};

pub use crate::text::printable;

/// Class, subclass and protocol of the USB interface; it has one bulk endpoint each way (README, "Basic
/// Requirements", for the endpoints; AOSP, `fastboot.cpp`, for the numbers).
pub const USB_INTERFACE: (u8, u8, u8) = (0xff, 0x42, 0x03);

/// The port that a device listens on, TCP and UDP (README, "TCP Protocol v1" and "UDP Protocol v1").
pub const PORT: u16 = 5554;
