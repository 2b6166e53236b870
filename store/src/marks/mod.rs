//! The high-water mark: an append-only file that notices when the table came back older than it was.
//!
//! It holds only what was written as [`crate::Durability::Marked`]. Each record is self-sufficient: the key, the whole
//! envelope, and a checksum. The file is a header, records, and zeros up to its length: space is written ahead, so that
//! an append changes no metadata and its sync is one write.
//!
//! Records are appended in groups, each synced as one. Every record says where its group began and how much of the
//! group follows, so that a torn group is told from damage: the torn one was never answered.

mod codec;
mod parse;

pub(crate) use codec::{FORMAT, HEADER_BYTES, Head, Mark, SLOT_AT, encode_group, encode_header, encode_slot};
pub(crate) use parse::{Parsed, parse};
