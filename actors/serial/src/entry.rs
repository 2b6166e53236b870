//! An entry of a recording, and its bytes on the disk.
//!
//! A record is 56 bytes of header, little-endian - magic (4), CRC-32 of what follows (4), body length (4), kind (1),
//! zero (3), number (8), offset (8), epoch (8), monotonic and wall time in microseconds (8, 8) - and its body.

use bytes::Bytes;
use farmhand_api::{EpochCause, LogItem, Stamp};
use farmhand_records::{Epoch, SessionId};

/// What a record begins with.
const MAGIC: [u8; 4] = *b"\xf5rec";
/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 56;
/// The longest body, in bytes: what is read from a port at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 4096;

/// One entry of the stream. Its number orders it: marks have an offset, but no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counted from 0 since the recorder's first.
    pub(crate) seq: u64,
    /// Bytes of the stream before it.
    pub(crate) offset: u64,
    /// The epoch it belongs to.
    pub(crate) epoch: Epoch,
    /// When it came.
    pub(crate) stamp: Stamp,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Chunk(Bytes),
    EpochBegan(EpochCause),
    Lent,
    Returned,
    Gap(String),
    /// So many bytes of the stream the disk could not keep.
    Lost(u64),
}

impl Entry {
    /// The stream's offset after it.
    pub(crate) fn end(&self) -> u64 {
        let bytes = match &self.body {
            Body::Chunk(bytes) => bytes.len() as u64,
            Body::Lost(bytes) => *bytes,
            Body::EpochBegan(_) | Body::Lent | Body::Returned | Body::Gap(_) => 0,
        };
        self.offset.saturating_add(bytes)
    }

    /// As a reader sees it that has all before `from`; none where it has this too.
    pub(crate) fn item(&self, from: u64) -> Option<LogItem> {
        let Self { offset, epoch, stamp, .. } = *self;
        let cut = from.saturating_sub(offset);
        Some(match &self.body {
            Body::Chunk(_) | Body::Lost(_) if self.end() <= from => return None,
            _ if !matches!(self.body, Body::Chunk(_) | Body::Lost(_)) && cut > 0 => return None,
            Body::Chunk(bytes) => {
                let bytes = bytes.slice(usize::try_from(cut).expect("less than the chunk's length")..);
                LogItem::Chunk { offset: offset + cut, epoch, stamp, bytes }
            }
            Body::Lost(bytes) => LogItem::Lost { offset: offset + cut, bytes: bytes - cut, dropped: true },
            Body::EpochBegan(cause) => LogItem::EpochBegan { offset, epoch, stamp, cause: cause.clone() },
            Body::Lent => LogItem::Lent { offset, stamp },
            Body::Returned => LogItem::Returned { offset, stamp },
            Body::Gap(why) => LogItem::Gap { offset, stamp, why: why.clone() },
        })
    }

    /// Its bytes on the disk.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, body) = match &self.body {
            Body::Chunk(bytes) => (1, bytes.to_vec()),
            Body::EpochBegan(cause) => (2, encode_cause(cause)),
            Body::Lent => (3, Vec::new()),
            Body::Returned => (4, Vec::new()),
            Body::Gap(why) => (5, bounded(why).as_bytes().to_vec()),
            Body::Lost(bytes) => (6, bytes.to_le_bytes().to_vec()),
        };
        debug_assert!(body.len() <= CHUNK_BYTES_MAX, "bodies are cut before they are recorded");
        let mut record = Vec::with_capacity(HEADER_BYTES + body.len());
        record.extend_from_slice(&MAGIC);
        record.extend_from_slice(&[0; 4]);
        let len = u32::try_from(body.len()).expect("a body is at most 4096 bytes");
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(&[kind, 0, 0, 0]);
        let numbers = [self.seq, self.offset, self.epoch.0, self.stamp.mono_us, self.stamp.unix_us];
        numbers.iter().for_each(|number| record.extend_from_slice(&number.to_le_bytes()));
        record.extend_from_slice(&body);
        let crc = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        record
    }

    /// The length of the body that follows a header.
    pub(crate) fn body_bytes(header: &[u8; HEADER_BYTES]) -> Result<usize, &'static str> {
        if header[..4] != MAGIC {
            return Err("no record begins there");
        }
        match number::<4>(header, 8) {
            len if len <= CHUNK_BYTES_MAX as u64 => Ok(usize::try_from(len).expect("checked above")),
            _ => Err("a record of impossible length"),
        }
    }

    /// The entry of a header and its body.
    pub(crate) fn decode(header: &[u8; HEADER_BYTES], body: Vec<u8>) -> Result<Self, &'static str> {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[8..]);
        crc.update(&body);
        if u64::from(crc.finalize()) != number::<4>(header, 4) {
            return Err("a record with a wrong checksum");
        }
        let body = match (header[12], body.as_slice()) {
            (1, [_, ..]) => Body::Chunk(body.into()),
            (2, cause) => Body::EpochBegan(decode_cause(cause).ok_or("an epoch's cause that is not known")?),
            (3, []) => Body::Lent,
            (4, []) => Body::Returned,
            (5, why) => Body::Gap(String::from_utf8_lossy(why).into_owned()),
            (6, bytes) => Body::Lost(u64::from_le_bytes(bytes.try_into().map_err(|_| "a malformed loss")?)),
            _ => return Err("a record of an unknown kind"),
        };
        Ok(Self {
            seq: number::<8>(header, 16),
            offset: number::<8>(header, 24),
            epoch: Epoch(number::<8>(header, 32)),
            stamp: Stamp { mono_us: number::<8>(header, 40), unix_us: number::<8>(header, 48) },
            body,
        })
    }
}

