//! Android sparse images (AOSP, libsparse, sparse_format.h): read, split into pieces that a bootloader takes, expanded.
//!
//! The headers are those of the `android-sparse-image` crate. Its splitting is not used: it counts bytes in 32 bits, so
//! that a raw image of 4 GiB is wrong; it carries a checksum of the whole into pieces; its pieces end where their data
//! does, and not where the image does; and it makes no FILL of what repeats. Nothing large is in memory: an image is a
//! [`Map`] of ranges of its file, and a [`Piece`] a list of bytes and such ranges.

mod error;
mod expand;
mod map;
mod piece;

pub use error::SparseError;
pub use expand::expand;
pub use map::{Content, Extent, Map};
pub use piece::{HEADROOM_BYTES, Piece, PieceReader, Span};

/// Bytes of a block in the images that we make, as everybody does.
pub const BLOCK_BYTES: u32 = 4096;
