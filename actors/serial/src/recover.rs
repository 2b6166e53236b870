//! Where a recording was left: the last segment is read through, and a torn tail cut off.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use farmhand_records::Epoch;

use crate::entry::{Body, Entry};
use crate::segment::{self, Next, OpenSegmentError, SegmentReader};

/// What is known of a recording's end.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The number and offset of the next entry.
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    /// The epoch that was recorded last.
    pub(crate) epoch: Option<Epoch>,
    /// The port was lent when the recording ended.
    pub(crate) lent: bool,
    /// The number of the next segment.
    pub(crate) next_number: u64,
    /// The last segment, if it can be gone on with: its file, number and length.
    pub(crate) last: Option<(File, u64, u64)>,
    /// What was wrong, for people.
    pub(crate) reports: Vec<String>,
}

/// Reads the end of the recording in `dir`. What cannot be read is reported, and recording goes on after it.
pub(crate) fn recover(dir: &Path) -> Recovered {
    let mut found = Recovered::default();
    let numbers = match fs::create_dir_all(dir).and_then(|()| segment::list(dir)) {
        Ok(numbers) => numbers,
        Err(error) => {
            found.reports.push(format!("the recording cannot be read: {error}"));
            return found;
        }
    };
    found.next_number = numbers.last().map_or(1, |last| last + 1);
    for number in numbers.into_iter().rev() {
        match SegmentReader::open(dir, number) {
            Ok(reader) => {
                read_through(dir, reader, &mut found);
                return found;
            }
            // Its making was interrupted: it held nothing.
            Err(OpenSegmentError::Torn) => {
                let removed = fs::remove_file(segment::path(dir, number)).is_ok();
                let fate = if removed { "removed" } else { "left" };
                if removed && found.next_number == number + 1 {
                    found.next_number = number;
                }
                found.reports.push(format!("segment {number} of the recording had no whole header: {fate}"));
            }
            Err(error) => {
                found.reports.push(format!("segment {number} of the recording cannot be read: {error}"));
                // How far it went is not known: it can hold no more than its length in either.
                let len = fs::metadata(segment::path(dir, number)).map_or(0, |meta| meta.len());
                found.seq += len;
                found.offset += len;
            }
        }
    }
    found
}

fn read_through(dir: &Path, mut reader: SegmentReader, found: &mut Recovered) {
    let head = reader.head;
    let unreadable = (found.seq, found.offset);
    found.take(head.seq, head.offset, head.epoch);
    found.lent = head.lent;
    let end = loop {
        match reader.next() {
            Ok(Next::Entry(entry)) => found.take_entry(&entry),
            Ok(Next::End) => break None,
            Ok(Next::Bad { why }) => break Some(why),
            Err(error) => break Some(error.to_string()),
        }
    };
    let (number, good) = (head.number, reader.good_bytes);
    let whole = match end {
        None => true,
        Some(why) => match reader.last_beyond() {
            Ok(None) => {
                let cut = cut_tail(dir, number, good);
                found.reports.push(match &cut {
                    Ok(bytes) => {
                        format!("the recording ended in {why}: {bytes} bytes cut off segment {number}")
                    }
                    Err(error) => format!("the recording ends in {why}, which cannot be cut off: {error}"),
                });
                cut.is_ok()
            }
            // There are records behind it: damage, which is left as evidence.
            Ok(Some(beyond)) => {
                found
                    .reports
                    .push(format!("segment {number} of the recording is damaged at byte {good}: {why}"));
                found.take_entry(&beyond);
                false
            }
            Err(error) => {
                found.reports.push(format!("segment {number} cannot be read beyond byte {good}: {error}"));
                false
            }
        },
    };
    found.seq += unreadable.0;
    found.offset += unreadable.1;
    // Behind segments that cannot be read, a new one begins: the order of their numbers is the order of the stream.
    if whole && found.next_number == number + 1 {
        match OpenOptions::new().append(true).open(segment::path(dir, number)) {
            Ok(file) => found.last = Some((file, number, good)),
            Err(error) => found.reports.push(format!("segment {number} cannot be gone on with: {error}")),
        }
    }
}

fn cut_tail(dir: &Path, number: u64, good_bytes: u64) -> std::io::Result<u64> {
    let file = OpenOptions::new().write(true).open(segment::path(dir, number))?;
    let torn = file.metadata()?.len().saturating_sub(good_bytes);
    file.set_len(good_bytes)?;
    file.sync_data()?;
    Ok(torn)
}

impl Recovered {
    fn take(&mut self, seq: u64, offset: u64, epoch: Epoch) {
        (self.seq, self.offset, self.epoch) = (seq, offset, Some(epoch));
    }

    fn take_entry(&mut self, entry: &Entry) {
        self.take(entry.seq + 1, entry.end(), entry.epoch);
        match entry.body {
            Body::Lent => self.lent = true,
            Body::Returned => self.lent = false,
            _ => {}
        }
    }
}
