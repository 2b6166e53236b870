//! What came last, in memory: readers that keep up never touch the disk.

use std::collections::VecDeque;

use farmhand_api::LogFrom;

use crate::entry::{Body, Entry};

/// What an entry costs beside its bytes: roughly its size in the deque and a header of `Bytes`.
const ENTRY_BYTES: usize = 128;
/// Bytes that the ring of one port may hold: about 20 s of console at 115200 baud in small chunks.
const RING_BYTES_MAX: usize = 1024 * 1024;
/// Entries given to a reader at once: it is a moment's work for the recorder.
const BATCH_ENTRIES: usize = 256;

/// A bounded ring of entries with consecutive numbers.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number of the next entry: the first of an empty ring.
    next: u64,
}

/// What the ring has from a place on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RingAnswer {
    /// These follow; none yet if empty.
    Entries(Vec<Entry>),
    /// That is older; the ring begins at this number and offset.
    Older { seq: u64, offset: u64 },
}

impl Ring {
    /// An empty ring, whose first entry has this number.
    pub(crate) fn new(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes the next entry, and drops what there is no room for.
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.seq, self.next, "entries are numbered without gaps");
        self.next = entry.seq + 1;
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
        // The newest is always kept, whatever it costs.
        while self.bytes > RING_BYTES_MAX && self.entries.len() > 1 {
            let old = self.entries.pop_front().expect("more than one");
            self.bytes -= cost(&old);
        }
    }

    /// What follows from the entry `seq` on, a batch of it. `end` is the stream's end, for an empty ring.
    pub(crate) fn after(&self, seq: u64, end: u64) -> RingAnswer {
        let first = self.next - self.entries.len() as u64;
        if seq < first {
            let offset = self.entries.front().map_or(end, |entry| entry.offset);
            return RingAnswer::Older { seq: first, offset };
        }
        let skip = usize::try_from(seq - first).unwrap_or(usize::MAX);
        RingAnswer::Entries(self.entries.iter().skip(skip).take(BATCH_ENTRIES).cloned().collect())
    }

    /// The number of the first entry that a reader from `from` wants, where the ring can tell.
    pub(crate) fn find(&self, from: LogFrom) -> Option<u64> {
        let first = self.entries.front();
        let all = first.is_some_and(|entry| entry.seq == 0);
        let found = match from {
            LogFrom::Now => return Some(self.next),
            LogFrom::Start => return (all || self.next == 0).then_some(0),
            LogFrom::Epoch(epoch) => {
                let began = |entry: &Entry| entry.epoch == epoch && matches!(entry.body, Body::EpochBegan(_));
                return self.entries.iter().rfind(|entry| began(entry)).map(|entry| entry.seq);
            }
            LogFrom::Offset(offset) => {
                // A mark at the very offset may lie before the ring.
                (all || first.is_some_and(|entry| entry.offset < offset))
                    .then(|| self.entries.iter().find(|entry| entry.item(offset).is_some()))
            }
            LogFrom::Time(time) => (all || first.is_some_and(|entry| entry.stamp.unix_us < time))
                .then(|| self.entries.iter().find(|entry| entry.stamp.unix_us >= time)),
        };
        found.map(|entry| entry.map_or(self.next, |entry| entry.seq))
    }
}

fn cost(entry: &Entry) -> usize {
    let body = match &entry.body {
        Body::Chunk(bytes) => bytes.len(),
        Body::Gap(why) => why.len(),
        _ => 0,
    };
    ENTRY_BYTES + body
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use farmhand_api::{EpochCause, Stamp};
    use farmhand_records::Epoch;

    use super::*;

    fn filled(chunks: u64, bytes: usize) -> Ring {
        let mut ring = Ring::new(0);
        for seq in 0..chunks {
            let body = Body::Chunk(Bytes::from(vec![0; bytes]));
            let stamp = Stamp { mono_us: seq, unix_us: 100 * seq };
            ring.push(Entry { seq, offset: seq * bytes as u64, epoch: Epoch(1), stamp, body });
        }
        ring
    }

    #[test]
    fn is_bounded_and_says_what_is_older() {
        let ring = filled(1000, 4096);
        assert!(ring.bytes <= RING_BYTES_MAX);
        let RingAnswer::Older { seq, offset } = ring.after(0, 0) else { panic!("it cannot have all") };
        assert_eq!(offset, seq * 4096);
        let RingAnswer::Entries(entries) = ring.after(seq, 0) else { panic!("it has its first") };
        assert_eq!(entries[0].seq, seq);
        assert_eq!(ring.after(1000, 0), RingAnswer::Entries(Vec::new()));
        assert_eq!(ring.find(LogFrom::Offset(5)), None);
        assert_eq!(ring.find(LogFrom::Start), None);
        assert_eq!(ring.find(LogFrom::Offset(999 * 4096 + 1)), Some(999));
    }

    #[test]
    fn finds_places() {
        let mut ring = filled(10, 10);
        let mark = Body::EpochBegan(EpochCause::Reset);
        let stamp = Stamp { mono_us: 10, unix_us: 1000 };
        ring.push(Entry { seq: 10, offset: 100, epoch: Epoch(2), stamp, body: mark });
        assert_eq!(ring.find(LogFrom::Start), Some(0));
        assert_eq!(ring.find(LogFrom::Now), Some(11));
        assert_eq!(ring.find(LogFrom::Offset(15)), Some(1));
        assert_eq!(ring.find(LogFrom::Offset(20)), Some(2));
        assert_eq!(ring.find(LogFrom::Offset(100)), Some(10));
        assert_eq!(ring.find(LogFrom::Offset(101)), Some(11));
        assert_eq!(ring.find(LogFrom::Epoch(Epoch(2))), Some(10));
        assert_eq!(ring.find(LogFrom::Epoch(Epoch(1))), None);
        assert_eq!(ring.find(LogFrom::Time(401)), Some(5));
    }
}
