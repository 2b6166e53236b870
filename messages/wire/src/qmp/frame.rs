//! Messages out of a stream.

use thiserror::Error;

use crate::text::Text;

/// How long a message may be, in bytes. The longest that QEMU has, the whole schema, is 204 KB (seen); none that we ask for
/// comes near it.
pub const MESSAGE_LEN_MAX: usize = 1 << 20;

/// Bytes of a message that makes no sense, as an error shows them.
pub(super) const EXCERPT_LEN_MAX: usize = 48;

/// Why the stream is no sequence of messages.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More than [`MESSAGE_LEN_MAX`] and no end.
    #[error("message is longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// A byte that cannot stand there.
    #[error("byte {byte:#04x} has no place in JSON behind \"{behind}\"")]
    Byte {
        /// It.
        byte: u8,
        /// What stands before it in its message; empty where one was to begin.
        behind: Text,
    },
}

/// What became of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Split<'a> {
    /// All was taken; more is needed.
    Need,
    /// From one brace to the other; what they hold is not known to be JSON.
    Object { bytes: Vec<u8>, unused: &'a [u8] },
}

/// Takes objects out of a stream, in whatever chunks it comes. Holds no more than one.
///
/// Each message is an object that ends in CRLF (QMP, "General Definitions"). That there is none within is not
/// promised, and not so with `pretty=on`: so braces are counted, and white space between objects is nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Splitter {
    held: Vec<u8>,
    /// Braces and brackets that are open.
    depth: usize,
    string: Option<Escape>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    /// Behind a backslash.
    Next,
}

impl Splitter {
    pub(super) fn is_between_objects(&self) -> bool {
        self.held.is_empty()
    }

    /// Up to the end of one object. After an error it is of no more use.
    pub(super) fn feed<'a>(&mut self, chunk: &'a [u8]) -> Result<Split<'a>, FrameError> {
        for (at, &byte) in chunk.iter().enumerate() {
            if self.held.is_empty() && is_space(byte) {
                continue;
            }
            if !self.takes(byte) {
                let from = self.held.len().saturating_sub(EXCERPT_LEN_MAX);
                let behind = Text::new(&String::from_utf8_lossy(&self.held[from..]));
                return Err(FrameError::Byte { byte, behind });
            }
            if self.held.len() == MESSAGE_LEN_MAX {
                return Err(FrameError::TooLong);
            }
            self.held.push(byte);
            if self.depth == 0 {
                let bytes = std::mem::take(&mut self.held);
                return Ok(Split::Object { bytes, unused: &chunk[at + 1..] });
            }
        }
        Ok(Split::Need)
    }

    /// Whether it can stand here: what is plainly no JSON is refused as it comes, and not only at the bound.
    fn takes(&mut self, byte: u8) -> bool {
        if let Some(escape) = self.string {
            self.string = match (escape, byte) {
                (Escape::Next, _) => Some(Escape::No),
                (Escape::No, b'\\') => Some(Escape::Next),
                (Escape::No, b'"') => None,
                (Escape::No, _) => Some(Escape::No),
            };
            // A control character is escaped in a string (RFC 8259, section 7).
            return byte >= 0x20;
        }
        match byte {
            b'{' => self.depth += 1,
            _ if self.depth == 0 => return false,
            b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            b'"' => self.string = Some(Escape::No),
            b',' | b':' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'E' => {}
            // Of `true`, `false`, `null` and an exponent.
            b't' | b'r' | b'u' | b'e' | b'f' | b'a' | b'l' | b's' | b'n' => {}
            _ => return is_space(byte),
        }
        true
    }
}

/// White space of JSON (RFC 8259, section 2).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
