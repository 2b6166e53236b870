//! Pieces: sparse images that together are one.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use android_sparse_image::{CHUNK_HEADER_BYTES_LEN, ChunkHeader, FILE_HEADER_BYTES_LEN, FileHeader};

use super::{Content, Extent, Map, SparseError};

/// What a piece leaves of what a device takes, where there is so much: as the tool that people know does.
pub const HEADROOM_BYTES: u64 = 4096;
const FILE_HEADER: u64 = FILE_HEADER_BYTES_LEN as u64;
const CHUNK_HEADER: u64 = CHUNK_HEADER_BYTES_LEN as u64;
/// Chunks other than data that a piece can need at once: what is skipped before, and after.
const SKIPS: u64 = 2 * CHUNK_HEADER;

/// Some bytes of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// These: headers, and what fills.
    Bytes(Vec<u8>),
    /// Those of the image's file.
    File {
        /// From its start.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// So many zeros, behind the end of a raw file.
    Zeros(u64),
}

impl Span {
    /// How many.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } | Self::Zeros(bytes) => *bytes,
        }
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A sparse image of its own, over all blocks of the whole: what other pieces hold is DONT_CARE in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    spans: Arc<[Span]>,
    bytes: u64,
}

impl Piece {
    /// What it consists of, in order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Its length: what `download` is told.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads it, with the file that its map was made of.
    pub fn reader<R: Read + Seek>(&self, file: R) -> PieceReader<R> {
        PieceReader { spans: self.spans.clone(), first: 0, at: 0, file, sought: false }
    }
}

/// What one piece holds while it is made.
#[derive(Default)]
struct Held {
    /// First block, and what is there.
    data: Vec<(u32, Extent)>,
    /// Bytes so far, without the skip at the end.
    bytes: u64,
    /// The block behind the last.
    end: u32,
}

impl Map {
    /// Cuts the image into pieces none of which is larger than what a device takes, `max-download-size`. They are given
    /// in order, and each block of data is in one of them. There is always one, if only of DONT_CARE.
    pub fn pieces(&self, download_bytes_max: u64) -> Result<Vec<Piece>, SparseError> {
        let block = u64::from(self.block_bytes);
        let needs = FILE_HEADER + SKIPS + CHUNK_HEADER + block.max(4);
        // A chunk says its length in 32 bits.
        let most = download_bytes_max.min(u32::MAX.into());
        let max = if most >= needs + HEADROOM_BYTES { most - HEADROOM_BYTES } else { most };
        if max < needs {
            return Err(SparseError::PieceTooSmall { max: most, needs });
        }
        let mut pieces = Vec::new();
        let mut held = Held { bytes: FILE_HEADER, ..Held::default() };
        let mut first = 0;
        for extent in &self.extents {
            let Extent { mut blocks, mut content } = *extent;
            if content == Content::DontCare {
                first += blocks;
                continue;
            }
            while blocks > 0 {
                let skip = if held.end == first { 0 } else { CHUNK_HEADER };
                // Behind the data may stand a skip to the end.
                let room = max.saturating_sub(held.bytes + skip + CHUNK_HEADER + CHUNK_HEADER);
                let fit = match content {
                    Content::Raw(_) => u32::try_from(room / block).unwrap_or(u32::MAX).min(blocks),
                    Content::Fill(_) | Content::DontCare if room >= 4 => blocks,
                    Content::Fill(_) | Content::DontCare => 0,
                };
                if fit == 0 {
                    let full = std::mem::replace(&mut held, Held { bytes: FILE_HEADER, ..Held::default() });
                    pieces.push(self.piece(&full));
                    continue;
                }
                held.data.push((first, Extent { blocks: fit, content }));
                let data = if let Content::Raw(_) = content { u64::from(fit) * block } else { 4 };
                held.bytes += skip + CHUNK_HEADER + data;
                first += fit;
                held.end = first;
                blocks -= fit;
                if let Content::Raw(offset) = &mut content {
                    *offset += u64::from(fit) * block;
                }
            }
        }
        if pieces.is_empty() || !held.data.is_empty() {
            pieces.push(self.piece(&held));
        }
        Ok(pieces)
    }

