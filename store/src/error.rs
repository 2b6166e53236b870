//! Everything that can go wrong, by name.

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

use crate::{RecordKey, envelope::DecodeError, holder::Holding};

/// Why a question to the store was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue is full. Nothing was written; asking again is safe.
    #[error("the store is busy: {waiting} requests wait")]
    Busy {
        /// How many wait already.
        waiting: usize,
    },
    /// The store's thread has ended. A write that was under way may or may not be found at the next opening.
    #[error("the store has ended")]
    Exited,
    /// No answer in time. Proves nothing: the write may still be carried out.
    #[error("the store did not answer within {} s", .after.as_secs())]
    NoAnswer {
        /// How long was waited.
        after: Duration,
    },
    /// Written by an actor that has a successor. Nothing was written.
    #[error("{key}: incarnation {offered} is older than the stored record's {stored}")]
    Stale {
        /// Which record.
        key: RecordKey,
        /// Whose record is there.
        stored: u64,
        /// Who tried to write.
        offered: u64,
    },
    /// Something is over its limit. Nothing was written.
    #[error("{what} of {found} is over the limit of {max}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// The most it may be.
        max: usize,
    },
    /// The kind belongs to the store itself. Nothing was written.
    #[error("kind {kind} is the store's own")]
    ReservedKind {
        /// The kind that was asked for.
        kind: u16,
    },
    /// The disk is full. Nothing was written and nothing is lost; reads go on, and writes once there is room.
    #[error("disk full at {}", .path.display())]
    Full {
        /// What could not grow.
        path: PathBuf,
    },
    /// A sync failed: what is on the disk is not known. It is never tried again; the store has stopped.
    #[error("sync of {} failed: {detail}", .path.display())]
    SyncFailed {
        /// What could not be synced.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The store stopped at an earlier failure. Nothing was written.
    #[error("the store has stopped: {reason}")]
    Poisoned {
        /// The failure it stopped at.
        reason: String,
    },
    /// The record is there, and damaged. It is kept aside until it is written anew or removed.
    #[error("{key} is damaged: {why}")]
    Damaged {
        /// Which record.
        key: RecordKey,
        /// What is wrong with it.
        why: String,
    },
    /// The record was written by a newer farmhand.
    #[error("{key} has format {found}, newer than {supported}")]
    TooNew {
        /// Which record.
        key: RecordKey,
        /// Its format.
        found: u16,
        /// The newest we read.
        supported: u16,
    },
    /// Any other refusal of the system, by name.
    #[error("{what} {}: {detail}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

impl StoreError {
    pub(crate) fn decode(key: RecordKey, why: DecodeError) -> Self {
        match why {
            DecodeError::TooNew { found, supported } => Self::TooNew { key, found, supported },
            why => Self::Damaged { key, why: why.to_string() },
        }
    }
}

/// Why a store could not be opened. Nothing is ever wiped to make it open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("store {} is held by {}", .path.display(), .holder.as_ref().map_or_else(|| "another process".to_owned(), Holding::to_string))]
    Held {
        /// The store's folder.
        path: PathBuf,
        /// Who has it, where that can be told.
        holder: Option<Holding>,
    },
    /// The database does not open. `farmhand store check` says more; `farmhand store restore` keeps it aside and
    /// builds a new one from what can still be read.
    #[error("database {} does not open: {detail}; run `farmhand store check`, then `farmhand store restore`", .path.display())]
    Unreadable {
        /// The database's folder.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// The high-water mark was written by a newer farmhand.
    #[error("{} has format {found}, newer than {supported}: use the farmhand that wrote it", .path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The newest we read.
        supported: u16,
    },
    /// The disk is full.
    #[error("disk full at {}", .path.display())]
    Full {
        /// What could not grow.
        path: PathBuf,
    },
    /// Any other refusal of the system, by name.
    #[error("{what} {}: {detail}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// It did not open in time; it may still be opening.
    #[error("store {} did not open within {} s", .path.display(), .after.as_secs())]
    NoAnswer {
        /// The store's folder.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
}

/// Why an export could not be taken in. The target folder is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is something in the target folder.
    #[error("{} is in use: import needs an empty folder", .path.display())]
    Used {
        /// The target.
        path: PathBuf,
    },
    /// The file is not an export of ours.
    #[error("{} is not a farmhand store export", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer farmhand.
    #[error("{} has format {found}, newer than {supported}", .path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The newest we read.
        supported: u16,
    },
    /// A line does not say what it should.
    #[error("{}:{line}: {why}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The last line is missing, or counts more lines than there are: the file was cut.
    #[error("{} is cut: it ends after {found} lines without its count", .path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// How many lines of records there are.
        found: usize,
    },
    /// The new store could not be built.
    #[error(transparent)]
    Open(#[from] OpenError),
}
