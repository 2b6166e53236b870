//! One stream: what came is numbered, written, kept in the ring, and told, in this order.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use farmhand_api::{EpochCause, LogFrom, Stamp};
use farmhand_records::{DeviceName, Epoch, v1};
use farmhand_runtime::{mono_us, unix_us};
use tokio::sync::watch;

use crate::disk::{Disk, DiskNews};
use crate::entry::{Body, CHUNK_BYTES_MAX, Entry};
use crate::recover::recover;
use crate::ring::{Ring, RingAnswer};

/// The clocks, now.
pub(crate) fn now() -> Stamp {
    Stamp { mono_us: mono_us(), unix_us: unix_us() }
}

/// The end of a stream, as readers are told it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// The number of the next entry.
    pub(crate) seq: u64,
    /// Bytes so far.
    pub(crate) offset: u64,
}

/// The recorder of one device.
#[derive(Debug)]
pub(crate) struct Recorder {
    disk: Disk,
    ring: Ring,
    end: watch::Sender<End>,
    epoch: Option<Epoch>,
    lent: bool,
    /// What people are to be told.
    notes: Vec<String>,
}

impl Recorder {
    /// Goes on with the recording in `dir`, of segments of so many bytes. `place` is what was saved of it. Blocking.
    pub(crate) fn open(dir: &Path, segment_bytes_max: u64, place: Option<&v1::Serial>, now: Stamp) -> Self {
        let found = recover(dir);
        // Where the folder could not be read, what is there is not written over.
        let number = found.next_number.max(place.map_or(1, |place| place.segment + 1));
        let mut recorder = Self {
            disk: Disk::new(dir.to_owned(), segment_bytes_max, number, found.last),
            ring: Ring::new(found.seq),
            end: watch::Sender::new(End { seq: found.seq, offset: found.offset }),
            epoch: found.epoch.or(place.map(|place| place.epoch)),
            lent: found.lent,
            notes: found.reports,
        };
        // An offset that was told to anybody is never used again for other bytes.
        let missing = place.map_or(0, |place| place.offset.saturating_sub(found.offset));
        if missing > 0 {
            recorder.notes.push(format!("the last {missing} bytes of the recording are lost"));
            recorder.put(Body::Lost(missing), now);
        }
        recorder
    }

    /// Nothing was ever recorded.
    pub(crate) fn is_new(&self) -> bool {
        self.end().seq == 0 && self.epoch.is_none()
    }

    /// The epoch that is recorded, if one ever was.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Whether the last mark said that the port is lent.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }

    /// How far it is.
    pub(crate) fn end(&self) -> End {
        *self.end.borrow()
    }

    /// How far it is, for those who wait.
    pub(crate) fn watch(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// Its place, to be saved.
    pub(crate) fn place(&self, device: &DeviceName) -> v1::Serial {
        let offset = self.end().offset;
        let epoch = self.epoch.unwrap_or_default();
        v1::Serial { device: device.clone(), segment: self.disk.segment(), offset, epoch }
    }

    /// Records what the device said.
    pub(crate) fn chunk(&mut self, bytes: &Bytes, now: Stamp) {
        for at in (0..bytes.len()).step_by(CHUNK_BYTES_MAX) {
            let piece = bytes.slice(at..bytes.len().min(at + CHUNK_BYTES_MAX));
            self.put(Body::Chunk(piece), now);
        }
    }

    /// Begins an epoch.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch, cause: EpochCause, now: Stamp) {
        self.epoch = Some(epoch);
        self.put(Body::EpochBegan(cause), now);
    }

    /// Marks that the port is lent.
    pub(crate) fn lent(&mut self, now: Stamp) {
        self.put(Body::Lent, now);
        self.lent = true;
    }

    /// Marks that the port came back.
    pub(crate) fn returned(&mut self, now: Stamp) {
        self.put(Body::Returned, now);
        self.lent = false;
    }

    /// Marks that nothing was recorded for a while.
    pub(crate) fn gap(&mut self, why: &str, now: Stamp) {
        self.put(Body::Gap(why.to_owned()), now);
    }

    /// Tries the disk again, where it refused.
    pub(crate) fn tick(&mut self, now: Stamp) {
        let news = self.disk.retry(now.mono_us, self.lent);
        self.note(news);
    }

    /// The ring's answer to a reader.
    pub(crate) fn after(&self, seq: u64) -> RingAnswer {
        self.ring.after(seq, self.end().offset)
    }

    /// Where a reader begins, as far as the ring knows.
    pub(crate) fn find(&self, from: LogFrom) -> Option<u64> {
        match from {
            // It is yet to come: no need to look for it.
            LogFrom::Epoch(epoch) if self.epoch.is_none_or(|current| epoch > current) => Some(self.end().seq),
            from => self.ring.find(from),
        }
    }

    /// Whether a segment was ended: its bytes are to be synced.
    pub(crate) fn rotated(&self) -> bool {
        self.disk.rotated()
    }

    /// Files to be synced; with the one being written, or without.
    pub(crate) fn take_unsynced(&mut self, with_open: bool) -> Vec<File> {
        self.disk.take_unsynced(with_open)
    }

    /// What people are to be told since this was last asked.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn put(&mut self, body: Body, stamp: Stamp) {
        let End { seq, offset } = self.end();
        let entry = Entry { seq, offset, epoch: self.epoch.unwrap_or_default(), stamp, body };
        let news = self.disk.append(&entry, self.lent);
        self.note(news);
        let end = End { seq: seq + 1, offset: entry.end() };
        self.ring.push(entry);
        self.end.send_replace(end);
    }

    fn note(&mut self, news: Option<DiskNews>) {
        self.notes.extend(news.map(|news| match news {
            DiskNews::Refused(why) => {
                format!("the console cannot be written to the disk ({why}); it is kept in memory only")
            }
            DiskNews::Resumed { lost_bytes } => {
                format!("the console is written to the disk again; {lost_bytes} bytes of it are not there")
            }
        }));
    }
}

#[cfg(test)]
mod tests;
