//! `store`: the farm's memory as a folder. It takes the farm's own lock: while a farm runs, it is named.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use farmhand::Paths;
use farmhand::protocol::ProblemClass;
use farmhand::transport::HomeLock;
use farmhand_store::{ImportError, OpenReport, StoreHandle, check_folder, import, restore};
use serde_json::json;

use crate::args::{Global, StoreVerb};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::table::columns;
use crate::term::Term;

pub(crate) fn run(global: &Global, term: &Term, what: &StoreVerb) -> Result<u8, Failed> {
    let home = project::home(global)?;
    let cannot = |error| Failed::io(format!("use {}", home.display()), &error);
    DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(cannot)?;
    let _lock = HomeLock::take(&home)?;
    let root = Paths::new(&home).store();
    match what {
        StoreVerb::Export { file } => export(term, &root, file),
        StoreVerb::Import { file } => {
            let report = import(file, &root).map_err(not_imported)?;
            let said = format!("imported  {} records, {} marks", report.records, report.marks);
            told(term, &said, json!({ "records": report.records, "marks": report.marks, "raw": report.raw }));
            Ok(exit::PASSED)
        }
        StoreVerb::Check => check(term, &root),
        StoreVerb::Restore => {
            let restored = restore(&root).map_err(failed)?;
            let said = format!(
                "restored  {} records; the old store is kept in {}",
                restored.report.records,
                restored.old.display()
            );
            told(term, &said, json!({ "records": restored.report.records, "old": restored.old }));
            notes(term, &restored.report);
            Ok(exit::PASSED)
        }
    }
}

/// A folder without a store has nothing to look at, and is not to get one by that.
fn is_there(root: &Path) -> Result<(), Failed> {
    if root.exists() {
        return Ok(());
    }
    let message = format!("there is no store in {}: no farm ran there yet", root.display());
    Err(Failed::new(ProblemClass::Usage, "F003", message, &["farmhand --home DIR store ..."]))
}

fn export(term: &Term, root: &Path, file: &Path) -> Result<u8, Failed> {
    is_there(root)?;
    let file = std::path::absolute(file).map_err(|error| Failed::io(file.display(), &error))?;
    if file.exists() {
        return Err(Failed::usage(format!("{} is there already", file.display()), &[]));
    }
    let (store, _) = StoreHandle::blocking_open(root).map_err(failed)?;
    let exported = store.blocking_export(&file);
    store.blocking_close().map_err(failed)?;
    let report = exported.map_err(failed)?;
    told(
        term,
        &format!("exported  {} records to {}", report.records, file.display()),
        json!({ "records": report.records }),
    );
    Ok(exit::PASSED)
}

fn check(term: &Term, root: &Path) -> Result<u8, Failed> {
    is_there(root)?;
    let found = check_folder(root).map_err(failed)?;
    let report = found.opened.map_err(failed)?;
    let walked = found.walked.as_ref().map_or(0, |walked| walked.records.values().sum::<usize>());
    let clean = report.is_clean();
    let said =
        format!("{}  {walked} records, {} marks", if clean { "sound" } else { "damaged" }, found.marks);
    told(term, &said, json!({ "sound": clean, "records": walked, "marks": found.marks }));
    notes(term, &report);
    Ok(if clean { exit::PASSED } else { exit::of(ProblemClass::Infra) })
}

fn notes(term: &Term, report: &OpenReport) {
    let mut rows = Vec::new();
    let mut note = |what: &str, which: String| rows.push(vec![format!("  {what}"), which]);
    for damaged in &report.damaged {
        let kept = if damaged.restored { "; its mark was kept" } else { "; it was set aside" };
        note("damaged", format!("{}: {}{kept}", damaged.key, damaged.why));
    }
    for key in &report.rolled_back {
        note("older than it was", key.to_string());
    }
    for lost in &report.lost {
        note("lost", format!("{lost:?}"));
    }
    for path in report.set_aside.iter().chain(&report.swept) {
        note("set aside", path.display().to_string());
    }
    if report.marks_missing {
        note("marks", "the file of marks was not there: unfinished handoffs are asked about".into());
    }
    if report.marks_damaged {
        note("marks", "the file of marks was damaged: unfinished handoffs are asked about".into());
    }
    if !rows.is_empty() {
        term.say(columns(&rows).trim_end());
    }
}

fn told(term: &Term, said: &str, machine: serde_json::Value) {
    match term.json {
        true => term.answer(&json::done(machine)),
        false => term.answer(&said),
    }
}

/// The file is wrong, or the folder that it is to go to, and not the store that is there.
fn not_imported(error: ImportError) -> Failed {
    let help: &[&str] = match error {
        ImportError::Open(error) => return failed(error),
        ImportError::Used { .. } => &["farmhand --home EMPTY-FOLDER store import FILE"],
        ImportError::TooNew { .. } => &["use the farmhand that wrote it, or a newer one"],
        _ => &["farmhand store export FILE writes one"],
    };
    Failed::usage(error.to_string(), help)
}

fn failed(error: impl std::fmt::Display) -> Failed {
    Failed::new(
        ProblemClass::Infra,
        "F810",
        error.to_string(),
        &["farmhand store check", "farmhand store restore"],
    )
}
