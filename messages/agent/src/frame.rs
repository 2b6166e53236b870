//! A message with its CRC-32, stuffed, between two zeros.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::cobs::{stuff, stuffed_len_max, unstuff};

/// A message and its CRC, before they are stuffed, in bytes.
pub const MESSAGE_LEN_MAX: usize = 64 << 10;
/// A frame with the zero that ends it, in bytes.
pub const FRAME_LEN_MAX: usize = stuffed_len_max(MESSAGE_LEN_MAX) + 1;
/// CRC-32 (IEEE), least significant byte first.
const CRC_LEN: usize = 4;

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("a frame of more than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// Its bytes are not those that were sent: torn, or noise.
    #[error("a frame that is torn")]
    Torn,
    /// It came as it was sent and says nothing that is known here.
    #[error("a frame of no known message")]
    Unknown,
}

/// A message as it goes over the line, with the zero that ends it.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut body = postcard::to_stdvec(message).map_err(|_| FrameError::Unknown)?;
    body.extend(crc32fast::hash(&body).to_le_bytes());
    if body.len() > MESSAGE_LEN_MAX {
        return Err(FrameError::TooLong);
    }
    let mut frame = Vec::with_capacity(stuffed_len_max(body.len()) + 1);
    stuff(&body, &mut frame);
    frame.push(0);
    Ok(frame)
}

/// Finds messages in bytes, however they are cut, and holds no more than one frame of them.
#[derive(Debug, Clone)]
pub struct Decoder<M> {
    stuffed: Vec<u8>,
    too_long: bool,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { stuffed: Vec::new(), too_long: false, message: PhantomData }
    }
}

impl<M: DeserializeOwned> Decoder<M> {
    /// Takes bytes from the front of `bytes` up to the end of one frame, and says what that was. `None` when
    /// all were taken and more are needed. An error costs its frame only.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Result<M, FrameError>> {
        while let Some(end) = bytes.iter().position(|&byte| byte == 0) {
            let (front, behind) = bytes.split_at(end);
            self.take(front);
            *bytes = &behind[1..];
            let too_long = std::mem::take(&mut self.too_long);
            let stuffed = std::mem::take(&mut self.stuffed);
            if too_long {
                return Some(Err(FrameError::TooLong));
            }
            // Two zeros hold nothing: an end says one before its first frame.
            if !stuffed.is_empty() {
                return Some(decode(&stuffed));
            }
        }
        self.take(bytes);
        *bytes = &[];
        None
    }

    fn take(&mut self, bytes: &[u8]) {
        self.too_long |= self.stuffed.len() + bytes.len() >= FRAME_LEN_MAX;
        if self.too_long {
            self.stuffed = Vec::new();
        } else {
            self.stuffed.extend_from_slice(bytes);
        }
    }

    /// How many bytes are kept: fewer than [`FRAME_LEN_MAX`].
    pub fn kept(&self) -> usize {
        self.stuffed.len()
    }
}

fn decode<M: DeserializeOwned>(stuffed: &[u8]) -> Result<M, FrameError> {
    let body = unstuff(stuffed).ok_or(FrameError::Torn)?;
    let (message, crc) = body.split_last_chunk::<CRC_LEN>().ok_or(FrameError::Torn)?;
    if crc32fast::hash(message) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Torn);
    }
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(FrameError::Unknown),
    }
}
