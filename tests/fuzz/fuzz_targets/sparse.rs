//! Any bytes as a sparse image: no panic; what is good and small gives the same in pieces.
#![no_main]

use std::io::{Cursor, Read};

use farmhand_image::sparse::{Map, expand};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let map = Map::of_sparse(&mut Cursor::new(bytes));
    let mut whole = Cursor::new(Vec::new());
    let expanded = expand(&mut &bytes[..], &mut whole, BYTES_MAX);
    let Ok(map) = map else { return };
    if map.bytes() > BYTES_MAX {
        return;
    }
    assert_eq!(expanded.expect("the map is good"), map.bytes());
    let bytes_max = u64::from(map.block_bytes()) + 100;
    let mut flashed = Cursor::new(Vec::new());
    let pieces = match map.pieces(bytes_max) {
        Ok(pieces) => pieces,
        // A chunk's length has 32 bits: no piece holds a block of nearly as many bytes.
        Err(error) => return assert!(bytes_max > u64::from(u32::MAX) - 100, "{error}"),
    };
    for piece in pieces {
        let mut read = Vec::new();
        piece.reader(Cursor::new(bytes)).read_to_end(&mut read).expect("it is in memory");
        assert_eq!(read.len() as u64, piece.bytes());
        assert!(piece.bytes() <= bytes_max);
        assert_eq!(expand(&mut &read[..], &mut flashed, BYTES_MAX).expect("a good one"), map.bytes());
    }
    assert_eq!(flashed.into_inner(), whole.into_inner());
});
