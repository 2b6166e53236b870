//! What holds for any image, and for any bytes.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::num::NonZeroU32;

use farmhand_image::{Image, detect};
use proptest::collection::vec;
use proptest::prelude::*;

/// Chunks that agree with each other: each byte is a function of its address. Near each other and far apart.
fn chunks() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    let address = prop_oneof![0u32..200, 0xff80u32..0x1_0080, any::<u32>()];
    let chunk = (address, 0u32..60).prop_map(|(address, len)| {
        let len = len.min(u32::MAX - address);
        (address, (address..address + len).map(|at| (at ^ (at >> 8)) as u8).collect())
    });
    vec(chunk, 0..12)
}

fn image() -> impl Strategy<Value = Image> {
    chunks().prop_map(|chunks| Image::from_chunks(chunks).unwrap())
}

/// Lines that are nearly hex, checksums right.
fn hex_lines() -> impl Strategy<Value = String> {
    let record = (any::<u16>(), 0u8..7, vec(any::<u8>(), 0..20)).prop_map(|(offset, kind, data)| {
        let mut bytes = vec![data.len() as u8, (offset >> 8) as u8, offset as u8, kind];
        bytes.extend(data);
        bytes.push(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte)));
        bytes.iter().fold(":".to_string(), |line, byte| format!("{line}{byte:02x}")) + "\n"
    });
    vec(prop_oneof![20 => record, 1 => Just(":00000001FF\n".to_string())], 0..20)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn hex_is_read_as_it_is_written(image in image()) {
        let text = image.to_hex();
        prop_assert_eq!(Image::from_hex(text.as_bytes()), Ok(image.clone()));
        prop_assert_eq!(Image::from_bytes(text.replace('\n', "\r\n").to_lowercase().as_bytes()), Ok(image));
    }

    #[test]
    fn the_order_of_chunks_does_not_matter(mut chunks in chunks()) {
        let image = Image::from_chunks(chunks.clone()).unwrap();
        chunks.reverse();
        prop_assert_eq!(&Image::from_chunks(chunks.clone()).unwrap(), &image);
        let total: usize = chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(image.len() <= total as u64, "stays sparse");
        for pair in image.segments().windows(2) {
            prop_assert!(pair[0].end() < u64::from(pair[1].address()), "sorted, with gaps");
        }
        for (address, bytes) in chunks.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let holds = image.segments().iter().any(|segment| {
                address.checked_sub(segment.address()).is_some_and(|from| {
                    segment.bytes().get(from as usize..from as usize + bytes.len()) == Some(&bytes[..])
                })
            });
            prop_assert!(holds);
        }
    }

    #[test]
    fn pages_hold_the_image_and_nothing_else(image in image(), size in 1u32..300) {
        let size = NonZeroU32::new(size).unwrap();
        let pages: Vec<_> = image.pages(size, 0xa5).collect();
        for pair in pages.windows(2) {
            prop_assert!(pair[0].address < pair[1].address);
        }
        for page in &pages {
            prop_assert_eq!(page.address % size, 0);
            prop_assert_eq!(page.bytes.len(), size.get() as usize);
        }
        let mut seen = 0;
        for page in &pages {
            let before = seen;
            for (at, byte) in (u64::from(page.address)..).zip(&page.bytes) {
                let says = image.segments().iter().find_map(|segment| {
                    let from = at.checked_sub(u64::from(segment.address()))?;
                    segment.bytes().get(usize::try_from(from).ok()?)
                });
                seen += u64::from(says.is_some());
                prop_assert_eq!(*byte, says.copied().unwrap_or(0xa5));
            }
            prop_assert!(seen > before, "a page without a byte of the image");
        }
        prop_assert_eq!(seen, image.len());
    }

    #[test]
    fn a_flat_image_is_the_image(image in image()) {
        let size = 0x2_0000;
        match image.flatten(size) {
            Err(error) => {
                prop_assert_eq!(Some(error.end), image.bounds().map(|bounds| bounds.end));
                prop_assert!(error.end > size as u64);
            }
            Ok(memory) => {
                for segment in image.segments() {
                    let from = segment.address() as usize;
                    prop_assert_eq!(&memory[from..from + segment.bytes().len()], segment.bytes());
                }
                prop_assert_eq!(memory.len(), size);
            }
        }
    }

    #[test]
    fn any_text_is_an_image_or_an_error(text in hex_lines()) {
        if let Ok(image) = Image::from_hex(text.as_bytes()) {
            prop_assert!(image.len() <= text.len() as u64 / 2);
            prop_assert_eq!(Image::from_hex(image.to_hex().as_bytes()), Ok(image));
        }
    }

    #[test]
    fn any_bytes_are_an_image_or_an_error(mut bytes in vec(any::<u8>(), 0..400), elf in any::<bool>()) {
        if elf {
            let magic = b"\x7fELF\x01\x01\x01";
            let len = magic.len().min(bytes.len());
            bytes[..len].copy_from_slice(&magic[..len]);
        }
        let _ = detect(&bytes);
        if let Ok(image) = Image::from_bytes(&bytes) {
            prop_assert!(image.len() <= bytes.len() as u64);
        }
        let _ = Image::from_hex(&bytes);
    }
}
