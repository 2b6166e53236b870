//! A page of memory, of a length and at an address that the protocol can name.

use std::ops::Deref;

use thiserror::Error;

/// Longest block of one `PROG_PAGE` or `READ_PAGE`, in bytes: the buffer of the STK500 (AVR061), and the
/// largest flash page of any AVR that speaks version 1.
pub const PAGE_LEN_MAX: usize = 256;

/// Bytes of flash that `LOAD_ADDRESS` reaches: 65536 words. Beyond, a `Universal` loads an extended address.
pub const FLASH_ADDRESSABLE: u32 = 0x2_0000;

/// Between 1 and [`PAGE_LEN_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageData(Vec<u8>);

impl PageData {
    /// Checks the length.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PageError> {
        match bytes.len() {
            1..=PAGE_LEN_MAX => Ok(Self(bytes)),
            len => Err(PageError::Length { len }),
        }
    }
}

impl Deref for PageData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Data and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    address: u32,
    data: PageData,
}

impl Page {
    /// Checks that `address` (in bytes) is a word's and that the whole page is within what `LOAD_ADDRESS` reaches.
    pub fn new(address: u32, bytes: Vec<u8>) -> Result<Self, PageError> {
        let data = PageData::new(bytes)?;
        if !address.is_multiple_of(2) {
            return Err(PageError::Odd { address });
        }
        if u64::from(address) + data.len() as u64 > u64::from(FLASH_ADDRESSABLE) {
            return Err(PageError::Beyond { address, len: data.len() });
        }
        Ok(Self { address, data })
    }

    /// Where it goes, in bytes.
    pub fn address(&self) -> u32 {
        self.address
    }

    /// Where it goes, in words, as `LOAD_ADDRESS` has it.
    pub fn word_address(&self) -> u16 {
        u16::try_from(self.address / 2).expect("a page lies within 65536 words: checked when it was made")
    }

    /// What goes there.
    pub fn data(&self) -> &PageData {
        &self.data
    }
}

/// Why bytes are not a page.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PageError {
    /// Nothing, or too much for one command.
    #[error("a page of {len} bytes is not between 1 and {PAGE_LEN_MAX}")]
    Length {
        /// Bytes given.
        len: usize,
    },
    /// Flash is addressed by words.
    #[error("page address {address:#07x} is odd, and flash is addressed by words of two bytes")]
    Odd {
        /// In bytes.
        address: u32,
    },
    /// Past what `LOAD_ADDRESS` can name.
    #[error(
        "page of {len} bytes at {address:#07x} ends beyond the {FLASH_ADDRESSABLE:#x} that can be addressed"
    )]
    Beyond {
        /// In bytes.
        address: u32,
        /// In bytes.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_named_is_not_a_page() {
        assert_eq!(Page::new(0, vec![]), Err(PageError::Length { len: 0 }));
        assert_eq!(Page::new(0, vec![0; 257]), Err(PageError::Length { len: 257 }));
        assert_eq!(Page::new(3, vec![0]), Err(PageError::Odd { address: 3 }));
        assert_eq!(Page::new(0x1_ffc0, vec![0; 128]), Err(PageError::Beyond { address: 0x1_ffc0, len: 128 }));
        let far = Page::new(u32::MAX - 1, vec![0; 2]);
        assert_eq!(far, Err(PageError::Beyond { address: u32::MAX - 1, len: 2 }));
        let last = Page::new(0x1_ff80, vec![0; 128]).unwrap();
        assert_eq!(last.word_address(), 0xffc0);
    }
}
