//! The bytes of the marks file. All little-endian.
//!
//! ```text
//! header  0 magic "fhmarks\n"   8 format u16  10 zero u16  12 store id u64  20 crc32 of 0..20
//! slot   32 head seq u64       40 end u64     48 crc32 of 32..48
//! record  0 magic "fhmk"  4 flags u16 (1: removed)  6 key length u16  8 group start u64  16 bytes left u32
//!        20 envelope length u32  24 key  envelope  crc32 of all before
//! ```

use crate::envelope::{self, array};

const MAGIC: [u8; 8] = *b"fhmarks\n";
/// The layout that is written, and the newest that is read.
pub(crate) const FORMAT: u16 = 1;
/// Where the first record lies.
pub(crate) const HEADER_BYTES: u64 = 64;
/// Where the head is rewritten in place: within one sector, so that it is old or new.
pub(crate) const SLOT_AT: u64 = 32;
const RECORD_MAGIC: [u8; 4] = *b"fhmk";
const RECORD_HEADER: usize = 24;
const CRC: usize = 4;
const GONE: u16 = 1;

/// The newest marked write of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The whole key: kind and key.
    pub(crate) key: Vec<u8>,
    pub(crate) seq: u64,
    /// The record was removed by this write.
    pub(crate) gone: bool,
    /// As it goes into the table.
    pub(crate) envelope: Vec<u8>,
}

impl Mark {
    /// What it takes in the file.
    pub(crate) fn size(&self) -> usize {
        RECORD_HEADER + self.key.len() + self.envelope.len() + CRC
    }
}

/// What is known to be on the disk: all writes of the table up to `seq`, all marks up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) end: u64,
}

/// The header of a file, with its slot.
pub(crate) fn encode_header(store_id: u64, head: Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&store_id.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.resize(32, 0);
    bytes.extend_from_slice(&encode_slot(head));
    bytes.resize(64, 0);
    bytes
}

pub(crate) fn encode_slot(head: Head) -> [u8; 20] {
    let mut slot = [0; 20];
    slot[..8].copy_from_slice(&head.seq.to_le_bytes());
    slot[8..16].copy_from_slice(&head.end.to_le_bytes());
    let crc = crc32fast::hash(&slot[..16]);
    slot[16..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// What a header says.
pub(crate) enum Header {
    Ours { store_id: u64, head: Option<Head> },
    TooNew { found: u16 },
    Damaged,
}

pub(crate) fn decode_header(bytes: &[u8]) -> Header {
    if bytes.len() < 64 || !bytes.starts_with(&MAGIC) {
        return Header::Damaged;
    }
    if crc32fast::hash(&bytes[..20]) != u32::from_le_bytes(array(bytes, 20)) {
        return Header::Damaged;
    }
    let format = u16::from_le_bytes(array(bytes, 8));
    if format > FORMAT {
        return Header::TooNew { found: format };
    }
    let head = Head { seq: u64::from_le_bytes(array(bytes, 32)), end: u64::from_le_bytes(array(bytes, 40)) };
    let sound = crc32fast::hash(&bytes[32..48]) == u32::from_le_bytes(array(bytes, 48));
    Header::Ours { store_id: u64::from_le_bytes(array(bytes, 12)), head: sound.then_some(head) }
}

/// One group, as it lies at `at`.
pub(crate) fn encode_group(at: u64, marks: &[Mark]) -> Vec<u8> {
    let mut left: usize = marks.iter().map(Mark::size).sum();
    let mut bytes = Vec::with_capacity(left);
    for mark in marks {
        left -= mark.size();
        encode_record(&mut bytes, mark, at, left);
    }
    bytes
}

fn encode_record(bytes: &mut Vec<u8>, mark: &Mark, group_start: u64, left: usize) {
    let start = bytes.len();
    bytes.extend_from_slice(&RECORD_MAGIC);
    bytes.extend_from_slice(&(if mark.gone { GONE } else { 0 }).to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(mark.key.len()).expect("keys are bounded").to_le_bytes());
    bytes.extend_from_slice(&group_start.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(left).expect("groups are bounded").to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(mark.envelope.len()).expect("bodies are bounded").to_le_bytes());
    bytes.extend_from_slice(&mark.key);
    bytes.extend_from_slice(&mark.envelope);
    let crc = crc32fast::hash(&bytes[start..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// A record as it was found.
pub(crate) struct Found {
    pub(crate) mark: Mark,
    pub(crate) at: u64,
    pub(crate) group_start: u64,
    pub(crate) left: u32,
}

/// The record at `at`, if there is a sound one.
pub(crate) fn decode_record(file: &[u8], at: usize) -> Option<Found> {
    let bytes = &file[at..];
    if bytes.len() < RECORD_HEADER || !bytes.starts_with(&RECORD_MAGIC) {
        return None;
    }
    let key_len = usize::from(u16::from_le_bytes(array(bytes, 6)));
    let env_len = u32::from_le_bytes(array(bytes, 20)) as usize;
    let end = RECORD_HEADER + key_len + env_len;
    if bytes.len() < end + CRC || crc32fast::hash(&bytes[..end]) != u32::from_le_bytes(array(bytes, end)) {
        return None;
    }
    let key = &bytes[RECORD_HEADER..RECORD_HEADER + key_len];
    let env = &bytes[RECORD_HEADER + key_len..end];
    let record = envelope::decode(key, env).ok()?;
    let at = at as u64;
    let group_start = u64::from_le_bytes(array(bytes, 8));
    (group_start <= at).then(|| Found {
        mark: Mark {
            key: key.to_vec(),
            seq: record.seq,
            gone: u16::from_le_bytes(array(bytes, 4)) & GONE != 0,
            envelope: env.to_vec(),
        },
        at,
        group_start,
        left: u32::from_le_bytes(array(bytes, 16)),
    })
}

/// Where a record may begin, from `from` on.
pub(crate) fn next_magic(file: &[u8], from: usize) -> Option<usize> {
    file.get(from..)?.windows(RECORD_MAGIC.len()).position(|w| w == RECORD_MAGIC).map(|p| from + p)
}
