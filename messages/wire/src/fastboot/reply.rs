//! What a device says.

use std::fmt::Write;

use thiserror::Error;

use super::parse::hex32;

/// How long a reply may be, in bytes, its four letters included (README, "Transport and Framing", step 2).
pub const REPLY_LEN_MAX: usize = 256;

/// How long a reply we take may be, in bytes: loaders exist that say more than the README lets them, and what they say is for people.
pub const REPLY_ACCEPTED_LEN_MAX: usize = 4096;

/// Bytes of a reply that makes no sense, as an error shows them.
const EXCERPT_LEN_MAX: usize = 48;

/// One packet from a device outside a data phase (README, "Transport and Framing", step 2).
///
/// Text ends at its first NUL, as Google's client reads it. Bytes that are not UTF-8 are escaped, since text is for people;
/// it may hold control characters, which [`printable`](crate::printable) makes safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// `INFO`: a line to show; more follows.
    Info(String),
    /// `TEXT`: to show as it is, no line; more follows.
    Text(String),
    /// `FAIL`: not done, and why.
    Fail(String),
    /// `OKAY`: done, and for `getvar` the value.
    Okay(String),
    /// `DATA`: a data phase of so many bytes begins.
    Data(u32),
}

/// Why it is not a reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Fewer bytes than the four letters.
    #[error("{} bytes are no reply: \"{}\"", .0.len(), .0.escape_ascii())]
    TooShort(Vec<u8>),
    /// More than [`REPLY_ACCEPTED_LEN_MAX`].
    #[error("reply is longer than {REPLY_ACCEPTED_LEN_MAX} bytes")]
    TooLong,
    /// Four letters that the specification does not know.
    #[error("reply begins with \"{}\", which the protocol does not know", excerpt.escape_ascii())]
    UnknownTag {
        /// Its beginning.
        excerpt: Vec<u8>,
    },
    /// `DATA` and something other than eight hexadecimal digits.
    #[error("length of the data phase is \"{}\", not eight hexadecimal digits", .0.escape_ascii())]
    BadDataLength(Vec<u8>),
}

/// Why a reply cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyEncodeError {
    /// Longer than [`REPLY_LEN_MAX`].
    #[error("reply of {len} bytes is longer than {REPLY_LEN_MAX}")]
    TooLong {
        /// How long it would be.
        len: usize,
    },
    /// A NUL ends a text early.
    #[error("reply holds a NUL at {at}")]
    Nul {
        /// Where in the text, from 0.
        at: usize,
    },
}

impl Reply {
    /// One packet.
    pub fn parse(packet: &[u8]) -> Result<Self, ReplyError> {
        if packet.len() > REPLY_ACCEPTED_LEN_MAX {
            return Err(ReplyError::TooLong);
        }
        let Some((tag, payload)) = packet.split_at_checked(4) else {
            return Err(ReplyError::TooShort(packet.to_vec()));
        };
        Ok(match tag {
            b"INFO" => Self::Info(text(payload)),
            b"TEXT" => Self::Text(text(payload)),
            b"FAIL" => Self::Fail(text(payload)),
            b"OKAY" => Self::Okay(text(payload)),
            b"DATA" => {
                let len = std::str::from_utf8(before_nul(payload)).ok().and_then(hex32);
                Self::Data(len.ok_or_else(|| ReplyError::BadDataLength(excerpt(payload)))?)
            }
            _ => return Err(ReplyError::UnknownTag { excerpt: excerpt(packet) }),
        })
    }

    /// The packet, for a device.
    pub fn encode(&self) -> Result<Vec<u8>, ReplyEncodeError> {
        let (tag, text) = match self {
            Self::Info(text) => ("INFO", text),
            Self::Text(text) => ("TEXT", text),
            Self::Fail(text) => ("FAIL", text),
            Self::Okay(text) => ("OKAY", text),
            Self::Data(len) => return Ok(format!("DATA{len:08x}").into_bytes()),
        };
        if let Some(at) = text.find('\0') {
            return Err(ReplyEncodeError::Nul { at });
        }
        let packet = [tag.as_bytes(), text.as_bytes()].concat();
        if packet.len() > REPLY_LEN_MAX {
            return Err(ReplyEncodeError::TooLong { len: packet.len() });
        }
        Ok(packet)
    }
}

/// What stands before the first NUL (README, step 2b, for `TEXT`; Google's client reads every text so).
fn before_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Text for people: what is UTF-8 as it is, each other byte as `\xNN`.
fn text(payload: &[u8]) -> String {
    let mut text = String::new();
    for chunk in before_nul(payload).utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes all");
        }
    }
    text
}

fn excerpt(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(EXCERPT_LEN_MAX)].to_vec()
}
