//! An export: text that says by itself what it is.
//!
//! ```text
//! farmhand-store-export 1 next-seq 42
//! record KIND VERSION INCARNATION SEQ HEXKEY HEXBODY CRC
//! mark   KIND VERSION INCARNATION SEQ HEXKEY HEXBODY CRC
//! gone   KIND VERSION INCARNATION SEQ HEXKEY HEXBODY CRC
//! raw    HEXKEY HEXVALUE CRC
//! end 4
//! ```
//!
//! Empty hex is `-`. The checksum is the CRC-32 of the line before it, without the space. The last line counts those
//! between it and the first, so that a cut file is noticed.

use std::fmt::Write as _;

use crate::{
    envelope::{self, Envelope},
    key::RecordKey,
    marks::Mark,
};

/// The format that is written, and the newest that is read.
pub(crate) const FORMAT: u16 = 1;
const TITLE: &str = "farmhand-store-export";

/// One line between the first and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A record, as it goes into the table.
    Record { key: Vec<u8>, value: Vec<u8> },
    /// The newest mark of a key.
    Mark(Mark),
    /// A value of the table as it is: one that was set aside, or of a newer farmhand.
    Raw { key: Vec<u8>, value: Vec<u8> },
}

/// Hex digits, `-` for none.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// The reverse of [`hex`].
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

/// The first line.
pub(crate) fn title(next_seq: u64) -> String {
    format!("{TITLE} {FORMAT} next-seq {next_seq}")
}

/// What a first line says.
pub(crate) enum Title {
    Ours { next_seq: u64 },
    TooNew { found: u16 },
    NotOurs,
}

pub(crate) fn read_title(line: &str) -> Title {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [TITLE, format, ..] => match (format.parse::<u16>(), &words[2..]) {
            (Ok(found), _) if found > FORMAT => Title::TooNew { found },
            (Ok(FORMAT), ["next-seq", next_seq]) => {
                next_seq.parse().map_or(Title::NotOurs, |next_seq| Title::Ours { next_seq })
            }
            _ => Title::NotOurs,
        },
        _ => Title::NotOurs,
    }
}

/// The last line.
pub(crate) fn end(count: usize) -> String {
    format!("end {count}")
}

/// How many lines the last one counts, if this is one.
pub(crate) fn read_end(line: &str) -> Option<usize> {
    line.strip_prefix("end ")?.parse().ok()
}

impl Line {
    pub(crate) fn write(&self) -> String {
        let line = match self {
            Self::Record { key, value } => fields("record", key, value),
            Self::Mark(mark) => fields(if mark.gone { "gone" } else { "mark" }, &mark.key, &mark.envelope),
            Self::Raw { key, value } => format!("raw {} {}", hex(key), hex(value)),
        };
        format!("{line} {:08x}", crc32fast::hash(line.as_bytes()))
    }

    pub(crate) fn read(line: &str) -> Result<Self, &'static str> {
        let (text, crc) = line.rsplit_once(' ').ok_or("not a record")?;
        if u32::from_str_radix(crc, 16) != Ok(crc32fast::hash(text.as_bytes())) {
            return Err("the checksum does not fit");
        }
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["raw", key, value] => {
                let (key, value) = unhex(key).zip(unhex(value)).ok_or("not hexadecimal")?;
                Ok(Self::Raw { key, value })
            }
            [word @ ("record" | "mark" | "gone"), ref rest @ ..] => {
                let (key, seq, value) = read_fields(rest).ok_or("its fields cannot be read")?;
                Ok(match word {
                    "record" => Self::Record { key, value },
                    _ => Self::Mark(Mark { key, seq, gone: word == "gone", envelope: value }),
                })
            }
            _ => Err("not a record"),
        }
    }
}

/// A value that does not decode goes out as it is: an export loses nothing.
fn fields(word: &str, whole: &[u8], value: &[u8]) -> String {
    match envelope::decode(whole, value) {
        Ok(e) => {
            let key = RecordKey::from_full(whole).key;
            format!(
                "{word} {} {} {} {} {} {}",
                e.kind,
                e.version,
                e.incarnation,
                e.seq,
                hex(&key),
                hex(e.body)
            )
        }
        Err(_) => format!("raw {} {}", hex(whole), hex(value)),
    }
}

fn read_fields(words: &[&str]) -> Option<(Vec<u8>, u64, Vec<u8>)> {
    let [kind, version, incarnation, seq, key, body] = words else { return None };
    let key = RecordKey::new(kind.parse().ok()?, unhex(key)?);
    let seq = seq.parse().ok()?;
    let body = unhex(body)?;
    let record = Envelope {
        kind: key.kind,
        version: version.parse().ok()?,
        incarnation: incarnation.parse().ok()?,
        seq,
        body: &body,
    };
    let whole = key.full();
    let value = envelope::encode(&whole, &record);
    Some((whole, seq, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden() {
        let key = RecordKey::new(7, *b"s/1").full();
        let record = Envelope { kind: 7, version: 1, incarnation: 2, seq: 3, body: b"" };
        let line = Line::Record { value: envelope::encode(&key, &record), key };
        assert_eq!(line.write(), "record 7 1 2 3 732f31 - 35325224");
        assert_eq!(Line::read(&line.write()), Ok(line));
    }

    proptest! {
        #[test]
        fn comes_back(kind in 0..0xFF00u16, key: Vec<u8>, body: Vec<u8>, seq: u64, word in 0..4u8) {
            let key = RecordKey::new(kind, key).full();
            let value = envelope::encode(&key, &Envelope { kind, version: 1, incarnation: 9, seq, body: &body });
            let line = match word {
                0 => Line::Record { key, value },
                1 => Line::Raw { key, value },
                gone => Line::Mark(Mark { key, seq, gone: gone == 3, envelope: value }),
            };
            prop_assert_eq!(Line::read(&line.write()), Ok(line));
        }

        #[test]
        fn any_line_is_answered(line: String) {
            let _ = (Line::read(&line), read_end(&line));
            let _ = read_title(&line);
        }
    }
}
