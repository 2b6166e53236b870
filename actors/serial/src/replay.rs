//! The reading side of a recording on the disk, while it is being written. Blocking: for threads that may wait.

use std::io;
use std::path::{Path, PathBuf};

use farmhand_api::LogFrom;

use crate::entry::{Body, Entry};
use crate::segment::{self, Next, OpenSegmentError, SegmentReader};

/// What a replay comes upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Entry(Entry),
    /// The rest of a segment cannot be read. It goes on with the next.
    Damage(String),
    /// Nothing more for now; with what may be wrong with the segment being written.
    End(Option<String>),
}

/// Entries from a number on, across segments.
#[derive(Debug)]
pub(crate) struct Replay {
    dir: PathBuf,
    /// The next entry wanted; what is before it is passed over.
    seq: u64,
    current: Option<SegmentReader>,
    /// The newest segment that is done with.
    done: u64,
    /// A newer segment is there: `current` is read to its end once more, and is done then.
    last_look: bool,
}

impl Replay {
    /// Begins at entry `seq`, or the oldest after it.
    pub(crate) fn open(dir: &Path, seq: u64) -> io::Result<Self> {
        let mut replay = Self { dir: dir.to_owned(), seq, current: None, done: 0, last_look: false };
        for number in segment::list(dir)?.into_iter().rev() {
            if let Ok(reader) = SegmentReader::open(dir, number)
                && reader.head.seq <= seq
            {
                replay.done = number.saturating_sub(1);
                replay.current = Some(reader);
                break;
            }
        }
        Ok(replay)
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        loop {
            let Some(current) = &mut self.current else {
                match self.open_next()? {
                    Some(found) => return Ok(found),
                    None => continue,
                }
            };
            let (number, next, good_bytes) = (current.head.number, current.next()?, current.good_bytes);
            let why = match next {
                Next::Entry(entry) if entry.seq < self.seq => continue,
                Next::Entry(entry) => {
                    self.seq = entry.seq + 1;
                    return Ok(Found::Entry(entry));
                }
                Next::End => None,
                Next::Bad { why } => Some(format!("segment {number} at byte {good_bytes}: {why}")),
            };
            let passed = self.newer_than(number)?.is_some();
            match why {
                None if self.last_look => self.finish(number),
                // The writer may have written here and gone on since the end was seen: look again, knowing.
                None if passed => self.last_look = true,
                None => return Ok(Found::End(None)),
                Some(why) if passed => {
                    self.finish(number);
                    return Ok(Found::Damage(why));
                }
                // A record that is being written looks torn: look again later, from the segment's start.
                Some(why) => {
                    self.current = None;
                    return Ok(Found::End(Some(why)));
                }
            }
        }
    }

    /// Opens the next segment: none if it did.
    fn open_next(&mut self) -> io::Result<Option<Found>> {
        let Some(number) = self.newer_than(self.done)? else { return Ok(Some(Found::End(None))) };
        match SegmentReader::open(&self.dir, number) {
            Ok(reader) => self.current = Some(reader),
            // Dropped since the folder was listed.
            Err(OpenSegmentError::Io(error)) if error.kind() == io::ErrorKind::NotFound => self.done = number,
            Err(OpenSegmentError::Torn) if self.newer_than(number)?.is_none() => {
                return Ok(Some(Found::End(None)));
            }
            Err(error) => {
                self.done = number;
                return Ok(Some(Found::Damage(format!("segment {number}: {error}"))));
            }
        }
        Ok(None)
    }

    fn finish(&mut self, number: u64) {
        self.current = None;
        self.last_look = false;
        self.done = number;
    }

    fn newer_than(&self, number: u64) -> io::Result<Option<u64>> {
        Ok(segment::list(&self.dir)?.into_iter().find(|other| *other > number))
    }
}

/// The number of the entry that a reader from `from` begins with, as far as the disk knows; none: with what comes.
pub(crate) fn find(dir: &Path, from: LogFrom) -> io::Result<Option<u64>> {
    match from {
        LogFrom::Start => Ok(Some(0)),
        LogFrom::Now => Ok(None),
        LogFrom::Offset(offset) => {
            let first = last_head(dir, |head| head.offset < offset)?;
            search(dir, first, |entry| entry.item(offset).is_some())
        }
        LogFrom::Time(time) => {
            let first = last_head(dir, |head| head.stamp.unix_us < time)?;
            search(dir, first, |entry| entry.stamp.unix_us >= time)
        }
        LogFrom::Epoch(epoch) => {
            // Newest first: a number may have been used before, where a store was lost and the recording was not.
            for number in segment::list(dir)?.into_iter().rev() {
                let began = |entry: &Entry| entry.epoch == epoch && matches!(entry.body, Body::EpochBegan(_));
                if let Some(seq) = search_segment(dir, number, true, began)? {
                    return Ok(Some(seq));
                }
            }
            // Its beginning is lost, or is yet to come.
            search(dir, 0, |entry| entry.epoch >= epoch)
        }
    }
}

/// The newest segment whose start is before what is sought; 0 where there is none.
fn last_head(dir: &Path, before: impl Fn(&segment::Head) -> bool) -> io::Result<u64> {
    let numbers = segment::list(dir)?;
    let is_before = |number: &u64| SegmentReader::open(dir, *number).is_ok_and(|reader| before(&reader.head));
    Ok(numbers.into_iter().rfind(is_before).unwrap_or(0))
}

fn search(dir: &Path, first: u64, wanted: impl Fn(&Entry) -> bool) -> io::Result<Option<u64>> {
    for number in segment::list(dir)?.into_iter().filter(|number| *number >= first) {
        if let Some(seq) = search_segment(dir, number, false, &wanted)? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// The first wanted entry of a segment, or the last. What is damaged is passed over: the replay names it.
fn search_segment(
    dir: &Path,
    number: u64,
    last: bool,
    wanted: impl Fn(&Entry) -> bool,
) -> io::Result<Option<u64>> {
    let Ok(mut reader) = SegmentReader::open(dir, number) else { return Ok(None) };
    let mut found = None;
    while let Next::Entry(entry) = reader.next()? {
        if wanted(&entry) {
            found = Some(entry.seq);
            if !last {
                break;
            }
        }
    }
    Ok(found)
}
