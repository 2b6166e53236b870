//! The store without its thread: what is known, what is asked, what is refused. The same over a folder and memory.
//!
//! `open` finds out what is there and mends it; `commit` writes in groups; `marks` appends and compacts; `walk` reads
//! everything.

mod commit;
mod marks;
mod open;
mod walk;

use std::collections::{HashMap, HashSet};

pub(crate) use commit::Change;
pub(crate) use marks::marks_file;

use crate::{
    Listed, RecordKey, Seq, StoreError, Stored,
    backend::{Atomicity, Backend, Fault, Write},
    envelope,
    key::{KIND_ASIDE, KIND_MAX, KIND_OWN, full},
    sticky,
};

/// What is remembered of a record without reading it: enough to fence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) seq: u64,
    pub(crate) incarnation: u64,
}

/// What is remembered of a key's newest mark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MarkKnown {
    pub(crate) gone: bool,
    pub(crate) bytes: u64,
}

/// A store that is open.
#[derive(Debug)]
pub(crate) struct Engine<B> {
    backend: B,
    store_id: u64,
    next_seq: u64,
    records: HashMap<Vec<u8>, Known>,
    marks: HashMap<Vec<u8>, MarkKnown>,
    /// What the newest marks take in the file, in bytes.
    marks_live: u64,
    /// Where the next mark goes, and how far zeros are written ahead.
    marks_end: u64,
    marks_len: u64,
    /// Records of a newer farmhand, and those of which only a damaged value is left.
    too_new: HashMap<Vec<u8>, u16>,
    damaged: HashSet<Vec<u8>>,
    /// Why it stopped, once it has.
    poisoned: Option<String>,
}

/// Where the table keeps how far it is.
fn head_key() -> Vec<u8> {
    full(KIND_OWN, b"head")
}

fn aside_key(key: &[u8]) -> Vec<u8> {
    full(KIND_ASIDE, key)
}

/// The head as a value of the table: which store, and its last durable write.
fn head_value(store_id: u64, seq: u64) -> Vec<u8> {
    let mut value = [store_id.to_le_bytes(), seq.to_le_bytes()].concat();
    let crc = crc32fast::hash(&value);
    value.extend_from_slice(&crc.to_le_bytes());
    value
}

/// The head as a write: for a table that is built without an engine.
pub(crate) fn head_write(store_id: u64, seq: u64) -> Write {
    Write { key: head_key(), value: Some(head_value(store_id, seq)) }
}

fn read_head(value: &[u8]) -> Option<(u64, u64)> {
    let sound =
        value.len() == 20 && crc32fast::hash(&value[..16]) == u32::from_le_bytes(envelope::array(value, 16));
    sound.then(|| {
        (u64::from_le_bytes(envelope::array(value, 0)), u64::from_le_bytes(envelope::array(value, 8)))
    })
}

impl<B: Backend> Engine<B> {
    /// What it stands on.
    pub(crate) fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Why it stopped, if it has.
    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    fn alive(&self) -> Result<(), StoreError> {
        match &self.poisoned {
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// From here on nothing is written or read: what is on the disk is not known.
    fn poison(&mut self, why: &StoreError) {
        tracing::error!(%why, "the store stops");
        self.poisoned.get_or_insert_with(|| why.to_string());
    }

    /// The record, if there is one.
    pub(crate) fn get(&mut self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        self.alive()?;
        let whole = key.full();
        match self.backend.table_get(&whole)? {
            Some(value) => stored(key, &whole, &value).map(Some),
            None if self.damaged.contains(&whole) => Err(StoreError::Damaged {
                key: key.clone(),
                why: "set aside when the store was opened".to_owned(),
            }),
            None => Ok(None),
        }
    }

    /// All records of a kind, in order of their keys. One that cannot be read is named in its place: none is left out
    /// silently, and none takes others with it.
    pub(crate) fn list(&mut self, kind: u16) -> Result<Vec<Listed>, StoreError> {
        self.alive()?;
        let scan = self.backend.table_scan(&kind.to_be_bytes())?;
        let read = |(whole, value): (Vec<u8>, Option<Vec<u8>>)| {
            let key = RecordKey::from_full(&whole);
            let damaged = |why: &str| StoreError::Damaged { key: key.clone(), why: why.to_owned() };
            let value = value.ok_or_else(|| damaged("its parts cannot be read"));
            let record = value.and_then(|value| stored(&key, &whole, &value));
            (key.key, record)
        };
        let mut list: Vec<_> = scan.entries.into_iter().map(read).collect();
        for lost in scan.lost {
            let key = lost.after.unwrap_or_else(|| RecordKey::new(kind, []));
            let why = "what follows it cannot be read".to_owned();
            list.push((key.key.clone(), Err(StoreError::Damaged { key, why })));
        }
        Ok(list)
    }

    /// The caller has durably acted on what the opening reported: it is not told again.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        let writes = vec![Write { key: sticky::key(), value: None }];
        let settled =
            self.backend.table_apply(writes, Atomicity::Prefix).and_then(|()| self.backend.table_sync());
        settled.map_err(|fault| {
            let why = fault.sync_failed();
            self.poison(&why);
            why
        })
    }

    /// Everything to the disk, and lets go.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        if self.poisoned.is_none() {
            self.backend.table_sync().map_err(Fault::sync_failed)?;
        }
        let result = self.alive();
        self.backend.close()?;
        result
    }

    /// Pulls the disk out as a crash would leave it; only memory can.
    pub(crate) fn into_disk(self) -> Option<crate::Disk> {
        self.backend.into_disk()
    }

    fn next(&mut self) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        Seq(seq)
    }
}

fn stored(key: &RecordKey, whole: &[u8], value: &[u8]) -> Result<Stored, StoreError> {
    let envelope = envelope::decode(whole, value).map_err(|why| StoreError::decode(key.clone(), why))?;
    Ok(Stored {
        version: envelope.version,
        incarnation: envelope.incarnation,
        seq: Seq(envelope.seq),
        body: envelope.body.to_vec(),
    })
}

/// A caller's record, not one of ours.
fn is_callers(whole: &[u8]) -> bool {
    RecordKey::from_full(whole).kind <= KIND_MAX
}
