//! What a data phase to the device is read from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::DerefMut;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::deadlines::SOURCE_STALL;
use super::pipe::PipeError;

/// What a data phase is read from, on threads that may wait for a disk.
pub type Source = Box<dyn Read + Send>;

/// A file, from a place of its own: another that reads it, or was given up, does not move it.
#[derive(Debug)]
pub(super) struct FileAt {
    file: Arc<File>,
    at: u64,
}

impl FileAt {
    /// From its start.
    pub(super) fn start(file: Arc<File>) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for FileAt {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The bytes of a data phase, chunk by chunk, into whatever memory the transport sends from.
pub(super) struct Reading {
    /// Not there once a thread has it that does not give it back.
    source: Option<Source>,
    got: u64,
    len: u64,
}

impl Reading {
    /// Exactly `len` bytes of it.
    pub(super) fn new(source: Source, len: u64) -> Self {
        Self { source: Some(source), got: 0, len }
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> u64 {
        self.len - self.got
    }

    /// How many of them the next chunk has where it may have `most`.
    pub(super) fn next_len(&self, most: usize) -> usize {
        usize::try_from(self.left()).unwrap_or(most).min(most)
    }

    /// Fills `chunk`, all of it. After an error, and where its future is dropped before its end, nothing more can be read.
    pub(super) async fn fill<C>(&mut self, mut chunk: C) -> Result<C, PipeError>
    where
        C: DerefMut<Target = [u8]> + Send + 'static,
    {
        let (got, len) = (self.got, self.len);
        let Some(mut source) = self.source.take() else {
            return Err(PipeError::Source(io::Error::other("it is not read on after an error")));
        };
        let read = spawn_blocking(move || fill(&mut source, &mut chunk, got, len).map(|()| (source, chunk)));
        let read = timeout(SOURCE_STALL, read).await.map_err(|_| stalled())?;
        let (source, chunk) = read.map_err(|error| PipeError::Source(io::Error::other(error)))??;
        self.got += chunk.len() as u64;
        self.source = Some(source);
        Ok(chunk)
    }
}

/// The source gave nothing for [`SOURCE_STALL`].
pub(super) fn stalled() -> PipeError {
    PipeError::Source(io::Error::new(io::ErrorKind::TimedOut, "it gave nothing for a minute"))
}

/// Fills `chunk`, from `got` of `len` on. May wait for a disk.
pub(super) fn fill(source: &mut Source, chunk: &mut [u8], got: u64, len: u64) -> Result<(), PipeError> {
    let mut filled = 0;
    while filled < chunk.len() {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => return Err(PipeError::SourceEnded { got: got + filled as u64, len }),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PipeError::Source(error)),
        }
    }
    Ok(())
}
