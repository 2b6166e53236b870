//! Appending to the high-water mark, and keeping it short.

use super::{Engine, MarkKnown};
use crate::{
    StoreError,
    backend::{Backend, Fault},
    marks::{HEADER_BYTES, Head, Mark, Parsed, SLOT_AT, encode_group, encode_header, encode_slot, parse},
};

/// How many removals are remembered through a compaction: a table that went back must not bring a removed record to
/// life again. The newest stay.
const GONE_KEPT_MAX: usize = 1024;

impl<B: Backend> Engine<B> {
    /// One group of marks, on the disk. On `Full` the file is as it was and the store goes on; on anything else it
    /// stops.
    pub(super) fn append_marks(&mut self, marks: &[Mark]) -> Result<(), StoreError> {
        let size: u64 = marks.iter().map(|mark| mark.size() as u64).sum();
        let done = self.make_space(size).and_then(|()| {
            let bytes = encode_group(self.marks_end, marks);
            self.backend.marks_write(self.marks_end, &bytes)
        });
        match done {
            Ok(()) => {}
            Err(Fault::Full { path }) => {
                self.cut_tail()?;
                return Err(StoreError::Full { path });
            }
            Err(fault) => return Err(self.stop(fault)),
        }
        self.backend.marks_sync().map_err(|fault| self.stop(fault))?;
        self.marks_end += size;
        for mark in marks {
            self.know_mark(mark);
        }
        Ok(())
    }

    fn stop(&mut self, fault: Fault) -> StoreError {
        let why = fault.sync_failed();
        self.poison(&why);
        why
    }

    /// Zeros are written ahead up to where the group will end, or the file is compacted.
    fn make_space(&mut self, size: u64) -> Result<(), Fault> {
        let step = self.backend.marks_step();
        let live = self.marks_live;
        if self.marks_end + size > step.max(2 * live) + HEADER_BYTES && self.marks_end > HEADER_BYTES + live {
            match self.compact() {
                // There may still be room in the old file.
                Ok(()) | Err(Fault::Full { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        let needed = self.marks_end + size;
        if needed > self.marks_len {
            let ahead = needed + step;
            self.backend.marks_write(self.marks_len, &vec![0; (ahead - self.marks_len) as usize])?;
            self.marks_len = ahead;
        }
        Ok(())
    }

    /// A half-written group must not be found whole at the next opening: its writer was told that it was not written.
    fn cut_tail(&mut self) -> Result<(), StoreError> {
        let end = self.marks_end;
        let cut = self.backend.marks_truncate(end).and_then(|()| self.backend.marks_sync());
        self.marks_len = end;
        cut.map_err(|fault| self.stop(fault))
    }

    /// The newest mark of each key in a new file. Where it fails, the old file is as it was.
    fn compact(&mut self) -> Result<(), Fault> {
        let path = self.backend.marks_path().to_owned();
        let rotten =
            |detail: &str| Fault::Io { what: "compact", path: path.clone(), detail: detail.to_owned() };
        let file = self.backend.marks_read()?.ok_or_else(|| rotten("the file is gone"))?;
        let parsed = parse(&file);
        if parsed.damaged {
            return Err(rotten("the file was damaged while it was open"));
        }
        self.rewrite_marks(parsed.newest.into_values(), parsed.head.map_or(0, |head| head.seq))
    }

    /// A new file of these marks, with zeros ahead.
    pub(super) fn rewrite_marks(
        &mut self,
        newest: impl Iterator<Item = Mark>,
        head_seq: u64,
    ) -> Result<(), Fault> {
        let (file, end, kept) = marks_file(self.store_id, head_seq, newest, self.backend.marks_step());
        self.backend.marks_replace(&file)?;
        self.marks_end = end;
        self.marks_len = file.len() as u64;
        self.marks.clear();
        self.marks_live = 0;
        kept.iter().for_each(|mark| self.know_mark(mark));
        Ok(())
    }

    pub(super) fn know_mark(&mut self, mark: &Mark) {
        let known = MarkKnown { gone: mark.gone, bytes: mark.size() as u64 };
        let before = self.marks.insert(mark.key.clone(), known);
        self.marks_live += known.bytes;
        self.marks_live -= before.map_or(0, |before| before.bytes);
    }

    /// What is on the disk now, written where the next opening looks. It is not synced: an older one only notices less.
    pub(super) fn note_head(&mut self) {
        let head = Head { seq: self.next_seq - 1, end: self.marks_end };
        if let Err(why) = self.backend.marks_write(SLOT_AT, &encode_slot(head)) {
            tracing::warn!(%why, "the head of the marks was not noted");
        }
    }

    pub(super) fn read_marks(&mut self) -> Result<Option<Parsed>, Fault> {
        Ok(self.backend.marks_read()?.map(|file| parse(&file)))
    }
}

/// A whole file of the newest marks, where its records end, and what is in it.
pub(crate) fn marks_file(
    store_id: u64,
    head_seq: u64,
    newest: impl Iterator<Item = Mark>,
    ahead: u64,
) -> (Vec<u8>, u64, Vec<Mark>) {
    let (mut gone, mut kept): (Vec<Mark>, Vec<Mark>) = newest.partition(|mark| mark.gone);
    gone.sort_by_key(|mark| std::cmp::Reverse(mark.seq));
    kept.extend(gone.into_iter().take(GONE_KEPT_MAX));
    kept.sort_by_key(|mark| mark.seq);
    let mut records = Vec::new();
    for mark in &kept {
        records.extend(encode_group(HEADER_BYTES + records.len() as u64, std::slice::from_ref(mark)));
    }
    let end = HEADER_BYTES + records.len() as u64;
    let mut file = encode_header(store_id, Head { seq: head_seq, end });
    file.append(&mut records);
    file.resize((end + ahead) as usize, 0);
    (file, end, kept)
}
