//! Sparse images: what pieces give when they are flashed, and Debian's own tools on both sides.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod debian;

use std::fs::{self, File};
use std::io::{Cursor, Read};

use debian::{Tools, run};
use farmhand_image::sparse::{BLOCK_BYTES, Content, Map, SparseError, expand};
use proptest::prelude::*;

const BLOCK: usize = BLOCK_BYTES as usize;

/// All pieces, flashed in order onto a partition that holds something else.
fn flashed(map: &Map, file: &[u8], max: u64, before: u8) -> Vec<u8> {
    let mut partition = Cursor::new(vec![before; usize::try_from(map.bytes()).unwrap()]);
    for piece in map.pieces(max).unwrap() {
        assert!(piece.bytes() <= max, "{} of {max}", piece.bytes());
        let mut bytes = Vec::new();
        piece.reader(Cursor::new(file)).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, piece.bytes());
        // Each is a good sparse image of the whole.
        assert_eq!(Map::of_sparse(&mut Cursor::new(&bytes)).unwrap().bytes(), map.bytes());
        assert_eq!(expand(&mut &bytes[..], &mut partition, map.bytes()).unwrap(), map.bytes());
    }
    partition.into_inner()
}

fn padded(raw: &[u8]) -> Vec<u8> {
    let mut raw = raw.to_vec();
    raw.resize(raw.len().next_multiple_of(BLOCK), 0);
    raw
}

/// Blocks: noise, something that repeats, zeros.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    let run = (0..4_u8, 1..5_usize, any::<[u8; 4]>());
    (prop::collection::vec(run, 0..12), 0..BLOCK).prop_map(|(runs, cut)| {
        let mut raw = Vec::new();
        for (kind, blocks, four) in runs {
            for block in 0..blocks {
                raw.extend((0..BLOCK).map(|at| match kind {
                    0 => 0,
                    1 => four[at % 4],
                    _ => (at * 31 + block * 7 + usize::from(four[0])) as u8 ^ (at >> 8) as u8,
                }));
            }
        }
        raw.truncate(raw.len().saturating_sub(cut));
        raw
    })
}

