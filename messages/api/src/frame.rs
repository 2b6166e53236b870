//! Frames.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Answer, Item, Problem, Request};

/// The number of this API. A farm and a front end of different numbers do not talk.
pub const API: u32 = 8;

/// The largest frame, in bytes: a control message is small, and what is large goes in pieces.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Chosen by the client, unique on its connection.
pub type RequestId = u64;

/// What opens a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The API the client speaks.
    pub api: u32,
    /// What it is, for logs: `farmhand 0.1.0 pid 17`.
    pub client: String,
}

/// The farm's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The API the farm speaks. Where it differs, the farm closes the connection.
    pub api: u32,
    /// What it is: `farmhandd 0.1.0`.
    pub farm: String,
    /// Its process.
    pub pid: u32,
}

/// From a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientFrame {
    /// The first frame.
    Hello(Hello),
    /// Asks.
    Ask(RequestId, Request),
    /// Ends a stream that a request opened. Nothing is undone.
    Hush(RequestId),
}

/// From a farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// The first frame.
    Hello(HelloAnswer),
    /// One item of a stream.
    Item(RequestId, Item),
    /// The end of a request: its answer.
    Done(RequestId, Result<Answer, Problem>),
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeFrameError {
    /// Not a frame of this API.
    #[error("not a frame of API {API}: {0}")]
    Malformed(String),
    /// A frame and something behind it.
    #[error("{0} bytes behind a frame")]
    LeftOver(usize),
}

/// A frame's bytes.
#[must_use]
pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    postcard::to_stdvec(frame).expect("frames hold no type that postcard refuses")
}

/// Reads a frame; bytes left over are an error.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeFrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((frame, [])) => Ok(frame),
        Ok((_, rest)) => Err(DecodeFrameError::LeftOver(rest.len())),
        Err(error) => Err(DecodeFrameError::Malformed(error.to_string())),
    }
}
