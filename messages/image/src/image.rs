//! Bytes at addresses.

use std::ops::Range;

use thiserror::Error;

use crate::ERASED;

/// One past the last address.
const ADDRESSES: u64 = 1 << 32;

/// Bytes that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    address: u32,
    bytes: Vec<u8>,
}

impl Segment {
    /// Where the first byte goes.
    pub fn address(&self) -> u32 {
        self.address
    }

    /// At least one.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One past the last byte; 2^32 at most.
    pub fn end(&self) -> u64 {
        u64::from(self.address) + self.bytes.len() as u64
    }
}

/// Bytes at addresses, sparse: in order, no two segments overlap or touch, none is empty. So the same bytes at the same
/// addresses are equal, whatever file they were read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Image {
    segments: Vec<Segment>,
}

/// Two chunks say different things about one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "byte at {address:#010x} is {first_byte:#04x} in chunk {first} and {second_byte:#04x} in chunk {second}"
)]
pub struct OverlapError {
    /// The first byte they differ in.
    pub address: u32,
    /// The earlier of the two, counted from 0.
    pub first: usize,
    /// What it says.
    pub first_byte: u8,
    /// The later of the two, counted from 0.
    pub second: usize,
    /// What it says.
    pub second_byte: u8,
}

/// Why chunks do not make an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RangeError {
    /// They contradict each other.
    #[error(transparent)]
    Overlap(#[from] OverlapError),
    /// One ends past the last address, 2^32 - 1.
    #[error("chunk {chunk} of {len} bytes at {address:#010x} ends beyond 32-bit addresses")]
    Beyond {
        /// Which, counted from 0.
        chunk: usize,
        /// Where it begins.
        address: u32,
        /// Its length in bytes.
        len: usize,
    },
}

/// The image ends past the memory it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("image ends at {end:#x}, {} bytes beyond the {max:#x} there are", end - max)]
pub struct DoesNotFit {
    /// One past its last byte.
    pub end: u64,
    /// Bytes of memory, from address 0.
    pub max: u64,
}

impl Image {
    /// Puts chunks together. Where two overlap they must agree; empty ones are left out.
    pub fn from_chunks(chunks: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<Self, RangeError> {
        let mut chunks: Vec<_> = chunks.into_iter().enumerate().collect();
        for (chunk, (address, bytes)) in &chunks {
            if u64::from(*address) + bytes.len() as u64 > ADDRESSES {
                return Err(RangeError::Beyond { chunk: *chunk, address: *address, len: bytes.len() });
            }
        }
        chunks.retain(|(_, (_, bytes))| !bytes.is_empty());
        chunks.sort_by_key(|(_, (address, _))| *address);
        let mut segments: Vec<Segment> = Vec::new();
        for at in 0..chunks.len() {
            let (_, (address, bytes)) = &chunks[at];
            let Some(last) = segments.last_mut().filter(|last| u64::from(*address) <= last.end()) else {
                segments.push(Segment { address: *address, bytes: bytes.clone() });
                continue;
            };
            let known = &last.bytes[(address - last.address) as usize..];
            if let Some(differs) = known.iter().zip(bytes).position(|(a, b)| a != b) {
                return Err(contradiction(&chunks[..=at], address + differs as u32).into());
            }
            let fresh = bytes.get(known.len()..).unwrap_or_default();
            last.bytes.extend_from_slice(fresh);
        }
        Ok(Self { segments })
    }

    /// In order of address; with a gap between any two.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// From the first byte to one past the last, gaps included. `None` where there is nothing.
    pub fn bounds(&self) -> Option<Range<u64>> {
        Some(u64::from(self.segments.first()?.address)..self.segments.last()?.end())
    }

    /// Bytes it has, gaps not included.
    pub fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes.len() as u64).sum()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Checks that it lies within `max` bytes from address 0.
    pub fn check_fits(&self, max: u64) -> Result<(), DoesNotFit> {
        match self.bounds() {
            Some(bounds) if bounds.end > max => Err(DoesNotFit { end: bounds.end, max }),
            _ => Ok(()),
        }
    }

