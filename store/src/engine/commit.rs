//! Writing, in groups. The order is the promise: marks and their sync, then the table, then its sync, then the answers.

use std::collections::HashMap;

use super::{Engine, Known, aside_key, head_key, head_value};
use crate::{
    BODY_BYTES_MAX, Durability, GROUP_RECORDS_MAX, KEY_BYTES_MAX, KIND_MAX, Put, RecordKey, Seq, StoreError,
    backend::{Atomicity, Backend, Fault, Write},
    envelope::{self, Envelope},
    marks::Mark,
};

/// Below this much room on the disk nothing is put, in bytes: the database cannot be written half, it would have to
/// stop. Several of its segments (512 KiB each) and one compaction of the marks fit.
const ROOM_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// One caller's change; all of it or nothing.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Vec<Put>),
    Remove(RecordKey, Durability),
}

/// A change that was accepted, ready to be written.
struct Staged {
    /// Which of the group it is.
    index: usize,
    seq: Seq,
    durability: Durability,
    writes: Vec<Write>,
    marks: Vec<Mark>,
    /// What will be known of each key when it is applied.
    known: Vec<(Vec<u8>, Option<Known>)>,
}

impl<B: Backend> Engine<B> {
    /// Carries out a group. Each change is answered once, by its index: as soon as what it waits for is done.
    pub(crate) fn commit(
        &mut self,
        group: Vec<Change>,
        mut answer: impl FnMut(usize, Result<Seq, StoreError>),
    ) {
        let mut staged = Vec::with_capacity(group.len());
        let room = self.room_for(&group);
        let mut overlay = HashMap::new();
        for (index, change) in group.into_iter().enumerate() {
            let is_put = matches!(change, Change::Put(_));
            let accepted = self.alive().and_then(|()| match (&room, is_put) {
                (Err(full), true) => Err(full.clone()),
                _ => self.stage(index, change, &mut overlay),
            });
            match accepted {
                Ok(Some(change)) => staged.push(change),
                Ok(None) => answer(index, Ok(Seq(self.next_seq - 1))),
                Err(why) => answer(index, Err(why)),
            }
        }
        self.write_marks(&mut staged, &mut answer);
        if staged.is_empty() {
            return;
        }
        let durable = staged.iter().map(|s| s.durability).max() > Some(Durability::Progress);
        if let Err(fault) = self.apply(&mut staged, durable) {
            let why = fault.into();
            self.poison(&why);
            staged.iter().for_each(|s| answer(s.index, Err(why.clone())));
            return;
        }
        for change in staged.iter().filter(|s| s.durability == Durability::Progress) {
            answer(change.index, Ok(change.seq));
        }
        if !durable {
            return;
        }
        let synced = self.sync_table();
        for change in staged.iter().filter(|s| s.durability > Durability::Progress) {
            answer(change.index, synced.clone().map(|()| change.seq));
        }
    }

