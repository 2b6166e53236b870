//! What a host hears.

use std::mem;

use thiserror::Error;

use super::bytes;
use super::command::Command;

/// A reply that ended in `OK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// As many bytes as [`Command::reply_len`] says.
    pub data: Vec<u8>,
    /// What came before `INSYNC`, where that is allowed: the application's output that was still in flight.
    pub garbage: Vec<u8>,
}

/// Why what came is not a good reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// `NOSYNC`: the loader lost track of the commands.
    #[error("loader is not in sync (0x15)")]
    NotInSync,
    /// `FAILED`.
    #[error("loader could not do it (0x11)")]
    Failed {
        /// What it said besides.
        data: Vec<u8>,
    },
    /// `UNKNOWN`.
    #[error("loader does not know the command (0x12)")]
    Unknown,
    /// `NODEVICE`.
    #[error("loader was not told which chip it programs (0x13)")]
    NoDevice,
    /// Something else where the status belongs: bytes were lost or added on the way.
    #[error("reply ends in {found:#04x}, which is no status")]
    BadStatus {
        /// What stood there.
        found: u8,
        /// What stood before it.
        data: Vec<u8>,
    },
    /// More than allowed came before `INSYNC`: not the loader speaks, but perhaps the application.
    #[error("not a reply: \"{}\"", Excerpt(bytes))]
    Garbage {
        /// All that came, the first byte that was too much included.
        bytes: Vec<u8>,
    },
}

/// Garbage as a person reads it: escaped, and its end only, since what came last tells most.
pub(super) struct Excerpt<'a>(pub(super) &'a [u8]);

/// Bytes of garbage that an error message shows.
const EXCERPT_MAX: usize = 48;

impl std::fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.0.len().saturating_sub(EXCERPT_MAX);
        if from > 0 {
            f.write_str("...")?;
        }
        write!(f, "{}", self.0[from..].escape_ascii())
    }
}

/// What became of bytes that were fed. What was not needed is handed back, to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed<'a> {
    /// All was taken; more is needed.
    Need,
    /// A good reply.
    Reply {
        /// The reply.
        reply: Reply,
        /// What stands behind it, untouched.
        unused: &'a [u8],
    },
    /// A bad one.
    Error {
        /// Why.
        error: ReplyError,
        /// What stands behind the byte that settled it, untouched.
        unused: &'a [u8],
    },
}

/// Takes one reply out of a stream, in whatever chunks it comes; the same bytes give the same result.
///
/// Strict by default: the first byte is `INSYNC` or an error. One that allows garbage looks for the first
/// `INSYNC`, data, `OK` in the stream: an `INSYNC` that does not turn out to begin a good reply is garbage too,
/// and so is any status but `OK`, for the application may print those bytes as well as any other.
/// After a reply or an error it is as new.
#[derive(Debug, Clone)]
pub struct ReplyParser {
    data_len: usize,
    garbage_max: usize,
    /// Empty, or `INSYNC` and what came after it; at most `data_len + 1` bytes between two feeds.
    held: Vec<u8>,
    garbage: Vec<u8>,
}

impl ReplyParser {
    /// For the reply to `command`.
    pub fn new(command: &Command) -> Self {
        Self { data_len: command.reply_len(), garbage_max: 0, held: Vec::new(), garbage: Vec::new() }
    }

    /// Allows this many bytes of garbage before the reply.
    pub fn allowing_garbage(mut self, garbage_max: usize) -> Self {
        self.garbage_max = garbage_max;
        self
    }

    /// What has been heard of a reply that is not complete: garbage first.
    pub fn heard(&self) -> Vec<u8> {
        [&self.garbage[..], &self.held[..]].concat()
    }

