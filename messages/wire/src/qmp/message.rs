//! What an object says: a greeting, an answer or an event.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use super::answer::Refusal;
use super::event::Event;
use super::frame::EXCERPT_LEN_MAX;
use crate::text::Text;

/// QEMU's version (QAPI `VersionInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "VersionInfo")]
pub struct Version {
    /// As in 7.2.22: 7.
    pub major: u32,
    /// 2.
    pub minor: u32,
    /// 22.
    pub micro: u32,
    /// Who built it, in their words; may be empty.
    pub package: Text,
}

/// As it is on the wire.
#[derive(Deserialize)]
struct VersionInfo {
    qemu: VersionTriple,
    package: Text,
}

#[derive(Deserialize)]
struct VersionTriple {
    major: u32,
    minor: u32,
    micro: u32,
}

impl From<VersionInfo> for Version {
    fn from(VersionInfo { qemu: VersionTriple { major, minor, micro }, package }: VersionInfo) -> Self {
        Self { major, minor, micro, package }
    }
}

/// What QEMU says first (QMP, "Server Greeting").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Greeting {
    /// Which QEMU it is.
    pub version: Version,
    /// What it can beyond the base of the protocol, in no order: `oob`.
    pub capabilities: Vec<Text>,
}

/// Why an object is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not JSON, or not of the form that the specification gives.
    #[error("\"{excerpt}\" is no message: {why}")]
    Malformed {
        /// What is wrong.
        why: Text,
        /// Its beginning.
        excerpt: Text,
    },
    /// None of greeting, answer and event, or more than one of them.
    #[error("\"{excerpt}\" is no greeting, answer or event")]
    Unrecognised {
        /// Its beginning.
        excerpt: Text,
    },
}

#[derive(Debug)]
pub(super) enum Message {
    Greeting(Greeting),
    Answer { id: Option<Value>, result: Result<Value, Refusal> },
    Event { event: Event, at: Option<Duration> },
}

/// Every member that a message may have; others are to be ignored (QMP, "Compatibility Considerations").
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    #[serde(rename = "return", default, deserialize_with = "present")]
    value: Option<Value>,
    error: Option<Refusal>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    event: Option<Text>,
    data: Option<Value>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Timestamp {
    seconds: i64,
    microseconds: i64,
}

impl Message {
    pub(super) fn parse(object: &[u8]) -> Result<Self, MessageError> {
        let excerpt = || excerpt(object);
        let malformed = |error: serde_json::Error| MessageError::Malformed {
            why: Text::cut(&error.to_string(), 4 * EXCERPT_LEN_MAX),
            excerpt: excerpt(),
        };
        let Envelope { greeting, value, error, id, event, data, timestamp } =
            serde_json::from_slice(object).map_err(malformed)?;
        Ok(match (greeting, value, error, event) {
            (Some(greeting), None, None, None) => Self::Greeting(greeting),
            (None, Some(value), None, None) => Self::Answer { id, result: Ok(value) },
            (None, None, Some(refusal), None) => Self::Answer { id, result: Err(refusal) },
            (None, None, None, Some(name)) => {
                let event = Event::parse(name, data).map_err(malformed)?;
                Self::Event { event, at: timestamp.and_then(Timestamp::since_1970) }
            }
            _ => return Err(MessageError::Unrecognised { excerpt: excerpt() }),
        })
    }
}

impl Timestamp {
    /// Both are -1 where QEMU could not tell (QMP, "Asynchronous events").
    fn since_1970(self) -> Option<Duration> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let microseconds = u32::try_from(self.microseconds).ok().filter(|micros| *micros < 1_000_000)?;
        Some(Duration::new(seconds, microseconds * 1000))
    }
}

/// A member that is there, be it `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn excerpt(object: &[u8]) -> Text {
    // Of a character at most four bytes: so much is enough to see that more was there.
    let beginning = &object[..object.len().min(EXCERPT_LEN_MAX + 4)];
    Text::cut(&String::from_utf8_lossy(beginning), EXCERPT_LEN_MAX)
}
