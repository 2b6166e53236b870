//! What kind of archive a file is, by its content: names lie, and a download has none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use lzma_rust2::XzReader;

use super::Unpacker;
use super::bz2::Bz2;
use super::zstd::Zstd;
use crate::InstallError;

/// A tar's block.
const BLOCK_BYTES: usize = 512;
/// What is read of a file at once.
const READ_BYTES: usize = 128 << 10;
/// What an xz may have its reader hold, in KiB: the largest preset (`-9`) needs a dictionary of 64 MiB.
pub(crate) const XZ_KIB_MAX: u32 = 96 << 10;

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Squeezed {
    Not,
    Gz,
    Xz,
    Zstd,
    Bz2,
}

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Deb,
    Zip,
    Tar(Squeezed),
}

impl Format {
    /// What tells a format: a tar's first header.
    pub(crate) const HEAD_BYTES: usize = BLOCK_BYTES;

    /// What a file is by its first bytes; none where it is no archive.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, InstallError> {
        let read = || {
            let mut head = Vec::with_capacity(BLOCK_BYTES);
            File::open(path)?.take(BLOCK_BYTES as u64).read_to_end(&mut head)?;
            Ok(head)
        };
        let head = read().map_err(|error| InstallError::io("read", path, error))?;
        Ok(Self::of_head(&head))
    }

    /// What a file is that begins so.
    pub(crate) fn of_head(head: &[u8]) -> Option<Self> {
        let squeezed = |squeezed| Some(Self::Tar(squeezed));
        match head {
            _ if head.starts_with(b"!<arch>\n") => Some(Self::Deb),
            _ if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") => Some(Self::Zip),
            _ if head.starts_with(&[0x1f, 0x8b]) => squeezed(Squeezed::Gz),
            _ if head.starts_with(b"\xfd7zXZ\0") => squeezed(Squeezed::Xz),
            _ if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => squeezed(Squeezed::Zstd),
            // A frame that is to be skipped, as parallel compressors write first (RFC 8878, 3.1.2).
            [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50 => squeezed(Squeezed::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => squeezed(Squeezed::Bz2),
            _ if is_tar(head) => squeezed(Squeezed::Not),
            _ => None,
        }
    }
}

/// Whether a block is a tar's header: it holds the sum of its own bytes. One of zeros is the end of an empty tar.
fn is_tar(head: &[u8]) -> bool {
    if head.len() < BLOCK_BYTES {
        return false;
    }
    if head.iter().all(|&byte| byte == 0) {
        return true;
    }
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(head);
    let said = header.cksum().ok();
    header.set_cksum();
    said.is_some() && said == header.cksum().ok()
}

impl Unpacker {
    /// Unpacks a file of that format. `name` is its name in errors.
    pub(crate) fn archive(&mut self, name: &Path, file: &Path, format: Format) -> Result<(), InstallError> {
        let path = file;
        let open = || {
            let opened = File::open(path).map_err(|error| InstallError::io("read", path, error))?;
            Ok(BufReader::with_capacity(READ_BYTES, opened))
        };
        let file: BufReader<File> = open()?;
        match format {
            // Its list and its entries are read side by side.
            Format::Zip => self.zip(name, file, open()?),
            Format::Deb => self.tar(name, file),
            Format::Tar(squeezed) => self.of_kind(name, file, squeezed),
        }
    }

    /// Unpacks a tar that is compressed so, and is all of a package.
    pub(crate) fn squeezed(
        &mut self,
        name: &Path,
        file: impl BufRead,
        squeezed: Squeezed,
    ) -> Result<(), InstallError> {
        self.of_kind(name, file, squeezed)?;
        self.holds_something()
    }

    fn of_kind(&mut self, name: &Path, file: impl BufRead, squeezed: Squeezed) -> Result<(), InstallError> {
        match squeezed {
            Squeezed::Not => self.tar(name, file),
            Squeezed::Gz => self.tar(name, flate2::bufread::MultiGzDecoder::new(file)),
            Squeezed::Xz => self.tar(name, XzReader::new_mem_limit(file, true, XZ_KIB_MAX)),
            Squeezed::Zstd => self.tar(name, Zstd::new(file)),
            Squeezed::Bz2 => self.tar(name, Bz2::new(file)),
        }
    }
}

/// How long a file is; it is at its beginning afterwards.
pub(super) fn length(file: &mut impl Seek) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_old();
        header.set_path("x").unwrap();
        header.set_size(1);
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        assert_eq!(Format::of_head(&tar[..512]), Some(Format::Tar(Squeezed::Not)));
        let mut damaged = tar[..512].to_vec();
        damaged[3] ^= 1;
        assert_eq!(Format::of_head(&damaged), None);
        assert_eq!(Format::of_head(b"PK"), None);
        assert_eq!(Format::of_head(b""), None);
        assert_eq!(Format::of_head(b"BZh0"), None);
        assert_eq!(Format::of_head(b"BZh9"), Some(Format::Tar(Squeezed::Bz2)));
        assert_eq!(Format::of_head(&[0x5a, 0x2a, 0x4d, 0x18, 0]), Some(Format::Tar(Squeezed::Zstd)));
    }
}
