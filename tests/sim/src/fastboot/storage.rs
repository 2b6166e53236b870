//! What a partition holds: bytes in memory, or in a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that are read or written at once.
const CHUNK: usize = 1 << 20;

/// A partition's bytes. What was never written is zero.
#[derive(Debug)]
pub(super) enum Storage {
    Memory(Vec<u8>),
    File { file: File, len: u64 },
}

impl Storage {
    pub(super) fn memory(len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // Zeroed pages, which are real only once they are written.
        Ok(Self::Memory(vec![0; len]))
    }

    /// What a file that is there holds, it goes on to hold.
    pub(super) fn file(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(len)?;
        Ok(Self::File { file, len })
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => *bytes = vec![0; bytes.len()],
            Self::File { file, len } => {
                file.set_len(0)?;
                file.set_len(*len)?;
            }
        }
        Ok(())
    }

    pub(super) fn resize(&mut self, to: u64) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let to = usize::try_from(to).map_err(|_| io::ErrorKind::OutOfMemory)?;
                bytes.resize(to, 0);
            }
            Self::File { file, len } => {
                file.set_len(to)?;
                *len = to;
            }
        }
        Ok(())
    }

    /// Within its length, as the caller has checked.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
                let to = bytes.get_mut(offset..offset + data.len()).ok_or(io::ErrorKind::InvalidInput)?;
                to.copy_from_slice(data);
                Ok(())
            }
            Self::File { file, .. } => file.write_all_at(data, offset),
        }
    }

    pub(super) fn fill(&mut self, mut offset: u64, mut len: u64, with: [u8; 4]) -> io::Result<()> {
        let chunk = with.repeat(CHUNK / 4);
        while len > 0 {
            let now = len.min(CHUNK as u64);
            self.write(offset, &chunk[..now as usize])?;
            offset += now;
            len -= now;
        }
        Ok(())
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => {
                let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
                let from = bytes.get(offset..offset + len).ok_or(io::ErrorKind::UnexpectedEof)?;
                Ok(from.to_vec())
            }
            Self::File { file, .. } => {
                let mut read = vec![0; len];
                file.read_exact_at(&mut read, offset)?;
                Ok(read)
            }
        }
    }

    /// In lower-case hexadecimal, of the whole or of its first bytes.
    pub(super) fn sha256(&self, len: u64) -> io::Result<String> {
        let mut hasher = Sha256::new();
        let mut at = 0;
        while at < len {
            let now = (len - at).min(CHUNK as u64);
            hasher.update(self.read(at, now as usize)?);
            at += now;
        }
        Ok(hex(&hasher.finalize()))
    }
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
