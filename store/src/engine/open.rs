//! Opening: what is there, what went back, what is damaged. All of it is mended and reported; nothing is wiped.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

use super::{Engine, Known, aside_key, head_key, head_value, is_callers, read_head};
use crate::{
    DamagedRecord, OpenError, OpenReport, RecordKey, Seq, WentBack,
    backend::{Atomicity, Backend, Fault, Scan, Write},
    envelope::{self, DecodeError},
    key::{KIND_ASIDE, KIND_MAX},
    marks::{HEADER_BYTES, Mark, Parsed},
    sticky,
};

impl<B: Backend> Engine<B> {
    /// Opens what `backend` holds. `swept` is what it has already cleared away.
    pub(crate) fn open(mut backend: B, swept: Vec<PathBuf>) -> Result<(Self, OpenReport), OpenError> {
        let mut report = OpenReport { swept, ..OpenReport::default() };
        let scan = read_table(&mut backend, &mut report)?;
        let mut engine = Self {
            backend,
            store_id: 0,
            next_seq: 1,
            records: HashMap::new(),
            marks: HashMap::new(),
            marks_live: 0,
            marks_end: HEADER_BYTES,
            marks_len: 0,
            too_new: HashMap::new(),
            damaged: HashSet::new(),
            poisoned: None,
        };
        let mut writes = Vec::new();
        let table_head = engine.take_in(scan, &mut writes, &mut report);
        let used = table_head.is_some_and(|(_, seq)| seq > 0)
            || !(engine.records.is_empty() && engine.damaged.is_empty() && engine.too_new.is_empty())
            || !report.lost.is_empty();
        let marks = engine.judge_marks(table_head, used, &mut report)?;
        engine.put_back(&marks.newest, &mut writes, &mut report);
        engine.next_seq = 1 + engine.highest_seq(&marks.newest, table_head, marks.head_seq);
        engine.write_down(writes, marks, table_head.is_none(), &report)?;
        report.records = engine.records.len();
        report.next_seq = Seq(engine.next_seq);
        report.too_new = engine.too_new.keys().map(|whole| RecordKey::from_full(whole)).collect();
        report.too_new.sort();
        Ok((engine, report))
    }

    /// Sorts what the table holds. Answers its head: which store, and its last durable write.
    fn take_in(
        &mut self,
        scan: Scan,
        writes: &mut Vec<Write>,
        report: &mut OpenReport,
    ) -> Option<(u64, u64)> {
        let mut head = None;
        for (whole, value) in scan.entries {
            let value = value.unwrap_or_default();
            let key = RecordKey::from_full(&whole);
            if key.kind == KIND_ASIDE {
                self.damaged.insert(key.key);
            } else if whole == head_key() {
                head = read_head(&value);
            } else if key.kind <= KIND_MAX {
                match envelope::decode(&whole, &value) {
                    Ok(record) => {
                        let known = Known { seq: record.seq, incarnation: record.incarnation };
                        self.records.insert(whole, known);
                    }
                    Err(DecodeError::TooNew { found, .. }) => {
                        self.too_new.insert(whole, found);
                    }
                    Err(why) => {
                        report.damaged.push(DamagedRecord { key, why: why.to_string(), restored: false });
                        writes.push(Write { key: aside_key(&whole), value: Some(value) });
                        writes.push(Write { key: whole.clone(), value: None });
                        self.damaged.insert(whole);
                    }
                }
            }
        }
        head
    }

    /// Which marks count, and what is wrong with their file.
    fn judge_marks(
        &mut self,
        table_head: Option<(u64, u64)>,
        used: bool,
        report: &mut OpenReport,
    ) -> Result<Judged, OpenError> {
        let parsed = self.read_marks()?;
        if let Some(found) = parsed.as_ref().and_then(|parsed| parsed.too_new) {
            let path = self.backend.marks_path().to_owned();
            return Err(OpenError::TooNew { path, found, supported: crate::marks::FORMAT });
        }
        let table_id = table_head.map(|(id, _)| id);
        let marks_id = parsed.as_ref().and_then(|parsed| parsed.store_id);
        self.store_id = table_id.or(marks_id).unwrap_or_else(|| self.backend.fresh_id());
        let foreign = marks_id.is_some_and(|id| id != self.store_id);
        let Some(parsed) = parsed.filter(|_| !foreign) else {
            report.marks_missing |= used;
            if foreign {
                report.set_aside.push(self.backend.marks_set_aside()?);
            }
            return Ok(Judged { rewrite: true, ..Judged::default() });
        };
        if parsed.damaged {
            report.marks_damaged = true;
            report.set_aside.push(self.backend.marks_set_aside()?);
        }
        report.marks_torn = parsed.torn;
        let Parsed { head, newest, end, len, damaged, torn, .. } = parsed;
        let found = table_head.map_or(0, |(_, seq)| seq);
        if let Some(head) = head.filter(|head| head.seq > found) {
            report.went_back = Some(WentBack { found: Seq(found), expected: Seq(head.seq) });
        }
        (self.marks_end, self.marks_len) = (end, len);
        newest.values().for_each(|mark| self.know_mark(mark));
        let head_seq = head.map_or(0, |head| head.seq);
        Ok(Judged { newest, head_seq, rewrite: damaged || torn.is_some() })
    }

