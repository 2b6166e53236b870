//! Any bytes as ELF: no panic, and no more memory than they call for.
#![no_main]

use farmhand_image::{ElfContents, Image};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match ElfContents::read(bytes) {
        Err(error) => drop(error.to_string()),
        Ok(contents) => {
            assert!(contents.image.len() <= bytes.len() as u64);
            assert_eq!(Image::from_hex(contents.image.to_hex().as_bytes()), Ok(contents.image));
        }
    }
});
