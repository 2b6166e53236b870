//! What of an archive is of its making, and not of what it holds.

/// An archive without when, by whom and with which mode each member was put there (ar(5): 60 bytes in front of each, which begins at an even place);
/// other files as they are.
#[must_use]
pub fn timeless(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while bytes.starts_with(b"!<arch>\n") && at + 60 <= bytes.len() {
        bytes[at + 16..at + 48].fill(b' ');
        let len: usize = std::str::from_utf8(&bytes[at + 48..at + 58]).unwrap().trim().parse().unwrap();
        at += 60 + len + len % 2;
    }
    bytes
}
