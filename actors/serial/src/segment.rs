//! A segment file: a header of 64 bytes, then records.
//!
//! The header, little-endian: magic (8), version (2), flags (2; bit 0: lent), CRC-32 of the rest (4), segment number
//! (8), number, offset and epoch of its first record (8, 8, 8), monotonic and wall time in microseconds (8, 8).

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use farmhand_api::Stamp;
use farmhand_records::Epoch;

use crate::entry::{Entry, HEADER_BYTES, number};

const MAGIC: [u8; 8] = *b"FHSERIAL";
const VERSION: u16 = 1;
/// Bytes of a segment's header.
pub(crate) const HEAD_BYTES: usize = 64;
const EXTENSION: &str = "seg";

/// A segment's header: where the stream is at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) epoch: Epoch,
    pub(crate) stamp: Stamp,
    pub(crate) lent: bool,
}

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..10].copy_from_slice(&VERSION.to_le_bytes());
        head[10] = u8::from(self.lent);
        let numbers =
            [self.number, self.seq, self.offset, self.epoch.0, self.stamp.mono_us, self.stamp.unix_us];
        for (at, number) in (16..).step_by(8).zip(numbers) {
            head[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc(&head);
        head[12..16].copy_from_slice(&crc.to_le_bytes());
        head
    }

    fn decode(head: &[u8; HEAD_BYTES]) -> Result<Self, String> {
        if head[..8] != MAGIC {
            return Err("not a recording".into());
        }
        if number::<4>(head, 12) != u64::from(crc(head)) {
            return Err("a header with a wrong checksum".into());
        }
        let version = number::<2>(head, 8);
        if version != u64::from(VERSION) {
            return Err(format!("of version {version}; this farmhand reads up to {VERSION}"));
        }
        Ok(Self {
            number: number::<8>(head, 16),
            seq: number::<8>(head, 24),
            offset: number::<8>(head, 32),
            epoch: Epoch(number::<8>(head, 40)),
            stamp: Stamp { mono_us: number::<8>(head, 48), unix_us: number::<8>(head, 56) },
            lent: head[10] & 1 != 0,
        })
    }
}

fn crc(head: &[u8; HEAD_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[..12]);
    crc.update(&head[16..]);
    crc.finalize()
}

/// The file of a segment.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{EXTENSION}"))
}

/// The segments in a folder, oldest first. Other files are not ours.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(dir)? {
        let name = PathBuf::from(file?.file_name());
        let ours = name.extension().is_some_and(|extension| extension == EXTENSION);
        if ours && let Some(number) = name.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the next bytes of a segment are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Entry(Entry),
    /// The file ends here, with a whole record.
    End,
    /// Not a record.
    Bad {
        why: String,
    },
}

/// Reads a segment from its start.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: BufReader<File>,
    pub(crate) head: Head,
    /// Bytes of the file that were read as whole records, with the header.
    pub(crate) good_bytes: u64,
    /// The number that the next record must not be below.
    seq: u64,
}

/// Why a segment could not be opened.
#[derive(Debug)]
pub(crate) enum OpenSegmentError {
    /// Its header is not whole: it was being made.
    Torn,
    /// It is not what its name says.
    Bad(String),
    Io(io::Error),
}

impl std::fmt::Display for OpenSegmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Torn => f.write_str("its header is cut short"),
            Self::Bad(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl SegmentReader {
    pub(crate) fn open(dir: &Path, number: u64) -> Result<Self, OpenSegmentError> {
        let mut file =
            BufReader::with_capacity(64 * 1024, File::open(path(dir, number)).map_err(OpenSegmentError::Io)?);
        let mut head = [0; HEAD_BYTES];
        match read_up_to(&mut file, &mut head).map_err(OpenSegmentError::Io)? {
            HEAD_BYTES => {}
            _ => return Err(OpenSegmentError::Torn),
        }
        let head = Head::decode(&head).map_err(OpenSegmentError::Bad)?;
        if head.number != number {
            return Err(OpenSegmentError::Bad(format!("it is segment {}, renamed", head.number)));
        }
        Ok(Self { file, head, good_bytes: HEAD_BYTES as u64, seq: head.seq })
    }

    /// The next record. After `Bad` the reader is of no more use.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        let bad = |why: &str| Ok(Next::Bad { why: why.to_owned() });
        let mut header = [0; HEADER_BYTES];
        match read_up_to(&mut self.file, &mut header)? {
            0 => return Ok(Next::End),
            HEADER_BYTES => {}
            _ => return bad("a record that is cut short"),
        }
        let body_bytes = match Entry::body_bytes(&header) {
            Ok(bytes) => bytes,
            Err(why) => return bad(why),
        };
        let mut body = vec![0; body_bytes];
        if read_up_to(&mut self.file, &mut body)? < body_bytes {
            return bad("a record that is cut short");
        }
        let entry = match Entry::decode(&header, body) {
            Ok(entry) => entry,
            Err(why) => return bad(why),
        };
        if entry.seq < self.seq {
            return bad("a record that was there before");
        }
        self.seq = entry.seq + 1;
        self.good_bytes += (HEADER_BYTES + body_bytes) as u64;
        Ok(Next::Entry(entry))
    }

    /// The last whole record anywhere beyond the good ones: there is none behind a torn tail, and there may be some
    /// behind damage. Told only to know how far numbers and offsets went: what a device printed may look like one.
    pub(crate) fn last_beyond(&mut self) -> io::Result<Option<Entry>> {
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(self.good_bytes))?;
        self.file.read_to_end(&mut rest)?;
        let mut last = None;
        let mut at = 1;
        while let Some(header) = rest.get(at..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>()) {
            let entry = Entry::body_bytes(header).ok().and_then(|len| {
                let body = rest.get(at + HEADER_BYTES..at + HEADER_BYTES + len)?;
                Entry::decode(header, body.to_vec()).ok().map(|entry| (entry, HEADER_BYTES + len))
            });
            // Numbers cannot outrun the bytes of the file.
            let plausible = |entry: &Entry| (self.seq..=self.seq + rest.len() as u64).contains(&entry.seq);
            match entry {
                Some((entry, len)) if plausible(&entry) => {
                    at += len;
                    last = Some(entry);
                }
                _ => at += 1,
            }
        }
        Ok(last)
    }
}

/// Reads until `buffer` is full or the file ends.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
