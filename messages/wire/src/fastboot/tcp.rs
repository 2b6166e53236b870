//! Fastboot over TCP: a handshake, then packets with their length before them (README, "TCP Protocol v1").

use thiserror::Error;

/// The version that we speak.
pub const VERSION: u8 = 1;

/// What both sides send first: `FB` and the version in two decimal digits.
pub const HANDSHAKE: [u8; 4] = *b"FB01";

/// A packet's length, big endian, stands before it.
pub const HEADER_LEN: usize = 8;

/// Why the connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TcpError {
    /// Whoever is there does not speak fastboot.
    #[error("\"{}\" is no fastboot handshake", .0.escape_ascii())]
    NotFastboot(Vec<u8>),
    /// It speaks no version that we do.
    #[error("peer speaks fastboot over tcp of version {0}: {VERSION} is needed")]
    Version(u8),
    /// A frame longer than what may come.
    #[error("frame of {len} bytes: at most {len_max} may come")]
    FrameTooLong {
        /// What its header says.
        len: u64,
        /// What may come.
        len_max: u64,
    },
}

/// What became of the bytes of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shaken<'a> {
    /// All was taken; more is needed.
    Need,
    /// Both speak fastboot.
    Done {
        /// The smaller of both versions.
        version: u8,
        /// What stands behind the handshake, untouched.
        unused: &'a [u8],
    },
}

/// The peer's handshake, in whatever chunks it comes. The same on both sides: each sends [`HANDSHAKE`] on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    /// At most four bytes.
    held: Vec<u8>,
}

impl Handshake {
    /// Nothing came yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes up to the end of the handshake. An error comes with the first byte that does not belong.
    pub fn feed<'a>(&mut self, chunk: &'a [u8]) -> Result<Shaken<'a>, TcpError> {
        for (at, &byte) in chunk.iter().enumerate() {
            let belongs = match self.held.len() {
                0 => byte == b'F',
                1 => byte == b'B',
                _ => byte.is_ascii_digit(),
            };
            self.held.push(byte);
            if !belongs {
                return Err(TcpError::NotFastboot(std::mem::take(&mut self.held)));
            }
            if let [_, _, tens, ones] = self.held[..] {
                self.held.clear();
                return match (tens - b'0') * 10 + (ones - b'0') {
                    0 => Err(TcpError::Version(0)),
                    theirs => Ok(Shaken::Done { version: theirs.min(VERSION), unused: &chunk[at + 1..] }),
                };
            }
        }
        Ok(Shaken::Need)
    }
}

/// What stands before a packet of this length.
pub const fn header(len: u64) -> [u8; HEADER_LEN] {
    len.to_be_bytes()
}

/// A packet, framed. For what is short; data is better sent as [`header`] and the bytes as they are.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    [&header(packet.len() as u64)[..], packet].concat()
}

/// What became of bytes that were fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed<'a> {
    /// All was taken; more is needed.
    Need,
    /// A piece of a packet.
    Piece {
        /// Its bytes; empty where the packet is.
        bytes: &'a [u8],
        /// Whether the packet ends with it.
        last: bool,
        /// What stands behind it, untouched.
        unused: &'a [u8],
    },
}

/// Takes packets out of a stream, in whatever chunks it comes, and holds nothing but half a header.
///
/// A data phase may be one frame or many, so a frame is handed on in pieces as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameDecoder {
    /// Less than a header.
    held: Vec<u8>,
    /// Of the frame that is under way; `None` between frames.
    remaining: Option<u64>,
}

impl FrameDecoder {
    /// Between frames.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a stream that ends here ends between frames.
    pub fn is_between_frames(&self) -> bool {
        self.held.is_empty() && self.remaining.is_none()
    }

    /// Takes bytes up to the end of one piece. `len_max` is how long a frame may be that begins in this chunk: that of a
    /// reply, or what remains of a data phase, so it changes from call to call.
    pub fn feed<'a>(&mut self, chunk: &'a [u8], len_max: u64) -> Result<Fed<'a>, TcpError> {
        let (mut remaining, rest) = match self.remaining {
            Some(remaining) => (remaining, chunk),
            None => {
                let wanted = (HEADER_LEN - self.held.len()).min(chunk.len());
                let (taken, rest) = chunk.split_at(wanted);
                self.held.extend_from_slice(taken);
                let Ok(header) = <[u8; HEADER_LEN]>::try_from(&self.held[..]) else { return Ok(Fed::Need) };
                let len = u64::from_be_bytes(header);
                if len > len_max {
                    // The header stays: the stream is of no use, and each further feed says so.
                    return Err(TcpError::FrameTooLong { len, len_max });
                }
                self.held.clear();
                (len, rest)
            }
        };
        let take = usize::try_from(remaining).unwrap_or(usize::MAX).min(rest.len());
        let (bytes, unused) = rest.split_at(take);
        remaining -= take as u64;
        self.remaining = (remaining > 0).then_some(remaining);
        if bytes.is_empty() && remaining > 0 {
            return Ok(Fed::Need);
        }
        Ok(Fed::Piece { bytes, last: remaining == 0, unused })
    }
}
