//! What an image holds, and where in its file that is.

use std::io::{self, Read, Seek, SeekFrom};

use android_sparse_image::{
    CHUNK_HEADER_BYTES_LEN, ChunkHeader, ChunkType, FILE_HEADER_BYTES_LEN, FileHeader, ParseError,
};

use super::{BLOCK_BYTES, SparseError};

/// Blocks that are read at once.
const BLOCKS_AT_ONCE: usize = 256;

/// What some blocks hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes of the file, from this offset. The last block of a raw file may be short: zeros follow.
    Raw(u64),
    /// These four bytes, again and again.
    Fill([u8; 4]),
    /// Whatever is there stays.
    DontCare,
}

/// Blocks that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many; at least one.
    pub blocks: u32,
    /// What they hold.
    pub content: Content,
}

/// A whole image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    pub(super) block_bytes: u32,
    pub(super) blocks: u32,
    /// Bytes that the file has.
    pub(super) file_bytes: u64,
    pub(super) extents: Vec<Extent>,
}

impl Map {
    /// Reads a sparse image to its end, and checks all of it but its checksums: what is in raw chunks is not read.
    pub fn of_sparse(file: &mut (impl Read + Seek)) -> Result<Self, SparseError> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let header = file_header(file, file_bytes)?;
        let mut map =
            Self { block_bytes: header.block_size, blocks: header.blocks, file_bytes, extents: Vec::new() };
        let mut offset = FILE_HEADER_BYTES_LEN as u64;
        let mut found = 0;
        for chunk in 0..header.chunks {
            let at = Chunk { chunk, offset, block_bytes: header.block_size };
            let cut = |needs| SparseError::Truncated { chunk, has: file_bytes, needs };
            let data = offset + CHUNK_HEADER_BYTES_LEN as u64;
            if data > file_bytes {
                return Err(cut(data));
            }
            file.seek(SeekFrom::Start(offset))?;
            let (kind, blocks, end) = at.read(file)?;
            if end > file_bytes {
                return Err(cut(end));
            }
            found += u64::from(blocks);
            match kind {
                ChunkType::Raw => map.push(blocks, Content::Raw(data)),
                ChunkType::Fill => map.push(blocks, Content::Fill(four(file)?)),
                ChunkType::DontCare => map.push(blocks, Content::DontCare),
                ChunkType::Crc32 => {}
            }
            offset = end;
        }
        if found != u64::from(header.blocks) {
            return Err(SparseError::Blocks { said: header.blocks, found });
        }
        Ok(map)
    }

    /// Reads a raw image to its end, and finds what repeats. Zeros are FILL and not DONT_CARE: they are written.
    pub fn of_raw(file: &mut impl Read) -> Result<Self, SparseError> {
        let block = BLOCK_BYTES as usize;
        let mut map = Self { block_bytes: BLOCK_BYTES, blocks: 0, file_bytes: 0, extents: Vec::new() };
        let mut buffer = vec![0; BLOCKS_AT_ONCE * block];
        loop {
            let read = fill_buffer(file, &mut buffer)?;
            for bytes in buffer[..read].chunks(block) {
                let full = bytes.len() == block;
                let content =
                    repeated(bytes).filter(|_| full).map_or(Content::Raw(map.file_bytes), Content::Fill);
                map.file_bytes += bytes.len() as u64;
                let max = u64::from(u32::MAX) * u64::from(BLOCK_BYTES);
                map.blocks =
                    map.blocks.checked_add(1).ok_or(SparseError::TooLarge { bytes: map.file_bytes, max })?;
                map.push(1, content);
            }
            if read < buffer.len() {
                return Ok(map);
            }
        }
    }

    fn push(&mut self, blocks: u32, content: Content) {
        if blocks == 0 {
            return;
        }
        let block_bytes = u64::from(self.block_bytes);
        if let Some(last) = self.extents.last_mut() {
            let goes_on = match (last.content, content) {
                (Content::Raw(from), Content::Raw(next)) => {
                    from + u64::from(last.blocks) * block_bytes == next
                }
                (one, other) => one == other,
            };
            if goes_on && let Some(sum) = last.blocks.checked_add(blocks) {
                last.blocks = sum;
                return;
            }
        }
        self.extents.push(Extent { blocks, content });
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// Bytes of the image, expanded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.blocks) * u64::from(self.block_bytes)
    }

    /// What it holds, in order.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

/// A chunk that is about to be read.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) chunk: u32,
    pub(super) offset: u64,
    pub(super) block_bytes: u32,
}

impl Chunk {
    /// Its type, its blocks (none of a checksum), and where it ends.
    pub(super) fn read(self, file: &mut impl Read) -> Result<(ChunkType, u32, u64), SparseError> {
        let Self { chunk, offset, block_bytes } = self;
        let mut bytes = [0; CHUNK_HEADER_BYTES_LEN];
        file.read_exact(&mut bytes)?;
        let header = ChunkHeader::from_bytes(&bytes).map_err(|_| SparseError::ChunkType { chunk, offset })?;
        let holds = match header.chunk_type {
            ChunkType::Raw => u64::from(header.chunk_size) * u64::from(block_bytes),
            ChunkType::Fill | ChunkType::Crc32 => 4,
            ChunkType::DontCare => 0,
        };
        let (has, needs) = (u64::from(header.total_size), CHUNK_HEADER_BYTES_LEN as u64 + holds);
        if has != needs {
            return Err(SparseError::ChunkBytes { chunk, offset, has, needs });
        }
        let blocks = if header.chunk_type == ChunkType::Crc32 { 0 } else { header.chunk_size };
        Ok((header.chunk_type, blocks, offset + has))
    }
}

/// Reads and checks the header of a file, of which `file_bytes` are known to be there.
pub(super) fn file_header(file: &mut impl Read, file_bytes: u64) -> Result<FileHeader, SparseError> {
    let mut bytes = [0; FILE_HEADER_BYTES_LEN];
    let read = fill_buffer(file, &mut bytes)?;
    if !bytes.starts_with(&android_sparse_image::HEADER_MAGIC.to_le_bytes()) {
        return Err(SparseError::NotOne);
    }
    if read < bytes.len() {
        let has = file_bytes.min(read as u64);
        return Err(SparseError::Truncated { chunk: 0, has, needs: bytes.len() as u64 });
    }
    let header = FileHeader::from_bytes(&bytes).map_err(|error| match error {
        ParseError::UnknownMagic | ParseError::UnknownChunkType => SparseError::NotOne,
        ParseError::UnknownVersion => SparseError::Version,
        ParseError::UnexpectedSize => SparseError::HeaderBytes,
    })?;
    if header.block_size == 0 || header.block_size % 4 != 0 {
        return Err(SparseError::BlockBytes(header.block_size));
    }
    Ok(header)
}

pub(super) fn four(file: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut four = [0; 4];
    file.read_exact(&mut four)?;
    Ok(four)
}

/// The four bytes that a block consists of.
fn repeated(block: &[u8]) -> Option<[u8; 4]> {
    let first: [u8; 4] = block.get(..4)?.try_into().ok()?;
    block.chunks(4).all(|four| four == first).then_some(first)
}

/// As much as there is, or as fits.
fn fill_buffer(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
