//! Intel HEX (Intel, "Hexadecimal Object File Format Specification", revision A, 1988).

use ihex::{ReaderError, Record};
use thiserror::Error;

use crate::image::{Image, OverlapError, RangeError};

/// Data bytes of a record that we write: what assemblers and `objcopy` write.
const RECORD_LEN: usize = 16;

/// Why bytes are not a hex file. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HexError {
    /// Not a record.
    #[error("line {line}: {error}")]
    Record {
        /// Which.
        line: usize,
        /// What is wrong with it.
        error: ReaderError,
    },
    /// No record says that it is the last: the file is cut off.
    #[error("line {line}: ends without an end-of-file record")]
    NoEnd {
        /// The last.
        line: usize,
    },
    /// Something stands behind the record that is the last.
    #[error("line {line}: more behind the end-of-file record")]
    AfterEnd {
        /// The first that is not blank.
        line: usize,
    },
    /// Two records say different things about one byte.
    #[error(
        "line {line}: byte at {address:#010x} is {byte:#04x}, but line {other_line} made it {other_byte:#04x}"
    )]
    Overlap {
        /// The later record.
        line: usize,
        /// The first byte they differ in.
        address: u32,
        /// What the later says.
        byte: u8,
        /// The earlier record.
        other_line: usize,
        /// What the earlier says.
        other_byte: u8,
    },
    /// Data past the last 32-bit address.
    #[error("line {line}: data ends beyond 32-bit addresses")]
    Beyond {
        /// Which.
        line: usize,
    },
}

/// What the last record of type 02 or 04 made of the addresses that follow.
#[derive(Clone, Copy)]
enum Base {
    /// Addresses go on behind the 64 KiB (type 04, and before any such record).
    Linear(u32),
    /// Addresses wrap within the 64 KiB (type 02).
    Segment(u32),
}

impl Image {
    /// Reads Intel HEX. CRLF, lower case, blank lines and blanks around a record are accepted; where records overlap they
    /// must agree; start addresses (types 03 and 05) are read and left out.
    pub fn from_hex(text: &[u8]) -> Result<Self, HexError> {
        let mut chunks = Vec::new();
        let mut lines = Vec::new();
        let mut base = Base::Linear(0);
        let mut ended = false;
        let mut last_line = 1;
        for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let record = bytes.trim_ascii();
            if record.is_empty() {
                continue;
            }
            if ended {
                return Err(HexError::AfterEnd { line });
            }
            last_line = line;
            match parse(record).map_err(|error| HexError::Record { line, error })? {
                Record::Data { offset, value } => {
                    place(base, offset, value, |address, bytes| {
                        chunks.push((address, bytes));
                        lines.push(line);
                    });
                }
                Record::ExtendedSegmentAddress(segment) => base = Base::Segment(u32::from(segment) << 4),
                Record::ExtendedLinearAddress(upper) => base = Base::Linear(u32::from(upper) << 16),
                Record::StartSegmentAddress { .. } | Record::StartLinearAddress(_) => {}
                Record::EndOfFile => ended = true,
            }
        }
        if !ended {
            return Err(HexError::NoEnd { line: last_line });
        }
        Self::from_chunks(chunks).map_err(|error| match error {
            RangeError::Overlap(OverlapError { address, first, first_byte, second, second_byte }) => {
                HexError::Overlap {
                    line: lines[second],
                    address,
                    byte: second_byte,
                    other_line: lines[first],
                    other_byte: first_byte,
                }
            }
            RangeError::Beyond { chunk, .. } => HexError::Beyond { line: lines[chunk] },
        })
    }

    /// Writes Intel HEX, with records of type 04 where the upper half of the address changes.
    pub fn to_hex(&self) -> String {
        let mut text = String::new();
        let mut upper = 0;
        for segment in self.segments() {
            let mut address = segment.address();
            let mut rest = segment.bytes();
            while !rest.is_empty() {
                if address >> 16 != upper {
                    upper = address >> 16;
                    write(&mut text, &Record::ExtendedLinearAddress(upper as u16));
                }
                let to_upper = 0x1_0000 - (address as usize & 0xffff);
                let (now, later) = rest.split_at(rest.len().min(RECORD_LEN).min(to_upper));
                write(&mut text, &Record::Data { offset: address as u16, value: now.to_vec() });
                address = address.wrapping_add(now.len() as u32);
                rest = later;
            }
        }
        write(&mut text, &Record::EndOfFile);
        text
    }
}

fn parse(record: &[u8]) -> Result<Record, ReaderError> {
    let text = std::str::from_utf8(record).map_err(|_| ReaderError::ContainsInvalidCharacters)?;
    Record::from_record_string(text)
}

