//! An image as the pages that a device writes at once.

use std::num::NonZeroU32;

use crate::image::{Image, Segment};

/// A page that has at least one byte of the image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// A multiple of the page size.
    pub address: u32,
    /// As many as the page size.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Its pages in order of address; what the image does not say is `fill`. Pages without any byte of the image are left out.
    pub fn pages(&self, page_size: NonZeroU32, fill: u8) -> Pages<'_> {
        Pages { segments: self.segments(), next: 0, page_size: page_size.get(), fill }
    }
}

/// See [`Image::pages`].
#[derive(Debug, Clone)]
pub struct Pages<'a> {
    /// Those that end behind `next`.
    segments: &'a [Segment],
    /// One past the last page given.
    next: u64,
    page_size: u32,
    fill: u8,
}

impl Iterator for Pages<'_> {
    type Item = Page;

    fn next(&mut self) -> Option<Page> {
        let first = self.segments.first()?;
        let size = u64::from(self.page_size);
        let start = u64::from(first.address()).max(self.next) / size * size;
        let end = start + size;
        let mut bytes = vec![self.fill; self.page_size as usize];
        for segment in self.segments.iter().take_while(|segment| u64::from(segment.address()) < end) {
            let (from, to) = (u64::from(segment.address()).max(start), segment.end().min(end));
            let in_segment =
                (from - u64::from(segment.address())) as usize..(to - u64::from(segment.address())) as usize;
            bytes[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&segment.bytes()[in_segment]);
        }
        self.next = end;
        let done = self.segments.iter().take_while(|segment| segment.end() <= end).count();
        self.segments = &self.segments[done..];
        let address = u32::try_from(start).expect("a page starts at or before a byte of the image");
        Some(Page { address, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(chunks: &[(u32, &[u8])], size: u32) -> Vec<(u32, Vec<u8>)> {
        let image =
            Image::from_chunks(chunks.iter().map(|(address, bytes)| (*address, bytes.to_vec()))).unwrap();
        image.pages(NonZeroU32::new(size).unwrap(), 0xff).map(|page| (page.address, page.bytes)).collect()
    }

    #[test]
    fn pages_are_aligned_filled_and_only_where_there_is_something() {
        assert_eq!(pages(&[], 4), []);
        assert_eq!(pages(&[(0, &[1, 2, 3, 4])], 4), [(0, vec![1, 2, 3, 4])]);
        assert_eq!(
            pages(&[(3, &[1, 2]), (6, &[3]), (21, &[4])], 4),
            [(0, vec![255, 255, 255, 1]), (4, vec![2, 255, 3, 255]), (20, vec![255, 4, 255, 255])]
        );
        assert_eq!(pages(&[(u32::MAX, &[7])], 4), [(u32::MAX - 3, vec![255, 255, 255, 7])]);
        // A size that does not divide the address space: the last page reaches beyond it.
        assert_eq!(pages(&[(u32::MAX, &[7])], 7), [(u32::MAX - 3, vec![255, 255, 255, 7, 255, 255, 255])]);
    }
}
