//! An image into a partition: as it is, or sparse (AOSP, libsparse, sparse_format.h).

use std::io;

use android_sparse_image::{
    CHUNK_HEADER_BYTES_LEN, ChunkHeader, ChunkType, FILE_HEADER_BYTES_LEN, FileHeader, HEADER_MAGIC,
    ParseError,
};
use thiserror::Error;

use super::storage::Storage;

/// Why an image is not written. But for [`FlashError::Storage`], the partition is as it was.
#[derive(Debug, Error)]
pub(super) enum FlashError {
    #[error("image of {len} bytes is larger than the partition of {room}")]
    TooLarge { len: u64, room: u64 },
    #[error("sparse image: {0}")]
    Header(#[from] ParseError),
    #[error("sparse image: {0}")]
    Sparse(&'static str),
    #[error("storage: {0}")]
    Storage(#[from] io::Error),
}

/// Where a part of the image goes.
enum Piece<'a> {
    Raw { offset: u64, bytes: &'a [u8] },
    Fill { offset: u64, len: u64, with: [u8; 4] },
    Skip { len: u64 },
    Crc(u32),
}

/// Writes it; whether it was sparse.
pub(super) fn flash(storage: &mut Storage, image: &[u8]) -> Result<bool, FlashError> {
    let room = storage.len();
    if !image.starts_with(&HEADER_MAGIC.to_le_bytes()) {
        let len = image.len() as u64;
        if len > room {
            return Err(FlashError::TooLarge { len, room });
        }
        storage.write(0, image)?;
        return Ok(false);
    }
    let pieces = pieces(image, room)?;
    check_crcs(&pieces)?;
    for piece in pieces {
        match piece {
            Piece::Raw { offset, bytes } => storage.write(offset, bytes)?,
            Piece::Fill { offset, len, with } => storage.fill(offset, len, with)?,
            Piece::Skip { .. } | Piece::Crc(_) => {}
        }
    }
    Ok(true)
}

fn pieces(image: &[u8], room: u64) -> Result<Vec<Piece<'_>>, FlashError> {
    const CUT: FlashError = FlashError::Sparse("it ends too early");
    let (header, mut rest) = image.split_first_chunk::<FILE_HEADER_BYTES_LEN>().ok_or(CUT)?;
    let header = FileHeader::from_bytes(header)?;
    if header.block_size == 0 || header.block_size % 4 != 0 {
        return Err(FlashError::Sparse("its blocks are no multiple of 4 bytes"));
    }
    let block = u64::from(header.block_size);
    let len = u64::from(header.blocks) * block;
    if len > room {
        return Err(FlashError::TooLarge { len, room });
    }
    let mut pieces = Vec::new();
    let mut offset = 0;
    for _ in 0..header.chunks {
        let (chunk, behind) = rest.split_first_chunk::<CHUNK_HEADER_BYTES_LEN>().ok_or(CUT)?;
        let chunk = ChunkHeader::from_bytes(chunk)?;
        let covers = u64::from(chunk.chunk_size) * block;
        let (data, behind) = behind.split_at_checked(chunk.data_size()).ok_or(CUT)?;
        let word = || <[u8; 4]>::try_from(data).map_err(|_| FlashError::Sparse("a chunk of another length"));
        if covers > len - offset {
            return Err(FlashError::Sparse("its chunks cover more than it says"));
        }
        match chunk.chunk_type {
            ChunkType::Raw if data.len() as u64 == covers => pieces.push(Piece::Raw { offset, bytes: data }),
            ChunkType::Fill => pieces.push(Piece::Fill { offset, len: covers, with: word()? }),
            ChunkType::DontCare if data.is_empty() => pieces.push(Piece::Skip { len: covers }),
            ChunkType::Crc32 if covers == 0 => pieces.push(Piece::Crc(u32::from_le_bytes(word()?))),
            _ => return Err(FlashError::Sparse("a chunk of another length")),
        }
        offset += covers;
        rest = behind;
    }
    if offset != len {
        return Err(FlashError::Sparse("its chunks cover less than it says"));
    }
    if !rest.is_empty() {
        return Err(FlashError::Sparse("bytes are left over"));
    }
    Ok(pieces)
}

/// A CRC is of all that stands before it; what is skipped counts as zeros (AOSP, libsparse, `sparse_read.cpp`).
fn check_crcs(pieces: &[Piece<'_>]) -> Result<(), FlashError> {
    const BLOCK: usize = 64 << 10;
    let Some(last) = pieces.iter().rposition(|piece| matches!(piece, Piece::Crc(_))) else { return Ok(()) };
    let mut crc = crc32fast::Hasher::new();
    let repeat = |crc: &mut crc32fast::Hasher, mut len: u64, with: [u8; 4]| {
        let block = with.repeat(BLOCK / 4);
        while len > 0 {
            let now = len.min(BLOCK as u64);
            crc.update(&block[..now as usize]);
            len -= now;
        }
    };
    for piece in &pieces[..=last] {
        match piece {
            Piece::Raw { bytes, .. } => crc.update(bytes),
            Piece::Fill { len, with, .. } => repeat(&mut crc, *len, *with),
            Piece::Skip { len } => repeat(&mut crc, *len, [0; 4]),
            Piece::Crc(said) if crc.clone().finalize() != *said => {
                return Err(FlashError::Sparse("its crc is another"));
            }
            Piece::Crc(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u32 = 4096;

    fn image(blocks: u32, chunks: &[(ChunkHeader, Vec<u8>)]) -> Vec<u8> {
        let header = FileHeader { block_size: BLOCK, blocks, chunks: chunks.len() as u32, checksum: 0 };
        let mut image = header.to_bytes().to_vec();
        for (chunk, data) in chunks {
            image.extend(chunk.to_bytes());
            image.extend(data);
        }
        image
    }

    fn crc(value: u32) -> (ChunkHeader, Vec<u8>) {
        let header = ChunkHeader { chunk_type: ChunkType::Crc32, chunk_size: 0, total_size: 16 };
        (header, value.to_le_bytes().to_vec())
    }

    fn raw() -> (ChunkHeader, Vec<u8>) {
        (ChunkHeader::new_raw(1, BLOCK), vec![7; BLOCK as usize])
    }

    fn fill() -> (ChunkHeader, Vec<u8>) {
        (ChunkHeader::new_fill(2), vec![1, 2, 3, 4])
    }

    fn skip(blocks: u32) -> (ChunkHeader, Vec<u8>) {
        (ChunkHeader::new_dontcare(blocks), vec![])
    }

    #[test]
    fn every_chunk_goes_where_it_belongs() {
        let mut storage = Storage::memory(6 * 4096).unwrap();
        storage.fill(0, 6 * 4096, [9; 4]).unwrap();
        let mut whole = vec![7; 4096];
        whole.extend([0; 4096]);
        whole.extend([1, 2, 3, 4].repeat(2 * 1024));
        let sum = crc32fast::hash(&whole);
        assert!(flash(&mut storage, &image(5, &[raw(), skip(1), fill(), crc(sum), skip(1)])).unwrap());
        whole[4096..8192].fill(9);
        whole.extend([9; 2 * 4096]);
        assert_eq!(storage.read(0, 6 * 4096).unwrap(), whole);
    }

    #[test]
    fn an_image_that_is_wrong_changes_nothing() {
        let good = image(2, &[raw(), skip(1)]);
        let mut wrong = vec![
            image(1, &[raw(), skip(1)]),
            image(3, &[raw(), skip(1)]),
            image(9, &[raw(), skip(8)]),
            image(1, &[raw(), crc(1)]),
            image(1, &[(ChunkHeader::new_raw(1, 4000), vec![0; 4000])]),
            [&good[..], &[0]].concat(),
        ];
        wrong.extend((4..good.len()).step_by(97).map(|end| good[..end].to_vec()));
        for wrong in wrong {
            let mut storage = Storage::memory(8 * 4096).unwrap();
            flash(&mut storage, &wrong).unwrap_err();
            assert_eq!(storage.read(0, 8 * 4096).unwrap(), vec![0; 8 * 4096]);
        }
        let mut storage = Storage::memory(3).unwrap();
        assert!(matches!(flash(&mut storage, &[0; 4]), Err(FlashError::TooLarge { len: 4, room: 3 })));
        assert!(!flash(&mut storage, &[0; 3]).unwrap());
    }
}
