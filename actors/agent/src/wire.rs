//! The bytes of a connection: messages out, messages in, and neither waits for the other.

use std::collections::VecDeque;

use farmhand_agent_messages::{Decoder, FromAgent, ToAgent, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::error::LinkError;

/// Bytes that one read takes at most.
const READ_LEN: usize = 64 << 10;

pub(crate) struct Wire {
    stream: UnixStream,
    decoder: Decoder<FromAgent>,
    chunk: Vec<u8>,
    /// The frame that is being written, and how much of it was.
    frame: Vec<u8>,
    written: usize,
    /// Goes before data.
    control: VecDeque<Vec<u8>>,
    data: VecDeque<Vec<u8>>,
    /// What was no frame.
    pub(crate) bad_frames: u64,
}

impl Wire {
    /// The first byte ends whatever an earlier host has left on the line.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            chunk: vec![0; READ_LEN],
            frame: vec![0],
            written: 0,
            control: VecDeque::new(),
            data: VecDeque::new(),
            bad_frames: 0,
        }
    }

    pub(crate) fn control(&mut self, message: &ToAgent) -> Result<(), LinkError> {
        self.control.push_back(encode(message).map_err(|_| LinkError::TooLong)?);
        Ok(())
    }

    pub(crate) fn data(&mut self, message: &ToAgent) -> Result<(), LinkError> {
        self.data.push_back(encode(message).map_err(|_| LinkError::TooLong)?);
        Ok(())
    }

    /// Messages that wait, but for data.
    pub(crate) fn waiting(&self) -> usize {
        self.control.len()
    }

    /// All was given to the socket.
    pub(crate) fn is_idle(&self) -> bool {
        self.written == self.frame.len() && self.control.is_empty() && self.data.is_empty()
    }

    /// Waits until something can be written or read, and does it. What was heard; nothing, if only something
    /// was said. Nothing is lost if it is cancelled.
    pub(crate) async fn turn(&mut self) -> Result<Vec<FromAgent>, LinkError> {
        if self.written == self.frame.len()
            && let Some(next) = self.control.pop_front().or_else(|| self.data.pop_front())
        {
            (self.frame, self.written) = (next, 0);
        }
        let (mut reader, mut writer) = self.stream.split();
        let rest = &self.frame[self.written..];
        tokio::select! {
            read = reader.read(&mut self.chunk) => match read {
                Ok(0) => Err(LinkError::Gone("the connection was closed".into())),
                Ok(read) => Ok(self.decode(read)),
                Err(error) => Err(LinkError::Gone(error.to_string())),
            },
            wrote = writer.write(rest), if !rest.is_empty() => {
                self.written += wrote.map_err(|error| LinkError::Gone(error.to_string()))?;
                Ok(Vec::new())
            }
        }
    }

    fn decode(&mut self, read: usize) -> Vec<FromAgent> {
        let (mut rest, mut all) = (&self.chunk[..read], Vec::new());
        while let Some(next) = self.decoder.next(&mut rest) {
            match next {
                Ok(message) => all.push(message),
                Err(_) => self.bad_frames += 1,
            }
        }
        all
    }
}
