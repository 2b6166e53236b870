//! An image's name.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::image::Image;

/// Begins what is hashed, so that the hash of an image is no other hash of the same bytes, and of this form only.
const DOMAIN: &[u8] = b"farmhand image v1\0";

/// Hex digits of [`ImageHash::short`].
const SHORT_DIGITS: usize = 12;

/// SHA-256 of an image's canonical form: `farmhand image v1` and a zero byte, then each segment's address and length (eight bytes each,
/// little-endian) and bytes, in order. The same bytes at the same addresses have the same hash, be they from hex or ELF.
///
/// Written as 64 hex digits, to people and in formats for people (JSON, TOML); as 32 bytes in others (postcard).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageHash([u8; 32]);

impl ImageHash {
    /// Of bytes that were a hash before.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first 12 digits: for people, not for comparing.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(SHORT_DIGITS);
        digits
    }
}

impl Image {
    /// Its name.
    pub fn hash(&self) -> ImageHash {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        for segment in self.segments() {
            hasher.update(u64::from(segment.address()).to_le_bytes());
            hasher.update((segment.bytes().len() as u64).to_le_bytes());
            hasher.update(segment.bytes());
        }
        ImageHash(hasher.finalize().into())
    }
}

impl fmt::Display for ImageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageHash({self})")
    }
}

/// Not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an image hash is 64 hex digits")]
pub struct ParseHashError;

impl FromStr for ImageHash {
    type Err = ParseHashError;

    fn from_str(digits: &str) -> Result<Self, ParseHashError> {
        if digits.len() != 64 {
            return Err(ParseHashError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(ParseHashError);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).map_err(|_| ParseHashError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ImageHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ImageHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blink() -> ImageHash {
        Image::from_chunks([(0, vec![0x0c, 0x94]), (0x100, vec![1])]).unwrap().hash()
    }

    #[test]
    fn the_canonical_form_does_not_change() {
        // printf 'farmhand image v1\0' and the segments, through sha256sum.
        assert_eq!(blink().to_string(), "d8845c4439ed2db1663462eec8dbf533d72a4f1e534dc3455d8067dd7e6442eb");
        assert_eq!(blink().short(), "d8845c4439ed");
        assert_eq!(format!("{:?}", blink()), format!("ImageHash({})", blink()));
    }

    #[test]
    fn what_differs_has_another_name() {
        let hash = |chunks: &[(u32, &[u8])]| {
            Image::from_chunks(chunks.iter().map(|(a, b)| (*a, b.to_vec()))).unwrap().hash()
        };
        assert_eq!(hash(&[(0, &[1]), (1, &[2])]), hash(&[(0, &[1, 2])]));
        assert_ne!(hash(&[(0, &[1]), (2, &[2])]), hash(&[(0, &[1, 2])]));
        assert_ne!(hash(&[(0, &[1, 0xff])]), hash(&[(0, &[1])]));
        assert_ne!(hash(&[(1, &[1])]), hash(&[(0, &[1])]));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let text = blink().to_string();
        assert_eq!(text.parse(), Ok(blink()));
        assert_eq!(text.to_uppercase().parse(), Ok(blink()));
        for wrong in ["", "12", &text[1..], &format!("{text}0"), &"+".repeat(64), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<ImageHash>(), Err(ParseHashError), "{wrong}");
        }
        let json = serde_json::to_string(&blink()).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<ImageHash>(&json).unwrap(), blink());
        assert!(serde_json::from_str::<ImageHash>("\"12\"").is_err());
        let bytes = postcard::to_stdvec(&blink()).unwrap();
        assert_eq!(bytes, blink().as_bytes());
        assert_eq!(postcard::from_bytes::<ImageHash>(&bytes).unwrap(), blink());
    }
}
