//! An image's file, as what a device takes at once: whole, or in sparse pieces that are made as they are sent.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farmhand_image::sparse::{self, Map, SparseError};
use thiserror::Error;
use tokio::time::timeout;

use super::client::{Piece, Pieces};
use super::deadlines::COMMAND_MAX;
use super::source::{FileAt, Source};

/// What an Android sparse image begins with (AOSP, libsparse, `sparse_format.h`), as it stands in the file.
const SPARSE_MAGIC: [u8; 4] = 0xed26_ff3a_u32.to_le_bytes();

/// Why a file is no image to write.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        error: io::Error,
    },
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// It is sparse, and damaged; or it cannot be split.
    #[error("{path}: {error}")]
    Sparse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: SparseError,
    },
}

/// An image's file, open. What it holds may be larger than memory.
#[derive(Debug)]
pub struct ImageFile {
    file: Arc<File>,
    /// Bytes of the file.
    len: u64,
    /// Bytes that are written for it.
    writes: u64,
    /// What it is split into; none where it is sent whole.
    pieces: Vec<sparse::Piece>,
}

impl ImageFile {
    /// Opens it. One that is larger than what the device takes at once is read to its end, and split. A sparse one that is
    /// damaged is told before anything is sent. `download_bytes_max` is the device's `max-download-size`; without it all
    /// that `download` can say is taken for it.
    pub async fn open(path: &Path, download_bytes_max: Option<u64>) -> Result<Self, ImageError> {
        let unreadable = |error| ImageError::Unreadable { path: path.to_owned(), error };
        let max = download_bytes_max.unwrap_or(u64::MAX).min(u32::MAX.into());
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_here(owned, max));
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it was not read within an hour");
        let opened = timeout(COMMAND_MAX, opened).await.map_err(|_| unreadable(late()))?;
        opened.map_err(|error| unreadable(io::Error::other(error)))?
    }

    fn open_here(path: PathBuf, max: u64) -> Result<Self, ImageError> {
        let look = || {
            let mut file = File::open(&path)?;
            let len = file.metadata()?.len();
            let mut magic = Vec::new();
            (&mut file).take(4).read_to_end(&mut magic)?;
            file.rewind()?;
            Ok((file, len, magic == SPARSE_MAGIC))
        };
        let (mut file, len, is_sparse) =
            look().map_err(|error| ImageError::Unreadable { path: path.clone(), error })?;
        if len == 0 {
            return Err(ImageError::Empty(path));
        }
        if len <= max && !is_sparse {
            return Ok(Self { file: Arc::new(file), len, writes: len, pieces: Vec::new() });
        }
        let mut split = || {
            let map = if is_sparse { Map::of_sparse(&mut file)? } else { Map::of_raw(&mut file)? };
            let pieces = if len <= max { Vec::new() } else { map.pieces(max)? };
            Ok((map.bytes(), pieces))
        };
        match split() {
            Ok((writes, pieces)) => Ok(Self { file: Arc::new(file), len, writes, pieces }),
            Err(error) => Err(ImageError::Sparse { path, error }),
        }
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: an empty file is not opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are written for it: of a sparse one, those that it stands for.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Bytes of all that is sent.
    #[must_use]
    pub fn sends(&self) -> u64 {
        if self.pieces.is_empty() { self.len } else { self.pieces.iter().map(sparse::Piece::bytes).sum() }
    }
}

impl Pieces for ImageFile {
    fn count(&self) -> usize {
        self.pieces.len().max(1)
    }

    fn piece(&self, at: usize) -> io::Result<Piece> {
        let file = FileAt::start(self.file.clone());
        let (len, source): (u64, Source) = match self.pieces.get(at) {
            Some(piece) => (piece.bytes(), Box::new(piece.reader(file))),
            None => (self.len, Box::new(file)),
        };
        let len =
            u32::try_from(len).map_err(|_| io::Error::other("a piece is larger than a download can be"))?;
        Ok(Piece { len, writes: self.writes, source })
    }
}