/// A little-endian number of `N` bytes (at most 8) within `bytes`.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(wide)
}

/// Causes on the disk: these numbers are for ever, whatever becomes of the API's type.
fn encode_cause(cause: &EpochCause) -> Vec<u8> {
    match cause {
        EpochCause::Handoff(session) => [&[1][..], &session.0.to_le_bytes()].concat(),
        EpochCause::Reset => vec![2],
        EpochCause::Opened => vec![3],
        EpochCause::Returned => vec![4],
        EpochCause::Itself(why) => [&[5][..], bounded(why).as_bytes()].concat(),
        EpochCause::Restored(name) => [&[6][..], bounded(name).as_bytes()].concat(),
    }
}

fn decode_cause(bytes: &[u8]) -> Option<EpochCause> {
    let (tag, rest) = bytes.split_first()?;
    Some(match (tag, rest) {
        (1, session) => EpochCause::Handoff(SessionId(u64::from_le_bytes(session.try_into().ok()?))),
        (2, []) => EpochCause::Reset,
        (3, []) => EpochCause::Opened,
        (4, []) => EpochCause::Returned,
        (5, why) => EpochCause::Itself(String::from_utf8_lossy(why).into_owned()),
        (6, name) => EpochCause::Restored(String::from_utf8_lossy(name).into_owned()),
        _ => return None,
    })
}

/// As much of a text as a body holds beside its tag.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(CHUNK_BYTES_MAX - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: Body) -> Entry {
        let stamp = Stamp { mono_us: 0x0102_0304, unix_us: 0x0506_0708 };
        Entry { seq: 3, offset: 9, epoch: Epoch(7), stamp, body }
    }

    fn decode(record: &[u8]) -> Result<Entry, &'static str> {
        let header: &[u8; HEADER_BYTES] = record.first_chunk().expect("a header");
        let len = Entry::body_bytes(header)?;
        Entry::decode(header, record[HEADER_BYTES..HEADER_BYTES + len].to_vec())
    }

    #[test]
    fn the_bytes_on_the_disk_are_these() {
        let golden = [
            (Body::Chunk(Bytes::from_static(b"hi")), "02000000 01", "6869"),
            (Body::EpochBegan(EpochCause::Handoff(SessionId(258))), "09000000 02", "010201000000000000"),
            (Body::EpochBegan(EpochCause::Reset), "01000000 02", "02"),
            (Body::EpochBegan(EpochCause::Opened), "01000000 02", "03"),
            (Body::EpochBegan(EpochCause::Returned), "01000000 02", "04"),
            (Body::EpochBegan(EpochCause::Itself("w".into())), "02000000 02", "0577"),
            (Body::Lent, "00000000 03", ""),
            (Body::Returned, "00000000 04", ""),
            (Body::Gap("g".into()), "01000000 05", "67"),
            (Body::Lost(300), "08000000 06", "2c01000000000000"),
        ];
        for (body, head, tail) in golden {
            let record = entry(body.clone()).encode();
            let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
            let numbers =
                "0300000000000000 0900000000000000 0700000000000000 0403020100000000 0807060500000000";
            let crc = &hex[8..16];
            let want = format!("f5726563 {crc} {head} 000000 {numbers} {tail}").replace(' ', "");
            assert_eq!(hex, want, "{body:?}");
            assert_eq!(decode(&record), Ok(entry(body)));
        }
        let record = entry(Body::Chunk(Bytes::from_static(b"hi"))).encode();
        assert_eq!(number::<4>(&record, 4), u64::from(crc32fast::hash(&record[8..])));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = entry(Body::Chunk(Bytes::from_static(b"hello"))).encode();
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A longer length reaches beyond the record: the reader finds it torn.
            let header: &[u8; HEADER_BYTES] = bad.first_chunk().expect("a header");
            let long = Entry::body_bytes(header).is_ok_and(|len| HEADER_BYTES + len > bad.len());
            assert!(long || decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_reader_gets_what_it_has_not() {
        let chunk = entry(Body::Chunk(Bytes::from_static(b"hello")));
        let got = |from| match chunk.item(from) {
            Some(LogItem::Chunk { offset, bytes, .. }) => Some((offset, bytes)),
            _ => None,
        };
        assert_eq!(got(0), Some((9, Bytes::from_static(b"hello"))));
        assert_eq!(got(12), Some((12, Bytes::from_static(b"lo"))));
        assert_eq!(got(14), None);
        assert!(entry(Body::Lent).item(9).is_some());
        assert!(entry(Body::Lent).item(10).is_none());
        assert_eq!(
            entry(Body::Lost(10)).item(12),
            Some(LogItem::Lost { offset: 12, bytes: 7, dropped: true })
        );
    }
}
