//! Zstandard, frame after frame: parallel compressors write many, and some that are to be skipped.

use std::io::{self, Cursor, Read};

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// What a frame begins with.
const MAGIC_BYTES: usize = 4;
/// What a frame may have its reader hold: the most that `zstd -d` accepts without being told to.
pub(crate) const WINDOW_BYTES_MAX: u64 = 128 << 20;

type Frame<R> = StreamingDecoder<io::Chain<Cursor<Vec<u8>>, R>, FrameDecoder>;

enum At<R: Read> {
    Between(R),
    Within(Box<Frame<R>>),
    End,
}

/// Reads what was compressed.
pub(crate) struct Zstd<R: Read> {
    at: At<R>,
}

impl<R: Read> Zstd<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { at: At::Between(inner) }
    }
}

/// The next frame that is not to be skipped; none at the end.
fn next<R: Read>(mut inner: R) -> io::Result<Option<Frame<R>>> {
    loop {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        inner.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
        match magic[..] {
            [] => return Ok(None),
            [first, 0x2a, 0x4d, 0x18] if first & 0xf0 == 0x50 => {
                let mut length = [0; 4];
                inner.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                if io::copy(&mut inner.by_ref().take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            _ => {
                let frame = Cursor::new(magic).chain(inner);
                let frame = StreamingDecoder::new_with_max_window_size(frame, WINDOW_BYTES_MAX);
                return frame.map(Some).map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. } => {
                        io::Error::new(io::ErrorKind::OutOfMemory, error.to_string())
                    }
                    error => io::Error::other(error),
                });
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves it at its end: nothing that comes after one is worth reading.
            self.at = match std::mem::replace(&mut self.at, At::End) {
                At::End => return Ok(0),
                At::Between(inner) => match next(inner)? {
                    Some(frame) => At::Within(Box::new(frame)),
                    None => return Ok(0),
                },
                At::Within(mut frame) => {
                    let count = frame.read(buffer)?;
                    if count > 0 {
                        self.at = At::Within(frame);
                        return Ok(count);
                    }
                    let (source, decoder) = frame.into_parts();
                    let said = decoder.get_checksum_from_data();
                    if said.is_some() && said != decoder.get_calculated_checksum() {
                        return Err(io::Error::other("a frame's checksum is wrong"));
                    }
                    At::Between(source.into_inner().1)
                }
            };
        }
    }
}
