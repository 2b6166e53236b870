//! Which format bytes are in.

use std::fmt;

use thiserror::Error;

use crate::elf::ElfError;
use crate::hex::HexError;
use crate::image::Image;

/// A format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Begins with 0x7f and `ELF`.
    Elf,
    /// Its first character that is not blank is a colon.
    IntelHex,
    /// None of these.
    Unknown,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "ELF",
            Self::IntelHex => "Intel HEX",
            Self::Unknown => "unknown",
        })
    }
}

/// Looks at how the bytes begin; they need not be good.
pub fn detect(bytes: &[u8]) -> Format {
    if bytes.starts_with(b"\x7fELF") {
        Format::Elf
    } else if bytes.trim_ascii_start().starts_with(b":") {
        Format::IntelHex
    } else {
        Format::Unknown
    }
}

/// Why bytes are not an image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not in a format that we know.
    #[error("neither ELF nor Intel HEX")]
    UnknownFormat,
    /// ELF, but not a good one.
    #[error("read ELF: {0}")]
    Elf(ElfError),
    /// Intel HEX, but not a good one.
    #[error("read Intel HEX: {0}")]
    Hex(HexError),
}

impl Image {
    /// Reads whichever format it is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        match detect(bytes) {
            Format::Elf => Self::from_elf(bytes).map_err(ImageError::Elf),
            Format::IntelHex => Self::from_hex(bytes).map_err(ImageError::Hex),
            Format::Unknown => Err(ImageError::UnknownFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_its_beginning() {
        assert_eq!(detect(b"\x7fELF\x01"), Format::Elf);
        assert_eq!(detect(b"\r\n :00000001FF"), Format::IntelHex);
        assert_eq!(detect(b""), Format::Unknown);
        assert_eq!(detect(b"\x7fEL"), Format::Unknown);
        assert_eq!(Image::from_bytes(b":00000001FF"), Ok(Image::default()));
        assert_eq!(Image::from_bytes(b"\xe9"), Err(ImageError::UnknownFormat));
        assert_eq!(Image::from_bytes(b"\x7fELF").unwrap_err().to_string(), "read ELF: not an ELF file");
        assert!(matches!(Image::from_bytes(b":"), Err(ImageError::Hex(_))));
    }
}
