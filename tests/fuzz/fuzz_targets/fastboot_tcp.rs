//! Any stream: no panic, the same packets in one chunk and byte by byte, and no frame longer than may come.
#![no_main]

use farmhand_wire::fastboot::tcp::{Fed, FrameDecoder, Handshake, Shaken, TcpError};
use libfuzzer_sys::fuzz_target;

const LEN_MAX: u64 = 300;

/// The version, the packets, what stands behind the last of them, and the error.
type Found = (Option<u8>, Vec<Vec<u8>>, Vec<u8>, Option<TcpError>);

fn packets<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut handshake = Handshake::new();
    let mut version = None;
    let mut decoder = FrameDecoder::new();
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let mut rest = chunk;
        if version.is_none() {
            match handshake.feed(rest) {
                Ok(Shaken::Need) => continue,
                Ok(Shaken::Done { version: found, unused }) => {
                    version = Some(found);
                    rest = unused;
                }
                Err(error) => return (version, packets, packet, Some(error)),
            }
        }
        loop {
            match decoder.feed(rest, LEN_MAX) {
                Ok(Fed::Need) => break,
                Ok(Fed::Piece { bytes, last, unused }) => {
                    assert!(rest.ends_with(unused) && unused.len() < rest.len());
                    packet.extend_from_slice(bytes);
                    assert!(packet.len() as u64 <= LEN_MAX);
                    if last {
                        packets.push(std::mem::take(&mut packet));
                    }
                    rest = unused;
                }
                Err(error) => return (version, packets, packet, Some(error)),
            }
        }
    }
    (version, packets, packet, None)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = packets(std::iter::once(bytes));
    assert_eq!(whole, packets(bytes.chunks(1)));
    assert_eq!(whole, packets(bytes.chunks(7)));
});
