//! A sparse image, written out.

use std::io::{self, Read, Seek, SeekFrom, Write};

use android_sparse_image::{CHUNK_HEADER_BYTES_LEN, ChunkType, FILE_HEADER_BYTES_LEN};

use super::SparseError;
use super::map::{Chunk, file_header, four};

/// Bytes that are written at once: a multiple of the four that a FILL has.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes a sparse image out, as a device does that flashes it: what is DONT_CARE is not touched. Answers with the bytes
/// that the image has, expanded; more than `bytes_max` are refused before anything is written.
pub fn expand(
    from: &mut impl Read,
    to: &mut (impl Write + Seek),
    bytes_max: u64,
) -> Result<u64, SparseError> {
    let header = file_header(from, u64::MAX)?;
    let block_bytes = header.block_size;
    let bytes = u64::from(header.blocks) * u64::from(block_bytes);
    if bytes > bytes_max {
        return Err(SparseError::TooLarge { bytes, max: bytes_max });
    }
    let mut offset = FILE_HEADER_BYTES_LEN as u64;
    let mut found = 0_u64;
    for chunk in 0..header.chunks {
        let cut = |needs, has| move |error: SparseError| ended(error, chunk, has, needs);
        let data = offset + CHUNK_HEADER_BYTES_LEN as u64;
        let (kind, blocks, end) =
            Chunk { chunk, offset, block_bytes }.read(from).map_err(cut(data, offset))?;
        let length = u64::from(blocks) * u64::from(block_bytes);
        to.seek(SeekFrom::Start(found * u64::from(block_bytes)))?;
        found += u64::from(blocks);
        if found > u64::from(header.blocks) {
            return Err(SparseError::Blocks { said: header.blocks, found });
        }
        match kind {
            ChunkType::Raw => {
                let copied = io::copy(&mut from.take(length), to)?;
                if copied < length {
                    return Err(SparseError::Truncated { chunk, has: data + copied, needs: end });
                }
            }
            ChunkType::Fill => {
                let four = four(from).map_err(|error| ended(error.into(), chunk, data, end))?;
                fill(to, four, length)?;
            }
            ChunkType::Crc32 => {
                four(from).map_err(|error| ended(error.into(), chunk, data, end))?;
            }
            ChunkType::DontCare => {}
        }
        offset = end;
    }
    if found != u64::from(header.blocks) {
        return Err(SparseError::Blocks { said: header.blocks, found });
    }
    Ok(bytes)
}

/// What reads from a stream knows of its end only when it is there.
fn ended(error: SparseError, chunk: u32, has: u64, needs: u64) -> SparseError {
    match error {
        SparseError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            SparseError::Truncated { chunk, has, needs }
        }
        other => other,
    }
}

fn fill(to: &mut impl Write, four: [u8; 4], mut length: u64) -> io::Result<()> {
    let buffer = four.repeat(BUFFER_BYTES / 4);
    while length > 0 {
        let some = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        to.write_all(&buffer[..some])?;
        length -= some as u64;
    }
    Ok(())
}
