//! Walking over everything: `check` and `export`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
};

use super::{Engine, is_callers};
use crate::{
    CheckReport, DamagedRecord, ExportReport, RecordKey, StoreError,
    backend::{Backend, Fault},
    envelope::{self, DecodeError},
    key::KIND_ASIDE,
    marks::Parsed,
    text::{self, Line},
};

impl<B: Backend> Engine<B> {
    /// Reads every record and every mark, and compares them.
    pub(crate) fn check(&mut self) -> Result<CheckReport, StoreError> {
        self.alive()?;
        let scan = self.backend.table_scan(&[])?;
        let marks = self.read_marks()?.unwrap_or_else(|| Parsed { damaged: true, ..Parsed::default() });
        let mut report = CheckReport {
            lost: scan.lost,
            marks: marks.newest.values().filter(|mark| !mark.gone).count(),
            marks_damaged: marks.damaged,
            ..CheckReport::default()
        };
        let mut behind = marks.newest;
        behind.retain(|_, mark| !mark.gone);
        for (whole, value) in scan.entries {
            let key = RecordKey::from_full(&whole);
            if key.kind == KIND_ASIDE {
                report.set_aside += 1;
            }
            if !is_callers(&whole) {
                continue;
            }
            let value = value.unwrap_or_default();
            match envelope::decode(&whole, &value) {
                Ok(record) => {
                    *report.records.entry(record.kind).or_default() += 1;
                    report.body_bytes += record.body.len() as u64;
                    if behind.get(&whole).is_some_and(|mark| mark.seq <= record.seq) {
                        behind.remove(&whole);
                    }
                }
                Err(DecodeError::TooNew { .. }) => {
                    behind.remove(&whole);
                    report.too_new.push(key);
                }
                Err(why) => {
                    report.damaged.push(DamagedRecord { key, why: why.to_string(), restored: false });
                }
            }
        }
        report.behind_marks = behind.keys().map(|whole| RecordKey::from_full(whole)).collect();
        Ok(report)
    }

    /// Everything as text, in a new file at `path`; what was there is replaced only when the new one is whole.
    pub(crate) fn export(&mut self, path: &Path) -> Result<ExportReport, StoreError> {
        self.alive()?;
        let mut report = ExportReport::default();
        let mut lines = Vec::new();
        for (key, value) in self.backend.table_scan(&[])?.entries {
            let value = value.unwrap_or_default();
            let sound = is_callers(&key) && envelope::decode(&key, &value).is_ok();
            if sound {
                report.records += 1;
                lines.push(Line::Record { key, value });
            } else if is_callers(&key) || RecordKey::from_full(&key).kind == KIND_ASIDE {
                report.raw += 1;
                lines.push(Line::Raw { key, value });
            }
        }
        for mark in self.read_marks()?.unwrap_or_default().newest.into_values() {
            report.marks += 1;
            lines.push(Line::Mark(mark));
        }
        write_lines(path, self.next_seq, &lines)?;
        Ok(report)
    }
}

fn write_lines(path: &Path, next_seq: u64, lines: &[Line]) -> Result<(), Fault> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let aside = Path::new(&aside);
    let write = || {
        let mut file = BufWriter::new(File::create(aside)?);
        writeln!(file, "{}", text::title(next_seq))?;
        for line in lines {
            writeln!(file, "{}", line.write())?;
        }
        writeln!(file, "{}", text::end(lines.len()))?;
        file.into_inner()?.sync_all()?;
        fs::rename(aside, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        // The half of it is of no use; that it could not be removed would say nothing new.
        let _ = fs::remove_file(aside);
        Fault::io("export to", path, &error)
    })
}
