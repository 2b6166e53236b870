//! Frames on a stream of bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use farmhand_api::FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

/// Takes frames off a stream. Safe to cancel: what was read of a frame is kept.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    codec: LengthDelimitedCodec,
    read: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, codec: codec(), read: BytesMut::new() }
    }

    /// The next frame's bytes; none at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.read)? {
                return Ok(Some(frame.freeze()));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                let torn = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends within a frame");
                return if self.read.is_empty() { Ok(None) } else { Err(torn) };
            }
        }
    }
}

/// Puts frames on a stream. Not safe to cancel within a frame.
#[derive(Debug)]
pub(super) struct FrameWriter<W> {
    stream: W,
    codec: LengthDelimitedCodec,
    wrote: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(super) fn new(stream: W) -> Self {
        Self { stream, codec: codec(), wrote: BytesMut::new() }
    }

    /// Writes one frame, which is at most [`FRAME_BYTES_MAX`].
    pub(super) async fn send(&mut self, frame: Vec<u8>) -> io::Result<()> {
        self.codec.encode(Bytes::from(frame), &mut self.wrote)?;
        self.stream.write_all_buf(&mut self.wrote).await?;
        self.stream.flush().await
    }

    /// No more is written: the other end sees the end of the stream.
    pub(super) async fn close(&mut self) {
        let _it_has_gone = self.stream.shutdown().await;
    }
}
