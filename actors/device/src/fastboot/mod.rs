//! The host's side of fastboot: one device's bootloader, over USB, TCP or UDP.
//!
//! | file | what it is |
//! |---|---|
//! | `client/` | commands, each to its end; the handoff; who answers after a crash; pieces of large images |
//! | `image.rs` | an image's file as what a device takes at once |
//! | `pipe.rs` | what a transport does |
//! | `source.rs` | what is sent, read by threads that may wait for a disk |
//! | `usb/`, `tcp/`, `udp/` | the transports |
//! | `thread.rs` | a data phase on a thread of its own |
//! | `deadlines.rs` | how long each thing is waited for, and why |
//! | `error.rs` | what can go wrong |
//!
//! What is said is the codec's (`farmhand_wire::fastboot`); nothing here decides what a reply means.
//!
//! # What is known after a crash
//!
//! A host that dies between the intent of a `boot` and its acknowledgement leaves three things to look at. Before the
//! handoff its [`Client::mark`] is written down; the successor compares it with its own [`Client::found`], and asks
//! [`Client::who_answers`].
//!
//! | transport | `mark`, `found` | equal proves | differing proves |
//! |---|---|---|---|
//! | USB | a number of this enumeration: boot id of this machine, bus and device number, inode of the kernel's folder for it | it is the same plug-in of the same bootloader, and it has not left the bus | it left the bus, or this machine restarted; not that it booted: it may have been unplugged |
//! | UDP | the number of the packet that the device expects next | the packet with `boot` was not taken, except where the bootloader began anew and came to that number by chance (1 in 65536; one that always begins at 0 after few packets: likely) | some packet was taken since, not which |
//! | TCP | none | - | - |
//!
//! Over USB a device that was told to boot stays on the bus for a moment, so equality alone does not prove that it was not:
//! it must also answer. An answer that the predecessor left unread is no answer: see [`Client::who_answers`], and
//! [`Presence::stale`]. An empty OKAY there, behind an intent of `boot`, is the acknowledgement that was not read; a FAIL is
//! the refusal. What a transfer of a predecessor's held that the kernel threw away with the process is lost, so that nothing
//! stale proves nothing.
//!
//! A command is one packet, and a packet of a boot's length is one packet of the bus: no command is half sent over USB. Over
//! TCP a frame may be, and the device forgets it with the connection. A data phase may be cut over each; it is made up with
//! zeros over USB ([`Client::resynchronise`]), and given up with the connection over the others.
//!
//! A UDP connection begins with packets that the device counts: only the first [`Client::found`] after a crash is to be
//! compared, so it is written down before anything else is done.

mod client;
pub mod deadlines;
mod error;
mod image;
mod pipe;
mod source;
mod tcp;
mod thread;
mod udp;
pub mod usb;

#[cfg(test)]
mod tests;

pub use client::{
    Acknowledged, Client, Departure, Handoff, HandoffError, Issued, Listener, Piece, Pieces, Presence, Said,
    State,
};
pub use error::{ClientError, OpenError};
pub use image::{ImageError, ImageFile};
pub use pipe::{Connection, Moved, Pipe, PipeError, Recovery, Sink, SinkError};
pub use source::Source;
pub use tcp::TcpPipe;
pub use udp::UdpPipe;
pub use usb::UsbPipe;

use farmhand_messages::fastboot::{Address, UsbIdentity};

/// Opens the device at this address; over USB only the one that is meant, and nothing is sent to any.
pub async fn connect(address: &Address, identity: &UsbIdentity) -> Result<Client, OpenError> {
    let pipe: Box<dyn Pipe> = match address {
        Address::Usb(port_path) => Box::new(UsbPipe::open(port_path, identity).await?),
        Address::Tcp(address) => Box::new(TcpPipe::connect(address).await?),
        Address::Udp(address) => Box::new(UdpPipe::connect(address).await?),
    };
    Ok(Client::new(pipe))
}