    /// Memory of `size` bytes from address 0 with the image in it, and [`ERASED`] where it has nothing.
    pub fn flatten(&self, size: usize) -> Result<Vec<u8>, DoesNotFit> {
        self.check_fits(size as u64)?;
        let mut memory = vec![ERASED; size];
        for segment in &self.segments {
            let from = segment.address as usize;
            memory[from..from + segment.bytes.len()].copy_from_slice(&segment.bytes);
        }
        Ok(memory)
    }
}

/// Names the two chunks behind a contradiction about the byte at `address`: the last of `sorted`, and one before it.
fn contradiction(sorted: &[(usize, (u32, Vec<u8>))], address: u32) -> OverlapError {
    let says = |(_, (start, bytes)): &(usize, (u32, Vec<u8>))| {
        bytes.get(usize::try_from(address.checked_sub(*start)?).ok()?).copied()
    };
    let mut covering = sorted.iter().rev().filter_map(|chunk| Some((chunk.0, says(chunk)?)));
    const BOTH: &str = "both the new chunk and one that made the segment cover the byte";
    let (new, new_byte) = covering.next().expect(BOTH);
    let (old, old_byte) = covering.next().expect(BOTH);
    let ((first, first_byte), (second, second_byte)) =
        if old < new { ((old, old_byte), (new, new_byte)) } else { ((new, new_byte), (old, old_byte)) };
    OverlapError { address, first, first_byte, second, second_byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(image: &Image) -> Vec<(u32, &[u8])> {
        image.segments().iter().map(|segment| (segment.address(), segment.bytes())).collect()
    }

    #[test]
    fn chunks_are_sorted_joined_and_stay_sparse() {
        let image = Image::from_chunks([
            (0xffff_fffe, vec![8, 9]),
            (2, vec![3, 4]),
            (9, vec![]),
            (0, vec![1, 2]),
            (3, vec![4, 5]),
        ])
        .unwrap();
        assert_eq!(segments(&image), [(0, &[1, 2, 3, 4, 5][..]), (0xffff_fffe, &[8, 9])]);
        assert_eq!((image.len(), image.bounds()), (7, Some(0..1 << 32)));
    }

    #[test]
    fn nothing_is_an_image_too() {
        let image = Image::from_chunks([(7, vec![])]).unwrap();
        assert_eq!(image, Image::default());
        assert!(image.is_empty());
        assert_eq!(
            (image.bounds(), image.check_fits(0), image.flatten(2)),
            (None, Ok(()), Ok(vec![0xff; 2]))
        );
    }

    #[test]
    fn contradictions_name_both_sides_in_the_order_given() {
        let overlap = |chunks: &[(u32, &[u8])]| {
            Image::from_chunks(chunks.iter().map(|(address, bytes)| (*address, bytes.to_vec()))).unwrap_err()
        };
        let wanted = |first, first_byte, second, second_byte| {
            RangeError::Overlap(OverlapError { address: 5, first, first_byte, second, second_byte })
        };
        assert_eq!(overlap(&[(4, &[1, 2]), (5, &[3])]), wanted(0, 2, 1, 3));
        assert_eq!(overlap(&[(5, &[3]), (4, &[1, 2])]), wanted(0, 3, 1, 2));
        assert_eq!(overlap(&[(0, &[9]), (2, &[0, 0, 1, 2]), (4, &[1]), (5, &[3])]), wanted(1, 2, 3, 3));
        let beyond = RangeError::Beyond { chunk: 1, address: u32::MAX, len: 2 };
        assert_eq!(overlap(&[(0, &[1]), (u32::MAX, &[1, 2])]), beyond);
    }

    #[test]
    fn what_does_not_fit_says_by_how_much() {
        let image = Image::from_chunks([(0x7ffe, vec![1, 2, 3])]).unwrap();
        assert_eq!(image.check_fits(0x8001), Ok(()));
        let error = image.flatten(0x8000).unwrap_err();
        assert_eq!(error, DoesNotFit { end: 0x8001, max: 0x8000 });
        assert_eq!(error.to_string(), "image ends at 0x8001, 1 bytes beyond the 0x8000 there are");
        assert_eq!(image.flatten(0x8001).unwrap()[0x7ffd..], [0xff, 1, 2, 3]);
    }
}
