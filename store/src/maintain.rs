//! What `farmhand store` does while no farm runs: import, check, and a new database from what can still be read.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    CheckReport, ImportError, ImportReport, OpenError, OpenReport, StoreHandle,
    backend::{Atomicity, Backend, Fault, Write},
    engine,
    folder::{Folder, free_name, salvage},
    marks::{Mark, parse},
    text::{self, Line, Title},
};

/// What is found in a store's folder.
#[derive(Debug)]
pub struct FolderCheck {
    /// The opening, or why it does not open.
    pub opened: Result<OpenReport, OpenError>,
    /// What a walk over everything found, where it opened.
    pub walked: Option<CheckReport>,
    /// How many records the marks alone could bring back.
    pub marks: usize,
}

/// Opens a store that no farm has open, reads everything in it and closes it again. Mends what an opening mends.
pub fn check_folder(root: &Path) -> Result<FolderCheck, crate::StoreError> {
    let marks = fs::read(root.join("marks")).map(|file| parse(&file)).unwrap_or_default();
    let marks = marks.newest.values().filter(|mark| !mark.gone).count();
    match StoreHandle::blocking_open(root) {
        Ok((store, report)) => {
            let walked = store.blocking_check();
            store.blocking_close()?;
            Ok(FolderCheck { opened: Ok(report), walked: Some(walked?), marks })
        }
        Err(why) => Ok(FolderCheck { opened: Err(why), walked: None, marks }),
    }
}

/// How a database that did not open was replaced.
#[derive(Debug)]
pub struct Restored {
    /// The old database, kept.
    pub old: PathBuf,
    /// The new one is the old one's log read anew; otherwise it holds what the marks hold, and nothing else.
    pub from_log: bool,
    /// How the new one opened: what its marks put back is among the rolled back.
    pub report: OpenReport,
}

/// Keeps the database of a store aside and builds a new one: from its log, as far as that can be read, or from the
/// marks alone. What neither holds is only in the old one.
///
/// For a database that does not open; nothing is lost by using it on one that does.
pub fn restore(root: &Path) -> Result<Restored, OpenError> {
    let (holder, _) = Folder::lock(root)?;
    let (old, from_log) = salvage(root)?;
    drop(holder);
    let (store, report) = StoreHandle::blocking_open(root)?;
    store.blocking_close().map_err(|error| OpenError::Io {
        what: "close",
        path: root.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(Restored { old, from_log, report })
}

/// Builds a store in an empty folder from an export: beside it, then in its place in one step.
pub fn import(file: &Path, root: &Path) -> Result<ImportReport, ImportError> {
    let used = || ImportError::Used { path: root.to_owned() };
    match fs::read_dir(root).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(used()),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(open(Fault::io("read", root, &error))),
    }
    let (next_seq, lines) = read_export(file)?;
    let parent = root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| open(Fault::io("create", parent, &error)))?;
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let aside = free_name(parent, &format!("{name}.importing")).map_err(open)?;
    let done = build(&aside, next_seq, lines).and_then(|report| {
        match fs::rename(&aside, root) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Err(used()),
            Err(error) => return Err(open(Fault::io("rename to", root, &error))),
        }
        let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
        synced.map_err(|error| open(Fault::io("sync", parent, &error)))?;
        Ok(report)
    });
    if done.is_err() {
        // Built by us a moment ago and never in place: of no use to anybody.
        let _ = fs::remove_dir_all(&aside);
    }
    done
}

fn open(fault: Fault) -> ImportError {
    ImportError::Open(fault.into())
}

/// All lines of an export, each checked, and that none is missing.
fn read_export(file: &Path) -> Result<(u64, Vec<Line>), ImportError> {
    let path = || file.to_owned();
    let source = fs::File::open(file).map_err(|error| open(Fault::io("open", file, &error)))?;
    let mut source = BufReader::new(source).lines();
    let first = match source.next() {
        Some(Ok(first)) => first,
        Some(Err(error)) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(open(Fault::io("read", file, &error)));
        }
        _ => return Err(ImportError::NotOurs { path: path() }),
    };
    let next_seq = match text::read_title(&first) {
        Title::Ours { next_seq } => next_seq,
        Title::TooNew { found } => {
            return Err(ImportError::TooNew { path: path(), found, supported: text::FORMAT });
        }
        Title::NotOurs => return Err(ImportError::NotOurs { path: path() }),
    };
    let mut lines = Vec::new();
    let mut ended = false;
    for (index, line) in source.enumerate() {
        let wrong = |why| ImportError::Line { path: path(), line: index + 2, why };
        let line = line.map_err(|_| wrong("it cannot be read"))?;
        if ended {
            return Err(wrong("it is behind the end"));
        }
        match text::read_end(&line) {
            Some(count) if count == lines.len() => ended = true,
            Some(_) => return Err(ImportError::Cut { path: path(), found: lines.len() }),
            None => match Line::read(&line) {
                Ok(line) => lines.push(line),
                Err(why) => return Err(wrong(why)),
            },
        }
    }
    if ended { Ok((next_seq, lines)) } else { Err(ImportError::Cut { path: path(), found: lines.len() }) }
}

fn build(root: &Path, next_seq: u64, lines: Vec<Line>) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    let (mut folder, _) = Folder::open(root)?;
    let (mut writes, mut marks): (Vec<Write>, Vec<Mark>) = (vec![], vec![]);
    for line in lines {
        match line {
            Line::Record { key, value } => {
                report.records += 1;
                writes.push(Write { key, value: Some(value) });
            }
            Line::Raw { key, value } => {
                report.raw += 1;
                writes.push(Write { key, value: Some(value) });
            }
            Line::Mark(mark) => {
                report.marks += 1;
                marks.push(mark);
            }
        }
    }
    let store_id = folder.fresh_id();
    writes.push(engine::head_write(store_id, next_seq.saturating_sub(1)));
    let (step, mut rest) = (folder.marks_step(), writes.as_slice());
    let write = || {
        while !rest.is_empty() {
            let (some, more) = rest.split_at(rest.len().min(crate::GROUP_RECORDS_MAX));
            folder.table_apply(some.to_vec(), Atomicity::Whole)?;
            rest = more;
        }
        folder.table_sync()?;
        let (file, ..) = engine::marks_file(store_id, next_seq.saturating_sub(1), marks.into_iter(), step);
        folder.marks_replace(&file)
    };
    write().map_err(open)?;
    folder.close().map_err(open)?;
    Ok(report)
}
