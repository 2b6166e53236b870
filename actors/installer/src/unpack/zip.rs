//! A zip, judged by the same rules as a tar. Its list of entries is at its end and is read entry by entry: what it
//! claims of itself is never believed further than it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::format::length;
use super::path::{Target, entry_path, link_target};
use super::{EntryError, Unpacker};
use crate::InstallError;

/// The end of the list, without its comment; where it is in a long zip; and that end, for long ones (APPNOTE 4.3).
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
const LOCATOR: (&[u8], usize) = (b"PK\x06\x07", 20);
const LONG_END: (&[u8], usize) = (b"PK\x06\x06", 56);
const LISTED: (&[u8], usize) = (b"PK\x01\x02", 46);
const LOCAL: (&[u8], usize) = (b"PK\x03\x04", 30);
const COMMENT_BYTES_MAX: usize = 65_535;
/// The extra field of sizes beyond 32 bits.
const LONG_SIZES: u16 = 1;
/// PATH_MAX.
const TARGET_BYTES_MAX: u64 = 4096;

const ENCRYPTED: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Entries made on Unix have its modes.
const UNIX: u8 = 3;

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

/// A record of a fixed length that begins as it must.
fn record(reader: &mut impl Read, (magic, length): (&[u8], usize)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    if bytes.starts_with(magic) { Ok(bytes) } else { Err(bad("a record is not where it should be")) }
}

/// Where the list of entries is.
struct List {
    /// What lies before the zip: a program that unpacks itself.
    before: u64,
    start: u64,
    entries: u64,
}

fn list(file: &mut BufReader<File>) -> io::Result<List> {
    let length = length(file)?;
    let tail_bytes = length.min((COMMENT_BYTES_MAX + END.1) as u64);
    let tail_start = length - tail_bytes;
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    file.by_ref().take(tail_bytes).read_to_end(&mut tail)?;
    let at = (0..=tail.len().saturating_sub(END.1)).rev().find(|&at| {
        let rest = &tail[at..];
        rest.len() >= END.1 && rest.starts_with(END.0) && END.1 + usize::from(u16_at(rest, 20)) == rest.len()
    });
    let at = at.ok_or_else(|| bad("it has no list of entries: it is cut, perhaps"))?;
    let end = &tail[at..];
    let end_at = tail_start + at as u64;
    let (mut entries, mut bytes, mut start) =
        (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    let mut list_end = end_at;
    // Whether or not all fits into the short end: where there is a long one, the list ends before that.
    if let Some(locator_at) = end_at.checked_sub(LOCATOR.1 as u64) {
        file.seek(SeekFrom::Start(locator_at))?;
        if let Ok(locator) = record(file, LOCATOR) {
            list_end = u64_at(&locator, 8);
            file.seek(SeekFrom::Start(list_end))?;
            let end = record(file, LONG_END)?;
            (entries, bytes, start) = (u64_at(&end, 32), u64_at(&end, 40), u64_at(&end, 48));
        }
    }
    let before = list_end.checked_sub(bytes).and_then(|found| found.checked_sub(start));
    let before = before.ok_or_else(|| bad("its list of entries is outside it"))?;
    Ok(List { before, start: start + before, entries })
}

/// An entry, as the list has it.
struct Listed {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    /// Of Unix; none where it was made elsewhere.
    mode: Option<u32>,
}

impl Listed {
    fn read(file: &mut BufReader<File>) -> io::Result<Self> {
        let fixed = record(file, LISTED)?;
        let mut name = vec![0; usize::from(u16_at(&fixed, 28))];
        file.read_exact(&mut name)?;
        let mut extra = vec![0; usize::from(u16_at(&fixed, 30))];
        file.read_exact(&mut extra)?;
        file.seek_relative(i64::from(u16_at(&fixed, 32)))?;
        let mode = u32_at(&fixed, 38) >> 16;
        let mut listed = Self {
            name,
            flags: u16_at(&fixed, 8),
            method: u16_at(&fixed, 10),
            crc: u32_at(&fixed, 16),
            packed: u64::from(u32_at(&fixed, 20)),
            size: u64::from(u32_at(&fixed, 24)),
            offset: u64::from(u32_at(&fixed, 42)),
            mode: (fixed[5] == UNIX && mode != 0).then_some(mode),
        };
        listed.lengthen(&extra)?;
        Ok(listed)
    }

    /// Takes what does not fit into 32 bits from where it is.
    fn lengthen(&mut self, mut extra: &[u8]) -> io::Result<()> {
        while extra.len() >= 4 {
            let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
            let rest = &extra[4..];
            let mut field = rest.get(..length).ok_or_else(|| bad("an entry's extra field is cut"))?;
            extra = &rest[length..];
            if kind != LONG_SIZES {
                continue;
            }
            for value in [&mut self.size, &mut self.packed, &mut self.offset] {
                if *value == 0xffff_ffff {
                    if field.len() < 8 {
                        return Err(bad("an entry's long size is missing"));
                    }
                    *value = u64_at(field, 0);
                    field = &field[8..];
                }
            }
        }
        Ok(())
    }
}

/// What an entry is.
enum Kind {
    Folder,
    File,
    Link,
}

fn kind_of(listed: &Listed) -> Result<Kind, &'static str> {
    let said = listed.mode.map_or(0, |mode| mode & 0o170_000);
    match said {
        _ if listed.name.ends_with(b"/") && matches!(said, 0 | 0o040_000) => Ok(Kind::Folder),
        0 | 0o100_000 if !listed.name.ends_with(b"/") => Ok(Kind::File),
        0o040_000 => Ok(Kind::Folder),
        0o120_000 => Ok(Kind::Link),
        0o020_000 | 0o060_000 => Err("it is a device node"),
        0o010_000 => Err("it is a named pipe"),
        _ => Err("it is of a kind that no package needs"),
    }
}

