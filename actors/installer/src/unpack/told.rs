//! Names that strangers chose, as they are told: a terminal does what some characters say.

use std::fmt::Write;

/// What is told of a name at most: twice what a file may be called.
const CHARACTERS_MAX: usize = 512;

/// A name in a line of text: what controls a terminal, and what is no text, is written out.
pub(crate) fn told(name: &[u8]) -> String {
    let mut told = String::new();
    let mut characters = 0;
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            characters += 1;
            if characters > CHARACTERS_MAX {
                told.push('…');
                return told;
            }
            match character.is_control() {
                true => told.extend(character.escape_debug()),
                false => told.push(character),
            }
        }
        for byte in chunk.invalid() {
            characters += 1;
            write!(told, "\\x{byte:02x}").expect("a string takes all");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_a_terminal() {
        assert_eq!(told("usr/bin/größe 'x' \\".as_bytes()), "usr/bin/größe 'x' \\");
        assert_eq!(told(b"\x1b[2J\x07\r\n\x7f\xc2\x9b"), r"\u{1b}[2J\u{7}\r\n\u{7f}\u{9b}");
        assert_eq!(told(b"a\xffb\xc3"), r"a\xffb\xc3");
        assert_eq!(told(&[b'a'; 5000]).chars().count(), CHARACTERS_MAX + 1);
    }
}
