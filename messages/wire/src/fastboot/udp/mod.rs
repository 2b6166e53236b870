//! Fastboot over UDP: packets that may be lost, doubled or late (README, "UDP Protocol v1").
//!
//! The host numbers its packets and repeats each until its answer comes; the device answers each number once, and says
//! the same again when it is asked again. One packet is under way at a time. Time is an input: see [`Host`].
//!
//! What is written in one go arrives as pieces, the last of which ends the message; what ends a packet over USB ends a
//! message here. A data phase may be one message or many.

mod device;
mod host;
mod packet;

use std::time::Duration;

use thiserror::Error;

pub use device::{Answer, Device, DeviceEvent};
pub use host::{Host, Step};
pub use packet::{HEADER_LEN, Header, PacketId, packet};

/// The version that we speak.
pub const VERSION: u16 = 1;

/// The least that both sides take, and the most that a packet has before a size is agreed on, in bytes with its header
/// (README, "Packet Size").
pub const PACKET_LEN_MIN: u16 = 512;

/// What a host offers, in bytes with its header (AOSP, `udp.cpp`, `kHostMaxPacketSize`).
pub const HOST_PACKET_LEN_MAX: u16 = 8192;

/// The most that UDP over IPv4 carries: 65535 less 20 bytes of IP's header and 8 of its own (RFC 768, RFC 791).
pub const DATAGRAM_LEN_MAX: u16 = 65_507;

/// How long to wait for an answer before the packet is sent again (README, "UDP Protocol v1", overview, 4).
pub const RESEND_AFTER: Duration = Duration::from_millis(500);

/// How often a packet is sent before the host gives up: one minute in all, since a device that is writing to its flash may
/// be deaf for so long (README, "Packet Re-Transmission").
pub const ATTEMPTS_MAX: u32 = 120;

/// How often the first query is sent: who does not answer is not there (README, the same section: "a small number"; AOSP,
/// `udp.cpp`, `kMaxConnectAttempts`).
pub const QUERY_ATTEMPTS_MAX: u32 = 4;

/// How often a device may answer a read with nothing: a minute, at one read for each [`RESEND_AFTER`].
pub const EMPTY_READS_MAX: u32 = 120;

/// Why the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UdpError {
    /// Whether the packet arrived is not known.
    #[error("no answer to {attempts} packets")]
    NoAnswer {
        /// How often it was sent.
        attempts: u32,
        /// Whether it was the first one: then the device was never there.
        first: bool,
    },
    /// An error packet, in the device's words; escaped.
    #[error("device says \"{0}\"")]
    Device(String),
    /// An answer to a query or an init that is too short to be one.
    #[error("answer of {len} bytes to the first packets")]
    BadAnswer {
        /// How long its data is.
        len: usize,
    },
    /// It speaks no version that we do.
    #[error("device speaks fastboot over udp of version {0}: {VERSION} is needed")]
    Version(u16),
    /// It takes less than the specification demands.
    #[error("device takes packets of {0} bytes: {PACKET_LEN_MIN} are needed")]
    PacketSize(u16),
    /// More than was agreed on.
    #[error("packet of {len} bytes: {len_max} were agreed on")]
    PacketTooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        len_max: u16,
    },
    /// Data where only an acknowledgement may be.
    #[error("device acknowledged with {len} bytes of data")]
    DataInAck {
        /// How many.
        len: usize,
    },
    /// The device has nothing to say, and answers that.
    #[error("device answered {EMPTY_READS_MAX} reads with nothing")]
    NothingToRead,
    /// It was told to do something else before it was done, to write nothing, or to go on after its end.
    #[error("connection used out of order")]
    Misused,
}
