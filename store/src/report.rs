//! What the store says about itself.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{RecordKey, Seq};

/// How a store was found at opening.
///
/// What a caller must act on (`rolled_back`, `marks_missing`, `marks_damaged`, `went_back`, `damaged`, `lost`) is
/// told again at every opening until the caller says [`crate::StoreHandle::settle`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// How many records there are.
    pub records: usize,
    /// The number of the next write.
    pub next_seq: Seq,
    /// The table had forgotten the newest marked write of these; it was put back. Only these are ambiguous.
    pub rolled_back: Vec<RecordKey>,
    /// No high-water mark beside a used table: every unfinished handoff is ambiguous.
    pub marks_missing: bool,
    /// The high-water mark was damaged before its end: every unfinished handoff is ambiguous.
    pub marks_damaged: bool,
    /// The last group of the high-water mark was torn and cut off, in bytes. Nobody had been answered.
    pub marks_torn: Option<u64>,
    /// The table is older than it was. What was marked has been put back; what was not may be older, too.
    pub went_back: Option<WentBack>,
    /// Damaged records, set aside.
    pub damaged: Vec<DamagedRecord>,
    /// Records of a newer farmhand, left where they are.
    pub too_new: Vec<RecordKey>,
    /// Parts of the table that could not be read at all.
    pub lost: Vec<LostRange>,
    /// The table had unreadable parts and was built anew; this is the old one.
    pub set_aside: Vec<PathBuf>,
    /// Leftovers of an interrupted write that were removed.
    pub swept: Vec<PathBuf>,
}

impl OpenReport {
    /// Nothing needs the caller's attention.
    pub fn is_clean(&self) -> bool {
        self.rolled_back.is_empty()
            && !self.marks_missing
            && !self.marks_damaged
            && self.went_back.is_none()
            && self.damaged.is_empty()
            && self.lost.is_empty()
    }
}

/// How far a table went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentBack {
    /// The last write the table knows.
    pub found: Seq,
    /// The last write that was known to be on the disk.
    pub expected: Seq,
}

/// A record whose bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Which one.
    pub key: RecordKey,
    /// What is wrong with it.
    pub why: String,
    /// Its high-water mark was put in its place; it is among the rolled back.
    pub restored: bool,
}

/// A part of the table that cannot be read: the records between two keys, neither included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The last that could be read before it.
    pub after: Option<RecordKey>,
    /// The first that could be read behind it.
    pub before: Option<RecordKey>,
}

/// What a walk over everything found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How many records are sound, by kind.
    pub records: BTreeMap<u16, usize>,
    /// Their bodies, in bytes.
    pub body_bytes: u64,
    /// How many records have a high-water mark.
    pub marks: usize,
    /// Damaged records, wherever they lie.
    pub damaged: Vec<DamagedRecord>,
    /// Records of a newer farmhand.
    pub too_new: Vec<RecordKey>,
    /// Records whose mark is ahead of the table.
    pub behind_marks: Vec<RecordKey>,
    /// The high-water mark is damaged.
    pub marks_damaged: bool,
    /// Parts of the table that cannot be read.
    pub lost: Vec<LostRange>,
    /// Damaged values kept aside.
    pub set_aside: usize,
}

impl CheckReport {
    /// Everything that was written can be read.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
            && self.behind_marks.is_empty()
            && !self.marks_damaged
            && self.lost.is_empty()
            && self.set_aside == 0
    }
}

/// What was written to an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Records.
    pub records: usize,
    /// High-water marks.
    pub marks: usize,
    /// Damaged values that were kept aside, and records of a newer farmhand.
    pub raw: usize,
}

/// What was taken in from an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Records.
    pub records: usize,
    /// High-water marks.
    pub marks: usize,
    /// Damaged values that were kept aside, and records of a newer farmhand.
    pub raw: usize,
}
