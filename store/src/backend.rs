//! What the engine stands on: a table, and a file of marks beside it. Two stand in: a folder and memory.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{Disk, OpenError, StoreError, key::RecordKey, report::LostRange};

/// A failure beneath the engine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    #[error("disk full at {}", .path.display())]
    Full { path: PathBuf },
    #[error("{what} {}: {detail}", .path.display())]
    Io { what: &'static str, path: PathBuf, detail: String },
}

impl Fault {
    /// A full disk is a full disk by whichever of its three names.
    pub(crate) fn io(what: &'static str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { path: path.to_owned() },
            _ => Self::Io { what, path: path.to_owned(), detail: error.to_string() },
        }
    }

    pub(crate) fn sync_failed(self) -> StoreError {
        match self {
            Self::Full { path } => StoreError::Full { path },
            Self::Io { path, detail, .. } => StoreError::SyncFailed { path, detail },
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full { path } => Self::Full { path },
            Fault::Io { what, path, detail } => Self::Io { what, path, detail },
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full { path } => Self::Full { path },
            Fault::Io { what, path, detail } => Self::Io { what, path, detail },
        }
    }
}

/// One change of the table: put, or remove where there is no value.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// The whole key: kind and key.
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a crash may leave of several writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Atomicity {
    /// All or nothing.
    Whole,
    /// The first of them, however many.
    Prefix,
}

/// What is in the table. A value that cannot be read is `None`; what is not even known by key is a lost range.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) lost: Vec<LostRange>,
}

impl Scan {
    /// The records between two keys are lost.
    pub(crate) fn lose(&mut self, after: Option<&[u8]>, before: Option<&[u8]>) {
        self.lost.push(LostRange {
            after: after.map(RecordKey::from_full),
            before: before.map(RecordKey::from_full),
        });
    }
}

/// A table of bytes that may roll back, and an append-only file that may not.
pub(crate) trait Backend: Send + Sized + 'static {
    /// The least that the marks file grows by, in bytes, and is compacted at.
    fn marks_step(&self) -> u64;
    /// A number that tells this store from another.
    fn fresh_id(&mut self) -> u64;

    fn table_get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// All entries whose key starts so, in order of their keys.
    fn table_scan(&mut self, prefix: &[u8]) -> Result<Scan, Fault>;
    /// In this order, and visible at once. Not yet durable. `Whole` is found whole or not at all after a crash.
    fn table_apply(&mut self, writes: Vec<Write>, atomicity: Atomicity) -> Result<(), Fault>;
    /// All that was applied is on the disk.
    fn table_sync(&mut self) -> Result<(), Fault>;
    /// Builds the table anew from what could be read, keeping the old one aside. Says where.
    fn table_rebuild(&mut self, entries: Vec<Write>) -> Result<PathBuf, Fault>;

    /// The whole marks file; nothing where there is none.
    fn marks_read(&mut self) -> Result<Option<Vec<u8>>, Fault>;
    fn marks_write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Fault>;
    fn marks_truncate(&mut self, len: u64) -> Result<(), Fault>;
    fn marks_sync(&mut self) -> Result<(), Fault>;
    /// A new file in place of the old one, atomically and durably.
    fn marks_replace(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// Keeps a copy of the file as it is now, to be looked at.
    fn marks_set_aside(&mut self) -> Result<PathBuf, Fault>;

    /// How much room there is on the disk, in bytes.
    fn room(&mut self) -> Result<u64, Fault>;
    /// Where the table lies, for messages.
    fn table_path(&self) -> &Path;
    fn marks_path(&self) -> &Path;
    /// Lets go of everything; after it, another may open.
    fn close(self) -> Result<(), Fault>;
    /// The disk of a memory store, pulled out as a crash would leave it.
    fn into_disk(self) -> Option<Disk> {
        None
    }
}