    /// Takes bytes, up to the end of one reply.
    pub fn feed<'a>(&mut self, chunk: &'a [u8]) -> Fed<'a> {
        let mut rest = chunk;
        loop {
            if self.held.is_empty() {
                let Some((&first, behind)) = rest.split_first() else { return Fed::Need };
                rest = behind;
                if let Err(error) = self.begin(first) {
                    return Fed::Error { error, unused: rest };
                }
                continue;
            }
            let wanted = (self.data_len + 2 - self.held.len()).min(rest.len());
            let (taken, behind) = rest.split_at(wanted);
            self.held.extend_from_slice(taken);
            rest = behind;
            if self.held.len() < self.data_len + 2 {
                return Fed::Need;
            }
            match self.end() {
                Ok(Some(reply)) => return Fed::Reply { reply, unused: rest },
                Ok(None) => {}
                Err(error) => return Fed::Error { error, unused: rest },
            }
        }
    }

    /// A byte where `INSYNC` belongs.
    fn begin(&mut self, byte: u8) -> Result<(), ReplyError> {
        match byte {
            bytes::INSYNC => {
                self.held.push(byte);
                Ok(())
            }
            bytes::NOSYNC if self.garbage_max == 0 => Err(ReplyError::NotInSync),
            _ => {
                self.garbage.push(byte);
                if self.garbage.len() > self.garbage_max {
                    return Err(ReplyError::Garbage { bytes: mem::take(&mut self.garbage) });
                }
                Ok(())
            }
        }
    }

    /// A whole reply is held. `None`: it was not one after all, and what may begin one is held.
    fn end(&mut self) -> Result<Option<Reply>, ReplyError> {
        let held = mem::take(&mut self.held);
        let status = held[self.data_len + 1];
        let data = || held[1..=self.data_len].to_vec();
        if status == bytes::OK {
            return Ok(Some(Reply { data: data(), garbage: mem::take(&mut self.garbage) }));
        }
        if self.garbage_max > 0 {
            return self.look_again(&held).map(|()| None);
        }
        Err(match status {
            bytes::FAILED => ReplyError::Failed { data: data() },
            bytes::UNKNOWN => ReplyError::Unknown,
            bytes::NODEVICE => ReplyError::NoDevice,
            bytes::NOSYNC => ReplyError::NotInSync,
            found => ReplyError::BadStatus { found, data: data() },
        })
    }

    /// The first of `held` is garbage; a reply may begin in the rest, but, being shorter, not end in it.
    fn look_again(&mut self, held: &[u8]) -> Result<(), ReplyError> {
        let next = held[1..].iter().position(|&byte| byte == bytes::INSYNC).map_or(held.len(), |at| at + 1);
        self.garbage.extend_from_slice(&held[..next]);
        if self.garbage.len() > self.garbage_max {
            let mut bytes = mem::take(&mut self.garbage);
            bytes.extend_from_slice(&held[next..]);
            return Err(ReplyError::Garbage { bytes });
        }
        self.held.extend_from_slice(&held[next..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stk500v1::Memory;

    fn strict(command: Command, bytes: &[u8]) -> Fed<'_> {
        ReplyParser::new(&command).feed(bytes)
    }

    fn error(fed: Fed<'_>) -> ReplyError {
        match fed {
            Fed::Error { error, .. } => error,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    #[test]
    fn what_stands_behind_a_reply_is_handed_back() {
        let Fed::Reply { reply, unused } = strict(Command::LeaveProgmode, b"\x14\x10\x14\x10Hello") else {
            panic!("no reply")
        };
        assert_eq!(reply, Reply { data: vec![], garbage: vec![] });
        assert_eq!(unused, b"\x14\x10Hello");
    }

    #[test]
    fn data_may_be_any_bytes() {
        let read = Command::ReadPage { memory: Memory::Flash, len: 4 };
        let Fed::Reply { reply, unused } = strict(read, &[0x14, 0x14, 0x10, 0x15, 0x20, 0x10]) else {
            panic!("no reply")
        };
        assert_eq!(reply.data, [0x14, 0x10, 0x15, 0x20]);
        assert_eq!(unused, b"");
    }

    #[test]
    fn each_refusal_has_its_name() {
        assert_eq!(error(strict(Command::GetSync, &[0x15])), ReplyError::NotInSync);
        assert_eq!(error(strict(Command::GetSync, &[0x14, 0x15])), ReplyError::NotInSync);
        assert_eq!(error(strict(Command::GetSync, &[0x14, 0x12])), ReplyError::Unknown);
        assert_eq!(error(strict(Command::EnterProgmode, &[0x14, 0x13])), ReplyError::NoDevice);
        let parameter = Command::GetParameter(crate::stk500v1::Parameter(0x99));
        assert_eq!(error(strict(parameter, &[0x14, 0x07, 0x11])), ReplyError::Failed { data: vec![7] });
        assert_eq!(
            error(strict(Command::ReadSignature, &[0x14, 0x1e, 0x95, 0x0f, 0x99])),
            ReplyError::BadStatus { found: 0x99, data: vec![0x1e, 0x95, 0x0f] }
        );
        assert_eq!(error(strict(Command::GetSync, b"Hi")), ReplyError::Garbage { bytes: b"H".to_vec() });
    }

    #[test]
    fn garbage_is_kept_where_it_is_allowed() {
        let mut parser = ReplyParser::new(&Command::GetSync).allowing_garbage(16);
        assert_eq!(parser.feed(b"tick\x14tock\x15\x14\x14"), Fed::Need);
        assert_eq!(parser.heard(), b"tick\x14tock\x15\x14\x14");
        let Fed::Reply { reply, unused } = parser.feed(b"\x10x") else { panic!("no reply") };
        assert_eq!(reply.garbage, b"tick\x14tock\x15\x14");
        assert_eq!(unused, b"x");
    }

    #[test]
    fn too_much_garbage_is_an_error_that_shows_its_end() {
        let mut parser = ReplyParser::new(&Command::GetSync).allowing_garbage(60);
        let said = [b'a'; 100];
        let Fed::Error { error, unused } = parser.feed(&said) else { panic!("no error") };
        assert_eq!(error, ReplyError::Garbage { bytes: vec![b'a'; 61] });
        assert_eq!(unused.len(), 39);
        assert_eq!(error.to_string(), format!("not a reply: \"...{}\"", "a".repeat(48)));
    }

    #[test]
    fn a_signature_is_found_behind_answers_that_came_late() {
        let mut parser = ReplyParser::new(&Command::ReadSignature).allowing_garbage(64);
        let Fed::Reply { reply, unused } =
            parser.feed(&[0x14, 0x10, 0x14, 0x10, 0x14, 0x10, 0x14, 0x1e, 0x95, 0x0f, 0x10])
        else {
            panic!("no reply")
        };
        assert_eq!(reply.data, [0x1e, 0x95, 0x0f]);
        assert_eq!(reply.garbage, [0x14, 0x10, 0x14, 0x10, 0x14, 0x10]);
        assert_eq!(unused, b"");
    }
}
