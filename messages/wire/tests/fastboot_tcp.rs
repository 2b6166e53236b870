//! Fastboot's frames over TCP.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::fastboot::tcp::{
    Fed, FrameDecoder, HANDSHAKE, Handshake, Shaken, TcpError, frame, header,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn the_handshake_takes_the_smaller_version() {
    let shake = |bytes| Handshake::new().feed(bytes);
    assert_eq!(shake(&HANDSHAKE), Ok(Shaken::Done { version: 1, unused: b"" }));
    assert_eq!(shake(b"FB02rest"), Ok(Shaken::Done { version: 1, unused: b"rest" }));
    assert_eq!(shake(b"FB99"), Ok(Shaken::Done { version: 1, unused: b"" }));
    assert_eq!(shake(b"FB00"), Err(TcpError::Version(0)));
    assert_eq!(shake(b"SSH-"), Err(TcpError::NotFastboot(b"S".to_vec())));
    assert_eq!(shake(b"FB1\n"), Err(TcpError::NotFastboot(b"FB1\n".to_vec())));
    assert_eq!(shake(b"FB0"), Ok(Shaken::Need));
}

#[test]
fn the_documents_example() {
    let mut bytes = b"\0\0\0\0\0\0\0\x0egetvar:version".to_vec();
    assert_eq!(frame(b"getvar:version"), bytes);
    bytes.extend_from_slice(b"\0\0\0\0\0\0\0\x07OKAY0.4");
    let mut decoder = FrameDecoder::new();
    let Fed::Piece { bytes: piece, last: true, unused } = decoder.feed(&bytes, 64).unwrap() else { panic!() };
    assert_eq!(piece, b"getvar:version");
    let unused = unused.to_vec();
    let expected = Fed::Piece { bytes: b"OKAY0.4", last: true, unused: b"" };
    assert_eq!(decoder.feed(&unused, 256), Ok(expected));
    assert!(decoder.is_between_frames());
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_comes() {
    let mut decoder = FrameDecoder::new();
    assert_eq!(decoder.feed(&header(257)[..7], 256), Ok(Fed::Need));
    let error = TcpError::FrameTooLong { len: 257, len_max: 256 };
    assert_eq!(decoder.feed(&header(257)[7..], 256), Err(error));
    let error = TcpError::FrameTooLong { len: u64::MAX, len_max: 4096 };
    assert_eq!(FrameDecoder::new().feed(&[0xff; 8], 4096), Err(error));
}

#[test]
fn an_empty_frame_is_an_empty_piece() {
    let fed = Fed::Piece { bytes: b"", last: true, unused: b"x" };
    assert_eq!(FrameDecoder::new().feed(b"\0\0\0\0\0\0\0\0x", 0), Ok(fed));
}

proptest! {
    #[test]
    fn frames_are_what_was_framed_in_any_chunks(
        packets in vec(vec(any::<u8>(), 0..40), 0..8),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(|packet| frame(packet)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let mut decoder = FrameDecoder::new();
        let mut found = Vec::new();
        let mut packet = Vec::new();
        for pair in at.windows(2) {
            let mut rest = &stream[pair[0]..pair[1]];
            loop {
                match decoder.feed(rest, 40).unwrap() {
                    Fed::Need => break,
                    Fed::Piece { bytes, last, unused } => {
                        prop_assert!(unused.len() < rest.len(), "each piece takes something");
                        packet.extend_from_slice(bytes);
                        if last {
                            found.push(std::mem::take(&mut packet));
                        }
                        rest = unused;
                    }
                }
            }
        }
        prop_assert!(packet.is_empty() && decoder.is_between_frames());
        prop_assert_eq!(found, packets);
    }
}