/// Checks what passes against what the list says of it.
struct Checked<R> {
    inner: R,
    hash: crc32fast::Hasher,
    left: u64,
    crc: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| bad("an entry is longer than the list of entries says"))?;
        self.hash.update(&buffer[..count]);
        match count {
            0 if self.left > 0 => Err(bad("an entry is shorter than the list of entries says")),
            0 if self.hash.clone().finalize() != self.crc => Err(bad("an entry's checksum is wrong")),
            _ => Ok(count),
        }
    }
}

impl Unpacker {
    /// Unpacks a zip. `archive` is its name in errors.
    pub(super) fn zip(
        &mut self,
        archive: &Path,
        mut listing: BufReader<File>,
        mut file: BufReader<File>,
    ) -> Result<(), InstallError> {
        let bad = |source| InstallError::archive(archive, source);
        let list = list(&mut listing).map_err(bad)?;
        listing.seek(SeekFrom::Start(list.start)).map_err(bad)?;
        for _ in 0..list.entries {
            self.still_wanted(archive)?;
            let listed = Listed::read(&mut listing).map_err(bad)?;
            self.count().map_err(|error| error.of(archive, &listed.name))?;
            self.listed(archive, &mut file, list.before, &listed)
                .map_err(|error| error.of(archive, &listed.name))?;
        }
        self.settle(archive)
    }

    fn listed(
        &mut self,
        archive: &Path,
        file: &mut BufReader<File>,
        before: u64,
        listed: &Listed,
    ) -> Result<(), EntryError> {
        let path = entry_path(&listed.name).and_then(|path| self.below_top(path));
        let path = path.map_err(EntryError::Refused)?;
        let kind = kind_of(listed).map_err(EntryError::Refused)?;
        if listed.flags & ENCRYPTED != 0 {
            return Err(EntryError::Refused("it is encrypted"));
        }
        match kind {
            Kind::Folder => return self.folder(&path),
            _ if path.as_os_str().is_empty() => {
                return Err(EntryError::Refused("its name is the package's own folder"));
            }
            Kind::File | Kind::Link => {}
        }
        let offset =
            before.checked_add(listed.offset).ok_or_else(|| EntryError::Read(bad("it is nowhere")))?;
        seek_near(file, offset).map_err(EntryError::Read)?;
        let local = record(file, LOCAL).map_err(EntryError::Read)?;
        let mut name = vec![0; usize::from(u16_at(&local, 26))];
        file.read_exact(&mut name).map_err(EntryError::Read)?;
        if name != listed.name {
            return Err(EntryError::Refused("its own header gives it another name"));
        }
        file.seek_relative(i64::from(u16_at(&local, 28))).map_err(EntryError::Read)?;
        let packed = file.take(listed.packed);
        let inner: Box<dyn Read + '_> = match listed.method {
            STORED => Box::new(packed),
            DEFLATED => Box::new(DeflateDecoder::new(packed)),
            _ => return Err(EntryError::Refused("it is compressed in a way that no package needs")),
        };
        let hash = crc32fast::Hasher::new();
        let mut content = Checked { inner, hash, left: listed.size, crc: listed.crc };
        match kind {
            Kind::Link => {
                let target = target_of(&path, &mut content)?;
                self.symlink(&path, target)
            }
            Kind::Folder | Kind::File => {
                self.file(archive, &path, listed.mode.unwrap_or(0o644), None, &mut content)
            }
        }
    }
}

/// Goes there, and keeps what is read ahead: the next entry is near, mostly.
fn seek_near(file: &mut BufReader<File>, to: u64) -> io::Result<()> {
    let at = file.stream_position()?;
    match i64::try_from(i128::from(to) - i128::from(at)) {
        Ok(distance) => file.seek_relative(distance),
        Err(_) => Err(bad("an entry is outside the file")),
    }
}

fn target_of(link: &Path, content: &mut impl Read) -> Result<Target, EntryError> {
    let mut target = Vec::new();
    content.take(TARGET_BYTES_MAX + 1).read_to_end(&mut target).map_err(EntryError::Read)?;
    if target.len() as u64 > TARGET_BYTES_MAX {
        return Err(EntryError::Refused("its target is longer than a path may be"));
    }
    link_target(link, &target).map_err(EntryError::Refused)
}