    /// Where a mark is ahead of the table, the mark wins; its subject alone is named.
    fn put_back(
        &mut self,
        newest: &BTreeMap<Vec<u8>, Mark>,
        writes: &mut Vec<Write>,
        report: &mut OpenReport,
    ) {
        for mark in newest.values().filter(|mark| !self.too_new.contains_key(&mark.key)) {
            if self.records.get(&mark.key).map_or(0, |known| known.seq) >= mark.seq {
                continue;
            }
            if mark.gone {
                if self.records.remove(&mark.key).is_some() {
                    writes.push(Write { key: mark.key.clone(), value: None });
                }
                continue;
            }
            let Ok(record) = envelope::decode(&mark.key, &mark.envelope) else { continue };
            self.records.insert(mark.key.clone(), Known { seq: record.seq, incarnation: record.incarnation });
            writes.push(Write { key: mark.key.clone(), value: Some(mark.envelope.clone()) });
            let key = RecordKey::from_full(&mark.key);
            report.damaged.iter_mut().filter(|d| d.key == key).for_each(|d| d.restored = true);
            if !report.rolled_back.contains(&key) {
                report.rolled_back.push(key);
            }
        }
    }

    fn highest_seq(
        &self,
        newest: &BTreeMap<Vec<u8>, Mark>,
        table_head: Option<(u64, u64)>,
        marks_head: u64,
    ) -> u64 {
        let records = self.records.values().map(|known| known.seq).max().unwrap_or(0);
        let marks = newest.values().map(|mark| mark.seq).max().unwrap_or(0);
        records.max(marks).max(marks_head).max(table_head.map_or(0, |(_, seq)| seq))
    }

    /// The report first, with what was put back; then the marks. Cut anywhere between, the next opening says the same.
    fn write_down(
        &mut self,
        mut writes: Vec<Write>,
        marks: Judged,
        new: bool,
        report: &OpenReport,
    ) -> Result<(), OpenError> {
        if writes.is_empty() && !marks.rewrite && !new && report.is_clean() {
            return Ok(());
        }
        let head_seq = self.next_seq - 1;
        if !report.is_clean() {
            writes.push(Write { key: sticky::key(), value: Some(sticky::encode(report)) });
        }
        writes.push(Write { key: head_key(), value: Some(head_value(self.store_id, head_seq)) });
        self.backend.table_apply(writes, Atomicity::Whole)?;
        self.backend.table_sync()?;
        if marks.rewrite {
            self.rewrite_marks(marks.newest.into_values(), head_seq)?;
        }
        Ok(())
    }
}

/// The marks that count.
#[derive(Default)]
struct Judged {
    newest: BTreeMap<Vec<u8>, Mark>,
    head_seq: u64,
    /// The file must be written anew.
    rewrite: bool,
}

/// The whole table, with what an earlier opening reported. Where parts cannot be read it is built anew from the rest,
/// and the old one is kept: a damaged page would refuse writes as well.
fn read_table<B: Backend>(backend: &mut B, report: &mut OpenReport) -> Result<Scan, Fault> {
    let mut scan = backend.table_scan(&[])?;
    let (earlier, entries): (Vec<_>, Vec<_>) =
        std::mem::take(&mut scan.entries).into_iter().partition(|(key, _)| *key == sticky::key());
    scan.entries = entries;
    for (_, value) in earlier {
        sticky::merge(&value.unwrap_or_default(), report);
    }
    let unreadable: Vec<Vec<u8>> =
        scan.entries.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
    if scan.lost.is_empty() && unreadable.is_empty() {
        return Ok(scan);
    }
    report.lost.append(&mut scan.lost);
    scan.entries.retain(|(_, value)| value.is_some());
    for whole in unreadable.into_iter().filter(|whole| is_callers(whole)) {
        // Its key stays known as damaged; its bytes are in the old table.
        scan.entries.push((aside_key(&whole), Some(Vec::new())));
        let key = RecordKey::from_full(&whole);
        report.damaged.push(DamagedRecord { key, why: "it cannot be read".to_owned(), restored: false });
    }
    let mut entries: Vec<Write> =
        scan.entries.iter().map(|(key, value)| Write { key: key.clone(), value: value.clone() }).collect();
    entries.push(Write { key: sticky::key(), value: Some(sticky::encode(report)) });
    report.set_aside.push(backend.table_rebuild(entries)?);
    Ok(scan)
}
