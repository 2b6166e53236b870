//! An image's file, as what a device takes at once: whole, or in sparse pieces that are made as they are sent.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use farmhand_image::sparse::{self, Map, Span, SparseError};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, ReadBuf};
use tokio::time::timeout;

use super::client::{Piece, Pieces};
use super::deadlines::COMMAND_MAX;

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
    file: File,
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
        let mut file = File::open(path).await.map_err(unreadable)?;
        let len = file.metadata().await.map_err(unreadable)?.len();
        if len == 0 {
            return Err(ImageError::Empty(path.to_owned()));
        }
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).await.map_err(unreadable)?;
        let is_sparse = magic == SPARSE_MAGIC;
        let max = download_bytes_max.unwrap_or(u64::MAX).min(u32::MAX.into());
        if len <= max && !is_sparse {
            return Ok(Self { file, len, writes: len, pieces: Vec::new() });
        }
        let mut blocking = file.try_clone().await.map_err(unreadable)?.into_std().await;
        let split = tokio::task::spawn_blocking(move || {
            io::Seek::seek(&mut blocking, SeekFrom::Start(0)).map_err(SparseError::from)?;
            let map = if is_sparse { Map::of_sparse(&mut blocking)? } else { Map::of_raw(&mut blocking)? };
            let pieces = if len <= max { Vec::new() } else { map.pieces(max)? };
            Ok((map.bytes(), pieces))
        });
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it was not read within an hour");
        let split = timeout(COMMAND_MAX, split).await.map_err(|_| unreadable(late()))?;
        let split = split.map_err(|error| unreadable(io::Error::other(error)))?;
        let (writes, pieces) = split.map_err(|error| ImageError::Sparse { path: path.to_owned(), error })?;
        Ok(Self { file, len, writes, pieces })
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

#[async_trait]
impl Pieces for ImageFile {
    fn count(&self) -> usize {
        self.pieces.len().max(1)
    }

    async fn piece(&mut self, at: usize) -> io::Result<Piece<'_>> {
        // Whatever was left of an earlier piece, a read ahead among it, is over.
        self.file.rewind().await?;
        let (len, source): (u64, Box<dyn AsyncRead + Send + Unpin>) = match self.pieces.get(at) {
            Some(piece) => {
                let spans =
                    SpanReader { spans: piece.spans(), at: 0, file: &mut self.file, place: Place::Unknown };
                (piece.bytes(), Box::new(spans))
            }
            None => (self.len, Box::new((&mut self.file).take(self.len))),
        };
        let len =
            u32::try_from(len).map_err(|_| io::Error::other("a piece is larger than a download can be"))?;
        Ok(Piece { len, writes: self.writes, source })
    }
}

/// Where the file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unknown,
    /// It is on its way to where the span goes on.
    Seeking,
    There,
}

/// Reads a piece: what is in memory, and what is in the file.
#[derive(Debug)]
struct SpanReader<'a> {
    /// What is left; of the first, what is behind `at`.
    spans: &'a [Span],
    at: u64,
    file: &'a mut File,
    place: Place,
}

impl AsyncRead for SpanReader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(span) = this.spans.first() {
            let left = span.len() - this.at;
            if left == 0 {
                (this.spans, this.at, this.place) = (&this.spans[1..], 0, Place::Unknown);
                continue;
            }
            let some = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.remaining());
            let read = match span {
                Span::Bytes(bytes) => {
                    let at = usize::try_from(this.at).expect("it is in memory");
                    buffer.put_slice(&bytes[at..at + some]);
                    some
                }
                Span::Zeros(_) => {
                    buffer.initialize_unfilled_to(some).fill(0);
                    buffer.advance(some);
                    some
                }
                Span::File { offset, .. } => {
                    if this.place == Place::Unknown {
                        Pin::new(&mut *this.file).start_seek(SeekFrom::Start(offset + this.at))?;
                        this.place = Place::Seeking;
                    }
                    if this.place == Place::Seeking {
                        ready!(Pin::new(&mut *this.file).poll_complete(cx))?;
                        this.place = Place::There;
                    }
                    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(some));
                    ready!(Pin::new(&mut *this.file).poll_read(cx, &mut part))?;
                    let read = part.filled().len();
                    if read == 0 && some > 0 {
                        let shorter = "the image became shorter while it was read";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, shorter)));
                    }
                    buffer.advance(read);
                    read
                }
            };
            this.at += read as u64;
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Ok(()))
    }
}
