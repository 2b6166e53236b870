//! What can be wrong with a sparse image.

use std::io;

use thiserror::Error;

/// Why an image cannot be read, split or expanded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SparseError {
    /// It begins with something else.
    #[error("it is no Android sparse image")]
    NotOne,
    /// Only 1.0 is known.
    #[error("the sparse image is of a version other than 1.0")]
    Version,
    /// Its headers are longer or shorter than those of version 1.0.
    #[error("the sparse image has headers of a length that version 1.0 has not")]
    HeaderBytes,
    /// Not a multiple of four, or none.
    #[error("the sparse image has blocks of {0} bytes; it must be a multiple of 4")]
    BlockBytes(u32),
    /// A chunk of no known type.
    #[error("chunk {chunk} at byte {offset} is of an unknown type")]
    ChunkType {
        /// From 0.
        chunk: u32,
        /// Where it begins.
        offset: u64,
    },
    /// A chunk whose length is not that of what it holds.
    #[error("chunk {chunk} at byte {offset} has {has} bytes, and what it holds takes {needs}")]
    ChunkBytes {
        /// From 0.
        chunk: u32,
        /// Where it begins.
        offset: u64,
        /// As it says.
        has: u64,
        /// As it must.
        needs: u64,
    },
    /// It ends too early.
    #[error("the sparse image is cut: chunk {chunk} ends at byte {needs}, and the file has {has}; {} bytes are missing", needs - has)]
    Truncated {
        /// From 0; the number of chunks, where the header is cut.
        chunk: u32,
        /// Bytes that the file has.
        has: u64,
        /// Bytes that it must have.
        needs: u64,
    },
    /// Its chunks are not as many blocks as it says.
    #[error("the sparse image says {said} blocks, and its chunks have {found}")]
    Blocks {
        /// As the header says.
        said: u32,
        /// As the chunks say.
        found: u64,
    },
    /// More than can be said in a header, or than was allowed.
    #[error("the image has {bytes} bytes, and {max} are the most")]
    TooLarge {
        /// Expanded.
        bytes: u64,
        /// That it may have.
        max: u64,
    },
    /// No block fits into a piece.
    #[error("a piece of {max} bytes has no room for one block; it takes {needs}")]
    PieceTooSmall {
        /// As the device takes.
        max: u64,
        /// As one block takes.
        needs: u64,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}
