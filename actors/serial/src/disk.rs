//! The writing side of a recording on the disk: append-only segments, the oldest dropped whole.
//!
//! Each record is one `write`: it has reached the system before anybody is told of it, so a killed process loses
//! nothing that was acted upon. The disk itself is waited for at rotation, at a position and at the end only.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use farmhand_runtime::{Failpoint, failpoint};

use crate::entry::{Body, Entry};
use crate::segment::{self, Head};

/// Segments kept of a recording: what is dropped at once is an eighth.
pub(crate) const SEGMENTS_MAX: usize = 8;
/// Between two tries to write again to a disk that refused, in microseconds.
const RETRY_US: u64 = 250_000;
/// Marks that are kept for a disk that refuses; beyond that they are lost too.
const WAITING_MAX: usize = 1024;

/// How the recording on the disk fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskNews {
    /// It refuses from here on.
    Refused(String),
    /// It takes again; so many bytes of the stream are not on it.
    Resumed { lost_bytes: u64 },
}

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    number: u64,
    bytes: u64,
}

/// What a disk that refuses has missed.
#[derive(Debug)]
struct Refusing {
    /// To be written when there is room: marks as they are, chunks as losses.
    waiting: VecDeque<Entry>,
    retry_at_us: u64,
}

/// The segments of one device.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    segment_bytes_max: u64,
    next_number: u64,
    open: Option<Open>,
    refusing: Option<Refusing>,
    /// Written, and not waited for yet.
    to_sync: Vec<File>,
}

impl Disk {
    /// Goes on in a folder: with the segment `last` (its file, number and length), or a new one.
    pub(crate) fn new(
        dir: PathBuf,
        segment_bytes_max: u64,
        next_number: u64,
        last: Option<(File, u64, u64)>,
    ) -> Self {
        let open = last.map(|(file, number, bytes)| Open { file, number, bytes });
        Self { dir, segment_bytes_max, next_number, open, refusing: None, to_sync: Vec::new() }
    }

    /// The number of the segment being written.
    pub(crate) fn segment(&self) -> u64 {
        self.open.as_ref().map_or(self.next_number, |open| open.number)
    }

    /// Writes an entry. `lent` is how things stood before it.
    pub(crate) fn append(&mut self, entry: &Entry, lent: bool) -> Option<DiskNews> {
        let resumed = self.retry(entry.stamp.mono_us, lent);
        if let Some(refusing) = &mut self.refusing {
            refusing.add(entry);
            return resumed;
        }
        let Err(error) = self.write(entry, lent) else { return resumed };
        let mut refusing =
            Refusing { waiting: VecDeque::new(), retry_at_us: entry.stamp.mono_us.saturating_add(RETRY_US) };
        refusing.add(entry);
        self.refusing = Some(refusing);
        Some(DiskNews::Refused(error.to_string()))
    }

    /// Tries again where the disk refused, if it is time.
    pub(crate) fn retry(&mut self, mono_us: u64, lent: bool) -> Option<DiskNews> {
        let mut refusing = self.refusing.take_if(|refusing| mono_us >= refusing.retry_at_us)?;
        let lost_bytes = refusing.waiting.iter().map(|entry| entry.end() - entry.offset).sum();
        while let Some(entry) = refusing.waiting.front() {
            if self.write(entry, lent).is_err() {
                refusing.retry_at_us = mono_us.saturating_add(RETRY_US);
                self.refusing = Some(refusing);
                return None;
            }
            refusing.waiting.pop_front();
        }
        Some(DiskNews::Resumed { lost_bytes })
    }

    /// Handles of what was written and not waited for: whoever takes them syncs them.
    pub(crate) fn take_unsynced(&mut self, with_open: bool) -> Vec<File> {
        let mut files = std::mem::take(&mut self.to_sync);
        if with_open && let Some(open) = &self.open {
            // Without a spare descriptor, this sync is left to the system.
            files.extend(open.file.try_clone());
        }
        files
    }

    /// Whether a segment was ended since it was last asked.
    pub(crate) fn rotated(&self) -> bool {
        !self.to_sync.is_empty()
    }

    fn write(&mut self, entry: &Entry, lent: bool) -> io::Result<()> {
        let record = entry.encode();
        let full = |open: &Open| open.bytes + record.len() as u64 > self.segment_bytes_max;
        if self.open.as_ref().is_none_or(full) {
            self.rotate(entry, lent)?;
        }
        let Some(open) = &mut self.open else { return Err(io::Error::other("no segment is open")) };
        failpoint(Failpoint::RecordBefore);
        let written = open.file.write_all(&record);
        if let Err(error) = written {
            // A record that is there in part would be damage. Where it cannot be cut off, the segment ends here.
            if open.file.set_len(open.bytes).is_err() {
                self.to_sync.extend(self.open.take().map(|open| open.file));
            }
            return Err(error);
        }
        failpoint(Failpoint::RecordAfter);
        open.bytes += record.len() as u64;
        Ok(())
    }

    /// Begins a segment whose first record is `entry`; drops what is too old.
    fn rotate(&mut self, entry: &Entry, lent: bool) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let number = self.next_number;
        let Entry { seq, offset, epoch, stamp, .. } = *entry;
        let head = Head { number, seq, offset, epoch, stamp, lent };
        let path = segment::path(&self.dir, number);
        let created = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut file = created.inspect_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                self.next_number += 1;
            }
        })?;
        if let Err(error) = file.write_all(&head.encode()) {
            let _it_is_empty = fs::remove_file(&path);
            return Err(error);
        }
        self.next_number += 1;
        let bytes = segment::HEAD_BYTES as u64;
        if let Some(old) = self.open.replace(Open { file, number, bytes }) {
            self.to_sync.push(old.file);
        }
        let numbers = segment::list(&self.dir).unwrap_or_default();
        for old in &numbers[..numbers.len().saturating_sub(SEGMENTS_MAX)] {
            if let Err(error) = fs::remove_file(segment::path(&self.dir, *old)) {
                tracing::warn!(%error, segment = old, "an old segment stays");
            }
        }
        Ok(())
    }
}

impl Refusing {
    /// Keeps a mark; counts a chunk.
    fn add(&mut self, entry: &Entry) {
        let lost = entry.end() - entry.offset;
        if lost == 0 && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(entry.clone());
            return;
        }
        let full = self.waiting.len() >= WAITING_MAX;
        match self.waiting.back_mut() {
            Some(last) if full || matches!(last.body, Body::Lost(_)) => {
                // Numbered as the newest that it stands for: readers go on after it.
                let before = last.end() - last.offset;
                (last.seq, last.epoch) = (entry.seq, entry.epoch);
                last.body = Body::Lost(before + lost);
            }
            _ => self.waiting.push_back(Entry { body: Body::Lost(lost), ..entry.clone() }),
        }
    }
}
