//! Any bytes as Intel HEX: no panic, no more memory than they call for, and what is read is written and read again.
#![no_main]

use std::num::NonZeroU32;

use farmhand_image::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Image::from_hex(bytes) {
        Err(error) => drop(error.to_string()),
        Ok(image) => {
            assert!(image.len() <= bytes.len() as u64 / 2);
            let again = Image::from_hex(image.to_hex().as_bytes()).expect("our own hex is good");
            assert_eq!(again, image);
            assert_eq!(again.hash(), image.hash());
            let page_size = NonZeroU32::new(128).expect("not zero");
            assert!(image.pages(page_size, 0xff).count() as u64 <= image.len());
        }
    }
});
