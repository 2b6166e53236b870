//! How a record lies on the disk.
//!
//! ```text
//!  0  magic "fhrc"      4  format u16     6  kind u16      8  version u16
//! 10  incarnation u64  18  seq u64       26  len u32      30  body        30+len  crc32
//! ```
//!
//! All little-endian. The checksum covers the key as well, so that a record found beneath another key is corrupt.

use thiserror::Error;

/// The layout that is written, and the newest that is read.
pub const FORMAT: u16 = 1;
const MAGIC: [u8; 4] = *b"fhrc";
const HEADER: usize = 30;
const CRC: usize = 4;
/// What an envelope adds to its body, in bytes.
pub const OVERHEAD: usize = HEADER + CRC;

/// A record with what the store knows about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What sort of record.
    pub kind: u16,
    /// The version of the body's own encoding.
    pub version: u16,
    /// The incarnation of the writer.
    pub incarnation: u64,
    /// The number of the write.
    pub seq: u64,
    /// The record itself.
    pub body: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They do not begin as ours do.
    #[error("not a record of farmhand's")]
    NotOurs,
    /// Written in a later layout.
    #[error("format {found} is newer than {supported}")]
    TooNew {
        /// The format they name.
        found: u16,
        /// The newest we read.
        supported: u16,
    },
    /// Ours, and damaged.
    #[error("corrupt: {0}")]
    Corrupt(Corruption),
}

/// What is wrong with a damaged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Corruption {
    /// It ends too early.
    #[error("{missing} bytes are missing")]
    Cut {
        /// How many more it should have, at least.
        missing: usize,
    },
    /// Bytes are left over behind it.
    #[error("{extra} bytes are left over")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// The checksum does not fit the bytes and the key.
    #[error("the checksum does not fit")]
    Checksum,
}

/// The bytes of a record that is kept beneath `key`.
///
/// # Panics
/// Where the body is over 4 GiB; the store refuses one over [`crate::BODY_BYTES_MAX`] long before.
pub fn encode(key: &[u8], envelope: &Envelope<'_>) -> Vec<u8> {
    let len = u32::try_from(envelope.body.len()).expect("a body is far below 4 GiB");
    let mut bytes = Vec::with_capacity(OVERHEAD + envelope.body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&envelope.kind.to_le_bytes());
    bytes.extend_from_slice(&envelope.version.to_le_bytes());
    bytes.extend_from_slice(&envelope.incarnation.to_le_bytes());
    bytes.extend_from_slice(&envelope.seq.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(envelope.body);
    let crc = checksum(key, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The record in `bytes`, which were found beneath `key`. Total: any bytes are answered.
pub fn decode<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Envelope<'a>, DecodeError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::NotOurs);
    }
    let corrupt = |why| Err(DecodeError::Corrupt(why));
    if bytes.len() < OVERHEAD {
        return corrupt(Corruption::Cut { missing: OVERHEAD - bytes.len() });
    }
    let format = u16::from_le_bytes(array(bytes, 4));
    if format != FORMAT {
        return Err(other_format(key, bytes, format));
    }
    let len = u32::from_le_bytes(array(bytes, 26)) as usize;
    let whole = OVERHEAD + len;
    if bytes.len() < whole {
        return corrupt(Corruption::Cut { missing: whole - bytes.len() });
    }
    if bytes.len() > whole {
        return corrupt(Corruption::TrailingBytes { extra: bytes.len() - whole });
    }
    let end = HEADER + len;
    if checksum(key, &bytes[..end]) != u32::from_le_bytes(array(bytes, end)) {
        return corrupt(Corruption::Checksum);
    }
    Ok(Envelope {
        kind: u16::from_le_bytes(array(bytes, 6)),
        version: u16::from_le_bytes(array(bytes, 8)),
        incarnation: u64::from_le_bytes(array(bytes, 10)),
        seq: u64::from_le_bytes(array(bytes, 18)),
        body: &bytes[HEADER..end],
    })
}

/// A newer format, or a flipped bit in ours: with our format put in, ours fits its checksum.
fn other_format(key: &[u8], bytes: &[u8], found: u16) -> DecodeError {
    let mut ours = bytes.to_vec();
    ours[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    if found > FORMAT && decode(key, &ours).is_err() {
        DecodeError::TooNew { found, supported: FORMAT }
    } else {
        DecodeError::Corrupt(Corruption::Checksum)
    }
}

fn checksum(key: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(bytes);
    crc.finalize()
}

/// `N` bytes at `at`; the caller has checked the length.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the length was checked")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Envelope<'static> {
        Envelope { kind: 0x0102, version: 3, incarnation: 4, seq: 0x0506, body: b"intent" }
    }

    /// What a release wrote, every later one must read: these bytes never change.
    #[test]
    fn golden() {
        let bytes = encode(b"session/1", &sample());
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "666872630100020103000400000000000000060500000000000006000000696e74656e7443ca80a6");
        assert_eq!(decode(b"session/1", &bytes), Ok(sample()));
    }

    #[test]
    fn each_damage_has_its_name() {
        let bytes = encode(b"k", &sample());
        assert_eq!(decode(b"k", b"other stuff"), Err(DecodeError::NotOurs));
        assert_eq!(decode(b"k", b""), Err(DecodeError::NotOurs));
        assert_eq!(decode(b"j", &bytes), Err(DecodeError::Corrupt(Corruption::Checksum)), "another's key");
        assert_eq!(
            decode(b"k", &bytes[..bytes.len() - 1]),
            Err(DecodeError::Corrupt(Corruption::Cut { missing: 1 }))
        );
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode(b"k", &longer), Err(DecodeError::Corrupt(Corruption::TrailingBytes { extra: 1 })));
        let mut newer = bytes.clone();
        newer[4] = 9;
        assert_eq!(
            decode(b"k", &newer),
            Err(DecodeError::Corrupt(Corruption::Checksum)),
            "a flip in the format is no new format"
        );
        newer[20] ^= 1;
        assert_eq!(decode(b"k", &newer), Err(DecodeError::TooNew { found: 9, supported: FORMAT }));
    }

    proptest! {
        #[test]
        fn comes_back(key: Vec<u8>, kind: u16, version: u16, incarnation: u64, seq: u64, body: Vec<u8>) {
            let envelope = Envelope { kind, version, incarnation, seq, body: &body };
            let bytes = encode(&key, &envelope);
            prop_assert_eq!(decode(&key, &bytes), Ok(envelope));
        }

        #[test]
        fn any_bytes_are_answered(key: Vec<u8>, mut bytes: Vec<u8>, ours: bool) {
            if ours {
                bytes.splice(0..0, *b"fhrc\x01\x00");
            }
            let _ = decode(&key, &bytes);
        }

        #[test]
        fn a_flip_is_never_accepted(body: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut bytes = encode(b"k", &Envelope { body: &body, ..sample() });
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(b"k", &bytes).is_err());
        }
    }
}