    /// A full disk is noticed before anything is written. Where the room cannot be told, the writes themselves tell.
    fn room_for(&mut self, group: &[Change]) -> Result<(), StoreError> {
        if !group.iter().any(|change| matches!(change, Change::Put(_))) || self.poisoned.is_some() {
            return Ok(());
        }
        match self.backend.room() {
            Ok(room) if room < ROOM_BYTES_MIN => {
                Err(StoreError::Full { path: self.backend.table_path().to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Checks a change and numbers its records. Nothing where there is nothing to do.
    fn stage(
        &mut self,
        index: usize,
        change: Change,
        overlay: &mut HashMap<Vec<u8>, Option<Known>>,
    ) -> Result<Option<Staged>, StoreError> {
        let staged = match change {
            Change::Put(puts) => self.stage_put(index, puts, overlay)?,
            Change::Remove(key, durability) => self.stage_remove(index, &key, durability, overlay)?,
        };
        if let Some(staged) = &staged {
            overlay.extend(staged.known.iter().cloned());
        }
        Ok(staged)
    }

    fn stage_put(
        &mut self,
        index: usize,
        puts: Vec<Put>,
        overlay: &HashMap<Vec<u8>, Option<Known>>,
    ) -> Result<Option<Staged>, StoreError> {
        limit("records of a group", puts.len(), GROUP_RECORDS_MAX)?;
        for put in &puts {
            self.check_put(put, overlay)?;
        }
        // The strongest holds for all: a group comes back whole, or not at all.
        let Some(durability) = puts.iter().map(|put| put.durability).max() else { return Ok(None) };
        let mut staged =
            Staged { index, seq: Seq(0), durability, writes: vec![], marks: vec![], known: vec![] };
        for put in puts {
            let whole = put.record_key().full();
            staged.seq = self.next();
            let record = Envelope {
                kind: put.kind,
                version: put.version,
                incarnation: put.incarnation,
                seq: staged.seq.0,
                body: &put.body,
            };
            let value = envelope::encode(&whole, &record);
            if durability == Durability::Marked {
                let mark =
                    Mark { key: whole.clone(), seq: staged.seq.0, gone: false, envelope: value.clone() };
                staged.marks.push(mark);
            }
            if self.damaged.contains(&whole) {
                staged.writes.push(Write { key: aside_key(&whole), value: None });
            }
            let known = Known { seq: staged.seq.0, incarnation: put.incarnation };
            staged.known.push((whole.clone(), Some(known)));
            staged.writes.push(Write { key: whole, value: Some(value) });
        }
        Ok(Some(staged))
    }

    fn check_put(&self, put: &Put, overlay: &HashMap<Vec<u8>, Option<Known>>) -> Result<(), StoreError> {
        limit("bytes of a body", put.body.len(), BODY_BYTES_MAX)?;
        limit("bytes of a key", put.key.len(), KEY_BYTES_MAX)?;
        let key = put.record_key();
        let whole = key.full();
        self.check_key(&key, &whole)?;
        let known = overlay.get(&whole).copied().unwrap_or_else(|| self.records.get(&whole).copied());
        match known {
            Some(known) if known.incarnation > put.incarnation => {
                Err(StoreError::Stale { key, stored: known.incarnation, offered: put.incarnation })
            }
            _ => Ok(()),
        }
    }

    fn check_key(&self, key: &RecordKey, whole: &[u8]) -> Result<(), StoreError> {
        if key.kind > KIND_MAX {
            return Err(StoreError::ReservedKind { kind: key.kind });
        }
        match self.too_new.get(whole) {
            Some(found) => {
                Err(StoreError::TooNew { key: key.clone(), found: *found, supported: envelope::FORMAT })
            }
            None => Ok(()),
        }
    }

    fn stage_remove(
        &mut self,
        index: usize,
        key: &RecordKey,
        durability: Durability,
        overlay: &HashMap<Vec<u8>, Option<Known>>,
    ) -> Result<Option<Staged>, StoreError> {
        let whole = key.full();
        self.check_key(key, &whole)?;
        let damaged = self.damaged.contains(&whole);
        let known = overlay.get(&whole).copied().unwrap_or_else(|| self.records.get(&whole).copied());
        if known.is_none() && !damaged {
            return Ok(None);
        }
        // Its mark would bring it back: a marked record is removed in the marks first, whatever was asked. A mark of
        // this very group is not known yet, so a record that the group wrote counts as marked.
        let marked = overlay.contains_key(&whole) || self.marks.get(&whole).is_some_and(|mark| !mark.gone);
        let durability = if marked { Durability::Marked } else { durability };
        let seq = self.next();
        let mut writes = vec![Write { key: whole.clone(), value: None }];
        if damaged {
            writes.push(Write { key: aside_key(&whole), value: None });
        }
        let mut marks = vec![];
        if durability == Durability::Marked {
            let record = Envelope { kind: key.kind, version: 0, incarnation: 0, seq: seq.0, body: &[] };
            let envelope = envelope::encode(&whole, &record);
            marks.push(Mark { key: whole.clone(), seq: seq.0, gone: true, envelope });
        }
        Ok(Some(Staged { index, seq, durability, writes, marks, known: vec![(whole, None)] }))
    }

    /// The marks of the group are on the disk, or those that have some are out of the group.
    fn write_marks(
        &mut self,
        staged: &mut Vec<Staged>,
        answer: &mut impl FnMut(usize, Result<Seq, StoreError>),
    ) {
        let marks: Vec<Mark> = staged.iter_mut().flat_map(|s| s.marks.drain(..)).collect();
        if marks.is_empty() {
            return;
        }
        if let Err(why) = self.append_marks(&marks) {
            let all = self.poisoned.is_some();
            staged.retain(|s| {
                let out = all || s.durability == Durability::Marked;
                if out {
                    answer(s.index, Err(why.clone()));
                }
                !out
            });
        }
    }

    /// Visible, not yet durable.
    fn apply(&mut self, staged: &mut [Staged], durable: bool) -> Result<(), Fault> {
        // Each caller's change is whole; that they ride together promises nothing. The head comes last: where it is
        // found, all before it is.
        let single = staged.iter().all(|s| s.writes.len() == 1);
        let atomicity = if single { Atomicity::Prefix } else { Atomicity::Whole };
        let mut writes: Vec<Write> = staged.iter_mut().flat_map(|s| s.writes.drain(..)).collect();
        if durable {
            let head = head_value(self.store_id, self.next_seq - 1);
            writes.push(Write { key: head_key(), value: Some(head) });
        }
        self.backend.table_apply(writes, atomicity)?;
        for (key, known) in staged.iter_mut().flat_map(|s| s.known.drain(..)) {
            self.damaged.remove(&key);
            match known {
                Some(known) => self.records.insert(key, known),
                None => self.records.remove(&key),
            };
        }
        Ok(())
    }

    /// A failed sync is never tried again: what of it reached the disk cannot be known.
    fn sync_table(&mut self) -> Result<(), StoreError> {
        let synced = self.backend.table_sync().map_err(Fault::sync_failed);
        match &synced {
            Ok(()) => self.note_head(),
            Err(why) => self.poison(why),
        }
        synced
    }
}

fn limit(what: &'static str, found: usize, max: usize) -> Result<(), StoreError> {
    if found > max { Err(StoreError::TooLarge { what, found, max }) } else { Ok(()) }
}
