//! The words of the store: what is put, what comes back, and the limits.

use std::fmt;

/// The longest body of a record, in bytes. What is larger is an artifact and lives in a file.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest key, in bytes; ids are a few dozen.
pub const KEY_BYTES_MAX: usize = 256;
/// The most records of one `put_all`, and of one group commit.
pub const GROUP_RECORDS_MAX: usize = 256;
/// The highest kind a caller may use; those above are the store's own.
pub const KIND_MAX: u16 = 0xFFEF;

/// The store's own kind: its head and what is not settled.
pub(crate) const KIND_OWN: u16 = 0xFFFF;
/// The store's own kind for damaged values that were set aside, beneath their whole key.
pub(crate) const KIND_ASIDE: u16 = 0xFFFE;

/// The number of a write. Grows with every record written, across restarts too; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which record: its kind and its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// What sort of record it is; the caller's numbering, at most [`KIND_MAX`].
    pub kind: u16,
    /// Which one of its kind.
    pub key: Vec<u8>,
}

impl RecordKey {
    /// The key of a record.
    pub fn new(kind: u16, key: impl Into<Vec<u8>>) -> Self {
        Self { kind, key: key.into() }
    }

    /// As it is ordered in the table: kind first, big-endian, so that a kind is one range.
    pub(crate) fn full(&self) -> Vec<u8> {
        full(self.kind, &self.key)
    }

    /// The reverse of [`Self::full`]. A key that is too short has no kind: it is nobody's.
    pub(crate) fn from_full(full: &[u8]) -> Self {
        match full.split_first_chunk::<2>() {
            Some((kind, key)) => Self { kind: u16::from_be_bytes(*kind), key: key.to_vec() },
            None => Self { kind: KIND_OWN, key: full.to_vec() },
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind {} key ", self.kind)?;
        match std::str::from_utf8(&self.key) {
            Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => f.write_str(text),
            _ => {
                f.write_str("0x")?;
                self.key.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

/// A kind and a key in one, as the table orders them.
pub(crate) fn full(kind: u16, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(2 + key.len());
    full.extend_from_slice(&kind.to_be_bytes());
    full.extend_from_slice(key);
    full
}

/// What a writer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Answered once applied: survives the end of the process by itself within about half a second, a power cut
    /// later. For progress that costs nothing to redo.
    Progress,
    /// Answered when it is on the disk.
    Durable,
    /// Answered when it is on the disk twice: in the high-water mark first, then in the table. For what must never
    /// be forgotten: intents, issues, epochs, tokens.
    Marked,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// What sort of record; at most [`KIND_MAX`].
    pub kind: u16,
    /// The version of the body's own encoding; the store only keeps it.
    pub version: u16,
    /// Which one of its kind; at most [`KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// The record itself; at most [`BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
    /// The incarnation of the writer. One older than the stored record's is refused: a zombie writes nothing.
    pub incarnation: u64,
    /// What to wait for.
    pub durability: Durability,
}

impl Put {
    /// Which record it writes.
    pub fn record_key(&self) -> RecordKey {
        RecordKey::new(self.kind, self.key.clone())
    }
}

/// A record of a list: its key, and itself or why it cannot be read.
pub type Listed = (Vec<u8>, Result<Stored, crate::StoreError>);

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version of the body's encoding.
    pub version: u16,
    /// The incarnation of its writer.
    pub incarnation: u64,
    /// The number of the write.
    pub seq: Seq,
    /// The record itself.
    pub body: Vec<u8>,
}