    fn piece(&self, held: &Held) -> Piece {
        let mut build = Build { spans: Vec::new(), chunks: 0 };
        // The number of chunks is known at the end.
        build.bytes(&[0; FILE_HEADER_BYTES_LEN]);
        let mut at = 0;
        for &(first, extent) in &held.data {
            build.skip(first - at);
            build.extent(extent, self);
            at = first + extent.blocks;
        }
        build.skip(self.blocks - at);
        let header = FileHeader {
            block_size: self.block_bytes,
            blocks: self.blocks,
            chunks: build.chunks,
            checksum: 0,
        };
        if let Some(Span::Bytes(bytes)) = build.spans.first_mut() {
            bytes[..FILE_HEADER_BYTES_LEN].copy_from_slice(&header.to_bytes());
        }
        let bytes = build.spans.iter().map(Span::len).sum();
        Piece { spans: build.spans.into(), bytes }
    }
}

struct Build {
    spans: Vec<Span>,
    chunks: u32,
}

impl Build {
    fn bytes(&mut self, more: &[u8]) {
        if let Some(Span::Bytes(bytes)) = self.spans.last_mut() {
            bytes.extend_from_slice(more);
        } else {
            self.spans.push(Span::Bytes(more.to_vec()));
        }
    }

    fn chunk(&mut self, header: &ChunkHeader) {
        self.chunks += 1;
        self.bytes(&header.to_bytes());
    }

    fn skip(&mut self, blocks: u32) {
        if blocks > 0 {
            self.chunk(&ChunkHeader::new_dontcare(blocks));
        }
    }

    fn extent(&mut self, extent: Extent, map: &Map) {
        match extent.content {
            Content::DontCare => self.skip(extent.blocks),
            Content::Fill(four) => {
                self.chunk(&ChunkHeader::new_fill(extent.blocks));
                self.bytes(&four);
            }
            Content::Raw(offset) => {
                self.chunk(&ChunkHeader::new_raw(extent.blocks, map.block_bytes));
                let all = u64::from(extent.blocks) * u64::from(map.block_bytes);
                let bytes = all.min(map.file_bytes - offset);
                self.spans.push(Span::File { offset, bytes });
                if all > bytes {
                    self.spans.push(Span::Zeros(all - bytes));
                }
            }
        }
    }
}

/// Reads a piece, which need not be kept for it.
#[derive(Debug)]
pub struct PieceReader<R> {
    spans: Arc<[Span]>,
    /// What is left begins with this one; of it, with what is behind `at`.
    first: usize,
    at: u64,
    file: R,
    /// Does the file stand where the first goes on?
    sought: bool,
}

impl<R: Read + Seek> Read for PieceReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(span) = self.spans.get(self.first) {
            let left = span.len() - self.at;
            if left == 0 {
                self.first += 1;
                self.at = 0;
                self.sought = false;
                continue;
            }
            let some = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let buffer = &mut buffer[..some];
            let read = match span {
                Span::Bytes(bytes) => {
                    let at = usize::try_from(self.at).expect("it is in memory");
                    buffer.copy_from_slice(&bytes[at..at + some]);
                    some
                }
                Span::Zeros(_) => {
                    buffer.fill(0);
                    some
                }
                Span::File { offset, .. } => {
                    if !self.sought {
                        self.file.seek(SeekFrom::Start(offset + self.at))?;
                        self.sought = true;
                    }
                    let read = self.file.read(buffer)?;
                    if read == 0 && some > 0 {
                        // The length of a download has been promised.
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "the image became shorter while it was read",
                        ));
                    }
                    read
                }
            };
            self.at += read as u64;
            return Ok(read);
        }
        Ok(0)
    }
}
