//! What a peer says, made safe to hold and to show.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// How much of a peer's text is kept, in bytes: file names and reasons are shorter, and thousands of them fit in memory.
pub const TEXT_LEN_MAX: usize = 4096;

/// Stands where a text was cut.
const CUT: char = '…';

/// A peer's text: [`printable`], and no longer than [`TEXT_LEN_MAX`]. One that was cut ends in an ellipsis, so that
/// it equals no name of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(String);

impl Text {
    /// Made safe.
    pub fn new(text: &str) -> Self {
        Self::cut(text, TEXT_LEN_MAX)
    }

    /// Made safe, and no longer than `len_max`, in bytes.
    pub(crate) fn cut(text: &str, len_max: usize) -> Self {
        let safe = printable(before(text, len_max));
        if text.len() <= len_max && safe.len() <= len_max {
            return Self(safe);
        }
        Self(format!("{}{CUT}", before(&safe, len_max - CUT.len_utf8())))
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// No more than `len_max` bytes of it, and whole characters.
fn before(text: &str, len_max: usize) -> &str {
    let mut at = text.len().min(len_max);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    &text[..at]
}

/// A device's text as a terminal may be shown it: control characters but newline and tab are escaped, so that no device
/// moves the cursor or names the window.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_says_so_and_equals_nothing_whole() {
        let table = [
            ("abcdef", "abcdef"),
            ("abcdefg", "abc…"),
            ("abcdéfg", "abc…"),
            ("abcdeé", "abc…"),
            ("\u{1b}", "\\u{1b}"),
            ("a\u{1b}", "a\\u…"),
            ("éééé", "é…"),
            ("a\n\t", "a\n\t"),
        ];
        for (text, safe) in table {
            assert_eq!(Text::cut(text, 6), *safe, "{text:?}");
        }
    }
}
