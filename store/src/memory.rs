//! The twin in memory. Its disk outlives a crash, loses what it is told to lose and fails where it is told to fail;
//! it does the same every time.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use crate::{
    backend::{Atomicity, Backend, Fault, Scan, Write},
    key::{KIND_MAX, RecordKey},
};

/// How many groups of writes can be lost at a crash at most; more are never asked for.
const UNDO_GROUPS_MAX: usize = 64;

/// What a crash does to a [`Disk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crash {
    /// At least so many of the last written records are lost from the table: it comes back older, without an error.
    /// Groups are lost whole. The marks are kept.
    pub lose_records: usize,
    /// So many bytes are missing at the end of what was written to the marks.
    pub cut_marks_bytes: usize,
}

/// A disk in memory: what is on it, and what it will do.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    table: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What each group replaced, newest last, and how many callers' records it wrote.
    undo: VecDeque<(usize, Vec<Undo>)>,
    marks: Option<Vec<u8>>,
    aside: Vec<(PathBuf, Vec<u8>)>,
    syncs: u64,
    appends: u64,
    fail_sync_at: Option<u64>,
    full_at_append: Option<(u64, usize)>,
    full_at_apply: Option<u64>,
    applies: u64,
    room: Option<u64>,
}

/// A key, and what it had before.
type Undo = (Vec<u8>, Option<Vec<u8>>);

impl Disk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `k`-th sync from now (1 is the next) fails. Marks and table are counted together, in their order.
    pub fn fail_sync_at(&mut self, k: u64) {
        self.fail_sync_at = Some(self.syncs + k);
    }

    /// The `k`-th append to the marks from now finds the disk full, after `written` bytes of it.
    pub fn full_at_append(&mut self, k: u64, written: usize) {
        self.full_at_append = Some((self.appends + k, written));
    }

    /// The `k`-th group from now does not fit into the table.
    pub fn full_at_apply(&mut self, k: u64) {
        self.full_at_apply = Some(self.applies + k);
    }

    /// How much room it says to have, in bytes; without one it is endless.
    pub fn set_room(&mut self, bytes: Option<u64>) {
        self.room = bytes;
    }

    /// Nothing more fails than what has failed.
    pub fn heal(&mut self) {
        (self.fail_sync_at, self.full_at_append, self.full_at_apply, self.room) = (None, None, None, None);
    }

    /// How many syncs there were.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// The machine crashes.
    pub fn crash(&mut self, crash: Crash) {
        let mut lost = 0;
        while lost < crash.lose_records {
            let Some((records, undo)) = self.undo.pop_back() else { break };
            lost += records;
            for (key, before) in undo.into_iter().rev() {
                match before {
                    Some(value) => self.table.insert(key, value),
                    None => self.table.remove(&key),
                };
            }
        }
        if let Some(marks) = self.marks.as_mut().filter(|_| crash.cut_marks_bytes > 0) {
            let end = marks.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            marks.truncate(end.saturating_sub(crash.cut_marks_bytes));
        }
    }

    /// The marks file is gone.
    pub fn remove_marks(&mut self) {
        self.marks = None;
    }

    /// One bit of a record's value in the table flips. Answers whether there is such a record.
    pub fn flip_record_bit(&mut self, key: &RecordKey, byte: usize, bit: u8) -> bool {
        flip(self.table.get_mut(&key.full()), byte, bit)
    }

    /// One bit of the marks flips. Answers whether there is such a byte.
    pub fn flip_marks_bit(&mut self, byte: usize, bit: u8) -> bool {
        flip(self.marks.as_mut(), byte, bit)
    }

    fn append(&mut self, at: u64, bytes: &[u8]) {
        let marks = self.marks.get_or_insert_default();
        let at = at as usize;
        marks.resize(marks.len().max(at + bytes.len()), 0);
        marks[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn sync(&mut self, path: &Path) -> Result<(), Fault> {
        self.syncs += 1;
        if self.fail_sync_at == Some(self.syncs) {
            return Err(Fault::Io { what: "sync", path: path.to_owned(), detail: "injected".to_owned() });
        }
        Ok(())
    }
}

fn flip(bytes: Option<&mut Vec<u8>>, byte: usize, bit: u8) -> bool {
    let byte = bytes.and_then(|bytes| bytes.get_mut(byte));
    byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
}

/// The backend over a [`Disk`].
#[derive(Debug)]
pub(crate) struct Memory {
    disk: Disk,
    table_path: PathBuf,
    marks_path: PathBuf,
}

impl Memory {
    pub(crate) fn new(disk: Disk) -> Self {
        Self { disk, table_path: PathBuf::from("memory/db"), marks_path: PathBuf::from("memory/marks") }
    }

    pub(crate) fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }
}

