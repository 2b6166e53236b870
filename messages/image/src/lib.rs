//! What is handed to a device: pure functions over bytes.
//!
//! An [`Image`] is bytes at addresses, sparse. It is read from Intel HEX or ELF, cut into pages or flattened for
//! a driver, and named by an [`ImageHash`] that does not depend on the file it came from. What is read may come
//! from anywhere: no input panics, and none takes more memory than its own size calls for.

pub mod android;
mod detect;
mod elf;
mod hash;
mod hex;
mod image;
mod pages;
pub mod sparse;

pub use detect::{Format, ImageError, detect};
pub use elf::{AVR_FLASH_END, AvrSpace, ElfContents, ElfError, Ignored};
pub use hash::{ImageHash, ParseHashError};
pub use hex::HexError;
pub use image::{DoesNotFit, Image, OverlapError, RangeError, Segment};
pub use pages::{Page, Pages};

/// What a byte of flash reads as after it has been erased.
pub const ERASED: u8 = 0xff;
