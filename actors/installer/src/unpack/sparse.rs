//! Files with holes, as GNU tar writes them into pax archives: where the pieces lie is told beside the file, or before its
//! content ("Storing Sparse Files" of GNU tar's manual, versions 0.0, 0.1 and 1.0).

use std::io::{self, Read};

use super::EntryError;

const BLOCK_BYTES: usize = 512;
/// A map before a file's content; those beside it are bounded with the header that they are in.
const MAP_BYTES_MAX: u64 = 1 << 20;

/// A piece of a file that is no hole: where it lies, and how long it is.
type Piece = (u64, u64);

/// What an entry's extended header says of its holes.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    version: (Option<u64>, Option<u64>),
    /// What the file is called; the entry has another name, for those who do not know of holes.
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    /// Beside it, as versions 0.x have them.
    pieces: Vec<Piece>,
    offset: Option<u64>,
}

fn number(text: &[u8]) -> Result<u64, &'static str> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or("what it says of its holes is no number")
}

impl Sparse {
    /// Reads an extended header; none where it says nothing of holes.
    pub(super) fn of<'a>(
        said: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Option<Self>, &'static str> {
        let mut sparse = Self::default();
        let mut is_one = false;
        for (key, value) in said {
            let Some(key) = key.strip_prefix(b"GNU.sparse.") else { continue };
            is_one = true;
            match key {
                b"major" => sparse.version.0 = Some(number(value)?),
                b"minor" => sparse.version.1 = Some(number(value)?),
                b"name" => sparse.name = Some(value.to_owned()),
                b"size" | b"realsize" => sparse.size = Some(number(value)?),
                b"offset" => sparse.offset = Some(number(value)?),
                b"numbytes" => {
                    let offset = sparse.offset.take().ok_or("a piece between its holes is nowhere")?;
                    sparse.pieces.push((offset, number(value)?));
                }
                b"map" if !value.is_empty() => {
                    let numbers: Vec<_> =
                        value.split(|&byte| byte == b',').map(number).collect::<Result<_, _>>()?;
                    let (pairs, rest) = numbers.as_chunks::<2>();
                    if !rest.is_empty() {
                        return Err("a piece between its holes has no end");
                    }
                    sparse.pieces = pairs.iter().map(|&[offset, bytes]| (offset, bytes)).collect();
                }
                _ => {}
            }
        }
        Ok(is_one.then_some(sparse))
    }

    /// The file, of an entry's content of that many bytes.
    pub(super) fn content<R: Read>(self, mut packed: R, mut bytes: u64) -> Result<Filled<R>, EntryError> {
        let refused = EntryError::Refused;
        let pieces = match self.version {
            (None | Some(0), _) => self.pieces,
            (Some(1), Some(0)) => {
                let (pieces, map_bytes) = read_map(&mut packed)?;
                bytes = bytes.checked_sub(map_bytes).ok_or(refused("its map of holes is cut"))?;
                pieces
            }
            _ => return Err(refused("its holes are told in a way that is not known")),
        };
        let size = self.size.ok_or(refused("how long it is with its holes is not told"))?;
        let (mut end, mut sum) = (0, 0_u64);
        for &(offset, length) in &pieces {
            let piece_end =
                offset.checked_add(length).filter(|&piece_end| offset >= end && piece_end <= size);
            end = piece_end.ok_or(refused("the pieces between its holes do not follow each other"))?;
            // No more than `size`, for they do not lie over each other.
            sum += length;
        }
        if sum != bytes {
            return Err(refused("its content is not as long as the pieces between its holes"));
        }
        Ok(Filled { packed, pieces: pieces.into_iter(), piece: (0, 0), at: 0, size })
    }
}

/// Reads a map, and tells how many bytes it takes: numbers in lines, the first says of how many pieces it is.
fn read_map(packed: &mut impl Read) -> Result<(Vec<Piece>, u64), EntryError> {
    let mut block = [0; BLOCK_BYTES];
    let (mut at, mut read) = (BLOCK_BYTES, 0);
    let mut next = || {
        let mut value: Option<u64> = None;
        loop {
            if at == BLOCK_BYTES {
                read += BLOCK_BYTES as u64;
                if read > MAP_BYTES_MAX {
                    return Err(EntryError::Refused("its map of holes is longer than 1 MiB"));
                }
                packed.read_exact(&mut block).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => EntryError::Refused("its map of holes is cut"),
                    _ => EntryError::Read(error),
                })?;
                at = 0;
            }
            let byte = block[at];
            at += 1;
            let longer = |digit: u8| value.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit - b'0'));
            value = match (byte, value) {
                (b'\n', Some(value)) => return Ok(value),
                (b'0'..=b'9', _) => longer(byte),
                _ => None,
            };
            if value.is_none() {
                return Err(EntryError::Refused("what it says of its holes is no number"));
            }
        }
    };
    let mut pieces = Vec::new();
    for _ in 0..next()? {
        pieces.push((next()?, next()?));
    }
    Ok((pieces, read))
}

/// A file with its holes filled.
pub(super) struct Filled<R> {
    packed: R,
    pieces: std::vec::IntoIter<Piece>,
    /// What is read, or is next.
    piece: Piece,
    at: u64,
    size: u64,
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.0 + self.piece.1 && self.at < self.size {
            self.piece = self.pieces.next().unwrap_or((self.size, 0));
            if self.piece.0 == self.size {
                break;
            }
        }
        let (offset, length) = self.piece;
        let is_hole = self.at < offset;
        let end = if is_hole { offset } else { offset + length };
        let most = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        let count = if is_hole {
            buffer.fill(0);
            most
        } else {
            self.packed.read(buffer)?
        };
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}