/// Where a record's data goes: in two places where it wraps at the end of its segment.
fn place(base: Base, offset: u16, mut value: Vec<u8>, mut put: impl FnMut(u32, Vec<u8>)) {
    match base {
        Base::Linear(base) => put(base | u32::from(offset), value),
        Base::Segment(base) => {
            let to_end = 0x1_0000 - usize::from(offset);
            let wrapped = value.split_off(value.len().min(to_end));
            put(base + u32::from(offset), value);
            if !wrapped.is_empty() {
                put(base, wrapped);
            }
        }
    }
}

fn write(text: &mut String, record: &Record) {
    let line = record.to_record_string().expect("a record of at most 16 bytes can be written");
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<(u32, Vec<u8>)> {
        let image = Image::from_hex(text.as_bytes()).unwrap();
        image.segments().iter().map(|segment| (segment.address(), segment.bytes().to_vec())).collect()
    }

    fn error(text: &str) -> HexError {
        Image::from_hex(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn it_reads_what_tools_write() {
        let unix = String::from(":040000000C9420003C\n:00000001FF\n");
        assert_eq!(segments(&unix), [(0, vec![0x0c, 0x94, 0x20, 0x00])]);
        assert_eq!(segments(&unix.replace('\n', "\r\n").to_lowercase()), segments(&unix));
        assert_eq!(segments(&format!("{unix}\r\n \n\t\n")), segments(&unix));
        assert_eq!(segments(unix.trim_end()), segments(&unix));
    }

    #[test]
    fn addresses_beyond_64_kib() {
        // Type 04: the upper 16 bits; type 02: paragraphs, and addresses wrap within the segment.
        assert_eq!(segments(":020000040001F9\n:02FFFE00AABB9C\n:00000001FF"), [(0x1_fffe, vec![0xaa, 0xbb])]);
        assert_eq!(
            segments(":020000021000EC\n:04FFFE00AABBCCDDF1\n:00000001FF"),
            [(0x1_0000, vec![0xcc, 0xdd]), (0x1_fffe, vec![0xaa, 0xbb])]
        );
        // Without either, and with type 04, data goes on behind 64 KiB.
        assert_eq!(segments(":04FFFE00AABBCCDDF1\n:00000001FF"), [(0xfffe, vec![0xaa, 0xbb, 0xcc, 0xdd])]);
    }

    #[test]
    fn start_addresses_are_left_out() {
        assert_eq!(segments(":0400000300007E007B\n:0400000500007E0079\n:00000001FF"), []);
    }

    #[test]
    fn overlaps_must_agree() {
        assert_eq!(segments(":020000001122CB\n:0100010022DC\n:00000001FF"), [(0, vec![0x11, 0x22])]);
        let overlap = error(":020000001122CB\n\n:0100010023DB\n:00000001FF");
        assert_eq!(
            overlap,
            HexError::Overlap { line: 3, address: 1, byte: 0x23, other_line: 1, other_byte: 0x22 }
        );
        assert_eq!(overlap.to_string(), "line 3: byte at 0x00000001 is 0x23, but line 1 made it 0x22");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let record = |line, error| HexError::Record { line, error };
        assert_eq!(error(""), HexError::NoEnd { line: 1 });
        assert_eq!(error(":020000001122CB\n\n"), HexError::NoEnd { line: 1 });
        assert_eq!(error(":00000001FF\n\n:00000001FF"), HexError::AfterEnd { line: 3 });
        assert_eq!(error("\nhello"), record(2, ReaderError::MissingStartCode));
        assert_eq!(error(":02000000112\n"), record(1, ReaderError::RecordNotEvenLength));
        assert_eq!(error(":020000001122CC\n"), record(1, ReaderError::ChecksumMismatch(0xcb, 0xcc)));
        assert_eq!(error(":0200000é1122CC\n"), record(1, ReaderError::ContainsInvalidCharacters));
        assert_eq!(
            Image::from_hex(b":02\xff000001122CC"),
            Err(record(1, ReaderError::ContainsInvalidCharacters))
        );
        assert_eq!(error(":02000004FFFFFC\n:02FFFF00AABB9B\n:00000001FF"), HexError::Beyond { line: 2 });
    }

    #[test]
    fn it_writes_what_tools_read() {
        let image = Image::from_chunks([(0xfff8, (0..18).collect::<Vec<u8>>())]).unwrap();
        assert_eq!(
            image.to_hex(),
            ":08FFF8000001020304050607E5\n:020000040001F9\n:0A00000008090A0B0C0D0E0F101179\n:00000001FF\n"
        );
        assert_eq!(Image::default().to_hex(), ":00000001FF\n");
    }
}