fn sparse(blocks: u32, chunks: &[(u16, u32, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xed26_ff3a_u32.to_le_bytes());
    file.extend([1, 0, 0, 0, 28, 0, 12, 0]);
    for word in [8, blocks, u32::try_from(chunks.len()).unwrap(), 0] {
        file.extend(word.to_le_bytes());
    }
    for &(kind, blocks, data) in chunks {
        file.extend(kind.to_le_bytes());
        file.extend([0; 2]);
        file.extend(blocks.to_le_bytes());
        file.extend(u32::try_from(data.len() + 12).unwrap().to_le_bytes());
        file.extend(data);
    }
    file
}

proptest! {
    #[test]
    fn pieces_of_a_raw_image_give_it_back(raw in raw(), max in (BLOCK as u64 + 68)..100_000) {
        let map = Map::of_raw(&mut &raw[..]).unwrap();
        prop_assert!(flashed(&map, &raw, max, 0xee) == padded(&raw));
    }

    #[test]
    fn pieces_of_a_sparse_image_give_it_back(raw in raw(), one in 4164_u64..60_000, two in 4164_u64..60_000) {
        let map = Map::of_raw(&mut &raw[..]).unwrap();
        for piece in map.pieces(one).unwrap() {
            let mut file = Vec::new();
            piece.reader(Cursor::new(&raw)).read_to_end(&mut file).unwrap();
            let mut whole = Cursor::new(vec![0x55; usize::try_from(map.bytes()).unwrap()]);
            expand(&mut &file[..], &mut whole, u64::MAX).unwrap();
            // What it does not care for is kept: what was there before stays.
            let again = Map::of_sparse(&mut Cursor::new(&file)).unwrap();
            prop_assert!(flashed(&again, &file, two, 0x55) == whole.into_inner());
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at in 28..40_usize) {
        let good = sparse(4, &[]);
        for len in [0, 16, 28] {
            let len = len.min(bytes.len());
            bytes[..len].copy_from_slice(&good[..len]);
            if let Some(kind) = bytes.get_mut(at..at + 2) {
                kind.copy_from_slice(&[0xc2, 0xca]);
            }
            let map = Map::of_sparse(&mut Cursor::new(&bytes));
            let expanded = expand(&mut &bytes[..], &mut Cursor::new(Vec::new()), 1 << 16);
            if let (Ok(map), Ok(expanded)) = (&map, &expanded) {
                prop_assert_eq!(map.bytes(), *expanded);
            }
        }
    }
}

#[test]
fn what_repeats_is_filled_and_chunks_are_kept() {
    let raw =
        [vec![0; 3 * BLOCK], b"abcd".repeat(BLOCK / 4), (0..=255).cycle().take(BLOCK + 5).collect()].concat();
    let map = Map::of_raw(&mut &raw[..]).unwrap();
    let found: Vec<_> = map.extents().iter().map(|extent| (extent.blocks, extent.content)).collect();
    let at = 4 * BLOCK as u64;
    assert_eq!(found, [(3, Content::Fill([0; 4])), (1, Content::Fill(*b"abcd")), (2, Content::Raw(at))]);
    assert_eq!(map.pieces(1 << 20).unwrap().len(), 1);
    assert_eq!(Map::of_raw(&mut &b""[..]).unwrap().pieces(1 << 20).unwrap().len(), 1);
    let file =
        sparse(6, &[(0xcac3, 2, b""), (0xcac2, 3, b"fill"), (0xcac4, 0, b"sum "), (0xcac1, 1, b"12345678")]);
    let map = Map::of_sparse(&mut Cursor::new(&file)).unwrap();
    assert_eq!(map.block_bytes(), 8);
    assert_eq!(flashed(&map, &file, 100, b'.'), b"................fillfillfillfillfillfill12345678");
    // A bound of a device that takes little still takes one block a piece.
    let error = map.pieces(20).unwrap_err().to_string();
    assert_eq!(error, "a piece of 20 bytes has no room for one block; it takes 72");
}

#[test]
fn damage_is_said() {
    let said = |file: &[u8]| {
        let map = Map::of_sparse(&mut Cursor::new(file)).map(|_| ()).unwrap_err().to_string();
        let stream = expand(&mut &file[..], &mut Cursor::new(Vec::new()), 1 << 20).unwrap_err().to_string();
        (map, stream)
    };
    let both = |file: &[u8], text: &str| assert_eq!(said(file), (text.to_owned(), text.to_owned()));
    let good = sparse(3, &[(0xcac2, 2, b"fill"), (0xcac1, 1, b"12345678")]);
    assert!(Map::of_sparse(&mut Cursor::new(&good)).is_ok());
    both(b"ANDROID!", "it is no Android sparse image");
    both(&sparse(4, &[(0xcac2, 2, b"fill")]), "the sparse image says 4 blocks, and its chunks have 2");
    both(&sparse(1, &[(0xcac9, 1, b"")]), "chunk 0 at byte 28 is of an unknown type");
    both(&sparse(1, &[(0xcac1, 1, b"1")]), "chunk 0 at byte 28 has 13 bytes, and what it holds takes 20");
    let mut other = good.clone();
    other[4] = 2;
    both(&other, "the sparse image is of a version other than 1.0");
    let mut other = good.clone();
    other[12] = 6;
    both(&other, "the sparse image has blocks of 6 bytes; it must be a multiple of 4");
    both(
        &good[..good.len() - 3],
        "the sparse image is cut: chunk 1 ends at byte 64, and the file has 61; 3 bytes are missing",
    );
    for cut in 0..good.len() {
        said(&good[..cut]);
    }
    let huge = sparse(u32::MAX, &[(0xcac3, u32::MAX, b"")]);
    assert!(matches!(
        expand(&mut &huge[..], &mut Cursor::new(Vec::new()), 1 << 20),
        Err(SparseError::TooLarge { .. })
    ));
}

/// An image of 6 GiB is 24 bytes of memory and no disk: it is a hole. Its places are past what 32 bits count.
#[test]
fn more_than_four_gibibytes() {
    let blocks = (6 << 30) / 8_u32 as u64;
    let mut file = sparse(
        u32::try_from(blocks).unwrap(),
        &[(0xcac3, u32::try_from(blocks - 1).unwrap(), b""), (0xcac1, 1, b"the end.")],
    );
    let map = Map::of_sparse(&mut Cursor::new(&file)).unwrap();
    assert_eq!(map.bytes(), 6 << 30);
    let partition = tempfile::tempfile().unwrap();
    let piece = map.pieces(200).unwrap().remove(0);
    let mut bytes = Vec::new();
    piece.reader(Cursor::new(&mut file)).read_to_end(&mut bytes).unwrap();
    expand(&mut &bytes[..], &mut &partition, u64::MAX).unwrap();
    assert_eq!(partition.metadata().unwrap().len(), 6 << 30);
}

/// What their tool makes we read, and what we make their tool reads: alone, and all pieces one after the other.
#[test]
fn as_simg2img_reads_it() {
    let packages = ["android-sdk-libsparse-utils", "android-libsparse", "android-libbase", "android-liblog"];
    let Some(tools) = Tools::get(&packages) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let noise =
        |blocks: usize| (0..blocks * BLOCK).map(|at| ((at * 31) ^ (at >> 9)) as u8).collect::<Vec<u8>>();
    let raw =
        [vec![0; 9 * BLOCK], noise(40), b"wxyz".repeat(5 * BLOCK / 4), noise(3), vec![0; BLOCK]].concat();
    fs::write(path("raw"), &raw).unwrap();
    run(tools.command("img2simg").arg(path("raw")).arg(path("theirs")));
    let theirs = Map::of_sparse(&mut File::open(path("theirs")).unwrap()).unwrap();
    let ours = Map::of_raw(&mut File::open(path("raw")).unwrap()).unwrap();
    assert!(flashed(&theirs, &fs::read(path("theirs")).unwrap(), 50_000, 0) == raw);
    for (map, source) in [(&theirs, "theirs"), (&ours, "raw")] {
        for max in [30_000, 65_536, 1 << 20] {
            let mut back = tools.command("simg2img");
            for (n, piece) in map.pieces(max).unwrap().iter().enumerate() {
                let name = path(&format!("piece-{n}"));
                let mut reader = piece.reader(File::open(path(source)).unwrap());
                std::io::copy(&mut reader, &mut File::create(&name).unwrap()).unwrap();
                back.arg(name);
            }
            run(back.arg(path("back")));
            assert!(fs::read(path("back")).unwrap() == raw, "{source} {max}");
        }
    }
}
