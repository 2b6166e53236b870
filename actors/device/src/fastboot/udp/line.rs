//! The machine and what it hears: the half that knows no clock, and is the same on a task and on a thread.

use std::io;

use farmhand_wire::fastboot::udp::{DATAGRAM_LEN_MAX, HOST_PACKET_LEN_MAX, Host, Step};

use crate::fastboot::pipe::PipeError;

/// The codec's machine, and its inbox.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) host: Host,
    pub(super) inbox: Vec<u8>,
}

/// How a wait for the machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Connected(u16),
    Written,
    /// Bytes in the inbox, from where to where, and whether the message ends with them.
    Received(usize, usize, bool),
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the machine's datagram, and start the clock anew.
    Send,
    /// Start the clock anew.
    Wait,
    /// Go on waiting.
    Ignore,
    Done(Done),
}

impl Next {
    pub(super) fn starts_clock(self) -> bool {
        matches!(self, Self::Send | Self::Wait)
    }
}

impl Line {
    pub(super) fn new() -> Self {
        Self { host: Host::new(HOST_PACKET_LEN_MAX), inbox: vec![0; usize::from(DATAGRAM_LEN_MAX)] }
    }

    /// That many bytes have come into the inbox, or an error; or nothing until the clock ran out.
    pub(super) fn heard(&mut self, heard: Option<io::Result<usize>>) -> Result<Next, PipeError> {
        let len = match heard {
            None => None,
            Some(Ok(len)) => Some(len),
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(PipeError::Gone("nobody listens on its port any more".to_owned()));
            }
            Some(Err(error)) => return Err(PipeError::socket(&error)),
        };
        let step = match len {
            None => self.host.on_timeout()?,
            Some(len) => self.host.on_datagram(&self.inbox[..len])?,
        };
        Ok(match step {
            Step::Send => Next::Send,
            Step::Wait => Next::Wait,
            Step::Ignored => Next::Ignore,
            Step::Connected { packet_len_max, .. } => Next::Done(Done::Connected(packet_len_max)),
            Step::Written => Next::Done(Done::Written),
            Step::Received { bytes, last } => {
                // A piece is what stands behind the header, up to the end of its packet.
                let to = len.unwrap_or_default();
                Next::Done(Done::Received(to - bytes.len(), to, last))
            }
        })
    }

    /// Of the packet that was sent last (README, "UDP Packet format": two bytes, big endian, behind two others).
    pub(super) fn last_number(&self) -> u16 {
        match self.host.datagram() {
            [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }
}