impl Backend for Memory {
    fn marks_step(&self) -> u64 {
        // Small, so that compaction happens in every longer test.
        4096
    }

    fn fresh_id(&mut self) -> u64 {
        1
    }

    fn table_get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.disk.table.get(key).cloned())
    }

    fn table_scan(&mut self, prefix: &[u8]) -> Result<Scan, Fault> {
        let range = self.disk.table.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(Scan { entries: range.map(|(k, v)| (k.clone(), Some(v.clone()))).collect(), lost: vec![] })
    }

    fn table_apply(&mut self, writes: Vec<Write>, _: Atomicity) -> Result<(), Fault> {
        self.disk.applies += 1;
        if self.disk.full_at_apply == Some(self.disk.applies) {
            return Err(Fault::Full { path: self.table_path.clone() });
        }
        let records = writes.iter().filter(|w| RecordKey::from_full(&w.key).kind <= KIND_MAX).count();
        let mut undo = Vec::with_capacity(writes.len());
        for Write { key, value } in writes {
            let before = match value {
                Some(value) => self.disk.table.insert(key.clone(), value),
                None => self.disk.table.remove(&key),
            };
            undo.push((key, before));
        }
        self.disk.undo.push_back((records, undo));
        if self.disk.undo.len() > UNDO_GROUPS_MAX {
            self.disk.undo.pop_front();
        }
        Ok(())
    }

    fn table_sync(&mut self) -> Result<(), Fault> {
        self.disk.sync(&self.table_path)
    }

    fn table_rebuild(&mut self, entries: Vec<Write>) -> Result<PathBuf, Fault> {
        self.disk.table = entries.into_iter().filter_map(|w| Some((w.key, w.value?))).collect();
        self.disk.undo.clear();
        Ok(PathBuf::from("memory/db.damaged"))
    }

    fn marks_read(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.disk.marks.clone())
    }

    fn marks_write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        // What is rewritten in place takes no room.
        if at >= crate::marks::HEADER_BYTES {
            self.disk.appends += 1;
            if let Some((_, written)) = self.disk.full_at_append.filter(|(k, _)| *k == self.disk.appends) {
                self.disk.append(at, &bytes[..written.min(bytes.len())]);
                return Err(Fault::Full { path: self.marks_path.clone() });
            }
        }
        self.disk.append(at, bytes);
        Ok(())
    }

    fn marks_truncate(&mut self, len: u64) -> Result<(), Fault> {
        if let Some(marks) = &mut self.disk.marks {
            marks.truncate(len as usize);
        }
        Ok(())
    }

    fn marks_sync(&mut self) -> Result<(), Fault> {
        self.disk.sync(&self.marks_path)
    }

    fn marks_replace(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.disk.sync(&self.marks_path)?;
        self.disk.marks = Some(bytes.to_vec());
        Ok(())
    }

    fn marks_set_aside(&mut self) -> Result<PathBuf, Fault> {
        let path = PathBuf::from(format!("memory/marks.damaged.{}", self.disk.aside.len() + 1));
        self.disk.aside.push((path.clone(), self.disk.marks.clone().unwrap_or_default()));
        Ok(path)
    }

    fn room(&mut self) -> Result<u64, Fault> {
        Ok(self.disk.room.unwrap_or(u64::MAX))
    }

    fn table_path(&self) -> &Path {
        &self.table_path
    }

    fn marks_path(&self) -> &Path {
        &self.marks_path
    }

    fn close(self) -> Result<(), Fault> {
        Ok(())
    }

    fn into_disk(self) -> Option<Disk> {
        Some(self.disk)
    }
}
